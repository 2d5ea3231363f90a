package import Domain
import HTTPTypes
package import Hummingbird
import Nouns
import Primitives

/// Who a request comes from: bearer tokens of administrators and virtual keys.
package struct Authentication: Sendable {
    private let admins: AdminTokenService
    private let keys: KeyAuthentication

    package init(admins: AdminTokenService, keys: KeyAuthentication) {
        self.admins = admins
        self.keys = keys
    }

    /// The caller that `access` asks for.
    /// - Throws: `DomainError.unauthenticated` without a valid token, `.forbidden` when its role does not suffice.
    package func caller(for access: Access, _ request: Request, _ exchange: Exchange) async throws -> Caller {
        switch access {
        case .open:
            return .anonymous
        case .admin(let permission):
            let token = try bearer(request, "Send an administrator's token: Authorization: Bearer wadm_….")
            let admin = try await admins.authenticate(token)
            let actor = Actor(
                id: admin.id.rawValue, name: admin.content.name, role: admin.content.role, scope: .all,
                remoteAddress: exchange.remoteAddress,
                requestID: exchange.requestID)
            guard actor.may(permission) else {
                let roles = permission.roles.map(\.rawValue).sorted().joined(separator: ", ")
                throw DomainError.forbidden(detail: "The role \(actor.role.rawValue) may not do this; these may: \(roles).")
            }
            return .admin(actor)
        case .virtualKey:
            return .key(try await keys.authenticate(try bearer(request, "Send a virtual key: Authorization: Bearer weir_….")))
        }
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
