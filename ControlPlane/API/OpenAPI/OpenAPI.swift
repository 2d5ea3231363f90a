package import Domain
import HTTPTypes
import Nouns
package import Primitives

/// The description of the API (OpenAPI 3.1), made of the routes themselves.
package struct OpenAPIDocument: Sendable {
    private let title: String
    private let about: String
    private let routes: [APIRoute]

    package init(_ title: String, _ about: String, _ routes: [APIRoute]) {
        self.title = title
        self.about = about
        self.routes = routes
    }

    package var json: JSONValue {
        var paths = JSONObject()
        for route in routes {
            var path = paths[route.pattern]?.objectValue ?? JSONObject()
            path[route.method.rawValue.lowercased()] = operation(route)
            paths[route.pattern] = .object(path)
        }
        return [
            "openapi": "3.1.0",
            "info": ["title": .string(title), "version": .string(weirVersion.description), "description": .string(about)],
            "paths": .object(paths),
            "components": [
                "schemas": ["problem": Self.problem],
                "securitySchemes": [
                    "admin": ["type": "http", "scheme": "bearer", "description": "An administrator's token: wadm_…"],
                    "key": ["type": "http", "scheme": "bearer", "description": "A virtual key: weir_…"],
                ],
            ],
        ]
    }

    private func operation(_ route: APIRoute) -> JSONValue {
        let docs = route.docs ?? RouteDocs("")
        var operation: JSONObject = [
            "operationId": .string(Self.operationID(route)), "summary": .string(docs.summary), "security": Self.security(route.access),
        ]
        if case .admin(let permission) = route.access {
            operation["x-weir-permission"] = .string(permission.rawValue)
            func words(_ scope: TenantScope) -> String { permission.roles(for: scope).map(\.rawValue).sorted().joined(separator: ", ") }
            let ofTenants = words(.tenant(""))
            operation["description"] = .string(
                "Roles: \(words(.all)). Of a tenant's administrators: \(ofTenants.isEmpty ? "none" : ofTenants).")
        }
        let parameters = Self.parameters(route, docs)
        if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
        if let body = Self.body(docs.body) { operation["requestBody"] = body }
        operation["responses"] = .object(Self.responses(route, docs))
        return .object(operation)
    }

    private static func operationID(_ route: APIRoute) -> String {
        let words = route.pattern.split(separator: "/").map { $0.filter { $0 != "{" && $0 != "}" } }
        return ([route.method.rawValue.lowercased()] + words).joined(separator: "_")
    }

    private static func security(_ access: Access) -> JSONValue {
        switch access {
        case .open, .signOn: []
        case .admin: [["admin": []]]
        case .virtualKey: [["key": []]]
        }
    }

    private static func parameters(_ route: APIRoute, _ docs: RouteDocs) -> [JSONValue] {
        var parameters = route.pattern.split(separator: "/").filter { $0.hasPrefix("{") }.map { segment -> JSONValue in
            [
                "name": .string(String(segment.dropFirst().dropLast())), "in": "path", "required": true,
                "schema": ["type": "string", "minLength": 1],
            ]
        }
        parameters += docs.query.map { shape in
            [
                "name": .string(shape.name), "in": "query", "required": .bool(shape.isRequired), "description": .string(shape.about),
                "schema": .object(Schema.kind(shape.kind, isInput: true)),
            ]
        }
        if docs.ifMatch != .none {
            parameters.append([
                "name": "If-Match", "in": "header", "required": .bool(docs.ifMatch == .required), "schema": ["type": "string"],
                "description": "The ETag that the change is based on, or * for whatever is there.",
            ])
        }
        if route.method == .post {
            parameters.append([
                "name": "Idempotency-Key", "in": "header", "required": false,
                "schema": ["type": "string", "minLength": 1, "maxLength": 255],
                "description": "Sent again under the same key within 24 hours, the request is done once and answered alike.",
            ])
        }
        return parameters
    }

    private static func body(_ body: RouteDocs.Body) -> JSONValue? {
        let (schema, isRequired): (JSONValue, Bool)
        switch body {
        case .none: return nil
        case .form(let shapes): (schema, isRequired) = (Schema.input(shapes, isChange: false), true)
        case .optionalForm(let shapes): (schema, isRequired) = (Schema.input(shapes, isChange: false), false)
        case .change(let shapes): (schema, isRequired) = (Schema.input(shapes, isChange: true), true)
        }
        return ["required": .bool(isRequired), "content": ["application/json": ["schema": schema]]]
    }

    private static func responses(_ route: APIRoute, _ docs: RouteDocs) -> JSONObject {
        var responses = JSONObject()
        var good: JSONObject = ["description": "Done."]
        switch docs.answer {
        case .nothing: break
        case .text: good["content"] = ["text/plain": ["schema": ["type": "string"]]]
        case .object(let shapes): good["content"] = ["application/json": ["schema": Schema.output(shapes)]]
        case .partial(let shapes): good["content"] = ["application/json": ["schema": Schema.input(shapes, isChange: false)]]
        case .anything: good["content"] = ["application/json": ["schema": ["type": "object"]]]
        case .list(let shapes):
            var members: JSONObject = [
                "items": ["type": "array", "items": Schema.output(shapes)], "next_cursor": ["type": ["string", "null"]],
            ]
            for member in Schema.output(docs.beside)["properties"]?.objectValue?.members ?? [] { members[member.name] = member.value }
            good["content"] = [
                "application/json": [
                    "schema": [
                        "type": "object", "required": ["items", "next_cursor"], "additionalProperties": false,
                        "properties": .object(members),
                    ]
                ]
            ]
        }
        if !docs.otherTypes.isEmpty {
            var content = good["content"]?.objectValue ?? JSONObject()
            for type in docs.otherTypes { content[type] = ["schema": ["type": "string"]] }
            good["content"] = .object(content)
        }
        if docs.hasRevision {
            good["headers"] = ["ETag": ["description": "The object's revision, for If-Match.", "schema": ["type": "string"]]]
        }
        responses[String(docs.status)] = .object(good)
        for (status, words) in route.problems {
            responses[String(status)] = [
                "description": .string(words),
                "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/problem"]]],
            ]
        }
        return responses
    }

    /// RFC 9457.
    private static let problem: JSONValue = [
        "type": "object", "required": ["type", "title", "status", "detail", "request_id"], "additionalProperties": false,
        "properties": [
            "type": ["type": "string", "description": "urn:weir:problem: and a word for programs."], "title": ["type": "string"],
            "status": ["type": "integer"], "detail": ["type": "string"], "request_id": ["type": "string"],
            "errors": [
                "type": "array",
                "items": [
                    "type": "object", "required": ["field", "message", "remedy"], "additionalProperties": false,
                    "properties": [
                        "field": ["type": "string"], "message": ["type": "string"],
                        "remedy": ["type": "string", "description": "What to do about it."],
                    ],
                ],
            ],
        ],
    ]
}

