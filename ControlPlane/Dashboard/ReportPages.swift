import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// Pages that no noun declares: usage, requests, billing, the ledger, the audit log, endpoints' health, the configuration.
struct ReportPages: RouteGroup {
    let dashboard: DashboardRoutes
    var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        dashboard.page(.get, "/admin/usage", to: &table, usage)
        dashboard.page(.get, "/admin/usage/export.csv", to: &table, usage)
        dashboard.page(.get, "/admin/billing", to: &table, billing)
        RequestPage(dashboard).addRoutes(to: &table)
        for list in Self.lists {
            dashboard.page(.get, list.page, to: &table) { try await self.list(list, $0) }
            dashboard.page(.get, "\(list.page)/export.csv", to: &table) { try await export(list, $0) }
        }
        ConfigPages(dashboard).addRoutes(to: &table)
        FailurePage(dashboard).addRoutes(to: &table)
        RoutingPage(dashboard).addRoutes(to: &table)
    }

    // MARK: Usage

    private func usage(_ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        let route = api.route(.get, "/admin/api/usage")
        let shapes = route?.docs?.query ?? []
        let narrowing = shapes.filter { !["from", "until", "group_by", "time_zone", "sort", "limit"].contains($0.name) }
        try query.allow(Set(narrowing.map(\.name) + ["window", "group_by", "from", "until", "time_zone", "sort"]))
        let group = query["group_by"] ?? "day"
        let window = ReportWindow(query["window"], now: dashboard.clock.nowMilliseconds(), upTo: 92, standard: "31d")
        let isExport = visit.request.path.hasSuffix(".csv")
        var asked = [
            "group_by": group, "limit": isExport ? String(UsageReportRequest.maximumLimit) : "500",
            "time_zone": query["time_zone"] ?? "UTC",
        ]
        if query["from"] != nil || query["until"] != nil {
            asked["from"] = query["from"]
            asked["until"] = query["until"]
        } else {
            asked.merge(window.query) { $1 }
        }
        let isTime = ["hour", "day", "month"].contains(group)
        asked["sort"] = query["sort"] ?? (isTime ? "group" : "-cost")
        for shape in narrowing { asked[shape.name] = query[shape.name] }
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
        filters += narrowing.filter { query[$0.name] != nil }.map {
            FilterField(name: $0.name, label: Rendering.label($0.name), value: query[$0.name] ?? "")
        }
        var page = ReportPage(
            chrome: dashboard.chrome("Usage and cost", visit),
            about:
                "From \(Rendering.time(report["from"]?.stringValue ?? "")) until \(Rendering.time(report["until"]?.stringValue ?? "")); complete up to \(report["as_of"]?.stringValue.map(Rendering.time) ?? "an unknown time").",
            filters: filters, table: UsageTable.table(report, groups: groups, Rendering()))
        if isTime, asked["sort"] == "group" {
            let bars = (report["items"]?.arrayValue ?? []).map { item in
                let label = item[group]?.stringValue ?? ""
                let cost = Double(item["cost_nano"]?.intValue ?? 0) / 1e9
                return Charts.Bar(
                    label: group == "hour" ? String(label.dropFirst(11).prefix(5)) : label, value: cost,
                    note: "\(label): \(Rendering.dollars(item["cost"]?.stringValue ?? "0"))")
            }
            page.charts = [
                Chart(
                    title: "Cost", svg: Charts.bars(bars, named: "Cost by \(group)") { "$" + OverviewCharts.short($0) }, table: page.table)
            ]
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

    /// The groups of a report, each sum to the nano-dollar.
    private static func sums(_ report: JSONValue, groups: [String]) -> APIResponse {
        var items = report["items"]?.arrayValue ?? []
        let columns = (items.first?.objectValue?.members ?? []).map(\.name)
        if let others = report["others"], others != .null { items.append(others) }
        var answer = APIResponse(
            status: .ok, headers: [.contentType: UsageFormat.csv.contentType],
            body: UsageFormat.csv.lines(items, columns: columns, withTitles: true))
        answer.headers[.contentDisposition] = "attachment; filename=\"usage.csv\""
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
        asked["tenant_id"] = query["tenant_id"]
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
        let shapes = names.map { name in
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
        let tenants = try await tenantChoices(visit)
        var filters = [FilterField(name: "month", label: "Month, UTC", value: month)]
        if !tenants.isEmpty {
            filters.append(
                FilterField(
                    name: "tenant_id", label: "Tenant",
                    options: [Choice(value: "", text: "all")]
                        + tenants.map { Choice(value: $0.value, text: $0.text, isSelected: $0.value == query["tenant_id"]) }))
        }
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
        if let tenant = query["tenant_id"] ?? visit.actor.tenantID?.rawValue {
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

    private func tenantChoices(_ visit: Visit) async throws -> [Choice] {
        let answer = try await api.get("/admin/api/tenants", ["limit": "200", "sort": "name"], for: visit)
        return (answer["items"]?.arrayValue ?? []).compactMap { item in
            item["id"]?.stringValue.map { Choice(value: $0, text: item["name"]?.stringValue ?? $0) }
        }
    }

    // MARK: Lists of the API's

    private struct List: Sendable {
        let page: String
        let api: String
        let title: String
        let about: String
        let columns: [String]
        /// Of its query, what one can narrow it by.
        let filters: [String]
        let empty: String
        /// Where a row leads.
        var link: (@Sendable (JSONValue) -> String?)?
        /// By what: the API's `sort`.
        let sorting: Sorting
        /// Whether it is sorted here, where one page has all of it.
        var isSortedHere = false
    }

    private static let lists = [
        List(
            page: "/admin/requests", api: "/admin/api/usage/records", title: "Requests", about: "One line a request, the newest first.",
            columns: [
                "admitted_at", "tenant", "key", "model", "status", "http_status", "error_code", "input_tokens", "output_tokens",
                "cost",
                "latency_us",
            ], filters: ["from", "until", "tenant_id", "key_id", "model", "status", "error_origin", "error_code", "endpoint_id"],
            empty: "There is no such request.", link: { item in item["request_id"]?.stringValue.map { "/admin/requests/\($0)" } },
            sorting: Sorting(
                columns: [
                    ("admitted_at", .time), ("cost", .number), ("latency_us", .number), ("input_tokens", .number),
                    ("output_tokens", .number),
                ],
                standard: "-admitted_at")),
        List(
            page: "/admin/ledger", api: "/admin/api/billing/entries", title: "Ledger",
            about:
                "Every entry that changed a tenant's balance, the newest first. Entries are never changed; a mistake is put right by another.",
            columns: ["posted_at", "day", "tenant_id", "kind", "amount", "reference", "description", "corrects_id"],
            filters: ["tenant_id", "kind"],
            empty: "Nothing was posted yet. weir billing top-up credits a tenant.",
            sorting: Sorting(columns: [("posted_at", .time), ("day", .time)], standard: "-posted_at")),
        List(
            page: "/admin/audit", api: "/admin/api/audit", title: "Audit",
            about: "Who did and tried what: administrators, and where they are asked for callers and their requests. The newest first.",
            columns: ["at", "who", "action", "resource", "status", "error_code", "change"],
            filters: [
                "source", "action", "resource_kind", "resource_id", "actor_id", "key_id", "model", "status", "text", "tenant_id", "from",
                "until",
            ], empty: "There is no such entry.", sorting: Sorting(columns: [("at", .time)], standard: "-at")),
        List(
            page: "/admin/endpoint-health", api: "/admin/api/fleet/endpoints", title: "Endpoint health",
            about: "How endpoints and credentials fare, as the data planes told it last.", columns: [], filters: ["region", "in_trouble"],
            empty: "No data plane has told of an endpoint yet.",
            sorting: Sorting(
                columns: [
                    ("data_plane", .name), ("region", .name), ("status", .name), ("since", .time), ("attempts", .number),
                    ("failures", .number), ("reported_at", .time),
                ], standard: ""), isSortedHere: true),
    ]

    /// What of its filters the API knows.
    private func filters(of list: List) -> (names: [String], known: [String: FieldShape]) {
        let known = Dictionary((api.route(.get, list.api)?.docs?.query ?? []).map { ($0.name, $0) }) { first, _ in first }
        return (list.filters.filter { known[$0] != nil }, known)
    }

    private func export(_ list: List, _ visit: Visit) async throws -> APIResponse {
        let filters = filters(of: list).names
        let isSorted = !list.isSortedHere
        try visit.request.query.allow(Set(filters + (isSorted ? ["sort"] : [])))
        var asked: [String: String] = [:]
        for name in filters + ["sort"] { asked[name] = visit.request.query[name] }
        var columns = (api.route(.get, list.api)?.shapes ?? []).map(\.name)
        if columns.isEmpty { columns = list.columns }
        let name = String(list.page.split(separator: "/").last ?? "list")
        return try await dashboard.csv(list.api, asked, columns: columns, named: name, visit)
    }

    private func list(_ list: List, _ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        let route = api.route(.get, list.api)
        let (filters, known) = filters(of: list)
        try query.allow(Set(filters + ["cursor", "limit", "sort"]))
        let asked = filters.map { ($0, query[$0] ?? "") }.filter { !$0.1.isEmpty }
        let sort = query["sort"].map { [("sort", $0)] } ?? []
        let standardLimit = list.isSortedHere ? String(PageRequest.maximumLimit) : "50"
        let answer = try await api.get(
            list.api,
            Dictionary(
                asked + (list.isSortedHere ? [] : sort) + [("cursor", query["cursor"] ?? ""), ("limit", query["limit"] ?? standardLimit)]
            ) { $1 }, for: visit)
        var items = (answer["items"]?.arrayValue ?? []).map { list.page == "/admin/audit" ? Self.audited($0) : $0 }
        let isWhole = query["cursor"] == nil && answer["next_cursor"]?.stringValue == nil
        if list.isSortedHere, isWhole { items = list.sorting.sorted(items, by: query["sort"]) }
        let shapes = Self.columns(list, route?.shapes ?? [], items)
        let rendering = try await api.rendering(items.map { ($0, shapes) }, for: visit)
        var table = rendering.table(items, shapes, linking: list.link ?? { _ in nil })
        if !list.isSortedHere || isWhole { list.sorting.link(&table, shapes, sort: query["sort"], others: asked) }
        var about = list.about
        if !sort.isEmpty, !list.isSortedHere, query["sort"] != list.sorting.standard {
            about = about.replacing(", the newest first", with: "")
        }
        if let since = answer["sorted_since"]?.stringValue {
            about +=
                " The latest \(Rendering.grouped(Int64(UsageQueries.mostSorted))) of them are sorted: since \(Rendering.time(since)). A shorter time is sorted whole."
        }
        var page = ListPage(
            chrome: dashboard.chrome(list.title, visit), about: about,
            filters: filters.map { name in
                var field = FilterField(name: name, label: Rendering.label(name), value: query[name] ?? "")
                if name == "source" {
                    field.options = (["administration", "requests", "refusals", "all"]).map {
                        Choice(value: $0, text: $0, isSelected: $0 == field.value)
                    }
                } else if case .word(let words)? = known[name]?.kind {
                    field.options =
                        [Choice(value: "", text: "any")] + words.map { Choice(value: $0, text: $0, isSelected: $0 == field.value) }
                }
                return field
            }, plain: list.page, table: table, emptyWords: list.empty)
        if !list.isSortedHere || isWhole { page.filters.append(list.sorting.field(shapes, sort: query["sort"])) }
        let sized = asked + sort + [("limit", query["limit"] ?? "")]
        if query["cursor"] != nil { page.first = list.page + "?" + FormBody.query(sized) }
        if let next = answer["next_cursor"]?.stringValue { page.next = list.page + "?" + FormBody.query(sized + [("cursor", next)]) }
        if !items.isEmpty {
            page.export =
                list.api == "/admin/api/usage/records"
                ? "\(list.api)?" + FormBody.query(asked + [("format", "csv")])
                : "\(list.page)/export.csv?" + FormBody.query(asked + (list.isSortedHere ? [] : sort))
        }
        return DashboardRoutes.html("list", page)
    }

    /// An entry of the audit log as a line: who it was, and what of the thing is otherwise than before.
    private static func audited(_ entry: JSONValue) -> JSONValue {
        func text(_ value: JSONValue?) -> String { value.map { $0.stringValue ?? $0.text } ?? "–" }
        var line = entry.objectValue ?? JSONObject()
        line["who"] = entry["actor"]?["name"] ?? entry["actor_name"] ?? .null
        line["resource"] = entry["resource_id"] ?? .null
        let (before, after) = (entry["before"]?.objectValue, entry["after"]?.objectValue)
        let names = ((after ?? before)?.members ?? []).map(\.name).filter { !["id", "created_at", "updated_at", "revision"].contains($0) }
        let changes = names.compactMap { name -> String? in
            switch (before?[name], after?[name]) {
            case (let old, let new) where old == new: nil
            case (nil, .null?), (.null?, nil): nil
            case (let old?, let new?): "\(name): \(text(old)) → \(text(new))"
            case (let old, let new): "\(name): \(text(new ?? old))"
            }
        }
        line["change"] = .string(changes.joined(separator: " · "))
        return .object(line)
    }

    /// As they are declared; without a declaration, whatever the items have that fits into a cell.
    private static func columns(_ list: List, _ shapes: [FieldShape], _ items: [JSONValue]) -> [FieldShape] {
        let names = list.columns.isEmpty ? (items.first?.objectValue?.members ?? []).map(\.name) : list.columns
        return names.map { name in
            let shape = shapes.first { $0.name == name }
            if name == "resource" {
                // An id says by its beginning what it is of.
                let prefixes = Set(
                    items.compactMap { $0[name]?.stringValue.flatMap { id in id.firstIndex(of: "_").map { String(id[...$0]) } } })
                if prefixes.count == 1, let prefix = prefixes.first { return FieldShape(name, .id(prefix), "") }
            }
            // An id that comes with a name is known by it already.
            return shape ?? FieldShape(name, name.hasSuffix("_at") || name == "at" ? .time : .anything, "")
        }
    }
}
