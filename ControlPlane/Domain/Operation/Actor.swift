package import Nouns
package import Primitives

/// Who asks for a change; written to the audit log with it.
package struct Actor: Sendable, Hashable {
    /// A person's or an admin token's id, or `system` for the control plane's own background work and command line.
    package let id: String
    package let name: String
    package let role: Role
    /// The role of the token that a person uses, which may be allowed less than the person; nil: nothing lies between.
    package let tokenRole: Role?
    /// Whose things it sees and changes.
    package let scope: TenantScope
    /// As the socket saw it; empty when there is none.
    package let remoteAddress: String
    /// The request that this change belongs to; empty outside of requests.
    package let requestID: String

    package init(
        id: String, name: String, role: Role, tokenRole: Role? = nil, scope: TenantScope, remoteAddress: String = "", requestID: String = ""
    ) {
        self.tokenRole = tokenRole
        self.id = id
        self.name = name
        self.role = role
        self.scope = scope
        self.remoteAddress = remoteAddress
        self.requestID = requestID
    }

    /// The control plane itself, `name` saying which part of it.
    package static func system(_ name: String) -> Actor {
        Actor(id: "system", name: name, role: .owner, scope: .all)
    }

    /// The control plane's own work, not an administrator's.
    var isSystem: Bool { id == "system" }

    /// The tenant whose administrator it is; nil: of the whole deployment.
    package var tenantID: TenantID? {
        if case .tenant(let id) = scope { TenantID(id) } else { nil }
    }

    /// The same administrator, asking in a request.
    package func asking(from remoteAddress: String, in requestID: String) -> Actor {
        Actor(id: id, name: name, role: role, tokenRole: tokenRole, scope: scope, remoteAddress: remoteAddress, requestID: requestID)
    }

    /// The same administrator, who sees one tenant and no more of it than that tenant's own people of the same role.
    package func confined(to tenantID: TenantID) -> Actor {
        Actor(
            id: id, name: name, role: role, tokenRole: tokenRole, scope: .tenant(tenantID.rawValue), remoteAddress: remoteAddress,
            requestID: requestID)
    }

    package func may(_ permission: Permission) -> Bool {
        let roles = permission.roles(for: scope)
        return roles.contains(role) && tokenRole.map(roles.contains) ?? true
    }
}
