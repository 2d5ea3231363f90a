import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// A model from its provider to callers, in one form. What `ModelSteps` does stays done: whoever comes back with what it has made goes on there.
struct AddModelPage: RouteGroup {
    static let page = "/admin/add-model"

    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, Self.page, to: &table) { visit in
            try visit.request.query.allow([])
            return try await form(visit, .null)
        }
        dashboard.page(.post, Self.page, to: &table, go)
    }

    // MARK: The form

    static let reaches = ["all", "candidate", "version", "draft"]

    private static let money = FieldKind.dollars
    private static let tokens = FieldKind.integer(0...1_000_000_000)

    static let shapes: [FieldShape] = [
        FieldShape("endpoint_id", .id(EndpointKind.prefix), "One that is there already: then leave out what follows of a provider.") {
            $0.nullWord = "a new provider's, below"
        },
        FieldShape(
            "provider",
            .object([
                FieldShape("name", .name, "What people call it."),
                FieldShape("kind", .word(Vocabulary.providerKinds), "Whose API it speaks.") { $0.standard = "openai" },
                FieldShape("base_url", .checked(format: "uri"), "Where its API is, with the version: https://api.openai.com/v1."),
                FieldShape("private_addresses", .flag, "Whether that may be of the inside: this machine, or a private network.") {
                    $0.standard = false
                },
                FieldShape("secret", .secret, "Its key. Left out: it wants none.") { $0.use = .secret },
            ]), "A new one, with a credential and an endpoint."),
        FieldShape("model", .token, "What callers put in \"model\".") { $0.isRequired = true },
        FieldShape("upstream_model", .token, "What the provider calls it. Left out: the same."),
        FieldShape(
            "capabilities", .list(.word(Vocabulary.capabilities), 1...16),
            "What it can do: \(Vocabulary.capabilities.joined(separator: ", "))."
        ) {
            $0.standard = ["chat"]
        },
        FieldShape("context_window", tokens, "Input and output together.") { $0.unit = "tokens" },
        FieldShape("max_output_tokens", tokens, "Output of one answer: what a request may cost at most follows from it.") {
            $0.unit = "tokens"
        },
        FieldShape(
            "price",
            .object([
                FieldShape("input", money, "Input."), FieldShape("output", money, "Output."),
                FieldShape("cached_input", money, "Input from the provider's cache. Left out: as input."),
            ]), "US dollars per million tokens. Left out: nothing is known of what it costs, and budgets in dollars refuse it."),
        FieldShape(
            "reach", .word(reaches),
            "How far it goes: to all callers at once; as a candidate, for some of the keys; as a version that nobody has yet; or only into the draft."
        ) {
            $0.standard = "all"
        },
        FieldShape("percentage", .percentage, "Of the keys, where it is a candidate.") { $0.standard = .int(10) },
        FieldShape("take_others", .flag, "Publish what else the draft has been changed by, too.") { $0.standard = false },
    ]

    private func form(_ visit: Visit, _ value: JSONValue, hidden: [HiddenField] = []) async throws -> APIResponse {
        var forms = Forms()
        let endpoints = try await api.get("/admin/api/endpoints", ["limit": "200", "sort": "name"], for: visit)
        forms.choices[EndpointKind.prefix] = (endpoints["items"]?.arrayValue ?? []).compactMap { item in
            item["id"]?.stringValue.map { Choice(value: $0, text: item["name"]?.stringValue ?? $0) }
        }
        var page = FormPage(
            chrome: dashboard.chrome("Add a model", visit),
            about:
                "Provider, model, route and price are made one after the other, then published and rolled out. Each step is shown with what it did.",
            action: Self.page, back: "/admin/models", backText: "Models", submit: "Add it",
            fields: forms.fields(Self.shapes, value, isNew: true))
        page.hidden = hidden
        return DashboardRoutes.html("form", page)
    }

    // MARK: Going through it

    private func go(_ visit: Visit) async throws -> APIResponse {
        let sent = try visit.form(dashboard.signOn.policy)
        let value = JSONValue.object(Forms.object(Self.shapes, sent, isNew: true))
        let made = Dictionary(
            uniqueKeysWithValues: ModelSteps.Step.allCases.compactMap { step in
                sent["made.\(step.rawValue)"].flatMap { $0.isEmpty ? nil : (step, $0) }
            })
        func hidden(_ made: [ModelSteps.Step: String]) -> [HiddenField] {
            made.sorted { $0.key.rawValue < $1.key.rawValue }.map { HiddenField(name: "made.\($0.key.rawValue)", value: $0.value) }
        }
        if sent["go"] == "back" { return try await form(visit, value, hidden: hidden(made)) }
        var wanted = value.objectValue ?? JSONObject()
        // The button that goes on says what it takes along.
        if sent["go"] == "on", sent["asks_others"] == "1" { wanted["take_others"] = true }
        var steps = ModelSteps(api: api, visit: visit, wanted: .object(wanted), made: made)
        try await steps.run()
        // What was entered goes along, but for the secret, which no page shows.
        let kept = sent.filter { !["csrf_token", "go", "asks_others", "provider.secret"].contains($0.key) && !$0.key.hasPrefix("made.") }
            .sorted { $0.key < $1.key }.map { HiddenField(name: $0.key, value: $0.value) }
        let isDone = steps.problem == nil
        let name = value["model"]?.stringValue ?? ""
        var page = StepsPage(
            chrome: dashboard.chrome(isDone ? "\(name) is added" : "\(name) is not yet there", visit), kind: isDone ? "good" : "bad",
            lines: steps.lines, steps: steps.shown,
            hidden: hidden(steps.made) + kept + (steps.asksOthers ? [HiddenField(name: "asks_others", value: "1")] : []))
        // The secret went no further than this request: who gave one gives it again.
        let losesSecret =
            sent["endpoint_id", default: ""].isEmpty && !sent["provider.secret", default: ""].isEmpty && steps.made[.credential] == nil
        page.canGoOn = !steps.needsOtherInput && !losesSecret
        if steps.asksOthers { page.goOn = "Publish the other changes, too" }
        page.hasForm = !isDone
        if let other = steps.inTheWay { page.acts = [Act(text: "The rollout in the way", href: "/admin/rollouts/\(other)")] }
        if isDone {
            page.acts = [
                Act(text: "The model", href: "/admin/models/\(steps.made[.model] ?? "")", isMain: true),
                Act(text: "Add another", href: Self.page),
            ]
            if let rollout = steps.made[.rollout] { page.acts.insert(Act(text: "The rollout", href: "/admin/rollouts/\(rollout)"), at: 1) }
        }
        return DashboardRoutes.html("steps", page, status: isDone ? .ok : .conflict)
    }
}

struct StepsPage: View {
    struct Step: View {
        let title: String
        let text: String
        let href: String?
        let state: String
        let kind: String
    }

    let chrome: Chrome
    let kind: String
    let lines: [String]
    let steps: [Step]
    var hidden: [HiddenField] = []
    var hasForm = false
    var canGoOn = true
    var goOn = "Go on from here"
    var acts: [Act] = []
}
