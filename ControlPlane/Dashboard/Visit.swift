import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// Who looks at a page, and what of.
struct Visit: Sendable {
    let request: APIRequest
    let actor: Actor
    let held: AdminSessions.Held
    /// The tenant whose own pages an administrator of the whole deployment looks at: `actor` is then confined to it, and nothing is changed.
    var looked: (at: TenantID, called: String)?

    /// The same page, looked at again by itself.
    func seen(by actor: Actor) -> Visit {
        Visit(request: request, actor: actor.asking(from: request.remoteAddress, in: request.requestID), held: held)
    }

    /// A form's members, once it is known that one of our pages sent it.
    /// - Throws: `DomainError.forbidden`.
    func form(_ policy: SignOnPolicy) throws(DomainError) -> [String: String] {
        let form =
            request.headers[.contentType].flatMap { MultipartForm.parse(request.body, contentType: $0) } ?? FormBody.parse(request.body)
        try SameSite.check(request.headers, held, policy, given: form["csrf_token"])
        return form
    }
}

/// The admin API, called without a socket: pages show what it answers, and change what it changes, so that who may do what, what is
/// checked and what is written to the audit log is decided in one place.
struct InternalAPI: Sendable {
    private let table: RouteTable
    private let reports = ReportGate()

    init(_ table: RouteTable) { self.table = table }

    /// The route that answers there.
    func route(_ method: HTTPRequest.Method, _ path: String) -> APIRoute? { table.find(method, path).route }

    /// Whether `actor` would be let in there.
    func allows(_ actor: Actor, _ method: HTTPRequest.Method = .get, _ path: String) -> Bool {
        guard case .admin(let permission)? = route(method, path)?.access else { return false }
        return actor.may(permission)
    }

    func get(_ path: String, _ query: [String: String] = [:], for visit: Visit) async throws -> JSONValue {
        try await call(.get, path, query: query, for: visit).value
    }

    /// - Parameter revision: What the change is based on.
    /// - Returns: what was answered, and the revision of what is there now.
    /// - Throws: `DomainError` as the API would answer it.
    func call(
        _ method: HTTPRequest.Method, _ path: String, query: [String: String] = [:], _ body: JSONValue? = nil, revision: String? = nil,
        for visit: Visit
    ) async throws -> (value: JSONValue, revision: String?) {
        guard case .route(let route, let parameters) = table.find(method, path), case .admin(let permission) = route.access else {
            throw DomainError.notFound(kind: "page", id: String(path.prefix(200)))
        }
        guard visit.looked == nil || method == .get else {
            throw DomainError.forbidden(detail: "Whoever looks at a tenant's pages changes nothing there.")
        }
        guard visit.actor.may(permission) else {
            throw DomainError.forbidden(detail: "Your role, \(visit.actor.role.rawValue), may not do this.")
        }
        let request = APIRequest(
            method: method, path: path, parameters: parameters, query: QueryParameters(values: query), body: body?.bytes ?? [],
            ifMatch: revision.map { IfMatch(header: "\"\($0)\"") }, caller: .admin(visit.actor), requestID: visit.request.requestID,
            headers: [:], remoteAddress: visit.request.remoteAddress)
        let answer =
            route.isReport
            ? try await reports.run(for: request.caller) { try await route.handler(request) } : try await route.handler(request)
        let tag = answer.headers[.eTag].map { String($0.filter { $0 != "\"" }) }
        return (answer.body.isEmpty ? .null : try JSONValue(parsing: answer.body), tag)
    }

    /// What the ids in `values` are called, as far as `visit` may know it.
    func rendering(_ values: [(JSONValue, [FieldShape])], for visit: Visit) async throws -> Rendering {
        let ids = values.reduce(into: Set<String>()) { $0.formUnion(Rendering.ids(in: $1.0, $1.1)) }.sorted()
        var rendering = Rendering()
        for start in stride(from: 0, to: ids.count, by: NameService.maximumIDs) {
            let some = ids[start..<min(ids.count, start + NameService.maximumIDs)]
            let answer = try await get("/admin/api/names", ["ids": some.joined(separator: ",")], for: visit)
            for item in answer["items"]?.arrayValue ?? [] {
                if let id = item["id"]?.stringValue, let name = item["name"]?.stringValue { rendering.names[id] = name }
            }
        }
        return rendering
    }
}

extension APIRoute {
    /// What its answer's items, or the answer itself, are made of.
    var shapes: [FieldShape] {
        switch docs?.answer {
        case .list(let shapes)?, .object(let shapes)?, .partial(let shapes)?: shapes
        default: []
        }
    }

    /// What it takes.
    var form: [FieldShape] {
        switch docs?.body {
        case .form(let shapes)?, .optionalForm(let shapes)?, .change(let shapes)?: shapes
        default: []
        }
    }
}
