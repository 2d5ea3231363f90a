import Nouns
import Primitives
import Storage

/// Looks for tenants and keys that spend in an hour several times what they usually do. From the daily sums, which are exact: what was spent of
/// a day is written down while its hours pass.
package struct SpendRises: Sendable {
    /// Below it (micro-dollars in an hour) nothing is a rise.
    private static let floor: Int64 = 1_000_000
    /// Of the usual.
    private static let factor: Int64 = 3
    private static let hoursKept: Int64 = 8 * 24
    private static let chunk = 500

    private let domain: DomainContext

    package init(_ domain: DomainContext) { self.domain = domain }

    /// Some times an hour. Each tenant and each key is told once a day.
    package func look() async throws {
        let now = domain.clock.nowMilliseconds()
        let hour = now / 3_600_000
        let day = hour / 24
        // Whether somebody has looked in the last hour: what was spent while nobody looked is not this hour's.
        let (costs, known) = try await domain.observe(as: .all) { c in
            let known = try SpendHoursTable.known(c, from: day * 24, through: hour)
            let last = try SpendHoursTable.newest(c, Self.marker)
            let isContinuous = last.map { $0 >= hour - 1 } ?? false
            let costs = try SpendHoursTable.day(c, day).compactMap { costs -> Hour? in
                let seen = known[costs.subjectID]
                let before =
                    if let seen, seen.hour == hour { seen.before } else if isContinuous || hour == day * 24 { seen?.until ?? 0 } else {
                        costs.spent
                    }
                guard costs.spent > before, seen?.hour != hour || seen?.until != costs.spent else { return nil }
                return Hour(costs: costs, spent: costs.spent - before, before: before)
            }
            try SpendHoursTable.put(
                c, .init(subjectID: Self.marker, tenantID: "", spent: 0), hour: hour, spent: 0, before: 0)
            try SpendHoursTable.forget(c, before: hour - Self.hoursKept)
            return (costs, isContinuous)
        }
        for start in stride(from: 0, to: costs.count, by: Self.chunk) {
            let part = costs[start..<min(costs.count, start + Self.chunk)]
            try await domain.observe(as: .all) { c in
                for item in part {
                    try SpendHoursTable.put(c, item.costs, hour: hour, spent: item.spent, before: item.before)
                    if known, item.spent > Self.floor { try Self.judge(item, hour, now, c) }
                }
            }
        }
    }

    /// The row that says when somebody looked.
    private static let marker = "-"

    private struct Hour: Sendable {
        let costs: SpendHoursTable.Costs
        let spent: Int64
        let before: Int64
    }

    /// Against the mean of the last seven days, and that of the same hour of theirs: what comes every night is no rise. Whoever has spent for
    /// less than a day has no usual.
    private static func judge(_ item: Hour, _ hour: Int64, _ now: Int64, _ c: any SQLConnection) throws {
        let id = item.costs.subjectID
        guard let history = try SpendHoursTable.history(c, id, before: hour, from: hour - 7 * 24), history.since <= hour - 24 else {
            return
        }
        let days = max(1, (hour - history.since) / 24)
        let usual = max(history.total / (days * 24), history.sameHour / days)
        guard item.spent / factor > usual else { return }
        var detail: JSONObject = [
            "hour": .time(hour * 3_600_000), "this_hour": .string(dollars(item.spent)), "usual_hour": .string(dollars(usual)),
        ]
        if id != item.costs.tenantID { detail["key_id"] = .string(id) }
        try BudgetEvents.write(.suddenRise, for: "\(id) hour \(hour / 24)", tenantID: item.costs.tenantID, detail, now, c)
    }

    private static func dollars(_ micro: Int64) -> String {
        NanoDollars(micro.multipliedReportingOverflow(by: 1000).partialValue).decimalString
    }
}
