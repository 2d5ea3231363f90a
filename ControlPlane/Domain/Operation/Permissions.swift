package import Nouns
package import Primitives

/// What a route asks of its caller. Who has it is said here and nowhere else, for administrators of the whole deployment and for those of one
/// tenant; docs/administrators.md shows the same table. What is none of a tenant's business is given to no administrator of one: such a route
/// refuses them before it looks at anything.
package enum Permission: String, CaseIterable, Sendable {
    /// Know who one is, end one's own session, and make and end tokens of one's own.
    case identify
    /// See tenants and what is theirs: projects, keys, users, apps, DIDs, bans. For a tenant's administrator: that tenant's.
    case readTenants
    /// See reports and records of usage.
    case readUsage
    /// See who did what.
    case readAudit
    /// Make, change and delete what is a tenant's: projects, keys, users, apps, DIDs, bans.
    case manage
    /// Change administrators: people, tokens, and which groups give which roles.
    case administer
    /// See the installation: providers, credentials, models, prices, the draft, versions, rollouts, data planes, status.
    case read
    /// Change the installation, and which tenants there are.
    case operate
    /// Change prices; post payments and corrections.
    case price
    /// Change what documents are signed with.
    case secure

    /// Who has it in the whole deployment, and who in one tenant.
    private var holders: (deployment: Set<Role>, tenant: Set<Role>) {
        let everybody = Set(Role.allCases)
        return switch self {
        case .identify, .readTenants, .readUsage: (everybody, everybody)
        case .readAudit: ([.owner, .operator, .auditor], [.owner, .operator, .auditor])
        case .manage: ([.owner, .operator], [.owner, .operator])
        case .administer: ([.owner], [.owner])
        case .read: (everybody, [])
        case .operate: ([.owner, .operator], [])
        case .price: ([.owner, .operator, .billing], [])
        case .secure: ([.owner], [])
        }
    }

    /// The roles that have it, among those who see everything or those of a tenant.
    package func roles(for scope: TenantScope) -> Set<Role> {
        switch scope {
        case .all: holders.deployment
        case .tenant: holders.tenant
        }
    }
}
