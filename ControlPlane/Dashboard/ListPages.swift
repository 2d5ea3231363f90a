import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// Lists of the API's that no noun declares: requests, the ledger, the audit trail, endpoints' health, versions of the configuration.
struct ListPages: RouteGroup {
    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        for list in Self.lists {
            dashboard.page(.get, list.page, to: &table) { try await self.list(list, $0) }
            dashboard.page(.get, "\(list.page)/export.csv", to: &table) { try await export(list, $0) }
        }
    }

    private struct List: Sendable {
        let page: String
        let api: String
        let title: String
        let about: String
        let columns: [String]
        /// Of its query, what one can narrow it by.
        let filters: [String]
        let empty: String
        /// An item as it is shown.
        var line: @Sendable (JSONValue) -> JSONValue = { $0 }
        /// Where a row leads.
        var link: (@Sendable (JSONValue) -> String?)?
        /// By what: the API's `sort`.
        let sorting: Sorting
        /// Where the API gives all of it as a file, and what is asked of it where the page says nothing.
        var download: (path: String, standing: [(String, String)])?
        /// Whether it is sorted here, where one page has all of it.
        var isSortedHere = false
    }

    private static let lists = [
        List(
            page: "/admin/requests", api: "/admin/api/usage/records", title: "Requests", about: "One line a request, the newest first.",
            columns: [
                "admitted_at", "tenant", "key", "model", "status", "input_tokens", "output_tokens", "cost", "latency_us",
            ],
            filters: ["from", "until", "tenant_id", "key_id", "model", "status", "error_origin", "error_code", "endpoint_id"],
            empty: "There is no such request. A key and a model are all that it takes to ask: see Keys and Models.", line: ended,
            link: { item in item["request_id"]?.stringValue.map { "/admin/requests/\($0)" } },
            sorting: Sorting(
                columns: [
                    ("admitted_at", .time), ("cost", .number), ("latency_us", .number), ("input_tokens", .number),
                    ("output_tokens", .number),
                ],
                standard: "-admitted_at"), download: ("/admin/api/usage/records", [])),
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
            columns: ["at", "who", "action", "resource", "status", "change"],
            filters: [
                "source", "action", "resource_kind", "resource_id", "actor_id", "key_id", "model", "status", "text", "tenant_id", "from",
                "until",
            ], empty: "There is no such entry. Source: all looks through callers' requests, too.", line: audited,
            sorting: Sorting(columns: [("at", .time)], standard: "-at"),
            download: ("/admin/api/audit/export", [("source", "administration")])),
        List(
            page: "/admin/endpoint-health", api: "/admin/api/fleet/endpoints", title: "Endpoint health",
            about: "How endpoints and credentials fare, as the data planes told it last.",
            columns: [
                "data_plane", "region", "endpoint_id", "credential_id", "status", "since", "attempts", "failures", "last", "reported_at",
            ], filters: ["region", "in_trouble"],
            empty: "No data plane has told of an endpoint yet.",
            sorting: Sorting(
                columns: [
                    ("data_plane", .name), ("region", .name), ("status", .name), ("since", .time), ("attempts", .number),
                    ("failures", .number), ("reported_at", .time),
                ], standard: ""), isSortedHere: true),
        List(
            page: "/admin/config/versions", api: "/admin/api/config/versions", title: "Versions",
            about: "What was published of the draft. A version never changes, and serves nobody until it is rolled out.",
            columns: ["version", "note", "author", "restores", "payload_bytes", "created_at"], filters: [],
            empty: "Nothing was published yet: see Configuration.",
            link: { item in item["version"]?.intValue.map { "/admin/rollouts/new?version=\($0)" } },
            sorting: Sorting(columns: [("version", .number), ("created_at", .time)], standard: "-version"), isSortedHere: true),
    ]

    /// Those of its filters that the API knows.
    private func filters(of list: List) -> [FieldShape] {
        let known = Dictionary((api.route(.get, list.api)?.docs?.query ?? []).map { ($0.name, $0) }) { first, _ in first }
        return list.filters.compactMap { known[$0] }
    }

    private func export(_ list: List, _ visit: Visit) async throws -> APIResponse {
        let filters = filters(of: list)
        let isSorted = !list.isSortedHere
        try visit.request.query.allow(Set(filters.map(\.name) + (isSorted ? ["sort"] : [])))
        var asked = Dictionary(try await Narrowing(api: api).asked(filters, visit.request.query, visit)) { $1 }
        asked["sort"] = visit.request.query["sort"]
        var columns = (api.route(.get, list.api)?.shapes ?? []).map(\.name)
        if columns.isEmpty { columns = list.columns }
        let name = String(list.page.split(separator: "/").last ?? "list")
        return try await dashboard.csv(list.api, asked, columns: columns, named: name, visit)
    }

    private func list(_ list: List, _ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        let route = api.route(.get, list.api)
        let (filters, narrowing) = (filters(of: list), Narrowing(api: api))
        try query.allow(Set(filters.map(\.name) + ["cursor", "limit", "sort"]))
        let asked = try await narrowing.asked(filters, query, visit)
        let sort = query["sort"].map { [("sort", $0)] } ?? []
        let standardLimit = list.isSortedHere ? String(PageRequest.maximumLimit) : "50"
        let answer = try await api.get(
            list.api,
            Dictionary(
                asked + (list.isSortedHere ? [] : sort) + [("cursor", query["cursor"] ?? ""), ("limit", query["limit"] ?? standardLimit)]
            ) { $1 }, for: visit)
        var items = answer["items"]?.arrayValue ?? []
        let isWhole = query["cursor"] == nil && answer["next_cursor"]?.stringValue == nil
        if list.isSortedHere, isWhole { items = list.sorting.sorted(items, by: query["sort"]) }
        let shapes = Self.columns(list, route?.shapes ?? [])
        let lines = items.map(list.line)
        let rendering = try await api.rendering(lines.map { ($0, shapes) }, for: visit)
        var table = rendering.table(lines, shapes, linking: list.link ?? { _ in nil })
        if let status = shapes.firstIndex(where: { $0.name == "status" }) {
            table.rows = zip(table.rows, items).map { row, item in
                var cells = row.cells
                cells[status].kind = item["status"]?.stringValue.flatMap(Rendering.mood)
                return Row(cells: cells)
            }
        }
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
            filters: try await narrowing.fields(filters, asked, choosing: [TenantKind.prefix, EndpointKind.prefix], visit).map { field in
                guard field.name == "source" else { return field }
                var field = field
                field.options = (["administration", "requests", "refusals", "all"]).map {
                    Choice(value: $0, text: $0, isSelected: $0 == field.value)
                }
                return field
            }, plain: list.page, table: table, emptyWords: list.empty)
        if !list.isSortedHere || isWhole { page.filters.append(list.sorting.field(shapes, sort: query["sort"])) }
        let sized = asked + sort + [("limit", query["limit"] ?? "")]
        if query["cursor"] != nil { page.first = list.page + "?" + FormBody.query(sized) }
        if let next = answer["next_cursor"]?.stringValue { page.next = list.page + "?" + FormBody.query(sized + [("cursor", next)]) }
        if !items.isEmpty {
            // The API's own files are for all of it, and those of the audit trail end with their checksum.
            page.exports =
                list.download.map { path, standing in
                    [("csv", "Export as CSV"), ("jsonl", "Export as JSON Lines")].map { format, text in
                        let query = standing.filter { name, _ in !asked.contains { $0.0 == name } } + asked + [("format", format)]
                        return Act(text: text, href: "\(path)?" + FormBody.query(query))
                    }
                } ?? [
                    Act(
                        text: "Export as CSV",
                        href: "\(list.page)/export.csv?" + FormBody.query(asked + (list.isSortedHere ? [] : sort)))
                ]
        }
        return DashboardRoutes.html("list", page)
    }

    /// A request's end in as few words as there are for it.
    private static func ended(_ record: JSONValue) -> JSONValue {
        guard record["status"]?.stringValue == "failed", var line = record.objectValue else { return record }
        let words = [record["http_status"]?.intValue.map(String.init), record["error_code"]?.stringValue].compactMap(\.self)
        if !words.isEmpty { line["status"] = .string(words.joined(separator: " ")) }
        return .object(line)
    }

    /// So much of a value that was changed stands in a line; all of it is in the export.
    private static let mostOfValue = 60

    /// An entry of the audit log as a line: who it was, and what of the thing is otherwise than before.
    private static func audited(_ entry: JSONValue) -> JSONValue {
        func text(_ value: JSONValue?) -> String {
            let text = value.map { $0["name"]?.stringValue ?? $0.stringValue ?? $0.text } ?? "–"
            return text.count > mostOfValue ? text.prefix(mostOfValue - 1) + "…" : text
        }
        var line = entry.objectValue ?? JSONObject()
        line["who"] = entry["actor"]?["name"] ?? entry["actor_name"] ?? .null
        line["resource"] = entry["resource_id"] ?? .null
        if let code = entry["error_code"]?.stringValue { line["status"] = .string("\(entry["status"]?.stringValue ?? ""): \(code)") }
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

    private static let numbers: Set = ["attempts", "failures", "version", "restores", "payload_bytes"]

    /// As they are declared.
    private static func columns(_ list: List, _ shapes: [FieldShape]) -> [FieldShape] {
        list.columns.map { name in
            // What it is of is said by an id's beginning.
            if name == "resource" || name.hasSuffix("_id") { return FieldShape(name, .id(""), "") }
            if Self.numbers.contains(name) { return .told(name, .number, "") }
            return shapes.first { $0.name == name } ?? FieldShape(name, name.hasSuffix("_at") || name == "at" ? .time : .anything, "")
        }
    }
}
