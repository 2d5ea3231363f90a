/// How a reader's time zone lies to UTC within a window, and where its months begin.
package struct UsageTimes: Hashable, Sendable {
    /// From an instant on (Unix microseconds), local time is so much later than UTC.
    package struct Stretch: Hashable, Sendable {
        package let from: Int64
        package let offset: Int64

        package init(from: Int64, offset: Int64) {
            self.from = from
            self.offset = offset
        }
    }

    /// In their order; the first also holds before it.
    package let stretches: [Stretch]
    /// The months of the window: the first instant of each (Unix microseconds), and year · 12 + month - 1. The first also holds before it.
    package let months: [(start: Int64, number: Int64)]

    package init(stretches: [Stretch], months: [(start: Int64, number: Int64)]) {
        self.stretches = stretches
        self.months = months
    }

    package static let utc = UsageTimes(stretches: [Stretch(from: 0, offset: 0)], months: [])

    /// Whether its hours are those of UTC. From when on the first offset holds does not matter.
    var changesAtWholeHours: Bool {
        let hour = UsageHourlyTable.microsecondsPerHour
        return stretches.allSatisfy { $0.offset % hour == 0 } && stretches.dropFirst().allSatisfy { $0.from % hour == 0 }
    }

    /// When days begin within a window, and where the clocks are put forward or back.
    func midnights(from: Int64, to: Int64) -> [Int64] {
        let day = UsageDailyTable.microsecondsPerDay
        var found: [Int64] = []
        for (index, stretch) in stretches.enumerated() {
            let begin = index == 0 ? from : max(from, stretch.from)
            let end = index + 1 < stretches.count ? min(to, stretches[index + 1].from) : to
            guard begin < end else { continue }
            found.append(begin)
            var midnight = (begin + stretch.offset) / day * day - stretch.offset
            while midnight < end {
                if midnight > begin { found.append(midnight) }
                midnight += day
            }
        }
        return found
    }

    /// Whether days are those of UTC.
    var isUTC: Bool { stretches.allSatisfy { $0.offset == 0 } }

    package static func == (a: UsageTimes, b: UsageTimes) -> Bool {
        a.stretches == b.stretches && a.months.map(\.start) == b.months.map(\.start)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(stretches)
        hasher.combine(months.map(\.start))
    }

    /// `time` is an expression; its value at `index` of the ordered `starts` is `values`'.
    private static func pick(_ time: String, _ starts: [Int64], _ values: [Int64], _ arguments: inout Conditions) -> String {
        guard let last = values.last, values.count > 1 else { return arguments.place(.int(values.first ?? 0)) }
        var sql = "CASE"
        for (value, next) in zip(values, starts.dropFirst()) {
            sql += " WHEN \(time) < \(arguments.place(.int(next))) THEN \(arguments.place(.int(value)))"
        }
        return "\(sql) ELSE \(arguments.place(.int(last))) END"
    }

    func offset(at time: String, _ arguments: inout Conditions) -> String {
        Self.pick(time, stretches.map(\.from), stretches.map(\.offset), &arguments)
    }

    func month(at time: String, _ arguments: inout Conditions) -> String {
        Self.pick(time, months.map(\.start), months.map(\.number), &arguments)
    }
}

/// What sums can be grouped by.
package enum UsageDimension: Hashable, Sendable {
    case column(UsageColumn)
    /// The user who pays: an app's owner, else who asked.
    case payer
    /// The text of a tag `name=text`; empty where there is none.
    case tag(String)
    /// Unix microseconds of the first instant of the hour.
    case hour(UsageTimes)
    /// Days since 1970-01-01.
    case day(UsageTimes)
    /// Year · 12 + month - 1.
    case month(UsageTimes)

    package static let tenant = column(.tenant)
    package static let project = column(.project)
    package static let key = column(.key)
    package static let model = column(.model)
    package static let day = day(.utc)

    /// Where it is to be found.
    var detail: UsageColumn.Detail {
        switch self {
        case .column(let column): column.detail
        case .tag: .details
        case .hour, .payer: .records
        case .day(let times): times.isUTC ? .days : .records
        case .month: .days
        }
    }

    /// Whether the sums of hours tell it. Hours of a time zone that lies half an hour off are the records'.
    var isHourly: Bool {
        switch self {
        case .column(let column): column.isHourly
        case .hour(let times): times.changesAtWholeHours
        case .day, .month: true
        case .payer, .tag: false
        }
    }

    /// Instants that sums of a window must not reach across: at which one group ends and the next begins.
    func borders(from: Int64, to: Int64) -> [Int64] {
        switch self {
        case .month(let times): times.months.map(\.start)
        case .day(let times): times.isUTC ? [] : times.midnights(from: from, to: to)
        default: []
        }
    }

    /// Its value.
    /// - Parameter time: The expression for a row's time, Unix microseconds: a record's, or the beginning of a day.
    func expression(time: String, _ arguments: inout Conditions, _ dialect: SQLDialect) -> String {
        let (hour, day) = (3_600_000_000 as Int64, UsageDailyTable.microsecondsPerDay)
        switch self {
        case .column(let column): return column.rawValue
        case .payer: return "CASE WHEN owner_id <> '' THEN owner_id ELSE user_id END"
        case .tag(let name):
            let prefix = arguments.place(.text(name + "="))
            let length = name.unicodeScalars.count + 1
            return """
                COALESCE((SELECT MIN(SUBSTR(value, \(length + 1))) FROM \(dialect.elements(of: "tags"))
                    WHERE SUBSTR(value, 1, \(length)) = \(prefix)), '')
                """
        case .hour(let times):
            let (before, after) = (times.offset(at: time, &arguments), times.offset(at: time, &arguments))
            return "(\(time) + \(before)) / \(hour) * \(hour) - \(after)"
        case .day(let times): return times.isUTC ? "\(time) / \(day)" : "(\(time) + \(times.offset(at: time, &arguments))) / \(day)"
        case .month(let times): return times.month(at: time, &arguments)
        }
    }
}
