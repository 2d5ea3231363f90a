package import Domain
import HTTPTypes
package import Hummingbird
import Nouns
import Primitives

/// Who a request comes from: bearer tokens of administrators and virtual keys, and cookies of people who have signed on.
package struct Authentication: Sendable {
    private let admins: AdminTokenService
    private let keys: KeyAuthentication
    private let sessions: AdminSessions?

    /// - Parameter sessions: nil: nobody signs on.
    package init(admins: AdminTokenService, keys: KeyAuthentication, sessions: AdminSessions? = nil) {
        self.admins = admins
        self.keys = keys
        self.sessions = sessions
    }

    /// The caller that `access` asks for.
    /// - Throws: `DomainError.unauthenticated` without a valid token or session, `.forbidden` when its role does not suffice.
    package func caller(for access: Access, _ request: Request, _ exchange: Exchange) async throws -> Caller {
        switch access {
        case .open, .signOn:
            return .anonymous
        case .admin(let permission):
            let actor = try await administrator(request).asking(from: exchange.remoteAddress, in: exchange.requestID)
            guard actor.may(permission) else { throw Self.refusal(of: permission, to: actor) }
            return .admin(actor)
        case .virtualKey:
            return .key(try await keys.authenticate(try bearer(request, "Send a virtual key: Authorization: Bearer weir_….")))
        }
    }

    /// A token counts before a cookie: who sends one means it.
    private func administrator(_ request: Request) async throws -> Actor {
        if request.headers[.authorization] == nil, let sessions,
            let held = SessionCookie(sessions.policy).session(in: request.headers)
        {
            let actor = try await sessions.authenticate(held)
            if request.method != .get, request.method != .head { try SameSite.check(request.headers, held, sessions.policy) }
            return actor
        }
        return try await admins.authenticate(try bearer(request, "Send an administrator's token: Authorization: Bearer wadm_…."))
    }

    private static func refusal(of permission: Permission, to actor: Actor) -> DomainError {
        let roles = permission.roles(for: actor.scope).map(\.rawValue).sorted().joined(separator: ", ")
        guard !roles.isEmpty else {
            return .forbidden(detail: "This is the operator's: administrators of a tenant manage what is that tenant's.")
        }
        return .forbidden(detail: "The role \((actor.tokenRole ?? actor.role).rawValue) may not do this; these may: \(roles).")
    }

    /// RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1).
    private func bearer(_ request: Request, _ detail: String) throws(DomainError) -> String {
        guard let header = request.headers[.authorization], header.prefix(7).lowercased() == "bearer " else {
            throw .unauthenticated(detail: detail)
        }
        let token = header.dropFirst(7).trimmingSpaces
        guard !token.isEmpty, token.utf8.count <= 512 else { throw .unauthenticated(detail: detail) }
        return String(token)
    }
}
