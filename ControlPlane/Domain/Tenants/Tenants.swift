package import Nouns

package typealias Tenant = Entity<TenantContent>

/// The operator's customers.
extension TenantContent: Administered {
    package static var scope: NounScope { .directory }
    package static var tenantColumn: String? { "id" }
    /// A customer who is missing in a file is not gone: that is said by name.
    package static var isPruned: Bool { false }
    /// Models of the draft and rollouts may name it.
    package static var deletionCounters: [ChangeCounter] { [.draft, .rollout] }
}
