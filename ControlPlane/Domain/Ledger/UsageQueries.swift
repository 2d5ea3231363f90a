package import Primitives
package import Storage

/// Sums over usage records, and the records themselves, as administrators and tenants ask for them.
package struct UsageQueries: Sendable {
    package static let list = "usage"
    /// More groups than this are refused: nobody reads them, and the database would.
    package static let maximumGroups = 10_000

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Unix milliseconds.
    package var now: Int64 { domain.clock.nowMilliseconds() }

    /// Sums of the records admitted within the filter's window, one for each combination of the dimensions' values, in their order.
    /// - Throws: `DomainError.invalid` for a window that is empty or gives too many groups.
    package func sums(
        _ filter: UsageFilter, by dimensions: Set<UsageDimension>, as scope: TenantScope = .all
    ) async throws -> [UsageSums] {
        try Self.check(filter)
        let sums = try await domain.report(as: scope) { try UsageSumsQuery.run($0, filter, by: dimensions, limit: Self.maximumGroups + 1) }
        guard sums.count <= Self.maximumGroups else {
            throw DomainError.invalid(
                "group_by", "gives more than \(Self.maximumGroups) groups", remedy: "Choose a shorter time, a filter, or fewer dimensions.")
        }
        return sums
    }

    /// Records, newest first.
    /// - Throws: `DomainError.invalid` for an empty window or a cursor of another list.
    package func records(_ filter: UsageFilter, _ page: PageRequest) async throws -> Page<UsageRow> {
        try Self.check(filter)
        let before = try page.after.map { (cursor) throws(DomainError) -> (admittedAt: Int64, requestID: [UInt8]) in
            guard let id = RequestID(text: cursor.id) else {
                throw .invalid("cursor", "is not a cursor of this list", remedy: "Pass next_cursor of the previous page unchanged.")
            }
            return (cursor.time, id.bytes)
        }
        let rows = try await domain.report { try UsageTable.list($0, filter, before: before, limit: page.fetchLimit) }
        // The cursor's time is in microseconds here, as records are ordered.
        return Page(fetched: rows, page) {
            Cursor(list: Self.list, time: $0.admittedAtMicroseconds, id: RequestID(bytes: $0.requestID)?.text ?? "")
        }
    }

    /// When the record of the tenant's latest request arrived, Unix milliseconds; nil when there was none.
    package func lastReceived(tenantID: TenantID) async throws -> Int64? {
        try await domain.read(as: .tenant(tenantID.rawValue)) { try UsageTable.lastReceived($0, tenantID: tenantID.rawValue) }
    }

    private static func check(_ filter: UsageFilter) throws(DomainError) {
        guard filter.from < filter.to else {
            throw .invalid(
                "to", "does not come after from", remedy: "The window includes from and excludes to; make it longer than nothing.")
        }
    }
}
