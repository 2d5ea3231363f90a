import Primitives
import Storage

/// Takes away for good what was deleted long ago. Deleted rows stay for a while, so that data planes hear of the deletion; one that slept
/// for longer gets the whole directory.
package struct PurgeService: Sendable {
    /// Rows of one transaction: it holds up no other for long.
    private static let batch = 500

    private let domain: DomainContext
    private let retentionMilliseconds: Int64

    /// - Parameter retentionMilliseconds: How long deleted rows stay.
    package init(_ domain: DomainContext, retentionMilliseconds: Int64) {
        self.domain = domain
        self.retentionMilliseconds = retentionMilliseconds
    }

    /// - Returns: how many rows went.
    @discardableResult
    package func purge() async throws -> Int {
        let before = domain.clock.nowMilliseconds() - retentionMilliseconds
        var total = 0
        // Keys before their projects, projects before their tenants.
        for table in PurgeTables.inOrder {
            while !Task.isCancelled {
                let gone = try await domain.write(as: .all) { c in try PurgeTables.purge(c, table, deletedBefore: before, limit: Self.batch)
                }
                total += gone
                if gone < Self.batch { break }
            }
        }
        return total
    }
}
