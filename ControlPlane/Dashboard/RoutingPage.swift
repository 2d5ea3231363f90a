import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// How requests find their endpoints at the moment: breakers, and what routes that learn have learnt.
struct RoutingPage: RouteGroup {
    static let arms = "/admin/api/fleet/arms"

    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) { dashboard.page(.get, "/admin/routing", to: &table, page) }

    private func page(_ visit: Visit) async throws -> APIResponse {
        let query = visit.request.query
        try query.allow(["region", "breaker"])
        var asked = ["limit": "200"]
        asked["region"] = query["region"]
        let states = (try await api.get("/admin/api/fleet/endpoints", asked, for: visit)["items"]?.arrayValue ?? []).filter { state in
            state["endpoint_id"]?.stringValue != nil && (query["breaker"].map { state["breaker"]?.stringValue == $0 } ?? true)
        }
        let arms = try await api.get(Self.arms, for: visit)["items"]?.arrayValue ?? []
        let routes = try await api.get("/admin/api/routes", ["limit": "200", "sort": "name"], for: visit)["items"]?.arrayValue ?? []
        let shapes: [FieldShape] = [
            .told("endpoint_id", .id(EndpointKind.prefix), ""), .told("data_plane", .text(maximum: 128), ""),
            .told("breaker", .word(["closed", "open", "half_open"]), "", nullable: true), .told("status", .text(maximum: 64), ""),
            .told("attempts", .number, ""), .told("failures", .number, ""), .told("last", .text(maximum: 300), "", nullable: true),
            .told("since", .time, "", nullable: true),
        ]
        let rendering = try await api.rendering(states.map { ($0, shapes) }, for: visit)
        var page = ReportPage(
            chrome: dashboard.chrome("Routing", visit),
            about:
                "Breakers as data planes told last: closed is asked like the others, open is left alone, half open is probed. An endpoint without one has not failed lately.",
            filters: [
                FilterField(name: "region", label: "Region", value: query["region"] ?? ""),
                FilterField(
                    name: "breaker", label: "Breaker", value: query["breaker"] ?? "",
                    options: [("", "any"), ("closed", "closed"), ("open", "open"), ("half_open", "half open")].map {
                        Choice(value: $0.0, text: $0.1, isSelected: $0.0 == query["breaker"] ?? "")
                    }),
            ], table: rendering.table(states, shapes), emptyWords: "No data plane has told of an endpoint yet.")
        page.tables = [
            TitledTable(
                title: "What routes have learnt", table: Self.table(arms, api),
                emptyWords: "No route learns (strategies epsilon_greedy, ucb1, thompson), or none was asked within the hour."),
            TitledTable(title: "Strategies", table: Self.strategies(routes), emptyWords: "There is no route yet."),
        ]
        return DashboardRoutes.html("report", page)
    }

    static func table(_ items: [JSONValue], _ api: InternalAPI) -> Table {
        let shapes = (api.route(.get, arms)?.shapes ?? []).flatMap { shape -> [FieldShape] in
            if case .objects(let inner, _) = shape.kind { return inner } else { return [] }
        }.filter { !$0.name.hasSuffix("_id") }
        var table = Rendering().table(items, shapes)
        for (row, item) in items.enumerated() {
            table.rows[row] = Row(
                cells: zip(table.rows[row].cells, shapes).map { cell, shape in
                    var cell = cell
                    if shape.name == "route", let id = item["route_id"]?.stringValue { cell.href = "/admin/routes/\(id)" }
                    return cell
                })
        }
        return table
    }

    private static func strategies(_ routes: [JSONValue]) -> Table {
        Table(
            columns: [
                Column(text: "Route"), Column(text: "Strategy"), Column(text: "Targets", isNumber: true),
                Column(text: "Fallbacks", isNumber: true),
            ],
            rows: routes.map { route in
                Row(cells: [
                    Cell(title: "Route", text: route["name"]?.stringValue ?? "", href: "/admin/routes/\(route["id"]?.stringValue ?? "")"),
                    Cell(title: "Strategy", text: (route["strategy"]?.stringValue ?? "").replacing("_", with: " ")),
                    Cell(title: "Targets", text: String(route["targets"]?.arrayValue?.count ?? 0), isNumber: true),
                    Cell(title: "Fallbacks", text: String(route["fallback_model_ids"]?.arrayValue?.count ?? 0), isNumber: true),
                ])
            })
    }
}
