import Foundation
import Primitives
import Storage

/// The time zone in which a reader counts hours, days and months: one of the IANA time zone database.
package struct ReaderTimeZone: Sendable, Hashable {
    /// As it was asked for: `Europe/Berlin`.
    package let name: String
    private let zone: TimeZone

    package static let utc = ReaderTimeZone(name: "UTC", zone: .gmt)

    private init(name: String, zone: TimeZone) {
        self.name = name
        self.zone = zone
    }

    /// - Throws: `DomainError.invalid` for a name that the database does not have.
    package init(named name: String) throws(DomainError) {
        guard name != "UTC" else {
            self = .utc
            return
        }
        let isPlausible = name.utf8.count <= 64 && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        guard isPlausible, let zone = TimeZone(identifier: name) else {
            throw .invalid(
                "time_zone", "is not a time zone of the IANA database",
                remedy: "Pass a name like Europe/Berlin, America/New_York or UTC; capitals count.")
        }
        self.init(name: name, zone: zone)
    }

    private static let day: Int64 = 86_400_000

    /// Milliseconds that local time is later than UTC.
    private func offset(at milliseconds: Int64) -> Int64 {
        Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(milliseconds / 1000)))) * 1000
    }

    /// Days since 1970-01-01 of the local date.
    package func localDay(at milliseconds: Int64) -> Int64 {
        let local = milliseconds + offset(at: milliseconds)
        return local >= 0 ? local / Self.day : (local + 1) / Self.day - 1
    }

    /// The first instant of a local date, Unix milliseconds: midnight, or what comes after it where the clocks are put forward then.
    package func start(ofDay number: Int64) -> Int64 {
        let midnight = number * Self.day
        for stretch in stretches(from: midnight - Self.day, to: midnight + Self.day) {
            let start = max(stretch.from, midnight - stretch.offset)
            if start < stretch.to { return start }
        }
        return midnight
    }

    /// The first instant of a month that is numbered year · 12 + month - 1.
    func start(ofMonth number: Int64) -> Int64 {
        start(ofDay: RFC3339.days(year: number / 12, month: number % 12 + 1, day: 1))
    }

    /// Numbered in the same way: that of the local date.
    func month(at milliseconds: Int64) -> Int64 {
        let date = RFC3339.civil(fromDays: localDay(at: milliseconds))
        return date.year * 12 + date.month - 1
    }

    /// Where in a window the offset is what: looked at twice a day, and closer in between where it is another.
    private func stretches(from: Int64, to: Int64) -> [(from: Int64, to: Int64, offset: Int64)] {
        var found: [(from: Int64, to: Int64, offset: Int64)] = []
        var begun = from
        var offset = offset(at: from)
        var place = from
        while place < to, self != .utc {
            let next = min(place + Self.day / 2, to)
            let after = self.offset(at: next)
            if after != offset {
                var (low, high) = (place, next)
                while high - low > 1000 {
                    let middle = low + (high - low) / 2
                    if self.offset(at: middle) == offset { low = middle } else { high = middle }
                }
                let change = high - high % 1000
                found.append((begun, change, offset))
                (begun, offset) = (change, after)
            }
            place = next
        }
        found.append((begun, to, offset))
        return found
    }

    /// For a window of reports, Unix milliseconds.
    func times(from: Int64, to: Int64, withMonths: Bool) -> UsageTimes {
        var months: [(start: Int64, number: Int64)] = []
        if withMonths {
            for number in month(at: from)...max(month(at: from), month(at: to - 1)) {
                months.append((start(ofMonth: number) * 1000, number))
            }
        }
        return UsageTimes(
            stretches: stretches(from: from, to: to).map { UsageTimes.Stretch(from: $0.from * 1000, offset: $0.offset * 1000) },
            months: months)
    }

    /// RFC 3339, with this zone's offset.
    package func text(of milliseconds: Int64) -> String {
        let offset = offset(at: milliseconds)
        let local = RFC3339.string(milliseconds: milliseconds + offset)
        guard self != .utc, local.hasSuffix("Z") else { return local }
        let minutes = abs(offset) / 60_000
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : String(number) }
        return "\(local.dropLast())\(offset < 0 ? "-" : "+")\(two(minutes / 60)):\(two(minutes % 60))"
    }
}
