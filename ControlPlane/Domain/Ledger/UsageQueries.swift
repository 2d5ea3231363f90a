package import Primitives
package import Storage

/// Sums over usage records, and the records themselves, as administrators and tenants ask for them.
package struct UsageQueries: Sendable {
    package static let list = "usage"

    let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Unix milliseconds.
    package var now: Int64 { domain.clock.nowMilliseconds() }

    /// Sums of the records admitted within the filter's window, one for each combination of the dimensions' values, in their order.
    /// - Throws: `DomainError.invalid` for a window that is empty.
    package func sums(
        _ filter: UsageFilter, by dimensions: [UsageDimension], order: UsageSumsQuery.Order = .groups,
        limit: Int = UsageReportRequest.maximumLimit, as scope: TenantScope
    ) async throws -> UsageGroups {
        try Self.check(filter)
        return try await domain.report(as: scope) { try UsageSumsQuery(filter, by: dimensions, order: order, limit: limit).run($0) }
    }

    /// Records, newest first.
    /// - Throws: `DomainError.invalid` for an empty window or a cursor of another list.
    package func records(_ filter: UsageFilter, _ page: PageRequest, as scope: TenantScope) async throws -> Page<UsageRow> {
        try await named(filter, page, as: scope).page
    }

    private func named(
        _ filter: UsageFilter, _ page: PageRequest, as scope: TenantScope
    ) async throws -> (page: Page<UsageRow>, names: [String: String]) {
        try Self.check(filter)
        let before = try page.after.map { (cursor) throws(DomainError) -> (admittedAt: Int64, requestID: [UInt8]) in
            guard let id = RequestID(text: cursor.id) else {
                throw .invalid("cursor", "is not a cursor of this list", remedy: "Pass next_cursor of the previous page unchanged.")
            }
            return (cursor.time, id.bytes)
        }
        let (rows, names) = try await domain.report(as: scope) { c in
            let rows = try UsageTable.list(c, filter, before: before, limit: page.fetchLimit)
            return (rows, try EntityNames.of(Set(rows.flatMap(UsageRecord.ids)), c))
        }
        // The cursor's time is in microseconds here, as records are ordered.
        let found = Page(fetched: rows, page) {
            Cursor(list: Self.list, time: $0.admittedAtMicroseconds, id: RequestID(bytes: $0.requestID)?.text ?? "")
        }
        return (found, names)
    }

    /// The records that a query is about, newest first. It goes back by a month when it names no beginning, but for one request.
    /// - Throws: also for a window in which too many records would have to be looked at.
    package func list(_ query: UsageQuery, _ page: PageRequest, for reader: UsageReader) async throws -> Page<UsageRecord> {
        let zone = ReaderTimeZone.utc
        let end = query.until ?? .max
        let usual = zone.start(ofDay: zone.localDay(at: min(end, now)) - Self.defaultDays)
        let from = query.from ?? (query.values[.request] == nil ? usual : 0)
        let isIndexed = query.values.keys.contains(.request) || query.values.keys.allSatisfy(\.isIndexed)
        guard isIndexed || min(end, now) - from <= Self.maximumRecordsWindow + 86_400_000 else {
            throw Self.tooLong(
                Self.maximumRecordsWindow, "a search among records", "a shorter time, or for a tenant's or one request's only")
        }
        let (found, names) = try await named(query.filter(from: max(0, from), until: end), page, as: reader.scope)
        return found.map { UsageRecord($0, names) }
    }

    /// The record of a request; the latest, should two data planes claim it.
    /// - Throws: `DomainError.notFound`.
    package func record(_ id: RequestID, for reader: UsageReader) async throws -> UsageRecord {
        let filter = UsageFilter(from: 0, to: .max, [.request: .blob(id.bytes)])
        let (found, names) = try await named(filter, PageRequest(limit: 1), as: reader.scope)
        guard let row = found.items.first else {
            let before = try await domain.read(as: .all) { try RetentionRunsTable.before($0, kind: RetainedRecords.usage.rawValue) }
            // An id begins with the time.
            guard let before, let time = Int64(exactly: id.high >> 16), time < before else {
                throw DomainError.notFound(kind: "usage record", id: id.text)
            }
            let day = RFC3339.string(milliseconds: before).prefix(10)
            throw DomainError.notFound(kind: "usage record any more, since those from before \(day) are purged:", id: id.text)
        }
        return UsageRecord(row, names)
    }

    /// When the record of the tenant's latest request arrived, Unix milliseconds; nil when there was none.
    package func lastReceived(tenantID: TenantID) async throws -> Int64? {
        try await domain.read(as: .tenant(tenantID.rawValue)) { try UsageTable.lastReceived($0, tenantID: tenantID.rawValue) }
    }

    static func check(_ filter: UsageFilter) throws(DomainError) {
        guard filter.from < filter.to else {
            throw .invalid(
                "until", "does not come after from", remedy: "The window includes from and excludes until; make it longer than nothing.")
        }
    }
}
