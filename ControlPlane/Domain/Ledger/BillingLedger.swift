import Nouns
package import Primitives
import Storage

/// An entry of a tenant's ledger, with its lines.
package struct LedgerEntry: Sendable, Hashable {
    package static let kinds = LedgerKind.allCases.map(\.rawValue)
    package static let accounts = LedgerAccount.allCases.map(\.rawValue)

    let row: LedgerEntryRow
    let lines: [LedgerLine]

    /// By how much it changes what the tenant has left.
    var balanceChange: Int64 { lines.filter { $0.account == .balance }.reduce(0) { $0 &+ $1.amountNano } }

    fileprivate func cursor(_ order: LedgerOrder) -> Cursor {
        Cursor(list: order.list, time: row.postedAt, id: order.isByDay ? "\(row.valueDay).\(row.id)" : row.id)
    }

    package var json: JSONValue {
        [
            "id": .string(row.id), "tenant_id": .string(row.tenantID), "kind": .string(row.kind.rawValue),
            "day": .string(BillingMonth.text(ofDay: row.valueDay)), "posted_at": .time(row.postedAt),
            "amount_nano": .int(balanceChange), "amount": .string(NanoDollars(balanceChange).decimalString),
            "reference": .string(row.idempotencyKey), "description": .string(row.description), "corrects_id": .optional(row.correctsID),
            "actor": ["id": .string(row.actorID), "name": .string(row.actorName)],
            "lines": .array(
                lines.map { line in
                    [
                        "account": .string(line.account.rawValue), "amount_nano": .int(line.amountNano),
                        "amount": .string(NanoDollars(line.amountNano).decimalString), "requests": .int(line.requests),
                        "project_id": line.projectID.isEmpty ? .null : .string(line.projectID),
                        "model": line.model.isEmpty ? .null : .string(line.model),
                    ]
                }),
        ]
    }
}

/// What is posted by somebody: a payment that came in, or a correction.
package struct LedgerPosting: Sendable, Hashable {
    package var tenantID: TenantID
    /// Positive: in the tenant's favour.
    package var amount: NanoDollars
    /// Names it among all of its kind of the tenant, for good: a payment's number. Posted again, it is the same entry.
    package var reference: String?
    package var description: String
    /// Of a correction: the entry that it puts right.
    package var correctsID: String?

    package init(tenantID: TenantID, amount: NanoDollars, reference: String? = nil, description: String = "", correctsID: String? = nil) {
        self.tenantID = tenantID
        self.amount = amount
        self.reference = reference
        self.description = description
        self.correctsID = correctsID
    }
}

/// What a tenant has left, and how that came about.
package struct TenantBalance: Sendable, Hashable {
    package let tenantID: TenantID
    let accounts: [LedgerAccount: Int64]
    /// Used, and not posted yet.
    let unposted: Int64

    /// Nano-dollars; below zero: what the tenant owes.
    package var availableNano: Int64 { (accounts[.balance] ?? 0).subtractingSaturating(unposted) }

    package var json: JSONValue {
        func dollars(_ nano: Int64) -> JSONValue { .string(NanoDollars(nano).decimalString) }
        return [
            "tenant_id": .string(tenantID.rawValue), "balance_nano": .int(availableNano), "balance": dollars(availableNano),
            "received": dollars(Int64(0).subtractingSaturating(accounts[.received] ?? 0)),
            "adjustments": dollars(Int64(0).subtractingSaturating(accounts[.adjustments] ?? 0)),
            "usage": dollars((accounts[.usage] ?? 0).subtractingSaturating(Int64(0).subtractingSaturating(unposted))),
        ]
    }
}

extension Int64 {
    fileprivate func subtractingSaturating(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other < 0 ? .max : .min) : difference
    }
}

