import Primitives

/// RFC 9110 §5.6.7, IMF-fixdate.
enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    static func string(unixSeconds: Int64) -> String {
        let seconds = max(0, unixSeconds)
        let day = seconds / 86_400
        let date = RFC3339.civil(fromDays: day)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let name = days[Int(day % 7)]
        let month = months[Int(date.month - 1) % 12]
        let time = "\(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
        return "\(name), \(two(date.day)) \(month) \(date.year) \(time) GMT"
    }
}
