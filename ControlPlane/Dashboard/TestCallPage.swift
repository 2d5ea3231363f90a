import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// A call to a provider's endpoints with each of their credentials, made by the control plane when somebody asks for it.
struct TestCallPage: RouteGroup {
    static let api = "/admin/api/config/draft/test-calls"

    let dashboard: DashboardRoutes
    private var api: InternalAPI { dashboard.api }

    init(_ dashboard: DashboardRoutes) { self.dashboard = dashboard }

    func addRoutes(to table: inout RouteTable) {
        for path in ["endpoints", "providers"] {
            let pattern = "/admin/\(path)/{id}/test-call"
            dashboard.page(.get, pattern, to: &table) { try await ask(path, $0) }
            dashboard.page(.post, pattern, to: &table) { try await call(path, $0) }
        }
    }

    private func ask(_ path: String, _ visit: Visit, refusal: DomainError? = nil) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let item = try await api.get("/admin/api/\(path)/\(id)", for: visit)
        let name = item["name"]?.stringValue ?? id
        var page = FormPage(
            chrome: dashboard.chrome("Test call: \(name)", visit),
            about:
                "GET /models at \(path == "endpoints" ? "this endpoint" : "each endpoint of this provider"), with each of its credentials, from where the control plane stands. Nothing is charged, and nothing changes.",
            action: "/admin/\(path)/\(id)/test-call", back: "/admin/\(path)/\(id)", backText: name, submit: "Call", fields: [])
        page.problems = refusal.map { [Problem($0).detail] + Problem($0).errors.map(\.remedy) } ?? []
        return DashboardRoutes.html("form", page, status: refusal.map { Problem($0).status } ?? .ok)
    }

    private func call(_ path: String, _ visit: Visit) async throws -> APIResponse {
        _ = try visit.form(dashboard.signOn.policy)
        let id = visit.request.parameters["id"] ?? ""
        let item = try await api.get("/admin/api/\(path)/\(id)", for: visit)
        var endpoints = [id]
        if path == "providers" {
            let found = try await api.get("/admin/api/endpoints", ["provider_id": id, "limit": "200"], for: visit)
            endpoints = (found["items"]?.arrayValue ?? []).compactMap { $0["id"]?.stringValue }
        }
        guard !endpoints.isEmpty else {
            return try await ask(
                path, visit,
                refusal: .conflict("provider", "has no endpoint that could be called", remedy: "Make an endpoint of it first."))
        }
        do {
            let answer = try await api.call(.post, Self.api, ["endpoint_ids": .strings(endpoints)], for: visit).value
            let isGood = answer["ok"]?.boolValue == true
            let items = answer["items"]?.arrayValue ?? []
            let shapes: [FieldShape] = [
                .told("name", .text(maximum: 200), "The endpoint."), .told("credential_id", .id(CredentialKind.prefix), "With which."),
                .told("ok", .flag, "Whether it answered well."), .told("status", .number, "HTTP's.", nullable: true),
                .told("message", .text(maximum: 1000), "What came of it."), .told("duration_ms", .number, "How long it took."),
            ]
            let rendering = try await api.rendering(items.map { ($0, shapes) }, for: visit)
            var table = rendering.table(items, shapes) { $0["endpoint_id"]?.stringValue.map { "/admin/endpoints/\($0)" } }
            for (row, item) in items.enumerated() {
                var cells = table.rows[row].cells
                cells[2].kind = item["ok"]?.boolValue == true ? "good" : "bad"
                table.rows[row] = Row(cells: cells)
            }
            let name = item["name"]?.stringValue ?? id
            var page = DetailPage(
                chrome: dashboard.chrome("Test call: \(name)", visit), listHref: "/admin/\(path)/\(id)", listText: name, facts: [])
            page.notice = isGood ? "Every call was answered well." : "Not every call was answered well."
            page.noticeKind = isGood ? "good" : "bad"
            page.tables = [TitledTable(title: "Calls", table: table)]
            return DashboardRoutes.html("detail", page)
        } catch let refusal as DomainError {
            return try await ask(path, visit, refusal: refusal)
        }
    }
}
