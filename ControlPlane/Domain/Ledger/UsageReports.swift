import Nouns
package import Primitives
import Storage

/// What is asked of a summary.
package struct UsageReportRequest: Sendable {
    package var query = UsageQuery()
    package var groups: [UsageGroup] = []
    package var timeZone = ReaderTimeZone.utc
    package var order = Order.groups
    /// At most so many groups are shown; the rest is summed up.
    package var limit = UsageReportRequest.defaultLimit

    package static let defaultLimit = 1000
    package static let maximumLimit = 10_000
    /// More of them make no report that anybody reads, and a large statement.
    package static let maximumGroups = 8

    package init() {}

    package struct Order: Sendable, Hashable {
        /// A sum; nil: the groups themselves.
        fileprivate let sum: String?
        fileprivate let isDescending: Bool

        package static let groups = Order(sum: nil, isDescending: false)
        private static let sums = ["requests", "failed", "input_tokens", "output_tokens", "cost"]

        /// As a parameter has it; a minus turns the order round.
        package static let words = ["group"] + sums.flatMap { [$0, "-" + $0] }

        private init(sum: String?, isDescending: Bool) {
            self.sum = sum
            self.isDescending = isDescending
        }

        package init?(word: String) {
            guard Self.words.contains(word) else { return nil }
            let isDescending = word.hasPrefix("-")
            self.init(sum: word == "group" ? nil : isDescending ? String(word.dropFirst()) : word, isDescending: isDescending)
        }

        package var word: String { sum.map { (isDescending ? "-" : "") + $0 } ?? "group" }

        fileprivate var inStorage: UsageSumsQuery.Order {
            sum.map { .sum($0 == "cost" ? "cost_nano" : $0, isDescending: isDescending) } ?? .groups
        }
    }
}

/// A summary of usage: its window, how much of it is known by now, its groups, and what they come to.
package struct UsageReport: Sendable {
    package let json: JSONValue
    /// The same, as it is sent.
    package let bytes: [UInt8]

    /// Where the report is made: it may be large, and threads that others wait for have no time for it.
    fileprivate init(_ found: FoundUsage) {
        json = found.json
        bytes = json.bytes
    }
}

/// What a report is made of.
private struct FoundUsage {
    let request: UsageReportRequest
    /// Unix milliseconds; `until` is not included.
    let from: Int64
    let until: Int64
    let found: UsageGroups
    let positions: UsagePositions
    /// Of what is named by an identifier.
    let names: [String: String]
    let reader: UsageReader
    /// Unix milliseconds: records from before are purged.
    let purgedBefore: Int64?

    var json: JSONValue {
        var shown = UsageSums()
        for row in found.rows { shown.add(row) }
        var others = found.totals
        others.subtract(shown)
        var object: JSONObject = [
            "from": .string(request.timeZone.text(of: from)), "until": .string(request.timeZone.text(of: until)),
            "time_zone": .string(request.timeZone.name), "as_of": .time(positions.asOf),
            "group_by": .strings(request.groups.map(\.word)), "sort": .string(request.order.word),
            "items": .array(found.rows.map { .object(group($0).merging(sums($0))) }), "totals": .object(sums(found.totals)),
        ]
        object["records_since"] = .time(purgedBefore.flatMap { $0 > from ? $0 : nil })
        object["others"] =
            found.others == 0
            ? .null : .object(JSONObject(members: [.init(name: "groups", value: .int(found.others))]).merging(sums(others)))
        if reader == .administrator { object["behind"] = .array(positions.behind.map(\.json)) }
        return .object(object)
    }

    private func group(_ sums: UsageSums) -> JSONObject {
        var object = JSONObject()
        var tags = JSONObject()
        for (group, value) in zip(request.groups, sums.group) {
            if case .tag(let name) = group {
                if case .text(let text) = value, !text.isEmpty { tags[name] = .string(text) }
                object["tag"] = .object(tags)
            } else {
                add(group, value, to: &object)
            }
        }
        return object
    }

    private func add(_ group: UsageGroup, _ value: SQLValue, to object: inout JSONObject) {
        let word = group.word
        switch (group, value) {
        case (.model, .text(let text)): object[word] = .string(text)
        case (.did, .text(let text)), (.dialect, .text(let text)), (.errorCode, .text(let text)):
            object[word] = text.isEmpty ? .null : .string(text)
        case (.tags, .text(let text)): object[word] = UsageRecord.tags(text)
        case (.status, .int(let number)): object[word] = .string(UsageStatus.word(number))
        case (.errorOrigin, .int(let number)): object[word] = .optional(UsageErrorOrigin.word(number))
        case (.price, .text(let id)): object["price_id"] = id.isEmpty ? .null : .string(id)
        case (_, .text(let id)):
            object["\(word)_id"] = id.isEmpty ? .null : .string(id)
            object[word] = .optional(names[id])
        case (.hour, .int(let microseconds)): object[word] = .string(request.timeZone.text(of: microseconds / 1000))
        case (.day, .int(let day)): object[word] = .string(String(RFC3339.string(milliseconds: day * 86_400_000).prefix(10)))
        case (.month, .int(let month)):
            let day = RFC3339.days(year: month / 12, month: month % 12 + 1, day: 1)
            object[word] = .string(String(RFC3339.string(milliseconds: day * 86_400_000).prefix(7)))
        case (_, .int(let number)): object[word] = .int(number)
        default: object[word] = .null
        }
    }

