import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// A tenant's own pages, at `/portal`: what it uses and what that costs, what is left of budgets and limits, its keys, its health and its
/// audit trail. Whose they are is the session's to say and no parameter's: the tenant is that of the administrator who is signed on, and
/// everything is asked of the admin API as that administrator.
///
/// An administrator of the whole deployment sees the same pages at `/portal/of/{tenant}`, as that tenant's people of the same role do: marked, without
/// anything that changes, and written to the audit log, which the tenant reads, too.
struct PortalPages: RouteGroup {
    static let home = "/portal"
    private static let day: Int64 = 86_400_000

    let dashboard: DashboardRoutes
    let budgets: BudgetStateService
    let usage: UsageQueries
    let audits: AuditLog
    var api: InternalAPI { dashboard.api }

    func addRoutes(to table: inout RouteTable) {
        table.get("/portal/", .signOn) { _ in .redirect(to: Self.home) }
        typealias Making = @Sendable (Visit, TenantID) async throws -> APIResponse
        let pages: [(String, Making)] = [
            ("", overview), ("/usage", usagePage), ("/limits", limits), ("/health", health), ("/audit", audit), ("/keys", keys),
        ]
        let forms: [(String, Making)] = [
            ("/keys/new", newKey), ("/keys/{id}/rotate", rotating), ("/keys/{id}/revoke", revoking),
        ]
        for (path, make) in pages + forms {
            dashboard.page(.get, Self.home + path, to: &table) { visit in try await make(visit, try Self.tenant(visit)) }
        }
        for (path, make) in pages {
            dashboard.page(.get, "\(Self.home)/of/{tenant}\(path)", to: &table) { visit in
                let (tenant, looking) = try await look(visit, path)
                return try await make(looking, tenant)
            }
        }
        dashboard.page(.post, Self.home + "/keys/new", to: &table) { try await createKey($0, try Self.tenant($0)) }
        for verb in ["rotate", "revoke"] {
            dashboard.page(.post, Self.home + "/keys/{id}/\(verb)", to: &table) { visit in
                try await change(verb, visit, try Self.tenant(visit))
            }
        }
    }

    /// - Throws: `DomainError.forbidden` for who belongs to no tenant.
    private static func tenant(_ visit: Visit) throws(DomainError) -> TenantID {
        guard let tenant = visit.actor.tenantID else {
            throw .forbidden(detail: "These pages are a tenant's own, and you are an administrator of the whole installation: see /admin.")
        }
        return tenant
    }

    /// Where a tenant's pages are that somebody looks at.
    static func home(of tenant: TenantID) -> String { "\(home)/of/\(tenant.rawValue)" }

    /// Where these pages are, for who visits them.
    static func home(_ visit: Visit) -> String { visit.looked.map { home(of: $0.at) } ?? home }

    /// The visit as one of the tenant's, once it is written down.
    /// - Throws: `DomainError.forbidden` for a tenant's own people, whose pages are elsewhere, and `notFound`.
    private func look(_ visit: Visit, _ page: String) async throws -> (TenantID, Visit) {
        guard visit.actor.tenantID == nil else {
            throw DomainError.forbidden(detail: "These pages are for administrators of the whole installation; yours are at \(Self.home).")
        }
        let tenant: TenantID = try APIRequest.identifier(visit.request.parameters["tenant"] ?? "", of: "tenant")
        let name = try await api.get("/admin/api/tenants/\(tenant.rawValue)", for: visit)["name"]?.stringValue
        try await audits.recordLook(visit.actor, at: tenant, page: Self.home + page)
        var looking = Visit(request: visit.request, actor: visit.actor.confined(to: tenant), held: visit.held)
        looking.looked = (tenant, name ?? tenant.rawValue)
        return (tenant, looking)
    }

