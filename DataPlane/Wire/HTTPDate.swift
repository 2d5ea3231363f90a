import Primitives

/// HTTP-date (RFC 9110 §5.6.7).
package enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// IMF-fixdate.
    package static func string(unixSeconds: Int64) -> String {
        let seconds = max(0, unixSeconds)
        let day = seconds / 86_400
        let date = RFC3339.civil(fromDays: day)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let name = days[Int(day % 7)]
        let month = months[Int(date.month - 1) % 12]
        let time = "\(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
        return "\(name), \(two(date.day)) \(month) \(date.year) \(time) GMT"
    }

    /// Unix seconds, of any of the three forms that a recipient must read; nil for what is no date. The name of the day is not checked.
    /// - Parameter nowSeconds: Unix seconds. A year of two digits that would lie more than 50 years ahead is of the century before.
    package static func seconds(_ value: UnsafeRawBufferPointer, nowSeconds: Int64) -> Int64? {
        guard value.count >= 24, value.count <= 40 else { return nil }
        let text = String(decoding: value, as: UTF8.self)
        let parts = text.split { $0 == " " || $0 == "," }.map(String.init)
        // Sun, 06 Nov 1994 08:49:37 GMT
        if parts.count == 6, parts[5] == "GMT" { return seconds(day: parts[1], month: parts[2], year: Int64(parts[3]), time: parts[4]) }
        // Sun Nov  6 08:49:37 1994
        if parts.count == 5 { return seconds(day: parts[2], month: parts[1], year: Int64(parts[4]), time: parts[3]) }
        // Sunday, 06-Nov-94 08:49:37 GMT
        guard parts.count == 4, parts[3] == "GMT" else { return nil }
        let date = parts[1].split(separator: "-").map(String.init)
        guard date.count == 3, date[2].utf8.count == 2, let short = Int64(date[2]), short >= 0 else { return nil }
        let thisYear = RFC3339.civil(fromDays: nowSeconds / 86_400).year
        var year = thisYear - thisYear % 100 + short
        if year > thisYear + 50 { year -= 100 }
        return seconds(day: date[0], month: date[1], year: year, time: parts[2])
    }

    private static func seconds(day: String, month: String, year: Int64?, time: String) -> Int64? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).map { $0.utf8.count == 2 ? Int64($0) : nil }
        guard let month = months.firstIndex(of: month), let year, (1970...9999).contains(year), let day = Int64(day),
            (1...31).contains(day),
            clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2],
            (0..<24).contains(hour), (0..<60).contains(minute), (0...60).contains(second)
        else { return nil }
        // A leap second counts as the one after it; a 31st of a shorter month as the 1st of the next.
        return RFC3339.days(year: year, month: Int64(month) + 1, day: day) * 86_400 + hour * 3600 + minute * 60 + second
    }
}
