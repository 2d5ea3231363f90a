import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// Prices out of a catalogue: what they would change is shown first, and taken into the draft when somebody says so.
struct PriceImportPage: RouteGroup {
    static let api = "/admin/api/prices/import"
    static let page = "/admin/prices/import"
    /// LiteLLM's has some three and a half million.
    private static let bodyLimitBytes = 16 << 20

    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, Self.page, to: &table) { visit in
            try visit.request.query.allow([])
            return try await form(visit)
        }
        dashboard.page(.post, Self.page, upTo: Self.bodyLimitBytes, to: &table) { visit in
            let sent = try visit.form(dashboard.signOn.policy)
            return sent["take"] == nil ? try await compare(sent, visit) : try await take(sent, visit)
        }
    }

    private static let from = FieldShape(
        "effective_from", .time, "From when on prices that differ count. Left out: from now on, and for what has no price yet since ever.")

    private func form(_ visit: Visit, problems: [String] = [], from: String = "", status: HTTPResponse.Status = .ok) async throws
        -> APIResponse
    {
        var page = FormPage(
            chrome: dashboard.chrome("Import prices", visit),
            about:
                "Of the draft's models, from a catalogue in the form of LiteLLM's model_prices_and_context_window.json. What would change is shown before anything does.",
            action: Self.page, back: "/admin/prices", backText: "Prices", submit: "Compare",
            fields: [
                FormField(
                    name: "catalogue", label: "Catalogue", about: "The file, as it was downloaded.", isRequired: true, input: .text("file"))
            ] + Forms().fields([Self.from], ["effective_from": .string(from)], isNew: true))
        page.isMultipart = true
        page.problems = problems
        return DashboardRoutes.html("form", page, status: status)
    }

    private func compare(_ sent: [String: String], _ visit: Visit) async throws -> APIResponse {
        let from = sent["effective_from"]?.trimmed ?? ""
        guard let catalogue = try? JSONValue(parsing: sent["catalogue"] ?? ""), catalogue.objectValue != nil else {
            return try await form(
                visit, problems: ["That file is no catalogue: it is not a JSON object of entries by name."], from: from, status: .badRequest
            )
        }
        do {
            return try await shown(catalogue, from: from, visit)
        } catch let refusal as DomainError {
            return try await form(
                visit, problems: [Problem(refusal).detail] + Problem(refusal).errors.map(\.remedy), from: from,
                status: Problem(refusal).status)
        }
    }

    private func shown(_ catalogue: JSONValue, from: String, _ visit: Visit, refusal: DomainError? = nil) async throws -> APIResponse {
        var asked: JSONObject = ["catalogue": catalogue, "dry_run": true]
        if !from.isEmpty { asked["effective_from"] = .string(from) }
        let found = try await api.call(.post, Self.api, .object(asked), for: visit).value
        let changes = found["changes"]?.arrayValue ?? []
        // Only the entries that are of a model here go on: the whole catalogue is large.
        var used = JSONObject()
        for change in changes { if let entry = change["entry"]?.stringValue { used[entry] = catalogue[entry] } }
        let rendering = try await api.rendering(changes.map { ($0, [FieldShape("endpoint_id", .id(EndpointKind.prefix), "")]) }, for: visit)
        let counts = Dictionary(grouping: changes) { $0["action"]?.stringValue ?? "" }.mapValues(\.count)
        func count(_ action: String) -> Int { counts[action] ?? 0 }
        var boxed = Set<String>()
        var page = PriceDiffPage(
            chrome: dashboard.chrome("What the catalogue changes", visit),
            about:
                "\(Rendering.grouped(found["entries"]?.intValue ?? 0)) entries; of the draft's models \(count("added")) get a price, \(count("changed")) another, \(count("unchanged")) stay, and of \(count("unknown")) it knows nothing.",
            revision: String(found["revision"]?.intValue ?? 0), effectiveFrom: from, catalogue: JSONValue.object(used).text,
            changes: changes.enumerated().map { PriceDiffPage.Change(index: $0, $1, rendering, &boxed) })
        page.problems = refusal.map { [Problem($0).title + ". " + Problem($0).detail, "Below is how it compares now."] } ?? []
        return DashboardRoutes.html("price-diff", page, status: refusal.map { Problem($0).status } ?? .ok)
    }

    private func take(_ sent: [String: String], _ visit: Visit) async throws -> APIResponse {
        let from = sent["effective_from"] ?? ""
        guard let catalogue = try? JSONValue(parsing: sent["catalogue"] ?? "") else {
            return try await form(visit, problems: ["The form came without its entries."], status: .badRequest)
        }
        let models = Set(sent.filter { $0.key.hasPrefix("model.") }.values).sorted()
        guard !models.isEmpty else {
            return try await form(visit, problems: ["No model was chosen: nothing was changed."], status: .badRequest)
        }
        var order: JSONObject = ["catalogue": catalogue, "models": .strings(models)]
        if !from.isEmpty { order["effective_from"] = .string(from) }
        do {
            _ = try await api.call(.post, Self.api, .object(order), revision: sent["revision"] ?? "", for: visit)
            return .redirect(to: "/admin/config")
        } catch let refusal as DomainError {
            // The draft was changed meanwhile: it is compared again, and nothing was taken.
            guard case .preconditionFailed = refusal else {
                return try await form(
                    visit, problems: [Problem(refusal).detail] + Problem(refusal).errors.map(\.remedy), status: Problem(refusal).status)
            }
            return try await shown(catalogue, from: from, visit, refusal: refusal)
        }
    }
}