    static func sections(for actor: Actor, at path: String, from home: String, _ api: InternalAPI) -> [NavigationSection] {
        let places = [
            ("", "Overview", "/admin/api/whoami"), ("/usage", "Usage and cost", "/admin/api/usage"),
            ("/limits", "Limits and budgets", "/admin/api/budgets"), ("/keys", "Keys", "/admin/api/keys"),
            ("/health", "Health", "/admin/api/usage"), ("/audit", "Audit", "/admin/api/audit"),
        ].filter { api.allows(actor, .get, $0.2) }
        let own = NavigationSection(
            title: home == Self.home ? "Yours" : "The tenant's",
            links: places.map { place in
                let href = home + place.0
                return NavigationLink(
                    href: href, text: place.1, isCurrent: path == href || !place.0.isEmpty && path.hasPrefix(href + "/"))
            })
        let more = NavigationSection(title: "More", links: [NavigationLink(href: "/admin", text: "Console", isCurrent: false)])
        return actor.tenantID == nil ? [more] : [own, more]
    }

    // MARK: Overview

    private func overview(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        try visit.request.query.allow([])
        let now = dashboard.clock.nowMilliseconds()
        let days = try await report(visit, ["group_by": "day"])
        let month = RFC3339.string(milliseconds: now).prefix(7) + "-01T00:00:00Z"
        let sums = try await report(visit, ["from": String(month), "group_by": "model", "sort": "-cost", "limit": "8"])
        let balance = try await api.get("/admin/api/billing/balance", ["tenant_id": tenant.rawValue], for: visit)
        let told = try await budgets.limits(of: tenant)
        let totals = sums["totals"] ?? .null
        var page = OverviewPage()
        page.tiles = [
            Tile(
                label: "Cost this month", value: totals["cost_nano"]?.intValue.map(Rendering.roundedDollars) ?? "–",
                note: "since the 1st, UTC"),
            Tile(
                label: "Balance", value: balance["balance"]?.stringValue.map(Rendering.dollars) ?? "–",
                note: (balance["balance_nano"]?.intValue ?? 0) < 0 ? "to be paid" : "paid and not used"),
            Tile(
                label: "Requests this month", value: Rendering.grouped(totals["requests"]?.intValue ?? 0),
                note: "\(Rendering.grouped(totals["failed"]?.intValue ?? 0)) failed"),
        ]
        page.charts = [Self.chart(days, last: now)]
        page.tables = [
            Self.budgetTable(told),
            TitledTable(
                title: "Models, this month", table: UsageTable.table(sums, groups: ["model"], Rendering()),
                emptyWords: "No request this month. A key is all that it takes: see Keys."),
        ]
        let tenantName = try await api.get("/admin/api/tenants/\(tenant.rawValue)", for: visit)["name"]?.stringValue
        return tables(tenantName ?? tenant.rawValue, "What you use, what it costs, and what is left.", page, visit)
    }

    private func tables(_ title: String, _ about: String, _ page: OverviewPage, _ visit: Visit) -> APIResponse {
        DashboardRoutes.html(
            "portal",
            PortalPage(chrome: dashboard.chrome(title, visit), about: about, fragment: Templates.render("overview-live", page)))
    }

    private func report(_ visit: Visit, _ asked: [String: String]) async throws -> JSONValue {
        try await api.get("/admin/api/usage", asked, for: visit)
    }

    /// The last 31 days, those without a request among them.
    private static func chart(_ report: JSONValue, last now: Int64) -> Chart {
        let found = Dictionary((report["items"]?.arrayValue ?? []).map { ($0["day"]?.stringValue ?? "", $0) }) { first, _ in first }
        let days = (0..<31).map { String(RFC3339.string(milliseconds: now - Int64(30 - $0) * day).prefix(10)) }
        let bars = days.map { name in
            let item = found[name] ?? .null
            return Charts.Bar(
                label: String(name.suffix(5)), value: Double(item["cost_nano"]?.intValue ?? 0) / 1e9,
                note: "\(name): \(item["cost"]?.stringValue.map(Rendering.dollars) ?? "$0.00")")
        }
        return Chart(
            title: "Cost by day, UTC", svg: Charts.bars(bars, named: "Cost by day, UTC") { "$" + OverviewCharts.short($0) },
            table: UsageTable.table(report, groups: ["day"], Rendering()))
    }

    // MARK: Usage

