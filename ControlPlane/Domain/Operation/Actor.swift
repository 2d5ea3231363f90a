package import Nouns
package import Primitives

/// What a route asks of its caller.
package enum Permission: String, CaseIterable, Sendable {
    /// See everything but the audit log and the administrators.
    case read
    /// See who did what.
    case readAudit
    /// Change tenants, projects, keys, credentials, the catalogue, rollouts and the fleet.
    case operate
    /// Change prices.
    case price
    /// Change administrators and signing keys.
    case administer

    package var roles: Set<Role> {
        switch self {
        case .read: Set(Role.allCases)
        case .readAudit: [.owner, .operator, .auditor]
        case .operate: [.owner, .operator]
        case .price: [.owner, .operator, .billing]
        case .administer: [.owner]
        }
    }
}

/// Who asks for a change; written to the audit log with it.
package struct Actor: Sendable, Hashable {
    /// An admin token's id, or `system` for the control plane's own background work and command line.
    package let id: String
    package let name: String
    package let role: Role
    /// Whose things it sees and changes.
    package let scope: TenantScope
    /// As the socket saw it; empty when there is none.
    package let remoteAddress: String
    /// The request that this change belongs to; empty outside of requests.
    package let requestID: String

    package init(id: String, name: String, role: Role, scope: TenantScope, remoteAddress: String = "", requestID: String = "") {
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

    package func may(_ permission: Permission) -> Bool {
        permission.roles.contains(role)
    }
}
