package import Primitives
import Storage

/// What a list of usage records can be sorted by; a minus turns it round.
package struct RecordOrder: Sendable, Hashable {
    /// The raw value is the record's member.
    package enum Member: String, CaseIterable, Sendable {
        case time = "admitted_at"
        case cost
        case latency = "latency_us"
        case timeToFirstByte = "time_to_first_byte_us"
        case inputTokens = "input_tokens"
        case outputTokens = "output_tokens"

        var column: UsageTable.Order {
            switch self {
            case .time: .time
            case .cost: .cost
            case .latency: .latency
            case .timeToFirstByte: .timeToFirstByte
            case .inputTokens: .inputTokens
            case .outputTokens: .outputTokens
            }
        }

        /// What a record holds there.
        func value(_ row: UsageRow) -> Int64 {
            switch self {
            case .time: row.admittedAtMicroseconds
            case .cost: row.costNano
            case .latency: row.latencyMicroseconds
            case .timeToFirstByte: row.timeToFirstByteMicroseconds
            case .inputTokens: row.inputTokens
            case .outputTokens: row.outputTokens
            }
        }
    }

    package let member: Member
    package let isDescending: Bool

    package static let newestFirst = RecordOrder(member: .time, isDescending: true)
    package static let words = Member.allCases.flatMap { ["-" + $0.rawValue, $0.rawValue] }

    private init(member: Member, isDescending: Bool) {
        self.member = member
        self.isDescending = isDescending
    }

    /// - Throws: `DomainError.invalid` for a word that is none of `words`.
    package init(word: String) throws(DomainError) {
        isDescending = word.hasPrefix("-")
        guard let member = Member(rawValue: isDescending ? String(word.dropFirst()) : word) else {
            throw .invalid(
                "sort", "cannot sort by this", remedy: "Pass one of: \(Self.words.joined(separator: ", ")); a minus turns it round.")
        }
        self.member = member
    }

    package var isByTime: Bool { member == .time }

    /// What its cursors name: one of another order leads nowhere.
    package var list: String {
        self == .newestFirst ? UsageQueries.list : "\(UsageQueries.list):\(isDescending ? "-" : "")\(member.rawValue)"
    }
}

/// An order of a list that has few of them; the raw value is the word that asks for it.
package protocol ListOrder: RawRepresentable<String>, CaseIterable, Sendable {}

extension ListOrder {
    package static var words: [String] { allCases.map(\.rawValue) }

    /// - Throws: `DomainError.invalid` for a word that is none of `words`.
    package init(word: String) throws(DomainError) {
        guard let order = Self(rawValue: word) else {
            throw .invalid("sort", "cannot sort by this", remedy: "Pass one of: \(Self.words.joined(separator: ", ")).")
        }
        self = order
    }
}

/// What a list of the ledger's entries can be sorted by; a minus turns it round.
package enum LedgerOrder: String, ListOrder {
    case newestFirst = "-posted_at"
    case oldestFirst = "posted_at"
    /// By the day that they count for.
    case latestDayFirst = "-day"
    case firstDayFirst = "day"

    var isByDay: Bool { self == .latestDayFirst || self == .firstDayFirst }
    var isDescending: Bool { rawValue.hasPrefix("-") }

    package var list: String { self == .newestFirst ? BillingLedger.list : "\(BillingLedger.list):\(rawValue)" }

    /// Where a page ended.
    func place(_ cursor: Cursor) throws(DomainError) -> LedgerTable.Place {
        guard isByDay else { return LedgerTable.Place(day: 0, postedAt: cursor.time, id: cursor.id) }
        let parts = cursor.id.split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let day = Int64(parts[0]) else { throw Cursor.foreign }
        return LedgerTable.Place(day: day, postedAt: cursor.time, id: String(parts[1]))
    }
}

/// What the audit trail can be sorted by.
package enum AuditOrder: String, ListOrder {
    case newestFirst = "-at"
    case oldestFirst = "at"

    package var list: String { self == .newestFirst ? AuditTrail.list : "\(AuditTrail.list):\(rawValue)" }
}
