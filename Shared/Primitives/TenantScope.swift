/// Whose rows a read or a write may touch. Queries filter by it; on Postgres the database does as well, so that a filter that was forgotten
/// shows nothing of others.
package enum TenantScope: Sendable, Hashable {
    /// The installation's own work, and its operators.
    case all
    case tenant(String)
}
