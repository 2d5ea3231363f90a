import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// What pages of some nouns show and do beside what their declaration says.
struct NounDetails {
    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    /// Adds to the page of one thing, as far as its reader may see it.
    func add(to page: inout DetailPage, path: String, id: String, _ item: JSONValue, _ visit: Visit) async throws {
        switch path {
        case "budgets": try await addBudget(&page, id, visit)
        case "limits": try await addLimit(&page, id, item, visit)
        case "credentials": try await addStates(&page, "credential_id", id, visit)
        case "endpoints":
            try await addStates(&page, "endpoint_id", id, visit)
            addTestCall(&page, "endpoints", id, visit)
        case "providers":
            try await addStates(&page, "provider_id", id, visit)
            addTestCall(&page, "providers", id, visit)
        case "models":
            page.related.insert(Act(text: "Routing", href: "/admin/routing"), at: 0)
        case "tenants":
            guard visit.actor.tenantID == nil, let tenant = try? TenantID.parse(id) else { break }
            page.related.insert(Act(text: "Its own pages", href: PortalPages.home(of: tenant)), at: 0)
        case "rollouts": try await RolloutPages(dashboard).add(to: &page, id: id, item, visit)
        case "routes": try await addArms(&page, id, visit)
        default: break
        }
    }

    private func addTestCall(_ page: inout DetailPage, _ path: String, _ id: String, _ visit: Visit) {
        guard api.allows(visit.actor, .post, TestCallPage.api) else { return }
        page.acts.insert(Act(text: "Test call", href: "/admin/\(path)/\(id)/test-call"), at: 0)
    }

    // MARK: Money and limits

    private func addBudget(_ page: inout DetailPage, _ id: String, _ visit: Visit) async throws {
        let path = "/admin/api/budgets/\(id)/state"
        guard api.allows(visit.actor, .get, path), let route = api.route(.get, path) else { return }
        let state = try await api.get(path, for: visit)
        let shapes = route.shapes.filter { shape in
            if case .objects = shape.kind { return false }
            return !["budget_id", "name", "tenant_id", "level", "subject_id", "unit", "kind", "mode"].contains(shape.name)
        }
        let isMoney = state["unit"]?.stringValue == "cost"
        page.now = Rendering().facts(
            state,
            shapes.map { shape in
                guard isMoney, ["limit", "settled", "unknown", "leased", "free"].contains(shape.name) else { return shape }
                return FieldShape.told(shape.name, .dollars, shape.about)
            })
        let rendering = try await api.rendering([(state, route.shapes)], for: visit)
        page.tables += Self.tables(state, route.shapes, rendering)
        page.bars = [Self.bar(state)].compactMap(\.self)
    }

    /// What is spent, held and free, as one bar.
    private static func bar(_ state: JSONValue) -> Charts.Parts? {
        func amount(_ name: String) -> Double { max(0, Double(state[name]?.stringValue ?? state[name]?.text ?? "") ?? 0) }
        let all = amount("limit")
        guard all > 0 else { return nil }
        return Charts.Parts(
            all: all,
            parts: [
                ("Spent", amount("settled"), "bar"), ("Outcome unknown", amount("unknown"), "bar2"),
                ("Held by data planes", amount("leased"), "bar3"),
            ])
    }

    private func addLimit(_ page: inout DetailPage, _ id: String, _ item: JSONValue, _ visit: Visit) async throws {
        let state = try await api.get("/admin/api/limits/\(id)/state", for: visit)
        let amount = state["amount"]?.intValue ?? 0
        page.tables.append(
            TitledTable(
                title: "Who has most of it now",
                table: Table(
                    columns: [
                        Column(text: "Who"), Column(text: "Used", isNumber: true), Column(text: "Of the limit", isNumber: true),
                        Column(text: "Data planes", isNumber: true), Column(text: "As of"),
                    ],
                    rows: (state["items"]?.arrayValue ?? []).map { use in
                        let (subject, used) = (use["subject_id"]?.stringValue, use["used"]?.intValue ?? 0)
                        return Row(cells: [
                            Cell(
                                title: "Who", text: use["name"]?.stringValue ?? subject ?? "all together",
                                href: subject.flatMap { id in
                                    id.firstIndex(of: "_").flatMap { Rendering.href(id, prefix: String(id[...$0])) }
                                }),
                            Cell(title: "Used", text: Rendering.grouped(used), isNumber: true),
                            Cell(title: "Of the limit", text: DashboardRoutes.percent(used, of: amount), isNumber: true),
                            Cell(title: "Data planes", text: Rendering.grouped(use["data_planes"]?.intValue ?? 0), isNumber: true),
                            Cell(title: "As of", text: use["as_of"]?.stringValue.map(Rendering.time) ?? "–"),
                        ])
                    }),
                emptyWords: "Nobody has used half of it lately: data planes tell from there on."))
    }

    // MARK: Endpoints and what is learnt of them

    /// How data planes fare with it.
    private func addStates(_ page: inout DetailPage, _ member: String, _ id: String, _ visit: Visit) async throws {
        let path = "/admin/api/fleet/endpoints"
        guard api.allows(visit.actor, .get, path), let route = api.route(.get, path) else { return }
        let all = try await api.get(path, ["limit": "200"], for: visit)["items"]?.arrayValue ?? []
        let items = all.filter { $0[member]?.stringValue == id }
        let names =
            ["data_plane", "status", "since", "attempts", "failures", "last", "breaker", "reported_at"]
            + (member == "provider_id" ? ["endpoint_id"] : [])
        let shapes = names.compactMap { name in route.shapes.first { $0.name == name } }.filter { shape in
            member != "credential_id" || !["attempts", "breaker"].contains(shape.name)
        }.map { $0.name == "endpoint_id" ? FieldShape.told("endpoint_id", .id(EndpointKind.prefix), "") : $0 }
        let rendering = try await api.rendering(items.map { ($0, shapes) }, for: visit)
        page.tables.append(
            TitledTable(
                title: "At the data planes", table: rendering.table(items, shapes),
                emptyWords: member == "credential_id"
                    ? "No data plane has said that its provider refuses it." : "No data plane has told of it yet."))
    }

    private func addArms(_ page: inout DetailPage, _ id: String, _ visit: Visit) async throws {
        guard api.allows(visit.actor, .get, RoutingPage.arms) else { return }
        let items = (try await api.get(RoutingPage.arms, for: visit)["items"]?.arrayValue ?? []).filter {
            $0["route_id"]?.stringValue == id
        }
        guard !items.isEmpty else { return }
        page.tables.append(TitledTable(title: "What it has learnt", table: RoutingPage.table(items, api)))
    }

    // MARK: Lists within one

    /// A table for each list of objects that an item has.
    static func tables(_ item: JSONValue, _ shapes: [FieldShape], _ rendering: Rendering) -> [TitledTable] {
        shapes.compactMap { shape in
            guard case .objects(let inner, _) = shape.kind, let rows = item[shape.name]?.arrayValue, !rows.isEmpty else { return nil }
            // Of an id and a name beside it the name, which leads there; what no row has is no column.
            let shown = inner.filter { column in
                let bare = column.name.hasSuffix("_id") ? String(column.name.dropLast(3)) : nil
                let hasName = bare.map { name in inner.contains { $0.name == name } } ?? false
                return !hasName && rows.contains { $0[column.name] != nil && $0[column.name] != .null }
            }
            return TitledTable(title: Rendering.label(shape.name), table: rendering.table(rows, shown))
        }
    }
}
