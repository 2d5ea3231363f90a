package import Primitives

/// How a route chooses among its targets of one priority.
package enum RouteStrategy: String, Word {
    case weighted
    case roundRobin = "round_robin"
    case leastLatency = "least_latency"
    case leastUsed = "least_used"
    case lowestCost = "lowest_cost"
    case epsilonGreedy = "epsilon_greedy"
    case ucb1
    case thompson
}

package struct RouteTarget: Record {
    package var endpointID = EndpointID("")
    /// Nil: the model's name.
    package var upstreamModel: String?
    /// 0: only when every weighted target of its priority has failed.
    package var weight: Int64 = 1
    /// 0 comes first.
    package var priority: Int64 = 0

    package init() {}

    package static let fields: [Field<Self>] = [
        Field("endpoint_id", \.endpointID, "The endpoint."),
        Field("upstream_model", \.upstreamModel, .token, "What the provider calls the model, where it is not the model's name.")
            .emptyForNull.option("model"),
        Field(
            "weight", \.weight, .integer(0...1_000_000),
            "Its share among the targets of its priority; 0: only when all others of them have failed.", or: 1),
        Field(
            "priority", \.priority, .integer(0...63),
            "0 first; a higher number only when no target of a lower one is in good standing.", or: 0),
    ]
}

/// One change that a route makes to requests.
package struct TemplateEdit: Record {
    package var action = "set"
    package var name = ""
    package var value = ""
    package var when = ""
    package var required = false
    package var apis: [String] = []

    package init() {}

    package static let fields: [Field<Self>] = [
        Field(
            "action", \.action, .word(Vocabulary.templateActions),
            "set, default or remove a member of the body; put a system message first; send a header to the provider."),
        Field("name", \.name, .checked(format: nil), "Of the member, or of the header.", or: ""),
        Field("value", \.value, .checked(format: nil), "A text with expressions in it: {{ caller.user_id }}.", or: ""),
        Field("when", \.when, .checked(format: nil), "An expression; where it does not hold the change is not made.", or: ""),
        Field(
            "required", \.required,
            "Whether a request that cannot be sent with it is refused; else it goes without it, as it would without a template.", or: false),
        Field(
            "apis", \.apis, .list(.word(Vocabulary.providerAPIs), 0...3), "Only for requests in these APIs: chat, responses, messages.",
            or: []
        ).option("api"),
    ]
}

package struct RouteContent: Noun {
    package typealias Kind = RouteKind

    package var modelID = ModelID("")
    package var name = ""
    package var targets: [RouteTarget] = []
    /// 0: one attempt per target.
    package var maxAttempts: Int64 = 0
    package var disabled = false
    package var repeatUnknownOutcomes = false
    /// Milliseconds; 0: never.
    package var hedgeAfter: Int64 = 0
    package var strategy = RouteStrategy.weighted
    /// In this order, when all attempts at the model itself have failed.
    package var fallbackModelIDs: [ModelID] = []
    /// Beside failures.
    package var fallbackOn: [String] = []
    package var servesUnnamed = false
    /// What it changes in requests, in this order.
    package var template: [TemplateEdit] = []

    package init() {}

    package static let words = NounWords(
        "route", path: "routes", "Which endpoints serve a model, and in what shares. Part of the draft.",
        create: "--model-id \(ModelKind.example) --name default --target \(EndpointKind.example),model=gpt-4o-mini,weight=3",
        update: "--max-attempts 2")

    package static let fields: [Field<Self>] = [
        Field("model_id", \.modelID, "The model it serves.").filter.heading("MODEL"),
        .name(\.name),
        Field(objects: "targets", \.targets, maximum: 64, "The endpoints it leads to.").option("target").heading("TARGETS"),
        Field("max_attempts", \.maxAttempts, .integer(0...64), "How many targets are tried at most; 0: all.", or: 0).reading(zero: "all"),
        Field("disabled", \.disabled, "Whether it is left out.", or: false).heading("DISABLED"),
        Field(
            "repeat_unknown_outcomes", \.repeatUnknownOutcomes,
            "Whether a request that was sent, and of which no answer came, goes to the next target: it may be served and charged twice.",
            or: false),
        Field(
            "hedge_after_ms", \.hedgeAfter, .integer(0...600_000),
            "After so many milliseconds without an answer a request is sent to a second target as well, and the first answer counts: it may be served and charged twice; 0: never.",
            or: 0
        ).reading(zero: "never"),
        Field("strategy", \.strategy, "How it chooses among targets of one priority.", or: .weighted).heading("STRATEGY"),
        Field(
            "fallback_model_ids", \.fallbackModelIDs, .list(.id(ModelKind.prefix), 0...8),
            "Models that serve instead when all attempts have failed, in this order; then those that their own routes name.", or: []
        ).option("fallback-model-id"),
        Field(
            "fallback_on", \.fallbackOn, .list(.word(Vocabulary.fallbackReasons), 0...2),
            "Errors of the request for which they serve, too: one too long for the model, or refused for its content.", or: []
        ).option("fallback-on"),
        Field(
            "serves_unnamed", \.servesUnnamed,
            "Whether requests that name no model are for its model; of several the first by the model's name that the caller may use.",
            or: false),
        Field(objects: "template", \.template, maximum: 32, orNone: true, "What it changes in requests, in this order.").option("template"),
    ]

    package var title: String { name }
}