/// The ledger of each tenant: payments, corrections and usage. Entries are posted and never edited.
///
/// Usage is posted by comparing the daily sums, which are written in the intake's own transaction, with what is posted: the difference
/// becomes an entry for the day on which it was used. So whatever comes late is posted once, by an entry of its own, and a round that is
/// done twice posts nothing the second time; the intake itself pays nothing for it.
package struct BillingLedger: Sendable {
    package static let list = "ledger"
    /// A million dollars at once are a slip of the finger.
    package static let maximumAmount = NanoDollars(1_000_000_000_000_000)
    /// How late usage can come: what is older when it arrives is taken for so old.
    package static let lateDays: Int64 = 402
    /// Days of which the running balance is made up exactly between two rounds.
    private static let recentDays: Int64 = 2

    let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    private var today: Int64 { domain.clock.nowMilliseconds() / 86_400_000 }

    // MARK: By hand

    /// Posts a payment that came in.
    package func topUp(_ posting: LedgerPosting, by actor: Actor) async throws -> LedgerEntry {
        guard posting.amount.rawValue > 0 else {
            throw DomainError.invalid("amount", "is not more than nothing", remedy: "Post what was received; a refund is an adjustment.")
        }
        return try await post(.topUp, against: .received, posting, by: actor)
    }

    /// Posts a correction: what was wrong stays, and this puts it right.
    package func adjust(_ posting: LedgerPosting, by actor: Actor) async throws -> LedgerEntry {
        guard posting.amount.rawValue != 0 else {
            throw DomainError.invalid("amount", "is nothing", remedy: "Pass an amount; with a minus it is taken from the tenant.")
        }
        return try await post(.adjustment, against: .adjustments, posting, by: actor)
    }

    private func post(
        _ kind: LedgerKind, against account: LedgerAccount, _ posting: LedgerPosting, by actor: Actor
    ) async throws -> LedgerEntry {
        try Self.check(posting)
        let now = domain.clock.nowMilliseconds()
        let (amount, tenantID) = (posting.amount.rawValue, posting.tenantID.rawValue)
        let row = LedgerEntryRow(
            id: Self.newID(), tenantID: tenantID, kind: kind, valueDay: now / 86_400_000, postedAt: now,
            idempotencyKey: posting.reference ?? Self.newID(), description: posting.description, correctsID: posting.correctsID,
            actorID: actor.id, actorName: actor.name)
        let entry = LedgerEntry(row: row, lines: [LedgerLine(.balance, amount), LedgerLine(account, -amount)])
        return try await domain.write(as: actor.scope) { c in
            _ = try TenantContent.present(c, posting.tenantID)
            if let corrects = posting.correctsID {
                guard let wrong = try LedgerTable.find(c, id: corrects), wrong.tenantID == tenantID else {
                    throw DomainError.invalid("corrects_id", "is no entry of the tenant's", remedy: "Look it up: weir billing entries.")
                }
            }
            do {
                guard try LedgerTable.post(c, row, entry.lines) else {
                    return try Self.earlier(c, entry)
                }
            } catch LedgerError.outOfRange {
                throw DomainError.invalid("amount", "is more than the account can hold", remedy: "Pass what was really paid.")
            }
            if amount < 0 {
                for budget in try BudgetContent.listed(c, where: "tenant_id", is: tenantID) where budget.content.prepaid {
                    try BudgetContent.recallWhatIsBeyond(budget, now, c)
                }
            }
            try AuditLog.record(c, actor, "ledger.\(kind.rawValue)", id: row.id, before: nil, after: entry.json, at: now)
            return entry
        }
    }

    /// What was posted under the same reference before.
    private static func earlier(_ c: any SQLConnection, _ entry: LedgerEntry) throws -> LedgerEntry {
        let found = try LedgerTable.find(c, tenantID: entry.row.tenantID, entry.row.kind, idempotencyKey: entry.row.idempotencyKey)
        guard let found, let lines = try LedgerTable.lines(c, entryIDs: [found.id])[found.id], lines == entry.lines else {
            throw DomainError.conflict(
                "reference", "was posted with another amount", remedy: "Use another reference, or correct that entry by an adjustment.")
        }
        return LedgerEntry(row: found, lines: lines)
    }

    private static func check(_ posting: LedgerPosting) throws(DomainError) {
        guard posting.amount.rawValue.magnitude <= maximumAmount.rawValue.magnitude else {
            throw .invalid("amount", "is more than \(maximumAmount)", remedy: "Post it in parts.")
        }
        if let reference = posting.reference {
            guard (1...255).contains(reference.utf8.count), reference.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
                throw .invalid("reference", "is not 1 to 255 printable characters", remedy: "Pass the payment's number.")
            }
        }
        guard posting.description.utf8.count <= 500, !posting.description.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
            throw .invalid("description", "is longer than 500 bytes or holds control characters", remedy: "Write one line of text.")
        }
    }

    private static func newID() -> String { "led_" + Base32.encode(SecureRandom.bytes(10)) }

    // MARK: Usage

    /// Posts what was used and is not posted yet, of every tenant; for the reconciler.
    /// - Parameter everything: As far back as usage may come late; else today and the two days before.
    package func postUsage(everything: Bool) async throws {
        let days = (today - (everything ? Self.lateDays : Self.recentDays))..<today + 2
        for tenantID in try await domain.read(as: .all, { try LedgerTable.tenantsWithUsage($0, days: days) }) {
            try await postUsage(of: tenantID, days: days)
        }
    }

    func postUsage(of tenantID: String, days: Range<Int64>) async throws {
        // Most of the time there is nothing, and nobody is held up to find that out.
        guard try await !domain.report(as: .all, { try Self.unposted($0, tenantID, days) }).isEmpty else { return }
        let now = domain.clock.nowMilliseconds()
        try await domain.write(as: .all) { c in
            for (day, lines) in try Self.unposted(c, tenantID, days).sorted(by: { $0.key < $1.key }) {
                let number = try LedgerTable.usageEntries(c, tenantID: tenantID, day: day) + 1
                let total = lines.reduce(Int128(0)) { $0 + Int128($1.amountNano) }
                guard let balance = Int64(exactly: -total) else { continue }
                let row = LedgerEntryRow(
                    id: Self.newID(), tenantID: tenantID, kind: .usage, valueDay: day, postedAt: now,
                    idempotencyKey: "\(BillingMonth.text(ofDay: day))/\(number)",
                    description: number == 1 ? "Usage" : "Further usage", actorID: "system", actorName: "billing")
                _ = try LedgerTable.post(c, row, [LedgerLine(.balance, balance)] + lines)
            }
        }
    }

    /// By day: the lines by which what is posted falls short of what was used.
    static func unposted(_ c: any SQLConnection, _ tenantID: String, _ days: Range<Int64>) throws -> [Int64: [LedgerLine]] {
        let posted = try LedgerTable.postedUsage(c, tenantID: tenantID, days: days)
        let used = try LedgerTable.summedUsage(c, tenantID: tenantID, days: days)
        var lines: [Int64: [LedgerLine]] = [:]
        for key in Set(used.keys).union(posted.keys).sorted() {
            let (now, before) = (used[key], posted[key])
            let (amount, overflow) = (now?.amountNano ?? 0).subtractingReportingOverflow(before?.amountNano ?? 0)
            let requests = (now?.requests ?? 0) &- (before?.requests ?? 0)
            guard !overflow, amount != 0 || requests != 0 else { continue }
            lines[key.day, default: []].append(
                LedgerLine(.usage, amount, requests: requests, projectID: key.projectID, model: key.model))
        }
        return lines
    }

    // MARK: Reading

    /// Newest first.
    /// - Parameter kind: One of `LedgerEntry.kinds`.
    package func entries(
        tenantID: TenantID?, kind word: String?, _ page: PageRequest, sortedBy order: LedgerOrder = .newestFirst, as scope: TenantScope
    ) async throws -> Page<LedgerEntry> {
        let kind = word.flatMap(LedgerKind.init)
        guard word == nil || kind != nil else {
            throw DomainError.invalid(
                "kind", "is no kind of entry", remedy: "Pass one of: \(LedgerEntry.kinds.joined(separator: ", ")).")
        }
        let after = try page.after.map { (cursor) throws(DomainError) in try order.place(cursor) }
        let found = try await domain.report(as: scope) { c in
            try Self.whole(
                c,
                LedgerTable.list(
                    c, tenantID: tenantID?.rawValue, kind, by: order.isByDay ? .day : .posted, isDescending: order.isDescending,
                    after: after, limit: page.fetchLimit))
        }
        return Page(fetched: found, page) { $0.cursor(order) }
    }

    static func whole(_ c: any SQLConnection, _ rows: [LedgerEntryRow]) throws -> [LedgerEntry] {
        let lines = try LedgerTable.lines(c, entryIDs: rows.map(\.id))
        return rows.map { LedgerEntry(row: $0, lines: lines[$0.id] ?? []) }
    }

    /// What a tenant has left now: by what is posted, and by what it has used since.
    package func balance(of tenantID: TenantID, as scope: TenantScope) async throws -> TenantBalance {
        let days = (today - Self.recentDays)..<today + 2
        return try await domain.report(as: scope) { c in
            _ = try TenantContent.present(c, tenantID)
            var accounts: [LedgerAccount: Int64] = [:]
            for account in LedgerAccount.allCases {
                accounts[account] = try LedgerTable.balance(c, tenantID: tenantID.rawValue, account)
            }
            let unposted = try Self.unposted(c, tenantID.rawValue, days).values.joined().reduce(Int128(0)) { $0 + Int128($1.amountNano) }
            return TenantBalance(tenantID: tenantID, accounts: accounts, unposted: Int64(clamping: unposted))
        }
    }
}
