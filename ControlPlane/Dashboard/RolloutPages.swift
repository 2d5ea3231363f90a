import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// A version on its way: whom it reaches, how it does beside what it is to replace, and the ways forward and back.
struct RolloutPages: RouteGroup {
    static let page = "/admin/rollouts"
    private static let rollback = "/admin/api/rollouts/rollback"

    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, "\(Self.page)/rollback", to: &table) { try await asking($0) }
        dashboard.page(.post, "\(Self.page)/rollback", to: &table, goBack)
        dashboard.addLive("\(Self.page)/{id}/live", to: &table) { visit in
            let item = try await api.get("/admin/api/rollouts/\(visit.request.parameters["id"] ?? "")", for: visit)
            return try await comparison(item, visit)
        }
    }

    /// Adds to a rollout's own page.
    func add(to page: inout DetailPage, id: String, _ item: JSONValue, _ visit: Visit) async throws {
        let isCandidate = ["active", "scheduled"].contains(item["status"]?.stringValue)
        page.chrome.title = "Rollout of v\(item["version"]?.intValue ?? 0)"
        page.live = "\(Self.page)/\(id)/live"
        let make: LivePages.Making = { try await comparison(item, $0) }
        page.fragment = try await dashboard.live.fragment(at: page.live ?? "", visit, make)
        if isCandidate {
            page.now = try await reach(item, visit)
            // What one comes here for.
            page.acts = page.acts.map { Act(text: $0.text, href: $0.href, isMain: $0.text == "Promote", isDanger: $0.isDanger) }
        } else {
            // What has ended is changed no more; what serves may be left.
            page.acts.removeAll { ["Edit", "Promote", "Abort"].contains($0.text) }
            let standing = try await api.get("/admin/api/rollouts/status", for: visit)
            let isInForce = item["status"]?.stringValue == "promoted" && standing["baseline_version"] == item["version"]
            if isInForce, standing["candidate"] == .null, let previous = standing["previous_baseline_version"]?.intValue,
                api.allows(visit.actor, .post, Self.rollback)
            {
                page.acts.insert(
                    Act(
                        text: "Roll back to v\(previous)",
                        href: "\(Self.page)/rollback?" + FormBody.query([("undo", String(item["version"]?.intValue ?? 0))]),
                        isDanger: true), at: 0)
            }
        }
    }

    /// Whom it reaches, counted now.
    private func reach(_ item: JSONValue, _ visit: Visit) async throws -> [Fact] {
        guard let id = item["id"]?.stringValue else { return [] }
        let reach = try await api.get("/admin/api/rollouts/\(id)/reach", for: visit)
        func number(_ name: String) -> Int64 { reach[name]?.intValue ?? 0 }
        return [
            Fact(
                label: "Reaches",
                cells: [
                    Cell(
                        text:
                            "\(Rendering.grouped(number("keys"))) of \(Rendering.count(number("all_keys"), "key")), of \(Rendering.count(number("tenants"), "tenant"))"
                    )
                ]),
            Fact(label: "On", cells: [Cell(text: Rendering.count(number("data_planes"), "data plane"))]),
            Fact(
                label: "Odd about it",
                cells: (reach["warnings"]?.arrayValue ?? []).map {
                    Cell(text: "\($0["message"]?.stringValue ?? ""). \($0["remedy"]?.stringValue ?? "")")
                }),
        ].filter { !$0.cells.isEmpty }
    }

    // MARK: Beside its baseline

    private struct Side {
        let usage: JSONValue
        let latency: JSONValue

        var requests: Int64 { usage["requests"]?.intValue ?? 0 }

        /// Nano-dollars of one request.
        var cost: Int64? { requests > 0 ? usage["cost_nano"]?.intValue.map { $0 / requests } : nil }
        var failed: Double { requests > 0 ? Double(usage["failed"]?.intValue ?? 0) / Double(requests) : 0 }
    }

    /// What both versions have done since the rollout began, and until it ended.
    func comparison(_ item: JSONValue, _ visit: Visit) async throws -> String {
        let now = dashboard.clock.nowMilliseconds()
        let end = item["ended_at"]?.stringValue.flatMap(RFC3339.milliseconds) ?? now + 1
        let begin = item["effective_at"]?.stringValue.flatMap(RFC3339.milliseconds) ?? now
        // Latencies are of records, and reports of those reach over a month.
        let from = max(min(begin, end - 1), end - 30 * 86_400_000)
        let window = ["from": RFC3339.string(milliseconds: from), "until": RFC3339.string(milliseconds: end), "group_by": "config_version"]
        let usage = try await api.get("/admin/api/usage", window, for: visit)["items"]?.arrayValue ?? []
        let slow = try await api.get("/admin/api/usage/latencies", window, for: visit)["items"]?.arrayValue ?? []
        func side(_ version: Int64) -> Side {
            Side(
                usage: usage.first { $0["config_version"]?.intValue == version } ?? .null,
                latency: slow.first { $0["config_version"]?.intValue == version } ?? .null)
        }
        let (old, new) = (item["baseline_version"]?.intValue ?? 0, item["version"]?.intValue ?? 0)
        let table = Self.table(side(old), side(new), old, new)
        let words = old == 0 ? "nothing was in force before" : "the requests of this time"
        return Templates.render(
            "titled",
            TitledTable(
                title: "v\(new) beside \(old == 0 ? "nothing" : "v\(old)"): \(words)", table: table,
                emptyWords: "Neither has served a request since it began."))
    }

    private static func table(_ old: Side, _ new: Side, _ oldVersion: Int64, _ newVersion: Int64) -> Table {
        let titles = ["Baseline, v\(oldVersion)", "Candidate, v\(newVersion)"]
        func row(_ label: String, _ text: (Side) -> String, kind: String? = nil) -> Row {
            Row(
                cells: [Cell(title: "Measure", text: label), Cell(title: titles[0], text: text(old), isNumber: true)] + [
                    Cell(title: titles[1], text: text(new), kind: kind, isNumber: true)
                ])
        }
        func latency(_ name: String) -> (Side) -> String {
            { side in side.latency[name]?.intValue.map(Rendering.milliseconds) ?? "–" }
        }
        // Of a few requests one is a large share: it is marked where there is something to go by.
        let isWorse = new.requests >= 20 && new.failed > old.failed + 0.01
        return Table(
            columns: [Column(text: "Measure")] + titles.map { Column(text: $0, isNumber: true) },
            rows: old.requests + new.requests == 0
                ? []
                : [
                    row("Requests", { Rendering.grouped($0.requests) }),
                    row(
                        "Failed",
                        { side in
                            let failed = side.usage["failed"]?.intValue ?? 0
                            return "\(Rendering.grouped(failed)) (\(DashboardRoutes.percent(failed, of: side.requests)))"
                        }, kind: isWorse ? "bad" : nil),
                    row("Failed by providers", { Rendering.grouped($0.usage["failed_provider"]?.intValue ?? 0) }),
                    row("Latency, half", latency("p50_us")), row("Latency, 90 of 100", latency("p90_us")),
                    row("Latency, 99 of 100", latency("p99_us")),
                    row("Cost", { $0.usage["cost"]?.stringValue.map(Rendering.dollars) ?? "–" }),
                    row("Cost of a request", { $0.cost.map(Rendering.roundedDollars) ?? "–" }),
                ])
    }

    // MARK: Back

    private func asking(_ visit: Visit, refusal: DomainError? = nil, sent: JSONValue = .null) async throws -> APIResponse {
        let standing = try await api.get("/admin/api/rollouts/status", for: visit)
        let route = api.route(.post, Self.rollback)
        var value = sent
        if value == .null, let undo = visit.request.query["undo"] { value = ["undo": .string(undo)] }
        let baseline = standing["baseline_version"]?.intValue ?? 0
        var page = FormPage(
            chrome: dashboard.chrome("Roll back?", visit),
            about:
                "A candidate is withdrawn; without one, the version before v\(baseline) is repeated as a new one and serves all at once.",
            action: "\(Self.page)/rollback", back: Self.page, backText: "Rollouts", submit: "Roll back", isDanger: true,
            fields: Forms().fields(route?.form ?? [], value, isNew: true))
        page.problems = refusal.map { [Problem($0).detail] + Problem($0).errors.map { "\($0.message). \($0.remedy)" } } ?? []
        return DashboardRoutes.html("form", page, status: refusal.map { Problem($0).status } ?? .ok)
    }

    private func goBack(_ visit: Visit) async throws -> APIResponse {
        let sent = try visit.form(dashboard.signOn.policy)
        let object = JSONValue.object(Forms.object(api.route(.post, Self.rollback)?.form ?? [], sent, isNew: true))
        do {
            _ = try await api.call(.post, Self.rollback, object, for: visit)
            return .redirect(to: Self.page)
        } catch let refusal as DomainError {
            return try await asking(visit, refusal: refusal, sent: object)
        }
    }
}
