import API
import Domain
import HTTPTypes
import Nouns
import Primitives

extension DashboardRoutes {
    private static let hour: Int64 = 3_600_000

    /// What is going on, and what needs somebody.
    func overview(_ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        try query.allow([])
        let now = clock.nowMilliseconds()
        let from = now - now % Self.hour - 23 * Self.hour
        let window = ["from": RFC3339.string(milliseconds: from), "until": RFC3339.string(milliseconds: from + 24 * Self.hour)]
        var page = OverviewPage(chrome: chrome("Overview", visit))
        let hours = try await api.get("/admin/api/usage", window.merging(["group_by": "hour", "limit": "100"]) { $1 }, for: visit)
        let models = try await api.get(
            "/admin/api/usage", window.merging(["group_by": "model", "sort": "-requests", "limit": "8"]) { $1 }, for: visit)
        let isOperator = api.allows(visit.actor, .get, "/admin/api/status")
        let status = isOperator ? try await api.get("/admin/api/status", for: visit) : .null
        for finding in status["findings"]?.arrayValue ?? [] {
            page.findings.append(
                FindingView(
                    kind: finding["severity"]?.stringValue == "error" || finding["severity"]?.stringValue == "critical" ? "bad" : "warn",
                    subject: finding["subject"]?.stringValue ?? "", message: finding["message"]?.stringValue ?? "",
                    command: finding["command"]?.stringValue))
        }
        page.tiles = Self.tiles(hours["totals"] ?? .null, status)
        page.charts = [Self.chart(hours, from: from)]
        page.tables.append(
            TitledTable(
                title: "Models, last 24 hours", table: UsageTable.table(models, groups: ["model"], Rendering()),
                emptyWords: "No request in the last 24 hours. A key and a model are all that it takes: see Keys and Models."))
        if isOperator {
            let planes = status["data_planes"]?.arrayValue ?? []
            page.tables.append(
                TitledTable(
                    title: "Data planes", table: Self.planes(planes),
                    emptyWords: "No data plane has enrolled. Make an enrolment token and start weir-proxy with it."))
        }
        return Self.html("overview", page)
    }

    private static func tiles(_ totals: JSONValue, _ status: JSONValue) -> [Tile] {
        let (requests, failed) = (totals["requests"]?.intValue ?? 0, totals["failed"]?.intValue ?? 0)
        let tokens = (totals["input_tokens"]?.intValue ?? 0, totals["output_tokens"]?.intValue ?? 0)
        let own = (totals["failed_provider"]?.intValue ?? 0, totals["failed_weir"]?.intValue ?? 0)
        var tiles = [
            Tile(label: "Requests", value: Rendering.grouped(requests), note: "last 24 hours"),
            Tile(
                label: "Failed", value: Rendering.grouped(failed),
                note: "\(percent(failed, of: requests)); \(Rendering.grouped(own.0)) by providers, \(Rendering.grouped(own.1)) by Weir"),
            Tile(label: "Cost", value: totals["cost_nano"]?.intValue.map(Rendering.roundedDollars) ?? "–", note: "as rated at admission"),
            Tile(
                label: "Tokens", value: Rendering.grouped(tokens.0.addingReportingOverflow(tokens.1).partialValue),
                note: "\(Rendering.grouped(tokens.0)) in, \(Rendering.grouped(tokens.1)) out"),
        ]
        if let version = status["baseline_version"]?.intValue {
            let candidate = status["candidate"]?["version"]?.intValue
            tiles.append(
                Tile(
                    label: "Configuration", value: "v\(version)", note: candidate.map { "v\($0) is being rolled out" } ?? "in force for all"
                ))
        }
        return tiles
    }

    static func percent(_ part: Int64, of whole: Int64) -> String {
        guard whole > 0 else { return "0 %" }
        let tenths = Int64((Double(part) / Double(whole) * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }

    private static func chart(_ report: JSONValue, from: Int64) -> Chart {
        let items = report["items"]?.arrayValue ?? []
        let found = Dictionary(items.compactMap { item in item["hour"]?.stringValue.flatMap(RFC3339.milliseconds).map { ($0, item) } }) {
            first, _ in first
        }
        var bars: [Charts.Bar] = []
        var rows: [Row] = []
        for index in 0..<24 {
            let time = from + Int64(index) * hour
            let item = found[time] ?? .null
            let (requests, failed) = (item["requests"]?.intValue ?? 0, item["failed"]?.intValue ?? 0)
            let label = String(RFC3339.string(milliseconds: time).dropFirst(11).prefix(5))
            bars.append(
                Charts.Bar(
                    label: label, value: Double(requests), bad: Double(failed), note: "\(label) UTC: \(requests) requests, \(failed) failed"
                ))
            rows.append(
                Row(cells: [
                    Cell(title: "Hour", text: label + " UTC"), Cell(title: "Requests", text: Rendering.grouped(requests), isNumber: true),
                    Cell(title: "Failed", text: Rendering.grouped(failed), isNumber: true),
                    Cell(title: "Cost", text: item["cost"]?.stringValue.map(Rendering.dollars) ?? "–", isNumber: true),
                ]))
        }
        let columns = [
            Column(text: "Hour"), Column(text: "Requests", isNumber: true), Column(text: "Failed", isNumber: true),
            Column(text: "Cost", isNumber: true),
        ]
        return Chart(
            title: "Requests by hour, UTC", svg: Charts.bars(bars) { Rendering.grouped(Int64(exactly: $0.rounded()) ?? .max) },
            table: Table(columns: columns, rows: rows))
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
                    Cell(title: "State", text: isGood ? "ok" : state == "ok" ? "away" : state, kind: isGood ? "good" : "warn"),
                    Cell(title: "Version", text: plane["version"]?.stringValue ?? ""),
                    Cell(
                        title: "Holds", text: (held.isEmpty ? "nothing yet" : held) + (plane["behind"]?.boolValue == true ? ", behind" : "")
                    ),
                    Cell(title: "Heard", text: plane["last_seen_at"]?.stringValue.map(Rendering.time) ?? "never"),
                ])
            })
    }
}
