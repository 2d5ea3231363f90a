package import Primitives
import Storage

/// What latencies are told by.
package enum UsageLatencyGroup: String, CaseIterable, Sendable {
    case none, hour, model
    case configVersion = "config_version"
    case endpoint

    fileprivate var dimension: UsageDimension? {
        switch self {
        case .none: nil
        case .hour: .hour(.utc)
        case .model: .model
        case .configVersion: .column(.configVersion)
        case .endpoint: .column(.endpoint)
        }
    }

    fileprivate func member(_ value: SQLValue) -> JSONObject.Member? {
        switch (self, value) {
        case (.hour, .int(let microseconds)): .init(name: "hour", value: .time(microseconds / 1000))
        case (.configVersion, .int(let number)): .init(name: rawValue, value: .int(number))
        case (.model, .text(let name)): .init(name: rawValue, value: .string(name))
        case (.endpoint, .text(let id)): .init(name: "endpoint_id", value: id.isEmpty ? .null : .string(id))
        case (.endpoint, _): .init(name: "endpoint_id", value: .null)
        default: nil
        }
    }
}

extension UsageQueries {
    /// How long answered requests took, by group: their median, and how long the slow ones did.
    /// - Throws: `DomainError.invalid` for an empty window, or one of more than `maximumRecordsWindow`: every record of it is looked at.
    package func latencies(_ query: UsageQuery, by group: UsageLatencyGroup, for reader: UsageReader) async throws -> JSONValue {
        let zone = ReaderTimeZone.utc
        let until = query.until ?? max(zone.start(ofDay: zone.localDay(at: now) + 1), (query.from ?? 0) &+ 1)
        let from = max(0, query.from ?? zone.start(ofDay: zone.localDay(at: until - 1) - Self.defaultDays + 1))
        let filter = query.filter(from: from, until: until)
        try Self.check(filter)
        guard until - from <= Self.maximumRecordsWindow else {
            throw Self.tooLong(Self.maximumRecordsWindow, "a report of latencies", "a shorter time")
        }
        let buckets = try await domain.report(as: reader.scope) { c in
            try UsageLatenciesTable.histogram(c, filter, by: group.dimension)
        }
        var items: [JSONValue] = []
        var rest = buckets[...]
        while let first = rest.first, items.count < UsageReportRequest.maximumLimit {
            let own = rest.prefix { $0.group == first.group }
            rest = rest.dropFirst(own.count)
            let all = own.reduce(Int64(0)) { $0 + $1.requests }
            var members = group.member(first.group).map { [$0] } ?? []
            members.append(.init(name: "requests", value: .int(all)))
            for (name, percent) in [("p50_us", Int64(50)), ("p90_us", 90), ("p99_us", 99)] {
                // The first that so many are no longer than.
                let wanted = (all * percent + 99) / 100
                var seen: Int64 = 0
                let found = own.first { bucket in
                    seen += bucket.requests
                    return seen >= wanted
                }
                members.append(.init(name: name, value: .int(found?.upTo ?? 0)))
            }
            items.append(.object(JSONObject(members: members)))
        }
        return ["from": .time(from), "until": .time(until), "items": .array(items)]
    }
}
