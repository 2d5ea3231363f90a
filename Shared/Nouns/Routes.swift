package import Primitives

package struct RouteTarget: Record {
    package var endpointID = EndpointID("")
    /// Nil: the model's name.
    package var upstreamModel: String?
    /// 0: only when every weighted target has failed.
    package var weight: Int64 = 1

    package init() {}

    package static let fields: [Field<Self>] = [
        Field("endpoint_id", \.endpointID, "The endpoint."),
        Field("upstream_model", \.upstreamModel, .token, "What the provider calls the model, where it is not the model's name.")
            .emptyForNull.option("model"),
        Field("weight", \.weight, .integer(0...1_000_000), "Its share among the targets; 0: only when all others have failed.", or: 1),
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
    ]

    package var title: String { name }
}
