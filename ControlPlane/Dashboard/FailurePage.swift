import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// Failed requests by whose fault it was, where, and why.
struct FailurePage: RouteGroup {
    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, "/admin/failures", to: &table, page)
        dashboard.page(.get, "/admin/failures/export.csv", to: &table, page)
    }

    private static let groups = ["error_origin", "endpoint", "error_code"]
    private static let narrowing: [FieldShape] = [
        FieldShape("tenant_id", .id(TenantKind.prefix), ""), FieldShape("model", .token, ""),
        FieldShape("error_origin", .word(UsageErrorOrigin.allCases.map(\.rawValue)), ""),
        FieldShape("endpoint_id", .id(EndpointKind.prefix), ""), FieldShape("error_code", .token, ""),
    ]
    private static let sorting = Sorting(
        columns: groups.map { ($0, .name) } + [("model", .name), ("requests", .number)], standard: "-requests")
    private static let mostGroups = 500

    private func page(_ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        // Where a provider failed is the operator's to see.
        let isOperator = visit.actor.tenantID == nil
        let (groups, narrowing) = isOperator ? (Self.groups, Self.narrowing) : (["model"], Self.narrowing.filter { $0.name == "model" })
        try query.allow(Set(narrowing.map(\.name) + ["window", "sort"]))
        let names = Narrowing(api: api)
        let window = ReportWindow(query["window"], now: dashboard.clock.nowMilliseconds(), upTo: 31)
        var asked = window.query.merging(["status": "failed"]) { $1 }
        let narrowed = try await names.asked(narrowing, query, visit)
        asked.merge(narrowed) { $1 }
        let report = try await api.get(
            "/admin/api/usage",
            asked.merging([
                "group_by": groups.joined(separator: ","),
                "sort": "-requests", "limit": String(Self.mostGroups),
            ]) { $1 }, for: visit)
        let items = Self.sorting.sorted(report["items"]?.arrayValue ?? [], by: query["sort"])
        if visit.request.path.hasSuffix(".csv") {
            return ReportPages.table(items, columns: (items.first?.objectValue?.members ?? []).map(\.name), named: "failures")
        }
        let shapes = groups.map { FieldShape($0, .token, "") } + [FieldShape("requests", .number, "")]
        let all = report["totals"]?["requests"]?.intValue ?? 0
        var page = ReportPage(
            chrome: dashboard.chrome("Failures", visit),
            about: "Requests that failed, of \(window.words): by whose fault, at which endpoint, and why. A line leads to its requests.",
            filters: try await [window.field] + names.fields(narrowing, narrowed, visit) + [
                Self.sorting.field(shapes, sort: query["sort"])
            ],
            table: Self.table(items, all: all, asked, groups: groups),
            emptyWords: "Nothing failed in this time.")
        let own = query.names.sorted().filter { $0 != "sort" }.map { ($0, query[$0] ?? "") }
        Self.sorting.link(&page.table, shapes, sort: query["sort"], others: own)
        page.acts = [
            Act(
                text: "These sums as CSV",
                href: "/admin/failures/export.csv?" + FormBody.query(own + [("sort", query["sort"] ?? "")])),
            Act(
                text: "Records as CSV",
                href: "/admin/api/usage/records?" + FormBody.query(asked.sorted { $0.key < $1.key } + [("format", "csv")])),
        ]
        if isOperator, items.count > 1 {
            page.tables = groups.map { Self.share($0, items, all: all) }
        }
        return DashboardRoutes.html("report", page)
    }

    private static func text(_ group: String, _ item: JSONValue) -> String {
        switch group {
        case "endpoint": item["endpoint"]?.stringValue ?? item["endpoint_id"]?.stringValue ?? "none was reached"
        default: item[group]?.stringValue ?? "not known"
        }
    }

    private static func table(_ items: [JSONValue], all: Int64, _ asked: [String: String], groups: [String]) -> Table {
        Table(
            columns: groups.map { Column(text: Rendering.label($0)) } + [
                Column(text: "Requests", isNumber: true), Column(text: "Share", isNumber: true),
            ],
            rows: items.map { item in
                var narrowed = asked
                for group in groups {
                    if group == "endpoint" {
                        narrowed["endpoint_id"] = item["endpoint_id"]?.stringValue ?? narrowed["endpoint_id"]
                    } else {
                        narrowed[group] = item[group]?.stringValue ?? narrowed[group]
                    }
                }
                let count = item["requests"]?.intValue ?? 0
                return Row(
                    cells: groups.enumerated().map { index, group in
                        Cell(
                            title: Rendering.label(group), text: text(group, item),
                            href: index == 0 ? "/admin/requests?" + FormBody.query(narrowed.sorted { $0.key < $1.key }) : nil)
                    } + [
                        Cell(title: "Requests", text: Rendering.grouped(count), isNumber: true),
                        Cell(title: "Share", text: DashboardRoutes.percent(count, of: all), isNumber: true),
                    ])
            })
    }

    /// By one of the groups alone.
    private static func share(_ group: String, _ items: [JSONValue], all: Int64) -> TitledTable {
        var sums: [String: Int64] = [:]
        for item in items { sums[text(group, item), default: 0] += item["requests"]?.intValue ?? 0 }
        let label = Rendering.label(group)
        return TitledTable(
            title: "By \(label.lowercased())",
            table: Table(
                columns: [Column(text: label), Column(text: "Requests", isNumber: true), Column(text: "Share", isNumber: true)],
                rows: sums.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(20).map { name, count in
                    Row(cells: [
                        Cell(title: label, text: name), Cell(title: "Requests", text: Rendering.grouped(count), isNumber: true),
                        Cell(title: "Share", text: DashboardRoutes.percent(count, of: all), isNumber: true),
                    ])
                }))
    }
}

/// A window of whole days up to now, as reports' pages offer it.
struct ReportWindow {
    private static let all = [
        ("24h", "last 24 hours", 1), ("7d", "last 7 days", 7), ("31d", "last 31 days", 31), ("92d", "last 92 days", 92),
    ]

    let words: String
    let query: [String: String]
    let field: FilterField

    /// - Parameter upTo: Days of the longest that is offered.
    init(_ name: String?, now: Int64, upTo most: Int, standard: String = "24h") {
        let offered = Self.all.filter { $0.2 <= most }
        let chosen = offered.first { $0.0 == name } ?? offered.first { $0.0 == standard } ?? Self.all[0]
        let (hour, day): (Int64, Int64) = (3_600_000, 86_400_000)
        let until = chosen.2 == 1 ? now - now % hour + hour : now - now % day + day
        words = chosen.1
        query = [
            "from": RFC3339.string(milliseconds: until - Int64(chosen.2) * day), "until": RFC3339.string(milliseconds: until),
        ]
        field = FilterField(
            name: "window", label: "Window", value: name ?? "",
            options: offered.map { Choice(value: $0.0, text: $0.1, isSelected: $0.0 == chosen.0) })
    }
}
