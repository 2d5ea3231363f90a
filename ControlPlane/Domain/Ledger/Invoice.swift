import Nouns
package import Primitives
import Storage
import Synchronization
import Trust

/// A tenant's month as a file that proves itself: the statement's lines, and every record that is charged, in the chain that its data plane
/// signed. `docs/invoices.md` describes it; it is read piece by piece, of one moment.
package final class Invoice: Sendable {
    package static let format = "weir-invoice/1"
    /// Rows of at most a thousand records.
    private static let rowsAtOnce = 4

    private let domain: DomainContext
    private let scope: TenantScope
    private let plan: InvoicePlan
    private let madeAt: Int64
    private let progress: Mutex<Progress>

    private struct Progress {
        var hasBegun = false
        /// Of the plan's chains.
        var chain = 0
        /// The last record written of it; nil: the chain has not begun.
        var number: Int64?
        var isOver = false
        var lines: Int64 = 0
        var records: Int64 = 0
        /// What the records of the month come to, by day.
        var charged: [Int64: BillingSum] = [:]
    }

    fileprivate init(_ domain: DomainContext, _ scope: TenantScope, _ plan: InvoicePlan, madeAt: Int64) {
        self.domain = domain
        self.scope = scope
        self.plan = plan
        self.madeAt = madeAt
        progress = Mutex(Progress())
    }

    /// The next lines, each with its end; nil: there are no more. Called by one at a time.
    package func next() async throws -> [UInt8]? {
        var state = progress.withLock { $0 }
        guard !state.isOver else { return nil }
        var lines: [JSONValue] = []
        if !state.hasBegun {
            lines = begin()
            state.hasBegun = true
        } else if plan.chains.indices.contains(state.chain) {
            try await add(plan.chains[state.chain], to: &lines, &state)
        } else {
            end(&lines, &state)
        }
        state.lines += Int64(lines.count)
        let done = state
        progress.withLock { $0 = done }
        return lines.reduce(into: []) { $0 += $1.bytes + [0x0A] }
    }

    private func begin() -> [JSONValue] {
        let statement = plan.statement
        let usage = statement.lines.filter { $0.entry.kind == .usage }
        let head: JSONValue = [
            "kind": "invoice", "format": .string(Self.format), "tenant_id": .string(statement.tenantID.rawValue),
            "tenant": .string(statement.tenant), "month": .string(statement.month.text), "made_at": .time(madeAt),
            "requests": .int(usage.reduce(0) { $0 &+ $1.requests }), "usage_nano": .int(usage.reduce(0) { $0 &- $1.amountNano }),
            "chains": .int(Int64(plan.chains.count)), "purged_before": .time(plan.purgedBefore),
        ]
        return [head] + plan.dataPlanes.map(\.json) + statement.booked
            + plan.unposted.sorted { $0.key < $1.key }.map { Self.sum("unposted", day: $0.key, $0.value) }
    }

    private static func sum(_ kind: String, day: Int64, _ sum: BillingSum) -> JSONValue {
        [
            "kind": .string(kind), "day": .string(BillingMonth.text(ofDay: day)), "requests": .int(sum.requests),
            "charged_nano": .int(sum.nano),
        ]
    }

    // MARK: Chains

    private func add(_ chain: InvoicePlan.Chain, to lines: inout [JSONValue], _ state: inout Progress) async throws {
        let after = state.number ?? chain.numbers.lowerBound - 1
        if state.number == nil {
            lines.append([
                "kind": "chain", "data_plane_id": .string(chain.key.dataPlaneID), "incarnation": .string(chain.key.incarnation),
                "first": .int(chain.numbers.lowerBound), "last": .int(chain.numbers.upperBound - 1), "broken": .optional(chain.broken),
            ])
            if let opening = chain.opening { lines.append(opening.json) }
            // Signed again while the chain rested.
            if let last = chain.last, last.number == after, last != chain.opening { lines.append(last.json) }
        }
        guard plan.purgedBefore == nil else {
            addPurged(chain, after: after, to: &lines)
            state.number = nil
            state.chain += 1
            return
        }
        let rows = try await domain.report(as: scope) { c in
            try SignedUsageTable.list(c, chain.key, after: after, through: chain.numbers.upperBound - 1, limit: Self.rowsAtOnce)
        }
        var number = after
        for row in rows {
            guard let records = SignedUsageWriter.read(row.records) else {
                throw DatabaseError.unexpectedValue("usage_signed holds no records")
            }
            for (offset, record) in records.enumerated() {
                let own = row.numbers.lowerBound + Int64(offset)
                guard own > number, own < chain.numbers.upperBound else { continue }
                if own > number + 1 { lines.append(Self.gap(number + 1, own - 1)) }
                number = own
                lines.append(json(record, own, chain.verdicts[own], &state))
                if let last = chain.last, last.number == own { lines.append(last.json) }
            }
        }
        guard rows.isEmpty || number >= chain.numbers.upperBound - 1 else {
            state.number = number
            return
        }
        if number < chain.numbers.upperBound - 1 { lines.append(Self.gap(number + 1, chain.numbers.upperBound - 1)) }
        state.number = nil
        state.chain += 1
    }

    /// Of a chain whose records are gone, what remains: how many there were, by the heads that were signed.
    private func addPurged(_ chain: InvoicePlan.Chain, after: Int64, to lines: inout [JSONValue]) {
        let end = chain.numbers.upperBound - 1
        let signed = min(end, max(after, chain.last?.number ?? after))
        func add(_ first: Int64, _ last: Int64) {
            if first <= last { lines.append(["kind": "purged", "first": .int(first), "last": .int(last)]) }
        }
        add(after + 1, signed)
        if let last = chain.last, last.number == signed, signed > after { lines.append(last.json) }
        add(signed + 1, end)
    }

    /// Records that are not here.
    private static func gap(_ first: Int64, _ last: Int64) -> JSONValue { ["kind": "gap", "first": .int(first), "last": .int(last)] }

    private func json(_ record: SignedUsage, _ number: Int64, _ verdict: UsageVerdictRow?, _ state: inout Progress) -> JSONValue {
        var (word, charged, day) =
            switch record.state {
            case .charged: ("charged", record.chargedNano, record.day)
            case .repeated: ("repeated", 0, record.day)
            case .apart: ("apart", 0, record.day)
            }
        if record.state == .apart, let verdict { (word, charged, day) = (verdict.state.rawValue, verdict.chargedNano, verdict.day) }
        state.records += 1
        if word == "charged", plan.statement.month.days.contains(day) {
            state.charged[day, default: BillingSum()].add(requests: 1, nano: charged)
        }
        return [
            "kind": "record", "number": .int(number), "state": .string(word), "charged_nano": .int(charged),
            "day": .string(BillingMonth.text(ofDay: day)), "bill": .string(Base64.encode(record.bill)), "rest": .string(record.rest.hex),
        ]
    }

    // MARK: The end

    private func end(_ lines: inout [JSONValue], _ state: inout Progress) {
        var total: [Int64: BillingSum] = plan.unposted
        for line in plan.statement.lines where line.entry.kind == .usage {
            total[line.entry.valueDay, default: BillingSum()].add(requests: line.requests, nano: 0 &- line.amountNano)
        }
        for day in Set(total.keys).union(state.charged.keys).sorted() {
            let (all, proved) = (total[day] ?? BillingSum(), state.charged[day] ?? BillingSum())
            guard all != proved else { continue }
            lines.append(
                Self.sum(
                    plan.purgedBefore == nil ? "unsigned" : "unproved", day: day,
                    BillingSum(requests: all.requests &- proved.requests, nano: all.nano &- proved.nano)))
        }
        lines.append(["kind": "end", "lines": .int(state.lines + Int64(lines.count)), "records": .int(state.records)])
        state.isOver = true
    }
}

