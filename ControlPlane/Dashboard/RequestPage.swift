import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// One request whole: who asked for what, where it went, what became of it, its tokens and cost, and the versions that decided.
struct RequestPage: RouteGroup {
    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) { dashboard.page(.get, "/admin/requests/{id}", to: &table, page) }

    /// Members of a record by what they are about; whatever is in none of them is told at the end.
    private static let sections: [(title: String, names: [String])] = [
        (
            "Outcome",
            [
                "status", "error_origin", "error_code", "http_status", "upstream_status", "latency_us", "time_to_first_byte_us", "attempts",
                "flags",
            ]
        ),
        ("Who", ["tenant", "project", "key", "app", "user", "owner", "did", "channel", "tags"]),
        ("What", ["model", "capability", "dialect", "streaming", "admitted_at", "request_bytes", "response_bytes"]),
        ("Where", ["endpoint", "provider", "upstream_model", "credential_id", "sent_upstream"]),
        (
            "Tokens and cost",
            [
                "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "estimated_input_tokens",
                "token_kinds", "cost", "rerated_cost_nano", "price_id",
            ]
        ),
        ("Versions and traces", ["config_version", "route_id", "data_plane_id", "received_at", "trace_id", "incarnation", "batch"]),
    ]

    private func page(_ visit: Visit) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let path = "/admin/api/usage/records/\(id)"
        let record = try await api.get(path, for: visit)
        let known = (api.route(.get, path)?.shapes ?? []).filter { shape in
            (record[shape.name] ?? .null) != .null && shape.name != "attempt_list" && shape.name != "cost_nano"
                && shape.name != "request_id"
        }
        let names = Set(known.map(\.name))
        // Of what comes with its name the id is behind the link.
        let shapes = known.filter { !($0.name.hasSuffix("_id") && names.contains(String($0.name.dropLast(3)))) }.map(Self.leading)
        let rendering = try await api.rendering([(record, shapes)], for: visit)
        func facts(_ shapes: [FieldShape]) -> [Fact] {
            shapes.map { shape in
                var cells = rendering.cells(record[shape.name], shape)
                if shape.name == "status" { cells[0].kind = Rendering.mood(record["status"]?.stringValue ?? "") }
                if let path = Rendering.pages[shape.name], let id = record["\(shape.name)_id"]?.stringValue {
                    cells = [Cell(text: record[shape.name]?.stringValue ?? id, href: "/admin/\(path)/\(id)")]
                }
                return Fact(label: Rendering.label(shape.name), about: shape.about, cells: cells)
            }
        }
        var page = DetailPage(
            chrome: dashboard.chrome("Request \(record["request_id"]?.stringValue ?? id)", visit), listHref: "/admin/requests",
            listText: "Requests", facts: [])
        page.sections = Self.sections.map { section in
            FactSection(title: section.title, facts: facts(section.names.compactMap { name in shapes.first { $0.name == name } }))
        }
        let told = Set(Self.sections.flatMap(\.names))
        let rest = shapes.filter { !told.contains($0.name) }
        if !rest.isEmpty { page.sections.append(FactSection(title: "Other", facts: facts(rest))) }
        let attempts = record["attempt_list"]?.arrayValue ?? []
        if let shape = api.route(.get, path)?.shapes.first(where: { $0.name == "attempt_list" }), case .objects(let inner, _) = shape.kind,
            !attempts.isEmpty
        {
            page.tables = [TitledTable(title: "Attempts", table: rendering.table(attempts, inner.filter { !$0.name.hasSuffix("_id") }))]
        }
        return DashboardRoutes.html("detail", page)
    }

    /// Identifiers that lead somewhere, though the API says no more of them than that they are texts.
    private static func leading(_ shape: FieldShape) -> FieldShape {
        let prefix: String? =
            switch shape.name {
            case "credential_id": CredentialKind.prefix
            case "route_id": RouteKind.prefix
            case "price_id": PriceKind.prefix
            case "data_plane_id": DataPlaneKind.prefix
            default: nil
            }
        return prefix.map { .told(shape.name, .id($0), shape.about, nullable: true) } ?? shape
    }
}
