import Nouns
package import Primitives
import Storage

/// What a tenant's month comes to: what it had, every line that counts for the month, and what it has then.
///
/// The lines are the ledger's, so they add up to it: opening balance + amounts = closing balance, and the lines of usage are the month's cost
/// in `Billing`. Usage that is posted after the month counts for it all the same, and its lines say when they were posted.
package struct BillingStatement: Sendable {
    package struct Line: Sendable, Hashable {
        let entry: LedgerEntryRow
        let projectID: String
        let model: String
        let requests: Int64
        /// Nano-dollars, as it changes what the tenant has left.
        let amountNano: Int64
        /// After it.
        let balanceNano: Int64
    }

    package let tenantID: TenantID
    let tenant: String
    package let month: BillingMonth
    let openingNano: Int64
    let lines: [Line]
    /// The last head of each chain of records that counts for it: what an invoice proves it by.
    let heads: [UsageHeadRow]
    let names: [String: String]

    var closingNano: Int64 { lines.last?.balanceNano ?? openingNano }

    private func sum(_ kind: LedgerKind) -> Int64 {
        Int64(clamping: lines.filter { $0.entry.kind == kind }.reduce(Int128(0)) { $0 + Int128($1.amountNano) })
    }

    private func dollars(_ nano: Int64) -> JSONValue { .string(NanoDollars(nano).decimalString) }

    /// Lines as objects: what the tenant had, each line, what it has, and the heads of the chains, which change no balance.
    package var objects: [JSONValue] { booked + heads.map(json) }

    var booked: [JSONValue] {
        [bound("opening", month.days.lowerBound, openingNano)] + lines.map(json) + [
            bound("closing", month.days.upperBound - 1, closingNano)
        ]
    }

    package var json: JSONValue {
        [
            "tenant_id": .string(tenantID.rawValue), "tenant": .string(tenant), "month": .string(month.text),
            "opening_balance": dollars(openingNano), "received": dollars(sum(.topUp)), "adjustments": dollars(sum(.adjustment)),
            "usage": dollars(sum(.usage)), "closing_balance": dollars(closingNano), "lines": .array(lines.map(json)),
            "heads": .array(heads.map(json)),
        ]
    }

    private func bound(_ kind: String, _ day: Int64, _ balance: Int64) -> JSONValue {
        var object = JSONObject()
        for name in Self.columns { object[name] = .null }
        object["day"] = .string(BillingMonth.text(ofDay: day))
        object["kind"] = .string(kind)
        object["balance"] = dollars(balance)
        return .object(object)
    }

    private func json(_ head: UsageHeadRow) -> JSONValue {
        var object = JSONObject()
        for name in Self.columns { object[name] = .null }
        object["day"] = .string(BillingMonth.text(ofDay: head.signedAt / 86_400_000))
        object["posted_at"] = .time(head.signedAt)
        object["kind"] = .string("head")
        object["reference"] = .string("\(head.key.dataPlaneID)/\(head.key.incarnation)")
        object["description"] = .string("\(head.number) records, \(Hex.encode(head.link)), signed \(Base64.encode(head.signature))")
        return .object(object)
    }

    private func json(_ line: Line) -> JSONValue {
        [
            "day": .string(BillingMonth.text(ofDay: line.entry.valueDay)), "posted_at": .time(line.entry.postedAt),
            "entry_id": .string(line.entry.id), "kind": .string(line.entry.kind.rawValue), "reference": .string(line.entry.idempotencyKey),
            "description": .string(line.entry.description), "project_id": line.projectID.isEmpty ? .null : .string(line.projectID),
            "project": .optional(names[line.projectID]), "model": line.model.isEmpty ? .null : .string(line.model),
            "requests": .int(line.requests), "amount": dollars(line.amountNano), "balance": dollars(line.balanceNano),
        ]
    }

    /// The members of a line, in their order.
    package static let columns = [
        "day", "posted_at", "entry_id", "kind", "reference", "description", "project_id", "project", "model", "requests", "amount",
        "balance",
    ]
}

extension BillingLedger {
    /// Lines of one statement; a month of hundreds of projects and models has fewer.
    private static let maximumLines = 100_000

    /// - Parameter postedUntil: Unix milliseconds: only what was posted before, which is the statement as it was then.
    /// - Throws: `DomainError.notFound` without such a tenant.
    package func statement(
        of tenantID: TenantID, month: BillingMonth, postedUntil: Int64? = nil, as scope: TenantScope
    ) async throws -> BillingStatement {
        // What was used and is not posted yet is posted first: the lines are whole.
        if postedUntil == nil { try await postUsage(of: tenantID.rawValue, days: month.days) }
        return try await domain.report(as: scope) { c in try Self.statement(c, of: tenantID, month: month, postedUntil: postedUntil) }
    }

    static func statement(
        _ c: any SQLConnection, of tenantID: TenantID, month: BillingMonth, postedUntil: Int64? = nil
    ) throws -> BillingStatement {
        let tenant = try TenantContent.present(c, tenantID)
        let rows = try LedgerTable.entries(
            c, tenantID: tenantID.rawValue, days: month.days, postedUntil: postedUntil, limit: Self.maximumLines + 1)
        let opening = try LedgerTable.balance(
            c, tenantID: tenantID.rawValue, .balance, before: month.days.lowerBound, postedUntil: postedUntil)
        var balance = opening
        var lines: [BillingStatement.Line] = []
        for entry in try Self.whole(c, rows) {
            // Each line of usage by itself; of everything else what it does to the balance.
            let shown =
                entry.row.kind == .usage ? entry.lines.filter { $0.account == .usage } : [LedgerLine(.usage, -entry.balanceChange)]
            for line in shown {
                balance = Int64(clamping: Int128(balance) - Int128(line.amountNano))
                lines.append(
                    BillingStatement.Line(
                        entry: entry.row, projectID: line.projectID, model: line.model, requests: line.requests,
                        amountNano: -line.amountNano, balanceNano: balance))
            }
        }
        guard lines.count <= Self.maximumLines else {
            throw DomainError.invalid("month", "has more than \(Self.maximumLines) lines", remedy: "Page through the ledger's entries.")
        }
        return BillingStatement(
            tenantID: tenantID, tenant: tenant.content.name, month: month, openingNano: opening, lines: lines,
            heads: try InvoicePlan.chains(c, tenantID: tenantID.rawValue, month: month).compactMap(\.last),
            names: try EntityNames.of(Set(lines.map(\.projectID)), c))
    }
}
