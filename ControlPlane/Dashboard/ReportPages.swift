import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// Sums: usage and bills; and the other pages that no noun declares.
struct ReportPages: RouteGroup {
    let dashboard: DashboardRoutes
    var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, "/admin/usage", to: &table, usage)
        dashboard.page(.get, "/admin/usage/export.csv", to: &table, usage)
        dashboard.page(.get, "/admin/billing", to: &table, billing)
        dashboard.page(.get, "/admin/billing/export.csv", to: &table, billing)
        RequestPage(dashboard).addRoutes(to: &table)
        ListPages(dashboard).addRoutes(to: &table)
        ConfigPages(dashboard).addRoutes(to: &table)
        FailurePage(dashboard).addRoutes(to: &table)
        RoutingPage(dashboard).addRoutes(to: &table)
    }

    // MARK: Usage

    /// What usage can always be narrowed by; what else a link names stays there to be seen.
    private static let offered = ["tenant_id", "key_id", "model", "status"]

    private func usage(_ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        let route = api.route(.get, "/admin/api/usage")
        let shapes = route?.docs?.query ?? []
        let narrowing = shapes.filter { !["from", "until", "group_by", "time_zone", "sort", "limit"].contains($0.name) }
        try query.allow(Set(narrowing.map(\.name) + ["window", "group_by", "from", "until", "time_zone", "sort"]))
        let group = query["group_by"] ?? "day"
        let names = Narrowing(api: api)
        let window = ReportWindow(query["window"], now: dashboard.clock.nowMilliseconds(), upTo: 92, standard: "31d")
        let isExport = visit.request.path.hasSuffix(".csv")
        var asked = [
            "group_by": group, "limit": isExport ? String(UsageReportRequest.maximumLimit) : "500",
            "time_zone": query["time_zone"] ?? "UTC",
        ]
        if query["from"] != nil || query["until"] != nil {
            asked["from"] = query["from"].map(Narrowing.time)
            asked["until"] = query["until"].map(Narrowing.time)
        } else {
            asked.merge(window.query) { $1 }
        }
        let isTime = ["hour", "day", "month"].contains(group)
        asked["sort"] = query["sort"] ?? (isTime ? "group" : "-cost")
        let narrowed = try await names.asked(narrowing, query, visit)
        asked.merge(narrowed) { $1 }
        let report = try await api.get("/admin/api/usage", asked, for: visit)
        let groups = group.split(separator: ",").map { $0.trimmingPrefix("tag:") }.map(String.init)
        var filters = [
            window.field,
            FilterField(
                name: "group_by", label: "By", value: group,
                options: [
                    "hour", "day", "month", "tenant", "project", "user", "app", "key", "model", "provider", "endpoint", "status", "tags",
                    "did", "data_plane", "config_version", "error_origin", "error_code",
                ].map {
                    Choice(value: $0, text: Rendering.label($0), isSelected: $0 == group)
                }), FilterField(name: "time_zone", label: "Time zone", value: query["time_zone"] ?? "UTC"),
            FilterField(
                name: "sort", label: "Sorted by", value: query["sort"] ?? "",
                options: [
                    ("group", "the groups"), ("-cost", "cost"), ("-requests", "requests"), ("-failed", "failures"),
                    ("-output_tokens", "output"),
                ]
                .map { Choice(value: $0.0, text: $0.1, isSelected: $0.0 == asked["sort"]) }),
        ]
        let offered = narrowing.filter { Self.offered.contains($0.name) || query[$0.name] != nil }
        filters += try await names.fields(offered, narrowed, choosing: [TenantKind.prefix], visit)
        var page = ReportPage(
            chrome: dashboard.chrome("Usage and cost", visit),
            about:
                "From \(Rendering.time(report["from"]?.stringValue ?? "")) until \(Rendering.time(report["until"]?.stringValue ?? "")); complete up to \(report["as_of"]?.stringValue.map(Rendering.time) ?? "an unknown time").",
            filters: filters, table: UsageTable.table(report, groups: groups, Rendering()))
        if isTime, asked["sort"] == "group" {
            page.charts = [Self.chart(report, by: group)]
        }
        if isExport { return Self.sums(report, groups: groups) }
        let own = query.names.sorted().map { ($0, query[$0] ?? "") }
        page.acts = [
            Act(text: "These sums as CSV", href: "/admin/usage/export.csv?" + FormBody.query(own)),
            Act(text: "Records as CSV", href: "/admin/api/usage/records?" + Self.download(asked, "csv")),
            Act(text: "Records as JSON Lines", href: "/admin/api/usage/records?" + Self.download(asked, "jsonl")),
        ]
        return DashboardRoutes.html("report", page)
    }

    /// What the times of a window cost, those without a request among them.
    private static func chart(_ report: JSONValue, by group: String) -> Chart {
        let items = report["items"]?.arrayValue ?? []
        let found = Dictionary(items.map { ($0[group]?.stringValue ?? "", $0) }) { first, _ in first }
        let bars = (times(report, by: group) ?? items.map { $0[group]?.stringValue ?? "" }).map { name in
            let item = found[name] ?? .null
            return Charts.Bar(
                label: group == "hour" ? String(name.dropFirst(11).prefix(5)) : group == "day" ? String(name.dropFirst(5)) : name,
                value: Double(item["cost_nano"]?.intValue ?? 0) / 1e9,
                note: "\(name): \(Rendering.dollars(item["cost"]?.stringValue ?? "0"))")
        }
        return Chart(
            title: "Cost", svg: Charts.bars(bars, named: "Cost by \(group)") { "$" + OverviewCharts.short($0) },
            table: Table(columns: [], rows: []))
    }

    /// The names of all days of a window, or of its hours of UTC; nil where they are too many to be drawn, and for what has other names.
    private static func times(_ report: JSONValue, by group: String) -> [String]? {
        guard let from = report["from"]?.stringValue, let until = report["until"]?.stringValue else { return nil }
        let step: Int64 = group == "day" ? 86_400_000 : 3_600_000
        var (first, last): (Int64?, Int64?)
        switch group {
        case "day":
            // The dates as they are where the reader is.
            first = RFC3339.milliseconds(from.prefix(10) + "T00:00:00Z")
            last = RFC3339.milliseconds(until.prefix(10) + "T00:00:00Z").map {
                $0 + (until.dropFirst(10).hasPrefix("T00:00:00") ? 0 : step)
            }
        case "hour" where from.hasSuffix("Z"):
            first = RFC3339.milliseconds(from).map { $0 - $0 % step }
            last = RFC3339.milliseconds(until)
        default: return nil
        }
        guard let first, let last, last > first, (last - first) / step <= 400 else { return nil }
        return stride(from: first, to: last, by: Int64.Stride(step)).map { time in
            let text = RFC3339.string(milliseconds: time)
            return group == "day" ? String(text.prefix(10)) : text
        }
    }

    /// The groups of a report, each sum to the nano-dollar.
    private static func sums(_ report: JSONValue, groups: [String]) -> APIResponse {
        var items = report["items"]?.arrayValue ?? []
        let columns = (items.first?.objectValue?.members ?? []).map(\.name)
        if let others = report["others"], others != .null { items.append(others) }
        return table(items, columns: columns, named: "usage")
    }

    /// Of a report that a page shows whole.
    static func table(_ items: [JSONValue], columns: [String], named name: String) -> APIResponse {
        var answer = APIResponse(
            status: .ok, headers: [.contentType: UsageFormat.csv.contentType],
            body: UsageFormat.csv.lines(items, columns: columns, withTitles: true))
        answer.headers[.contentDisposition] = "attachment; filename=\"\(name).csv\""
        return answer
    }

    private static func download(_ asked: [String: String], _ format: String) -> String {
        FormBody.query(
            asked.filter { !["group_by", "limit", "time_zone", "sort"].contains($0.key) }.sorted { $0.key < $1.key } + [("format", format)])
    }

    // MARK: Billing

    private func billing(_ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        try query.allow(["month", "tenant_id", "group_by", "sort"])
        let month = query["month"] ?? String(RFC3339.string(milliseconds: dashboard.clock.nowMilliseconds()).prefix(7))
        let group = query["group_by"] ?? "user"
        var asked = ["month": month, "group_by": group]
        let tenantID = FieldShape("tenant_id", .id(TenantKind.prefix), "")
        let narrowed = try await Narrowing(api: api).asked([tenantID], query, visit)
        asked.merge(narrowed) { $1 }
        let bill = try await api.get("/admin/api/billing", asked, for: visit)
        let told = (bill["users"] ?? bill["items"])?.arrayValue ?? []
        let sorting = Sorting(
            columns: [
                (group, .name), ("name", .name), ("email", .name), ("requests", .number), ("cost", .number), ("total_cost", .number),
            ], standard: "")
        let items = sorting.sorted(told, by: query["sort"])
        let names = items.reduce(into: [String]()) { names, item in
            for member in item.objectValue?.members ?? [] where !names.contains(member.name) && !member.name.hasSuffix("_nano") {
                names.append(member.name)
            }
        }
        if visit.request.path.hasSuffix(".csv") { return Self.table(items, columns: names, named: "billing-\(month)") }
        // What comes with its name is known by that; the id leads to its page.
        let columns = names.filter { !($0.hasSuffix("_id") && names.contains(String($0.dropLast(3)))) }
        let shapes = columns.map { name in
            FieldShape(name, ["total_cost", "cost"].contains(name) ? .dollars : name == "requests" ? .number : .anything, "")
        }
        let rendering = Rendering()
        var table = rendering.table(items, shapes)
        var others = [("month", month), ("group_by", group)]
        if let tenant = query["tenant_id"] { others.append(("tenant_id", tenant)) }
        sorting.link(&table, shapes, sort: query["sort"], others: others)
        table.totals = shapes.enumerated().map { index, shape in
            switch shape.name {
            case "requests": Cell(title: "Requests", text: Rendering.grouped(bill["total_requests"]?.intValue ?? 0), isNumber: true)
            case "total_cost":
                Cell(
                    title: "Total cost", text: rendering.cell(bill["total_cost"], FieldShape("total_cost", .dollars, "")).text,
                    isNumber: true)
            default: Cell(text: index == 0 ? "All" : "")
            }
        }
        var filters = [FilterField(name: "month", label: "Month, UTC", value: month, placeholder: "2026-11")]
        filters += try await Narrowing(api: api).fields([tenantID], narrowed, visit)
        filters.append(
            FilterField(
                name: "group_by", label: "By",
                options: Billing.Group.words.filter { !$0.contains(":") && !$0.contains("<") }.map {
                    Choice(value: $0, text: Rendering.label($0), isSelected: $0 == group)
                }))
        filters.append(sorting.field(shapes, sort: query["sort"]))
        var page = ReportPage(
            chrome: dashboard.chrome("Billing, \(month)", visit),
            about: "What the month's requests cost, by the prices in force when they were admitted.", filters: filters, table: table,
            emptyWords: "Nobody asked for anything in this month.")
        if !items.isEmpty {
            let own = query.names.sorted().map { ($0, query[$0] ?? "") }
            page.acts.append(Act(text: "This bill as CSV", href: "/admin/billing/export.csv?" + FormBody.query(own)))
        }
        let payer = asked["tenant_id"] ?? visit.actor.tenantID?.rawValue
        if payer == nil { page.about += " Choose a tenant to download its statement." }
        if let tenant = payer {
            for (format, word) in [("csv", "Statement as CSV"), ("jsonl", "Statement as JSON Lines")] {
                page.acts.append(
                    Act(
                        text: word,
                        href: "/admin/api/billing/statement?"
                            + FormBody.query([("tenant_id", tenant), ("month", month), ("format", format)])))
            }
        }
        return DashboardRoutes.html("report", page)
    }
}