    private func usagePage(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        let query = visit.request.query
        let words = ["day", "hour", "month", "project", "key", "user", "app", "did", "model", "status"]
        try query.allow(["group_by", "window", "time_zone"])
        let group = query["group_by"] ?? "day"
        guard words.contains(group) else {
            throw DomainError.invalid("group_by", "cannot group by this", remedy: "Choose one of the list.")
        }
        let windows = [("7", "last 7 days"), ("31", "last 31 days"), ("92", "last 92 days"), ("366", "last 366 days")]
        let window = query["window"] ?? (group == "hour" ? "7" : "31")
        guard let days = Int64(window), windows.contains(where: { $0.0 == window }) else {
            throw DomainError.invalid("window", "is none that there is", remedy: "Choose one of the list.")
        }
        let now = dashboard.clock.nowMilliseconds()
        let (from, until) = (now - now % Self.day - (days - 1) * Self.day, now - now % Self.day + Self.day)
        var asked = ["group_by": group, "from": RFC3339.string(milliseconds: from), "until": RFC3339.string(milliseconds: until)]
        asked["time_zone"] = query["time_zone"]
        if !["hour", "day", "month"].contains(group) { asked["sort"] = "-cost" }
        let found = try await report(visit, asked)
        var page = ReportPage(
            chrome: dashboard.chrome("Usage and cost", visit),
            about:
                "From \(Rendering.time(found["from"]?.stringValue ?? "")) until \(Rendering.time(found["until"]?.stringValue ?? "")); complete up to \(found["as_of"]?.stringValue.map(Rendering.time) ?? "an unknown time")."
                + (found["records_since"]?.stringValue.map { " Single requests from before \(Rendering.time($0)) are no longer kept." }
                    ?? ""),
            filters: [
                FilterField(
                    name: "window", label: "Window",
                    options: windows.map { Choice(value: $0.0, text: $0.1, isSelected: $0.0 == window) }),
                FilterField(
                    name: "group_by", label: "By",
                    options: words.map { Choice(value: $0, text: Rendering.label($0), isSelected: $0 == group) }),
                FilterField(name: "time_zone", label: "Time zone", value: query["time_zone"] ?? "UTC"),
            ], table: Self.plain(UsageTable.table(found, groups: [group], Rendering())))
        if group == "day", days == 31, query["time_zone"] == nil { page.charts = [Self.chart(found, last: now)] }
        let named = asked.filter { ["from", "until"].contains($0.key) }.sorted { $0.key < $1.key }
        if days <= 31 {
            page.acts = [("csv", "Requests as CSV"), ("jsonl", "Requests as JSON Lines")].map { format, text in
                Act(text: text, href: "/admin/api/usage/records?" + FormBody.query(named + [("format", format)]))
            }
        }
        // What is downloaded is asked of the API by the browser, as who is signed on: not as one of the tenant's.
        if visit.looked != nil { page.acts = [] }
        return DashboardRoutes.html("report", page)
    }

    /// Without what leads into the console.
    static func plain(_ table: Table) -> Table {
        var table = table
        table.rows = table.rows.map { row in
            Row(
                cells: row.cells.map { cell in
                    var cell = cell
                    cell.href = nil
                    return cell
                })
        }
        return table
    }

    // MARK: Limits

    private func limits(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        try visit.request.query.allow([])
        let told = try await budgets.limits(of: tenant)
        var page = OverviewPage()
        page.tables = [Self.budgetTable(told), Self.rateTable(told)]
        return tables(
            "Limits and budgets",
            "Held is what data planes keep ready for requests, and what is reserved for requests that run or whose end nobody saw.", page,
            visit)
    }

