import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// A tenant's keys on its own pages: made, rotated and revoked by those of its administrators who may.
extension PortalPages {
    private static let api = "/admin/api/keys"
    private static let list = home + "/keys"

    func keys(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        let query = visit.request.query
        try query.allow(["cursor", "limit"])
        let answer = try await api.get(
            Self.api, ["limit": query["limit"] ?? "50", "cursor": query["cursor"] ?? "", "sort": "-created_at"], for: visit)
        let items = answer["items"]?.arrayValue ?? []
        let mayChange = visit.looked == nil && api.allows(visit.actor, .post, Self.api)
        let list = Self.home(visit) + "/keys"
        let names = ["name", "project_id", "status", "expires_at", "last_used_at", "created_at"]
        let shapes = names.compactMap { name in api.route(.get, Self.api)?.shapes.first { $0.name == name } }
        let rendering = try await api.rendering(items.map { ($0, shapes) }, for: visit)
        // Of its project a key says the name: these pages have none of it.
        var table = PortalPages.plain(rendering.table(items, shapes))
        table.columns += mayChange ? [Column(text: "Rotate"), Column(text: "Revoke")] : []
        table.rows = zip(table.rows, items).map { row, item in
            guard mayChange, let id = item["id"]?.stringValue else { return row }
            let isOver = item["status"] == "revoked"
            return Row(
                cells: row.cells
                    + [("rotate", "Rotate"), ("revoke", "Revoke")].map { verb, text in
                        Cell(title: text, text: isOver ? "–" : text, href: isOver ? nil : "\(Self.list)/\(id)/\(verb)")
                    })
        }
        let add = Act(text: "New key", href: Self.list + "/new", isMain: true)
        var page = ListPage(
            chrome: dashboard.chrome("Keys", visit),
            about: "With a key a program asks for models. Its secret is shown once, when it is made.",
            table: table, emptyWords: "There is no key yet.")
        if mayChange { (page.acts, page.emptyAct) = ([add], add) }
        if query["cursor"] != nil { page.first = list }
        if let next = answer["next_cursor"]?.stringValue { page.next = "\(list)?" + FormBody.query([("cursor", next)]) }
        return DashboardRoutes.html("list", page)
    }

    /// What a tenant's own people say of a new key; the console has the rest.
    private var newShapes: [FieldShape] {
        let form = api.route(.post, Self.api)?.form ?? []
        return ["name", "project_id", "models", "expires_at"].compactMap { name in form.first { $0.name == name } }
    }

    func newKey(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        try visit.request.query.allow([])
        return try await form(visit, value: .object(JSONObject()))
    }

    private func form(_ visit: Visit, value: JSONValue, refusal: DomainError? = nil) async throws -> APIResponse {
        let projects = try await api.get("/admin/api/projects", ["limit": "200", "sort": "name"], for: visit)["items"]?.arrayValue ?? []
        let choices = projects.compactMap { item in
            item["id"]?.stringValue.map { Choice(value: $0, text: item["name"]?.stringValue ?? $0) }
        }
        var forms = Forms(choices: [ProjectKind.prefix: choices])
        let problem = refusal.map { Problem($0) }
        for one in problem?.errors ?? [] { forms.problems[one.field] = "\(one.message). \(one.remedy)" }
        var page = FormPage(
            chrome: dashboard.chrome("New key", visit), about: "The secret is shown once, on the next page.", action: Self.list + "/new",
            back: Self.list, backText: "Keys", submit: "Create", fields: forms.fields(newShapes, value, isNew: true))
        if let problem { page.problems = [problem.detail] }
        return DashboardRoutes.html("form", page, status: problem?.status ?? .ok)
    }

    func createKey(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        let sent = try visit.form(dashboard.signOn.policy)
        let object = JSONValue.object(Forms.object(newShapes, sent, isNew: true))
        do {
            return shown(try await api.call(.post, Self.api, object, for: visit).value, visit)
        } catch let refusal as DomainError {
            return try await form(visit, value: object, refusal: refusal)
        }
    }

    private func shown(_ key: JSONValue, _ visit: Visit) -> APIResponse {
        guard let secret = key["key"]?.stringValue else { return .redirect(to: Self.list) }
        let page = CreatedPage(
            chrome: dashboard.chrome(key["name"]?.stringValue ?? "Key", visit), label: "Key", secret: secret, href: Self.list)
        return DashboardRoutes.html("created", page)
    }

    func rotating(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse { try await asking("rotate", visit) }
    func revoking(_ visit: Visit, _ tenant: TenantID) async throws -> APIResponse { try await asking("revoke", visit) }

    /// - Throws: `DomainError.notFound` for another tenant's key.
    private func asking(_ verb: String, _ visit: Visit, refusal: DomainError? = nil, sent: JSONValue = .null) async throws -> APIResponse {
        let id = visit.request.parameters["id"] ?? ""
        let (key, revision) = try await api.call(.get, "\(Self.api)/\(id)", for: visit)
        var page = FormPage(
            chrome: dashboard.chrome("\(Rendering.label(verb)) \(key["name"]?.stringValue ?? id)?", visit),
            about: verb == "rotate"
                ? "The old secret goes on working for a while, so that programs can change over." : "It stops working at once, for good.",
            action: "\(Self.list)/\(id)/\(verb)", back: Self.list, backText: "Keys", submit: Rendering.label(verb),
            isDanger: verb == "revoke",
            fields: Forms().fields(api.route(.post, "\(Self.api)/\(id)/\(verb)")?.form ?? [], sent, isNew: true))
        page.revision = revision
        page.problems = refusal.map { [Problem($0).detail] + Problem($0).errors.map(\.remedy) } ?? []
        return DashboardRoutes.html("form", page, status: refusal.map { Problem($0).status } ?? .ok)
    }

    func change(_ verb: String, _ visit: Visit, _ tenant: TenantID) async throws -> APIResponse {
        let sent = try visit.form(dashboard.signOn.policy)
        let path = "\(Self.api)/\(visit.request.parameters["id"] ?? "")/\(verb)"
        let object = JSONValue.object(Forms.object(api.route(.post, path)?.form ?? [], sent, isNew: true))
        do {
            let key = try await api.call(.post, path, object, revision: sent["revision"] ?? "", for: visit).value
            return verb == "rotate" ? shown(key, visit) : .redirect(to: Self.list)
        } catch let refusal as DomainError {
            return try await asking(verb, visit, refusal: refusal, sent: object)
        }
    }
}
