package import Nouns

package typealias Tenant = Entity<TenantContent>

/// The operator's customers.
extension TenantContent: Administered {
    package static var scope: NounScope { .directory }
    package static var tenantColumn: String? { "id" }
    /// Models of the draft and rollouts may name it.
    package static var deletionCounters: [ChangeCounter] { [.draft, .rollout] }
}
