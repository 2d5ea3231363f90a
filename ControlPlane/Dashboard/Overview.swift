import API
import Domain
import HTTPTypes
import Nouns
import Primitives

extension DashboardRoutes {
    private static let hour: Int64 = 3_600_000

    /// So many findings are shown: who has more has one cause, or another tool for them.
    private static let mostFindings = 12

    /// What is going on, and what needs somebody.
    func overview(_ visit: Visit) async throws -> APIResponse {
        try visit.request.query.allow([])
        let fragment = try await live.fragment(at: "/admin/live", visit, overviewPart)
        return Self.html("overview", LivePage(chrome: chrome("Overview", visit), live: "/admin/live", fragment: fragment))
    }

    func overviewPart(_ visit: Visit) async throws -> String {
        let now = clock.nowMilliseconds()
        let from = now - now % Self.hour - 23 * Self.hour
        let window = ["from": RFC3339.string(milliseconds: from), "until": RFC3339.string(milliseconds: from + 24 * Self.hour)]
        let isOperator = api.allows(visit.actor, .get, "/admin/api/status")
        // Two at a time: a caller may have four under way, and has other pages open.
        async let hours = api.get("/admin/api/usage", window.merging(["group_by": "hour", "limit": "100"]) { $1 }, for: visit)
        async let models = api.get(
            "/admin/api/usage", window.merging(["group_by": "model", "sort": "-requests", "limit": "8"]) { $1 }, for: visit)
        let (requests, served) = (try await hours, try await models)
        async let latencies = api.get("/admin/api/usage/latencies", window.merging(["group_by": "hour"]) { $1 }, for: visit)
        async let status = isOperator ? api.get("/admin/api/status", for: visit) : .null
        let (slow, state) = (try await latencies, try await status)
        var page = OverviewPage()
        let findings = state["findings"]?.arrayValue ?? []
        page.findings = findings.prefix(Self.mostFindings).map(Self.finding)
        if findings.count > Self.mostFindings { page.moreFindings = findings.count - Self.mostFindings }
        let recent = slow["items"]?.arrayValue?.last
        page.tiles = Self.tiles(requests["totals"] ?? .null, state, recent)
        page.charts = OverviewCharts(requests, slow, from: from).all
        page.tables.append(
            TitledTable(
                title: "Models, last 24 hours", table: UsageTable.table(served, groups: ["model"], Rendering()),
                emptyWords: "No request in the last 24 hours. A key and a model are all that it takes: see Keys and Models."))
        if isOperator {
            page.tables.append(
                TitledTable(
                    title: "Data planes", table: Self.planes(state["data_planes"]?.arrayValue ?? []),
                    emptyWords: "No data plane has enrolled. Make an enrolment token and start weir-proxy with it."))
        }
        return Templates.render("overview-live", page)
    }

    private static func finding(_ finding: JSONValue) -> FindingView {
        let isBad = ["error", "critical"].contains(finding["severity"]?.stringValue)
        let (subject, command) = (finding["subject"]?.stringValue ?? "", finding["command"]?.stringValue ?? "")
        return FindingView(
            kind: isBad ? "bad" : "warn", subject: subject, message: finding["message"]?.stringValue ?? "", command: command,
            act: place(subject).map { Act(text: "Open it", href: $0) })
    }

    /// The page of the first thing that a text names by its identifier.
    private static func place(_ text: String) -> String? {
        for word in text.split(whereSeparator: { !($0.isLetter || $0.isNumber || $0 == "_") }) {
            guard let end = word.firstIndex(of: "_"), word[word.index(after: end)...].count == 16 else { continue }
            if let href = Rendering.href(String(word), prefix: String(word[...end])) { return href }
        }
        return nil
    }

    private static func tiles(_ totals: JSONValue, _ status: JSONValue, _ latency: JSONValue?) -> [Tile] {
        let (requests, failed) = (totals["requests"]?.intValue ?? 0, totals["failed"]?.intValue ?? 0)
        let tokens = (totals["input_tokens"]?.intValue ?? 0, totals["output_tokens"]?.intValue ?? 0)
        let own = (totals["failed_provider"]?.intValue ?? 0, totals["failed_weir"]?.intValue ?? 0)
        var tiles = [
            Tile(label: "Requests", value: Rendering.grouped(requests), note: "last 24 hours", href: "/admin/requests"),
            Tile(
                label: "Failed", value: Rendering.grouped(failed),
                note: "\(percent(failed, of: requests)); \(Rendering.grouped(own.0)) by providers, \(Rendering.grouped(own.1)) by Weir",
                href: "/admin/failures"),
            Tile(
                label: "Cost", value: totals["cost_nano"]?.intValue.map(Rendering.roundedDollars) ?? "–", note: "as rated at admission",
                href: "/admin/usage"),
            Tile(
                label: "Latency", value: latency?["p50_us"]?.intValue.map(Rendering.milliseconds) ?? "–",
                note: latency?["p99_us"]?.intValue.map { "half of the newest hour; 99 % \(Rendering.milliseconds($0))" } ?? "no answer yet"),
            Tile(
                label: "Tokens", value: Rendering.grouped(tokens.0.addingReportingOverflow(tokens.1).partialValue),
                note: "\(Rendering.grouped(tokens.0)) in, \(Rendering.grouped(tokens.1)) out"),
        ]
        if let version = status["baseline_version"]?.intValue {
            let candidate = status["candidate"]?["version"]?.intValue
            tiles.append(
                Tile(
                    label: "Configuration", value: "v\(version)",
                    note: candidate.map { "v\($0) is being rolled out" } ?? "in force for all",
                    href: status["candidate"]?["id"]?.stringValue.map { "/admin/rollouts/\($0)" } ?? "/admin/config"))
        }
        return tiles
    }

    static func percent(_ part: Int64, of whole: Int64) -> String {
        guard whole > 0 else { return "0 %" }
        let tenths = Int64((Double(part) / Double(whole) * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }

    private static func planes(_ planes: [JSONValue]) -> Table {
        let columns = ["Data plane", "Region", "State", "Version", "Holds", "Heard"].map { Column(text: $0) }
        return Table(
            columns: columns,
            rows: planes.map { plane in
                let state = plane["status"]?.stringValue ?? ""
                let held = (plane["config_versions"]?.arrayValue ?? []).compactMap(\.intValue).map { "v\($0)" }.joined(separator: ", ")
                let isGood = state == "ok" && plane["connected"]?.boolValue == true
                return Row(cells: [
                    Cell(
                        title: "Data plane", text: plane["name"]?.stringValue ?? "",
                        href: "/admin/data-planes/\(plane["id"]?.stringValue ?? "")"),
                    Cell(title: "Region", text: plane["region"]?.stringValue ?? ""),
                    // What it says of itself may be long: its own page has the whole of it.
                    Cell(
                        title: "State", text: isGood ? "ok" : state == "ok" ? "away" : state.count > 60 ? state.prefix(59) + "…" : state,
                        kind: isGood ? "good" : "warn"),
                    Cell(title: "Version", text: plane["version"]?.stringValue ?? ""),
                    Cell(
                        title: "Holds", text: (held.isEmpty ? "nothing yet" : held) + (plane["behind"]?.boolValue == true ? ", behind" : "")
                    ),
                    Cell(title: "Heard", text: plane["last_seen_at"]?.stringValue.map(Rendering.time) ?? "never"),
                ])
            })
    }
}