    /// A cost of which nothing is known is null, never nothing.
    private func sums(_ sums: UsageSums) -> JSONObject {
        let isKnown = sums.priced > 0 || sums.requests == 0
        var object = JSONObject()
        object["requests"] = .int(sums.requests)
        object["failed"] = .int(sums.failed)
        object["failed_client"] = .int(sums.failedByClient)
        object["failed_provider"] = .int(sums.failedByProvider)
        object["failed_weir"] = .int(sums.failedByWeir)
        object["estimated"] = .int(sums.estimated)
        object["input_tokens"] = .int(sums.inputTokens)
        object["output_tokens"] = .int(sums.outputTokens)
        object["cached_input_tokens"] = .int(sums.cachedInputTokens)
        object["cache_write_tokens"] = .int(sums.cacheWriteTokens)
        object["reasoning_tokens"] = .int(sums.reasoningTokens)
        object["cost_nano"] = isKnown ? .int(sums.costNano) : .null
        object["cost"] = isKnown ? .string(NanoDollars(sums.costNano).decimalString) : .null
        object["unpriced"] = .int(max(0, sums.requests - sums.priced))
        if reader == .administrator {
            object["rerated_cost_nano"] = isKnown ? .int(sums.reratedCostNano) : .null
            object["cost_mismatches"] = .int(sums.costMismatches)
        }
        return object
    }
}

extension JSONObject {
    fileprivate func merging(_ other: JSONObject) -> JSONObject { JSONObject(members: members + other.members) }
}

extension UsageQueries {
    /// How far back a report goes that names no beginning: so many days, today among them.
    package static let defaultDays: Int64 = 31
    /// How long a window may be of which every record has to be read: a month, and the hour that the clocks may be put back.
    package static let maximumRecordsWindow: Int64 = 31 * 86_400_000 + 3_600_000
    /// How long one may be that is answered from the daily sums.
    package static let maximumWindow: Int64 = 3660 * 86_400_000

    /// - Parameter reader: A tenant sees its own rows only, whatever the query says.
    /// - Throws: `DomainError.invalid` for an empty window or one that is too long for what is asked.
    package func report(_ request: UsageReportRequest, for reader: UsageReader) async throws -> UsageReport {
        let (from, until) = window(request.query, request.timeZone)
        let filter = request.query.filter(from: from, until: until)
        try Self.check(filter)
        guard until - from <= Self.maximumWindow else { throw Self.tooLong(Self.maximumWindow, "a report", "a shorter time") }
        let times =
            request.groups.contains(where: \.isTime)
            ? request.timeZone.times(from: from, to: until, withMonths: request.groups.contains(.month)) : .utc
        let query = UsageSumsQuery(
            filter, by: request.groups.map { $0.dimension(times) }, order: request.order.inStorage, limit: request.limit)
        guard !query.readsRecordsOnly || until - from <= Self.maximumRecordsWindow else {
            throw Self.tooLong(
                Self.maximumRecordsWindow, "a report by hour, by the days of a time zone, or about endpoints, providers and errors",
                "a shorter time; or days of UTC, or months")
        }
        let now = now
        return try await domain.report(as: reader.scope) { c in
            let found = try query.run(c)
            var ids: Set<String> = []
            for row in found.rows {
                for case .text(let text) in row.group { ids.insert(text) }
            }
            return UsageReport(
                FoundUsage(
                    request: request, from: from, until: until, found: found,
                    positions: try UsagePositions(c, servingTenant: request.query[.tenant], now: now), names: try EntityNames.of(ids, c),
                    reader: reader, purgedBefore: try RetentionRunsTable.before(c, kind: RetainedRecords.usage.rawValue)))
        }
    }

    /// Whole days where none is named: until the end of today, and from the beginning of the first day of a month.
    private func window(_ query: UsageQuery, _ zone: ReaderTimeZone) -> (from: Int64, until: Int64) {
        let until = query.until ?? max(zone.start(ofDay: zone.localDay(at: now) + 1), (query.from ?? 0) &+ 1)
        return (max(0, query.from ?? zone.start(ofDay: zone.localDay(at: until - 1) - Self.defaultDays + 1)), until)
    }

    static func tooLong(_ milliseconds: Int64, _ what: String, _ remedy: String) -> DomainError {
        .invalid(
            "from", "lies more than \(milliseconds / 86_400_000) days before the end, which is as far as \(what) goes",
            remedy: "Ask for \(remedy).")
    }
}