extension UsageHeadRow {
    var json: JSONValue {
        [
            "kind": "head", "data_plane_id": .string(key.dataPlaneID), "incarnation": .string(key.incarnation), "number": .int(number),
            "link": .string(Hex.encode(link)), "signed_at_ms": .int(signedAt), "signature": .string(Base64.encode(signature)),
        ]
    }
}

extension InvoicePlan.DataPlane {
    var json: JSONValue {
        [
            "kind": "key", "data_plane_id": .string(id), "data_plane": .string(name), "public_key": .string(Base64.encode(publicKey)),
        ]
    }
}

extension Billing {
    /// A month's invoice; what was used and is not posted yet is posted first.
    /// - Throws: `DomainError.notFound` without such a tenant.
    package func invoice(of tenantID: TenantID, month: BillingMonth, as scope: TenantScope) async throws -> Invoice {
        try await ledger.postUsage(of: tenantID.rawValue, days: month.days)
        let plan = try await domain.report(as: scope) { c in try InvoicePlan(c, of: tenantID, month: month) }
        return Invoice(domain, scope, plan, madeAt: domain.clock.nowMilliseconds())
    }

    /// The public keys of the data planes that have signed records of the tenant: to be kept by it, before there is a bill to be checked.
    package func signers(of tenantID: TenantID, as scope: TenantScope) async throws -> [JSONValue] {
        try await domain.report(as: scope) { c in
            _ = try TenantContent.present(c, tenantID)
            let ids = Set(try UsageChainsTable.list(c, tenantID: tenantID.rawValue).map(\.key.dataPlaneID))
            let serving = try DataPlanesTable.active(c).filter { DirectoryScope(tenantIDs: $0.tenantIDs).contains(tenantID.rawValue) }
            return try InvoicePlan.dataPlanes(c, ids.union(serving.map(\.id))).map(\.json)
        }
    }
}
