package import Domain
package import HTTPTypes

/// Who may call a route. Every route states it; there is no default.
package enum Access: Hashable, Sendable {
    /// Anyone: health, metrics.
    case open
    /// Anyone with a browser: signing on and off. The route itself looks at its cookies.
    case signOn
    /// An administrator whose role has the permission.
    case admin(Permission)
    /// The holder of a virtual key, about its own tenant.
    case virtualKey
}

/// One route of the HTTP interface.
package struct APIRoute: Sendable {
    package typealias Handler = @Sendable (APIRequest) async throws -> APIResponse

    package let method: HTTPRequest.Method
    /// With parameters as `{name}`; each stands for one whole segment.
    package let pattern: String
    package let access: Access
    /// What the API's description says of it.
    package internal(set) var docs: RouteDocs?
    /// It may take long: few at a time for each caller.
    package var isReport = false
    package var bodyLimitBytes = APIResponder.bodyLimitBytes
    /// Answers before the body is read where it says so: for a route that finds out by itself who asks, and takes much.
    package var beforeBody: (@Sendable (HTTPFields, _ path: String) async throws -> APIResponse?)?
    package let handler: Handler

    package init(method: HTTPRequest.Method, pattern: String, access: Access, docs: RouteDocs?, handler: @escaping Handler) {
        self.method = method
        self.pattern = pattern
        self.access = access
        self.docs = docs
        self.handler = handler
    }

    /// The parameters when `path` fits the pattern.
    package func match(_ path: some StringProtocol) -> [String: String]? {
        let wanted = pattern.split(separator: "/", omittingEmptySubsequences: false)
        let given = path.split(separator: "/", omittingEmptySubsequences: false)
        guard wanted.count == given.count else { return nil }
        var parameters: [String: String] = [:]
        for (pattern, segment) in zip(wanted, given) {
            if pattern.hasPrefix("{"), pattern.hasSuffix("}") {
                guard !segment.isEmpty else { return nil }
                parameters[String(pattern.dropFirst().dropLast())] = String(segment)
            } else if pattern != segment {
                return nil
            }
        }
        return parameters
    }
}

/// Every route of the process, in one list: what is served, what the authorisation test walks, what a 405 lists.
package struct RouteTable: Sendable {
    package private(set) var routes: [APIRoute] = []

    package init() {}

    package mutating func get(_ pattern: String, _ access: Access, _ docs: RouteDocs? = nil, _ handler: @escaping APIRoute.Handler) {
        add(.get, pattern, access, docs, handler)
    }

    /// A GET that may take long: see `ReportGate`.
    package mutating func report(_ pattern: String, _ access: Access, _ docs: RouteDocs? = nil, _ handler: @escaping APIRoute.Handler) {
        add(.get, pattern, access, docs, handler)
        routes[routes.count - 1].isReport = true
    }

    package mutating func post(
        _ pattern: String, _ access: Access, _ docs: RouteDocs? = nil, upTo bodyLimitBytes: Int = APIResponder.bodyLimitBytes,
        beforeBody: (@Sendable (HTTPFields, _ path: String) async throws -> APIResponse?)? = nil,
        _ handler: @escaping APIRoute.Handler
    ) {
        add(.post, pattern, access, docs, handler)
        routes[routes.count - 1].bodyLimitBytes = bodyLimitBytes
        routes[routes.count - 1].beforeBody = beforeBody
    }

    package mutating func patch(_ pattern: String, _ access: Access, _ docs: RouteDocs? = nil, _ handler: @escaping APIRoute.Handler) {
        add(.patch, pattern, access, docs, handler)
    }

    package mutating func delete(_ pattern: String, _ access: Access, _ docs: RouteDocs? = nil, _ handler: @escaping APIRoute.Handler) {
        add(.delete, pattern, access, docs, handler)
    }

    private mutating func add(
        _ method: HTTPRequest.Method, _ pattern: String, _ access: Access, _ docs: RouteDocs?, _ handler: @escaping APIRoute.Handler
    ) {
        routes.append(APIRoute(method: method, pattern: pattern, access: access, docs: docs, handler: handler))
    }

    /// Gives docs to the routes that came without.
    mutating func describe(_ docs: (APIRoute) -> RouteDocs?) {
        for index in routes.indices where routes[index].docs == nil { routes[index].docs = docs(routes[index]) }
    }

    /// The methods that `path` does answer to.
    package func methods(at path: some StringProtocol) -> [HTTPRequest.Method] {
        routes.filter { $0.match(path) != nil }.map(\.method)
    }
}
