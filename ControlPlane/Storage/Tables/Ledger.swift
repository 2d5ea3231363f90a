/// An account of a tenant's.
package enum LedgerAccount: String, CaseIterable, Sendable {
    /// What the tenant has left; below zero: what it owes.
    case balance
    /// What was received from it.
    case received
    /// What its requests cost.
    case usage
    /// What was given to it, or taken, to put something right.
    case adjustments
}

package enum LedgerKind: String, CaseIterable, Sendable {
    case usage
    case topUp = "top_up"
    case adjustment
}

package struct LedgerLine: Sendable, Hashable {
    package var account: LedgerAccount
    /// Nano-dollars: a credit is positive, a debit negative.
    package var amountNano: Int64
    package var requests: Int64
    /// Of usage: whose it was, and of which model.
    package var projectID: String
    package var model: String

    package init(_ account: LedgerAccount, _ amountNano: Int64, requests: Int64 = 0, projectID: String = "", model: String = "") {
        self.account = account
        self.amountNano = amountNano
        self.requests = requests
        self.projectID = projectID
        self.model = model
    }
}

package struct LedgerEntryRow: Sendable, Hashable {
    package var id: String
    package var tenantID: String
    package var kind: LedgerKind
    /// Days since 1970, UTC: what it counts for.
    package var valueDay: Int64
    /// Unix milliseconds.
    package var postedAt: Int64
    package var idempotencyKey: String
    package var description: String
    /// The entry that this one puts right.
    package var correctsID: String?
    package var actorID: String
    package var actorName: String

    package init(
        id: String, tenantID: String, kind: LedgerKind, valueDay: Int64, postedAt: Int64, idempotencyKey: String, description: String,
        correctsID: String? = nil, actorID: String, actorName: String
    ) {
        self.id = id
        self.tenantID = tenantID
        self.kind = kind
        self.valueDay = valueDay
        self.postedAt = postedAt
        self.idempotencyKey = idempotencyKey
        self.description = description
        self.correctsID = correctsID
        self.actorID = actorID
        self.actorName = actorName
    }

    fileprivate init(_ row: SQLRow) throws {
        let kind = try row.text("kind")
        self.init(
            id: try row.text("id"), tenantID: try row.text("tenant_id"),
            // A kind of a newer release.
            kind: LedgerKind(rawValue: kind) ?? .adjustment, valueDay: try row.int("value_day"), postedAt: try row.int("posted_at"),
            idempotencyKey: try row.text("idempotency_key"), description: try row.text("description"),
            correctsID: try row.optionalText("corrects_id"), actorID: try row.text("actor_id"), actorName: try row.text("actor_name"))
    }

    fileprivate static let columns = [
        "id", "tenant_id", "kind", "value_day", "posted_at", "idempotency_key", "description", "corrects_id", "actor_id", "actor_name",
    ]

    fileprivate var values: [SQLValue] {
        [
            .text(id), .text(tenantID), .text(kind.rawValue), .int(valueDay), .int(postedAt), .text(idempotencyKey), .text(description),
            .optional(correctsID), .text(actorID), .text(actorName),
        ]
    }
}

/// Usage of one day, project and model: what it comes to.
package struct LedgerUsage: Sendable, Hashable {
    package struct Key: Sendable, Hashable, Comparable {
        package let day: Int64
        package let projectID: String
        package let model: String

        package static func < (a: Key, b: Key) -> Bool { (a.day, a.projectID, a.model) < (b.day, b.projectID, b.model) }
    }

    package var requests: Int64
    package var amountNano: Int64
}

package enum LedgerError: Error, Hashable, Sendable {
    /// The lines of an entry do not add up to nothing.
    case unbalanced
    /// An account would come to more than can be written down.
    case outOfRange
}