    private static func budgetTable(_ told: JSONValue) -> TitledTable {
        func text(_ item: JSONValue, _ name: String) -> String {
            guard let text = item[name]?.stringValue else { return "–" }
            return item["unit"] == "cost" ? Rendering.dollars(text) : Int64(text).map(Rendering.grouped) ?? text
        }
        let amounts = ["limit", "used", "held", "left"]
        let columns =
            [Column(text: "Budget"), Column(text: "Of"), Column(text: "Counts"), Column(text: "Mode")]
            + amounts.map { Column(text: Rendering.label($0), isNumber: true) } + [Column(text: "Begins anew")]
        let rows = (told["budgets"]?.arrayValue ?? []).map { item in
            var mode = Cell(title: "Mode", text: item["mode"]?.stringValue ?? "")
            if item["left"].map({ (NanoDollars(decimal: $0.stringValue ?? "")?.rawValue ?? 1) == 0 }) == true {
                (mode.text, mode.kind) = (mode.text == "observe" ? "observe: used up" : "used up", mode.text == "observe" ? "warn" : "bad")
            }
            return Row(
                cells: [
                    Cell(title: "Budget", text: item["name"]?.stringValue ?? ""), Cell(title: "Of", text: item["level"]?.stringValue ?? ""),
                    Cell(title: "Counts", text: item["unit"]?.stringValue ?? ""), mode,
                ] + amounts.map { Cell(title: Rendering.label($0), text: text(item, $0), isNumber: true) }
                    + [Cell(title: "Begins anew", text: item["resets_at"]?.stringValue.map(Rendering.time) ?? "never")])
        }
        return TitledTable(
            title: "Budgets", table: Table(columns: columns, rows: rows), emptyWords: "No budget bounds what you spend.")
    }

    private static func rateTable(_ told: JSONValue) -> TitledTable {
        func number(_ item: JSONValue, _ name: String) -> Cell {
            Cell(title: Rendering.label(name), text: item[name]?.intValue.map(Rendering.grouped) ?? "–", isNumber: true)
        }
        let columns =
            [Column(text: "Limit"), Column(text: "Of"), Column(text: "Counts")]
            + ["Amount", "Window seconds", "Used", "Left at least"].map { Column(text: $0, isNumber: true) }
        let rows = (told["rates"]?.arrayValue ?? []).map { item in
            Row(
                cells: [
                    Cell(title: "Limit", text: item["name"]?.stringValue ?? ""), Cell(title: "Of", text: item["level"]?.stringValue ?? ""),
                    Cell(title: "Counts", text: item["measure"]?.stringValue ?? ""), number(item, "amount"), number(item, "window_seconds"),
                    number(item, "used"), number(item, "left_at_least"),
                ])
        }
        return TitledTable(title: "Rate limits", table: Table(columns: columns, rows: rows), emptyWords: "No rate limit bounds you.")
    }

    // MARK: Health

    private func health(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        try visit.request.query.allow([])
        let now = dashboard.clock.nowMilliseconds()
        let from = now - now % 3_600_000 - 23 * 3_600_000
        let window = ["from": RFC3339.string(milliseconds: from), "until": RFC3339.string(milliseconds: from + Self.day)]
        let found = try await report(visit, window.merging(["group_by": "model", "sort": "-failed", "limit": "50"]) { $1 })
        let itself = try await api.get("/admin/api/tenants/\(tenant.rawValue)", for: visit)
        let last = try await usage.lastReceived(tenantID: tenant)
        let totals = found["totals"] ?? .null
        func number(_ name: String) -> String { Rendering.grouped(totals[name]?.intValue ?? 0) }
        func fact(_ label: String, _ text: String, _ kind: String? = nil) -> Fact {
            Fact(label: label, cells: [Cell(text: text, kind: kind)])
        }
        let status = itself["status"]?.stringValue ?? ""
        let page = DetailPage(
            chrome: dashboard.chrome("Health", visit), listHref: Self.home(visit), listText: "Overview",
            facts: [
                fact("Your tenant", status, Rendering.mood(status)), fact("Control plane", "ok", "good"),
                fact("Usage is known up to", found["as_of"]?.stringValue.map(Rendering.time) ?? "an unknown time"),
                fact("Last usage arrived", last.map { Rendering.time(RFC3339.string(milliseconds: $0)) } ?? "never"),
                fact("Requests, last 24 hours", number("requests")),
                fact(
                    "Failed",
                    "\(number("failed")) (\(DashboardRoutes.percent(totals["failed"]?.intValue ?? 0, of: totals["requests"]?.intValue ?? 0)))",
                    (totals["failed"]?.intValue ?? 0) > 0 ? "warn" : "good"),
                fact("By your requests", number("failed_client")), fact("By providers", number("failed_provider")),
                fact("By the gateway", number("failed_weir")),
            ],
            tables: [
                TitledTable(
                    title: "Models, last 24 hours", table: Self.plain(UsageTable.table(found, groups: ["model"], Rendering())),
                    emptyWords: "No request in the last 24 hours.")
            ])
        return DashboardRoutes.html("detail", page)
    }

