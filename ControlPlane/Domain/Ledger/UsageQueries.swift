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
        _ filter: UsageFilter, _ page: PageRequest, sortedBy order: RecordOrder = .newestFirst, as scope: TenantScope
    ) async throws -> (page: Page<UsageRow>, names: [String: String]) {
        try Self.check(filter)
        let after = try page.after.map { (cursor) throws(DomainError) in
            guard let id = RequestID(text: cursor.id) else { throw Cursor.foreign }
            return UsageTable.Place(admittedAt: cursor.time, requestID: id.bytes)
        }
        let (rows, names) = try await domain.report(as: scope) { c in
            let rows = try UsageTable.list(c, filter, isDescending: order.isDescending, after: after, limit: page.fetchLimit)
            return (rows, try EntityNames.of(Set(rows.flatMap(UsageRecord.ids)), c))
        }
        // The cursor's time is in microseconds here, as records are ordered.
        let found = Page(fetched: rows, page) {
            Cursor(list: order.list, time: $0.admittedAtMicroseconds, id: RequestID(bytes: $0.requestID)?.text ?? "")
        }
        return (found, names)
    }

    /// The records that a query is about, by time. It goes back by a month when it names no beginning, but for one request.
    /// - Parameter order: `isByTime`.
    /// - Throws: also for a window in which too many records would have to be looked at.
    package func list(
        _ query: UsageQuery, _ page: PageRequest, sortedBy order: RecordOrder = .newestFirst, for reader: UsageReader
    ) async throws -> Page<UsageRecord> {
        let window = window(query)
        let isIndexed = query.values.keys.contains(.request) || query.values.keys.allSatisfy(\.isIndexed)
        guard isIndexed || min(window.upperBound, now) - window.lowerBound <= Self.maximumRecordsWindow + 86_400_000 else {
            throw Self.tooLong(
                Self.maximumRecordsWindow, "a search among records", "a shorter time, or for a tenant's or one request's only")
        }
        let filter = query.filter(from: window.lowerBound, until: window.upperBound)
        let (found, names) = try await named(filter, page, sortedBy: order, as: reader.scope)
        return found.map { UsageRecord($0, names) }
    }

    /// Unix milliseconds.
    private func window(_ query: UsageQuery) -> Range<Int64> {
        let zone = ReaderTimeZone.utc
        let end = query.until ?? .max
        let usual = zone.start(ofDay: zone.localDay(at: min(end, now)) - Self.defaultDays)
        let from = max(0, query.from ?? (query.values[.request] == nil ? usual : 0))
        return from..<max(from, end)
    }

    /// So many records are looked at to sort them: no index leads along their costs or times, and a page shall take no longer with millions of
    /// them than with thousands.
    package static let mostSorted = 20_000

    /// The records that a query is about, by another of their members than the time. Of a window that holds more than `mostSorted` (of the
    /// query's tenant's, where it names one) these are the latest of them.
    /// - Parameter limit: In the place of `mostSorted`.
    /// - Returns: the page, and since when (Unix milliseconds) records are among those that were sorted, where that is later than the
    ///   window's beginning. A later page goes on within the same.
    package func sorted(
        _ query: UsageQuery, _ page: PageRequest, by order: RecordOrder, among limit: Int = Self.mostSorted, for reader: UsageReader
    ) async throws -> (page: Page<UsageRecord>, since: Int64?) {
        let window = window(query)
        let whole = query.filter(from: window.lowerBound, until: window.upperBound)
        try Self.check(whole)
        let after = try page.after.map { (cursor) throws(DomainError) in
            let parts = cursor.id.split(separator: ".")
            guard parts.count == 3, let value = Int64(parts[0]), let time = Int64(parts[1]), let id = RequestID(text: String(parts[2]))
            else {
                throw Cursor.foreign
            }
            return (start: cursor.time, place: UsageTable.Place(value: value, admittedAt: time, requestID: id.bytes))
        }
        let (start, rows, names) = try await domain.report(as: reader.scope) { c in
            let start = try after?.start ?? UsageTable.start(ofLatest: limit, c, whole) ?? whole.from
            var filter = whole
            filter.from = max(start, whole.from)
            let rows = try UsageTable.list(
                c, filter, by: order.member.column, isDescending: order.isDescending, after: after?.place, limit: page.fetchLimit)
            return (filter.from, rows, try EntityNames.of(Set(rows.flatMap(UsageRecord.ids)), c))
        }
        let found = Page(fetched: rows, page) { row in
            let id = RequestID(bytes: row.requestID)?.text ?? ""
            return Cursor(list: order.list, time: start, id: "\(order.member.value(row)).\(row.admittedAtMicroseconds).\(id)")
        }
        return (found.map { UsageRecord($0, names) }, start > whole.from ? start / 1000 : nil)
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