struct PriceDiffPage: View {
    struct Change: View {
        let index: Int
        let model: String
        let href: String
        let place: String
        let action: String
        let kind: String
        let entry: String
        let lines: [String]
        let canTake: Bool

        init(index: Int, _ change: JSONValue, _ rendering: Rendering, _ boxed: inout Set<String>) {
            self.index = index
            model = change["model"]?.stringValue ?? ""
            href = "/admin/models/\(change["model_id"]?.stringValue ?? "")"
            let endpoint = change["endpoint_id"]?.stringValue
            place = endpoint.map { rendering.names[$0] ?? $0 } ?? "everywhere"
            action = change["action"]?.stringValue ?? ""
            kind = action == "unknown" ? "warn" : action == "unchanged" ? "" : "good"
            entry =
                change["entry"]?.stringValue
                ?? "none: \((change["tried"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ", "))"
            // A model's prices are taken together: one box for all of them.
            canTake = (action == "added" || action == "changed") && boxed.insert(model).inserted
            lines =
                Self.differences(change["before"]?.objectValue, change["after"]?.objectValue)
                + (change["remarks"]?.arrayValue ?? []).compactMap(\.stringValue)
        }

        /// Each price that is another than before.
        private static func differences(_ before: JSONObject?, _ after: JSONObject?) -> [String] {
            func text(_ value: JSONValue?) -> String {
                switch value ?? .null {
                case .null: "–"
                case .string(let text): NanoDollars(decimal: text) == nil ? text : Rendering.dollars(text)
                case let other: other.text
                }
            }
            return (after?.members ?? []).compactMap { member in
                guard !["model_id", "endpoint_id", "effective_from", "id"].contains(member.name), before?[member.name] != member.value
                else { return nil }
                if before == nil, member.value == .null { return nil }
                return "\(Rendering.label(member.name)): \(text(before?[member.name])) → \(text(member.value))"
            }
        }
    }

    let chrome: Chrome
    let about: String
    let revision: String
    let effectiveFrom: String
    let catalogue: String
    let changes: [Change]
    var problems: [String] = []
    var derived: [String: Any] { ["hasProblems": !problems.isEmpty, "canTake": changes.contains(where: \.canTake)] }
}