    // MARK: Audit

    private func audit(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        let query = visit.request.query
        let texts = ["action", "resource_id", "key_id", "model", "text", "from", "until"]
        try query.allow(Set(texts + ["source", "status", "cursor", "limit"]))
        let source = query["source"] ?? "all"
        let asked =
            [("source", source)]
            + (texts + ["status"]).compactMap { name in
                query[name].flatMap { $0.isEmpty ? nil : (name, ["from", "until"].contains(name) ? Narrowing.time($0) : $0) }
            }
        let answer = try await api.get(
            "/admin/api/audit", Dictionary(asked + [("cursor", query["cursor"] ?? ""), ("limit", query["limit"] ?? "50")]) { $1 },
            for: visit)
        func choices(_ words: [String], _ chosen: String, any: String) -> [Choice] {
            [Choice(value: any == "all" ? "all" : "", text: any, isSelected: chosen.isEmpty)]
                + words.map { Choice(value: $0, text: $0, isSelected: $0 == chosen) }
        }
        var page = ListPage(
            chrome: dashboard.chrome("Audit", visit),
            about: "What was done and tried: by administrators, and with your keys. The newest first.",
            filters: [
                FilterField(
                    name: "source", label: "Of", value: query["source"] ?? "",
                    options: choices(AuditSource.allCases.map(\.rawValue), source, any: "all")),
                FilterField(
                    name: "status", label: "Status", value: query["status"] ?? "",
                    options: choices(AuditStatus.allCases.map(\.rawValue), query["status"] ?? "", any: "any")),
            ]
                + texts.map { name in
                    FilterField(
                        name: name, label: Rendering.label(name), value: query[name] ?? "",
                        placeholder: ["from", "until"].contains(name) ? Narrowing.timeExample : nil)
                },
            plain: Self.home(visit) + "/audit", table: AuditTable.table(answer), emptyWords: "There is no such entry.")
        let path = Self.home(visit) + "/audit?"
        if query["cursor"] != nil { page.first = path + FormBody.query(asked) }
        if let next = answer["next_cursor"]?.stringValue { page.next = path + FormBody.query(asked + [("cursor", next)]) }
        page.acts = (visit.looked == nil ? [("csv", "All as CSV"), ("jsonl", "All as JSON Lines")] : []).map { format, text in
            Act(text: text, href: "/admin/api/audit/export?" + FormBody.query(asked + [("format", format)]))
        }
        return DashboardRoutes.html("list", page)
    }
}

struct PortalPage: View {
    let chrome: Chrome
    let about: String
    let fragment: String
}

/// The audit trail as a table.
enum AuditTable {
    static func table(_ answer: JSONValue) -> Table {
        Table(
            columns: ["At", "Who", "Action", "What", "Status", "Why", "Model", "From"].map { Column(text: $0) },
            rows: (answer["items"]?.arrayValue ?? []).map { entry in
                let status = entry["status"]?.stringValue ?? ""
                func cell(_ title: String, _ value: JSONValue?) -> Cell {
                    let text = value?.stringValue ?? ""
                    return Cell(title: title, text: text.isEmpty ? "–" : text)
                }
                let kind = status == "refused" ? "bad" : status == "done" ? "good" : Rendering.mood(status)
                return Row(cells: [
                    Cell(title: "At", text: Rendering.time(entry["at"]?.stringValue ?? "")), cell("Who", entry["actor"]?["name"]),
                    cell("Action", entry["action"]), cell("What", entry["resource_id"]), Cell(title: "Status", text: status, kind: kind),
                    cell("Why", entry["error_code"]), cell("Model", entry["model"]), cell("From", entry["remote_address"]),
                ])
            })
    }
}