extension APIRoute {
    /// Everything that may go wrong with it: HTTP's status, and when.
    package var problems: [(status: Int, words: String)] {
        guard access != .open else { return [(503, "It cannot do its work just now.")] }
        var problems = [
            (400, "Something in the request does not fit: each field is named."), (401, "No valid token."),
            (403, "The caller may not do this."), (413, "The body is too large."),
            (503, "The database is away or busy: try again."),
        ]
        // A bill is of a tenant that is named beside the path.
        if pattern.contains("{") || pattern.hasPrefix("/admin/api/billing") { problems.append((404, "There is no such object.")) }
        if method != .get { problems.append((409, "The state of the system does not allow it.")) }
        let ifMatch = docs?.ifMatch ?? .none
        if ifMatch != .none { problems.append((412, "It was changed in the meantime.")) }
        if ifMatch == .required { problems.append((428, "If-Match is missing.")) }
        if isReport { problems.append((429, "The caller has as many reports under way as one may.")) }
        if method == .post { problems.append((422, "The Idempotency-Key was used for another request.")) }
        return problems.sorted { $0.0 < $1.0 }
    }
}

/// The descriptions, served by the API itself.
struct OpenAPIRoutes: RouteGroup {
    /// All other routes.
    let routes: [APIRoute]

    func addRoutes(to table: inout RouteTable) {
        let described = RouteDocs("This description.") { $0.answer = .anything }
        add("/admin/api/openapi.json", .admin(.read), "Weir's admin API", "Everything an operator can do.", described, to: &table) {
            if case .admin = $0.access { true } else { false }
        }
        add(
            "/external/v1/openapi.json", .virtualKey, "Weir's API for tenants",
            "What the holder of a virtual key may ask about its own tenant.", described, to: &table
        ) { $0.access == .virtualKey }
    }

    private func add(
        _ path: String, _ access: Access, _ title: String, _ about: String, _ docs: RouteDocs, to table: inout RouteTable,
        _ belongs: (APIRoute) -> Bool
    ) {
        let itself = APIRoute(method: .get, pattern: path, access: access, docs: docs) { _ in .noContent }
        let document = OpenAPIDocument(title, about, routes.filter(belongs) + [itself]).json.bytes
        table.get(path, access, docs) { _ in
            APIResponse(status: .ok, headers: [.contentType: "application/json"], body: document)
        }
    }
}
