import Primitives

/// Requests, and what was charged for them.
struct InvoiceSum: Hashable {
    var requests: Int64 = 0
    var nano: Int64 = 0

    var text: String { "\(NanoDollars(nano)) for \(requests) request\(requests == 1 ? "" : "s")" }
}

/// What an invoice that holds no false line proves, and what it leaves open.
struct InvoiceReport {
    struct Chain {
        let name: ChainName
        let last: Int64
        /// Up to which record it is signed.
        let signed: Int64
        /// What is charged for the month after that.
        let open: InvoiceSum
        /// A head that was signed after the month says that there is nothing more of it.
        let isClosed: Bool
    }

    var tenantID = ""
    var tenant = ""
    var month = ""
    var madeAt = ""
    var keys: [(id: String, key: [UInt8])] = []
    var chains: [Chain] = []
    var endings: [ChainName: InvoiceVerifier.Ending] = [:]
    var records: Int64 = 0
    var heads = 0
    /// Records of the month, all of which are charged by the statement.
    var charged = InvoiceSum()
    /// Charged, and not posted to the ledger yet.
    var unposted = InvoiceSum()
    /// Charged without a record in a chain.
    var unsigned = InvoiceSum()
    /// Of a month whose records are gone: from before when they are, and what is charged for those that are not here.
    var purgedBefore: String?
    var purged = InvoiceSum()
    var otherMonths: Int64 = 0
    var uncharged: Int64 = 0
    /// Charged less than was signed.
    var reduced: Int64 = 0
    var notes: [String] = []

    /// What is charged and not proved, or may be missing.
    var open: [String] {
        var lines: [String] = []
        if unsigned != InvoiceSum() { lines.append("\(unsigned.text): no data plane signed records of them") }
        if let purgedBefore {
            lines.append(
                "\(purged.text): the control plane keeps no records from before \(String(purgedBefore.prefix(10)).visible). What it still shows: the ledger's lines add up, and how many records each data plane signed. An invoice that was fetched before proves them"
            )
        }
        for chain in chains where !chain.isClosed {
            lines.append(
                chain.signed < chain.last
                    ? "\(chain.name): the records \(chain.signed + 1) to \(chain.last) are not signed yet (\(chain.open.text))"
                    : "\(chain.name): signed up to record \(chain.last), and not yet after the month: more may follow")
        }
        return lines + notes
    }

    var isWhole: Bool { open.isEmpty }

    /// - Parameter isPinned: The keys were known before.
    func lines(isPinned: Bool) -> [String] {
        var lines = ["Invoice of \(tenant.visible) (\(tenantID)) for \(month), made \(madeAt)"]
        if purgedBefore == nil {
            lines += [
                "  \(records) records in \(chains.count) chains: each in its place, none added, dropped or changed",
                "  charged for the month: \(charged.text), day by day what the statement's lines of usage come to",
            ]
        } else {
            lines.append(
                "  \(chains.reduce(0) { $0 + $1.last }) records in \(chains.count) chains by their heads; the records themselves are purged"
            )
        }
        lines += [
            "  signatures of heads: \(heads), all good"
        ]
        if unposted != InvoiceSum() { lines.append("  of it not posted to the ledger yet: \(unposted.text)") }
        if otherMonths > 0 { lines.append("  records of other months between them: \(otherMonths)") }
        if uncharged > 0 { lines.append("  signed and not charged (repeated, kept apart or discarded): \(uncharged)") }
        if reduced > 0 { lines.append("  charged less than was signed: \(reduced)") }
        lines.append(
            isPinned
                ? "  keys: those that were known before"
                : "  keys: those that the invoice itself names, believed because nothing else is known (trust on first use): --keys pins them"
        )
        if !isWhole { lines += ["Not proved:"] + open.map { "  \($0)" } }
        return lines
    }

    func json(isPinned: Bool) -> JSONValue {
        [
            "result": .string(isWhole ? "proved" : "open"), "tenant_id": .string(tenantID), "month": .string(month),
            "records": .int(records), "chains": .int(Int64(chains.count)), "heads": .int(Int64(heads)),
            "charged_requests": .int(charged.requests), "charged_nano": .int(charged.nano), "unsigned_requests": .int(unsigned.requests),
            "unsigned_nano": .int(unsigned.nano), "uncharged": .int(uncharged), "keys_pinned": .bool(isPinned),
            "purged_before": purgedBefore.map { .string($0) } ?? .null, "purged_requests": .int(purged.requests),
            "purged_nano": .int(purged.nano),
            "open": .strings(open),
        ]
    }
}