/// Entries, their lines, and what each account comes to. Only ever added to.
package enum LedgerTable {
    /// Posts an entry: all of it, and what it does to the accounts, in the transaction under way.
    /// - Returns: false, nothing being posted, where there is one of this kind and idempotency key already.
    /// - Throws: `LedgerError`.
    package static func post(_ c: any SQLConnection, _ entry: LedgerEntryRow, _ lines: [LedgerLine]) throws -> Bool {
        guard !lines.isEmpty, lines.reduce(Int128(0), { $0 + Int128($1.amountNano) }) == 0 else { throw LedgerError.unbalanced }
        let columns = LedgerEntryRow.columns
        let posted = try c.execute(
            """
            INSERT INTO ledger_entries (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(1, columns.count))
            ON CONFLICT (tenant_id, kind, idempotency_key) DO NOTHING
            """, entry.values)
        guard posted == 1 else { return false }
        try c.insertMany(
            into: "ledger_lines",
            columns: ["entry_id", "line", "tenant_id", "account", "value_day", "amount_nano", "requests", "project_id", "model"],
            rows: lines.enumerated().map { number, line in
                [
                    .text(entry.id), .int(Int64(number + 1)), .text(entry.tenantID), .text(line.account.rawValue), .int(entry.valueDay),
                    .int(line.amountNano), .int(line.requests), .text(line.projectID), .text(line.model),
                ]
            })
        // In one order always.
        for account in LedgerAccount.allCases {
            let amount = lines.filter { $0.account == account }.reduce(Int128(0)) { $0 + Int128($1.amountNano) }
            guard lines.contains(where: { $0.account == account }) else { continue }
            try add(c, amount, to: account, entry)
        }
        return true
    }

    private static func add(_ c: any SQLConnection, _ amount: Int128, to account: LedgerAccount, _ entry: LedgerEntryRow) throws {
        try c.execute(
            """
            INSERT INTO ledger_balances (tenant_id, account, amount_nano, updated_at) VALUES ($1, $2, 0, $3)
            ON CONFLICT (tenant_id, account) DO UPDATE SET updated_at = excluded.updated_at
            """, [.text(entry.tenantID), .text(account.rawValue), .int(entry.postedAt)])
        let before = try balance(c, tenantID: entry.tenantID, account)
        guard let after = Int64(exactly: Int128(before) + amount) else { throw LedgerError.outOfRange }
        try c.execute(
            "UPDATE ledger_balances SET amount_nano = $1 WHERE tenant_id = $2 AND account = $3",
            [.int(after), .text(entry.tenantID), .text(account.rawValue)])
    }

    package static func balance(_ c: any SQLConnection, tenantID: String, _ account: LedgerAccount) throws -> Int64 {
        try c.first(
            "SELECT amount_nano FROM ledger_balances WHERE tenant_id = $1 AND account = $2", [.text(tenantID), .text(account.rawValue)])?
            .int("amount_nano") ?? 0
    }

    /// The entry that was posted with this key.
    package static func find(
        _ c: any SQLConnection, tenantID: String, _ kind: LedgerKind, idempotencyKey: String
    ) throws -> LedgerEntryRow? {
        try c.first(
            """
            SELECT \(LedgerEntryRow.columns.joined(separator: ", ")) FROM ledger_entries
            WHERE tenant_id = $1 AND kind = $2 AND idempotency_key = $3
            """, [.text(tenantID), .text(kind.rawValue), .text(idempotencyKey)]
        ).map(LedgerEntryRow.init)
    }

    package static func find(_ c: any SQLConnection, id: String) throws -> LedgerEntryRow? {
        var conditions = Conditions()
        conditions.add("id = ?", .text(id))
        conditions.confine("tenant_id", to: c.scope)
        return try c.first(
            "SELECT \(LedgerEntryRow.columns.joined(separator: ", ")) FROM ledger_entries \(conditions.clause)", conditions.arguments
        ).map(LedgerEntryRow.init)
    }

    /// What a list of entries is ordered by, each column deciding among those that are equal in the ones before it.
    package enum Order: Sendable, Hashable {
        /// When they were posted.
        case posted
        /// The day that they count for.
        case day

        fileprivate var columns: [String] { self == .day ? ["value_day", "posted_at", "id"] : ["posted_at", "id"] }
    }

    /// An entry's place in a list.
    package struct Place: Sendable, Hashable {
        package var day: Int64
        package var postedAt: Int64
        package var id: String

        package init(day: Int64, postedAt: Int64, id: String) {
            self.day = day
            self.postedAt = postedAt
            self.id = id
        }

        fileprivate func values(_ order: Order) -> [SQLValue] {
            (order == .day ? [.int(day)] : []) + [.int(postedAt), .text(id)]
        }
    }

    /// - Parameter after: The place of the last row seen.
    package static func list(
        _ c: any SQLConnection, tenantID: String?, _ kind: LedgerKind?, by order: Order = .posted, isDescending: Bool = true,
        after: Place? = nil, limit: Int
    ) throws -> [LedgerEntryRow] {
        var conditions = Conditions()
        if let tenantID { conditions.add("tenant_id = ?", .text(tenantID)) }
        if let kind { conditions.add("kind = ?", .text(kind.rawValue)) }
        conditions.confine("tenant_id", to: c.scope)
        let page = KeysetOrder(table: "ledger_entries", columns: LedgerEntryRow.columns, order: order.columns)
        let values = after.map { $0.values(order) }
        return try page.rows(c, conditions, isDescending: isDescending, after: values, limit: limit).map(LedgerEntryRow.init)
    }

    /// The lines of entries, by entry and in their order.
    package static func lines(_ c: any SQLConnection, entryIDs: [String]) throws -> [String: [LedgerLine]] {
        var found: [String: [LedgerLine]] = [:]
        for start in stride(from: 0, to: entryIDs.count, by: 500) {
            var conditions = Conditions()
            conditions.add(among: "entry_id", entryIDs[start..<min(start + 500, entryIDs.count)])
            conditions.confine("tenant_id", to: c.scope)
            let rows = try c.query(
                """
                SELECT entry_id, account, amount_nano, requests, project_id, model FROM ledger_lines \(conditions.clause)
                ORDER BY entry_id, line
                """, conditions.arguments)
            for row in rows {
                guard let account = LedgerAccount(rawValue: try row.text("account")) else { continue }
                found[try row.text("entry_id"), default: []].append(
                    LedgerLine(
                        account, try row.int("amount_nano"), requests: try row.int("requests"), projectID: try row.text("project_id"),
                        model: try row.text("model")))
            }
        }
        return found
    }

    /// What counts for these days, in the order in which it does.
    /// - Parameter postedUntil: Unix milliseconds: only what was posted before.
    package static func entries(
        _ c: any SQLConnection, tenantID: String, days: Range<Int64>, postedUntil: Int64?, limit: Int
    ) throws -> [LedgerEntryRow] {
        var conditions = Conditions()
        conditions.add("tenant_id = ?", .text(tenantID))
        conditions.add("value_day >= ?", .int(days.lowerBound))
        conditions.add("value_day < ?", .int(days.upperBound))
        if let postedUntil { conditions.add("posted_at < ?", .int(postedUntil)) }
        conditions.confine("tenant_id", to: c.scope)
        let limitPlace = conditions.place(.int(Int64(limit)))
        return try c.query(
            """
            SELECT \(LedgerEntryRow.columns.joined(separator: ", ")) FROM ledger_entries \(conditions.clause)
            ORDER BY value_day, posted_at, id LIMIT \(limitPlace)
            """, conditions.arguments
        ).map(LedgerEntryRow.init)
    }

    /// What an account came to by what counts for the days before; saturating.
    package static func balance(
        _ c: any SQLConnection, tenantID: String, _ account: LedgerAccount, before day: Int64, postedUntil: Int64?
    ) throws -> Int64 {
        var conditions = Conditions()
        conditions.add("l.tenant_id = ?", .text(tenantID))
        conditions.add("l.account = ?", .text(account.rawValue))
        conditions.add("l.value_day < ?", .int(day))
        if let postedUntil { conditions.add("e.posted_at < ?", .int(postedUntil)) }
        let row = try c.first(
            """
            SELECT \(halves("l.amount_nano", "amount")) FROM ledger_lines l JOIN ledger_entries e ON e.id = l.entry_id \(conditions.clause)
            """, conditions.arguments)
        return try row.map { try whole($0, "amount") } ?? 0
    }

    // MARK: Usage

    /// What of the tenant's usage is posted, for days of the range.
    package static func postedUsage(
        _ c: any SQLConnection, tenantID: String, days: Range<Int64>
    ) throws -> [LedgerUsage.Key: LedgerUsage] {
        try usage(
            c, "ledger_lines", day: "value_day", amount: "amount_nano", and: "AND account = 'usage'", tenantID: tenantID, days: days)
    }

    /// What the tenant used, by the sums that are written with the records.
    package static func summedUsage(
        _ c: any SQLConnection, tenantID: String, days: Range<Int64>
    ) throws -> [LedgerUsage.Key: LedgerUsage] {
        try usage(c, "usage_daily", day: "day", amount: "cost_nano", and: "", tenantID: tenantID, days: days)
    }

    private static func usage(
        _ c: any SQLConnection, _ table: String, day: String, amount: String, and more: String, tenantID: String, days: Range<Int64>
    ) throws -> [LedgerUsage.Key: LedgerUsage] {
        let rows = try c.query(
            """
            SELECT \(day) AS day, project_id, model, SUM(requests) AS requests, \(halves(amount, "amount")) FROM \(table)
            WHERE tenant_id = $1 AND \(day) >= $2 AND \(day) < $3 \(more) GROUP BY \(day), project_id, model
            """, [.text(tenantID), .int(days.lowerBound), .int(days.upperBound)])
        return try Dictionary(
            rows.map { row in
                (
                    LedgerUsage.Key(day: try row.int("day"), projectID: try row.text("project_id"), model: try row.text("model")),
                    LedgerUsage(requests: try row.int("requests"), amountNano: try whole(row, "amount"))
                )
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Tenants that used something on these days.
    package static func tenantsWithUsage(_ c: any SQLConnection, days: Range<Int64>) throws -> [String] {
        try c.query(
            "SELECT DISTINCT tenant_id FROM usage_daily WHERE day >= $1 AND day < $2 ORDER BY tenant_id",
            [.int(days.lowerBound), .int(days.upperBound)]
        ).map { try $0.text("tenant_id") }
    }

    /// How often usage of this day was posted.
    package static func usageEntries(_ c: any SQLConnection, tenantID: String, day: Int64) throws -> Int64 {
        try c.first(
            "SELECT COUNT(*) AS entries FROM ledger_entries WHERE tenant_id = $1 AND value_day = $2 AND kind = 'usage'",
            [.text(tenantID), .int(day)])?.int("entries") ?? 0
    }

    /// Tenants that paid something in and owe something all the same: what they have left.
    package static func overdrawn(_ c: any SQLConnection, limit: Int) throws -> [(tenantID: String, amountNano: Int64)] {
        try c.query(
            """
            SELECT b.tenant_id, b.amount_nano FROM ledger_balances b
            JOIN ledger_balances r ON r.tenant_id = b.tenant_id AND r.account = 'received' AND r.amount_nano < 0
            WHERE b.account = 'balance' AND b.amount_nano < 0 ORDER BY b.amount_nano, b.tenant_id LIMIT $1
            """, [.int(Int64(limit))]
        ).map { (try $0.text("tenant_id"), try $0.int("amount_nano")) }
    }

    // MARK: Sums

    /// Carried in two parts, as SQLite's SUM fails beyond 64 bits.
    private static let half: Int64 = 1_000_000_000

    private static func halves(_ expression: String, _ name: String) -> String {
        "SUM(\(expression) / \(half)) AS \(name)_high, SUM(\(expression) % \(half)) AS \(name)_low"
    }

    private static func whole(_ row: SQLRow, _ name: String) throws -> Int64 {
        let (high, low) = (try row.optionalInt("\(name)_high") ?? 0, try row.optionalInt("\(name)_low") ?? 0)
        return Int64(clamping: Int128(high) * Int128(half) + Int128(low))
    }
}
