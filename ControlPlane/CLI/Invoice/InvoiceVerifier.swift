import Primitives
import Trust

/// The first line of an invoice that is not true.
struct InvoiceFault: Error, Hashable {
    /// From 1; 0: the file as a whole.
    let line: Int
    let text: String
}

/// Which chain: of which data plane, and which life of its database.
struct ChainName: Hashable, CustomStringConvertible {
    let dataPlaneID: String
    let incarnation: String

    var description: String { "\(dataPlaneID)/\(incarnation)" }
}

/// Checks an invoice (docs/invoices.md) line by line, with nothing but the data planes' public keys. A file may have any length.
struct InvoiceVerifier {
    /// Where a chain ended in an earlier invoice.
    struct Ending {
        let number: Int64
        let link: Digest256
    }

    /// Those that were known before; nil: those that the invoice names are taken.
    let pinned: [String: [UInt8]]?
    let earlier: [ChainName: Ending]

    private(set) var report = InvoiceReport()
    private var line = 0
    private var keys: [String: [UInt8]] = [:]
    private var days: Range<Int64> = 0..<0
    private var balance: Int64?
    private var hasClosed = false
    private var hasEnded = false
    /// The control plane says that it has the month's records no more.
    private var isPurged: Bool { report.purgedBefore != nil }
    private var stated = (requests: Int64(0), nano: Int64(0), chains: Int64(0))
    /// By day: what the statement's lines come to, and what its records do.
    private var used: [Int64: InvoiceSum] = [:]
    private var charged: [Int64: InvoiceSum] = [:]
    private var posted = InvoiceSum()
    private var chain: InvoiceChain?
    private var seen: Set<ChainName> = []
    /// Charged ones, by the data plane's place among the keys.
    private var requests: Set<ChargedRequest> = []

    private struct ChargedRequest: Hashable {
        let id: RequestID
        let plane: Int
    }

    init(pinned: [String: [UInt8]]? = nil, earlier: [ChainName: Ending] = [:]) {
        self.pinned = pinned
        self.earlier = earlier
    }

    // MARK: Lines

    /// The next line, without its end.
    mutating func take(_ bytes: [UInt8]) throws(InvoiceFault) {
        line += 1
        guard let value = try? JSONValue(parsing: bytes), let kind = value["kind"]?.stringValue else {
            throw fault("is no line of an invoice")
        }
        guard !hasEnded else { throw fault("stands behind the end") }
        guard line == 1 || kind != "invoice" else { throw fault("begins another invoice") }
        switch kind {
        case "invoice": try begin(value)
        case "key": try key(value)
        case "opening", "usage", "top_up", "adjustment", "closing": try book(kind, value)
        case "unposted", "unsigned": try sum(kind, value)
        case "unproved":
            guard isPurged else { throw fault("says that records were purged, which the first line does not") }
            try sum(kind, value)
        case "purged": try purged(value)
        case "chain": try beginChain(value)
        case "head": try head(value)
        case "record": try record(value)
        case "gap": throw fault("the records \(value["first"]?.text ?? "?") to \(value["last"]?.text ?? "?") of the chain are missing")
        case "end": try end(value)
        default: throw fault("is of a kind that this version does not know: \(kind.prefix(40))")
        }
        if line == 1, kind != "invoice" { throw fault("is no invoice's first line") }
    }

    /// After the last line.
    mutating func finish() throws(InvoiceFault) {
        guard hasEnded else {
            throw InvoiceFault(line: line + 1, text: line == 0 ? "the file is empty" : "the end is missing: the file was cut off")
        }
    }

    private func fault(_ text: String) -> InvoiceFault { InvoiceFault(line: line, text: text) }

    private func text(_ value: JSONValue, _ name: String) throws(InvoiceFault) -> String {
        guard let text = value[name]?.stringValue else { throw fault("has no \(name)") }
        return text
    }

    private func number(_ value: JSONValue, _ name: String) throws(InvoiceFault) -> Int64 {
        guard let number = value[name]?.intValue else { throw fault("has no whole number \(name)") }
        return number
    }

    private func day(_ value: JSONValue) throws(InvoiceFault) -> Int64 {
        guard let milliseconds = RFC3339.milliseconds(try text(value, "day") + "T00:00:00Z") else { throw fault("has no day") }
        return milliseconds / 86_400_000
    }

    private func add(_ a: Int64, _ b: Int64) throws(InvoiceFault) -> Int64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        guard !overflow else { throw fault("makes a sum that is too large") }
        return sum
    }

    private mutating func begin(_ value: JSONValue) throws(InvoiceFault) {
        let format = try text(value, "format")
        guard format == "weir-invoice/1" else { throw fault("is of another format: \(format.prefix(40))") }
        report.tenantID = try text(value, "tenant_id")
        report.tenant = value["tenant"]?.stringValue ?? ""
        report.month = try text(value, "month")
        report.madeAt = value["made_at"]?.stringValue ?? ""
        let parts = report.month.split(separator: "-").compactMap { Int64($0) }
        guard parts.count == 2, (1970...9998).contains(parts[0]), (1...12).contains(parts[1]) else { throw fault("names no month") }
        let next = parts[1] == 12 ? (parts[0] + 1, 1 as Int64) : (parts[0], parts[1] + 1)
        days = RFC3339.days(year: parts[0], month: parts[1], day: 1)..<RFC3339.days(year: next.0, month: next.1, day: 1)
        report.purgedBefore = value["purged_before"]?.stringValue
        stated = (try number(value, "requests"), try number(value, "usage_nano"), try number(value, "chains"))
    }

    private mutating func key(_ value: JSONValue) throws(InvoiceFault) {
        let id = try text(value, "data_plane_id")
        guard let key = Base64.decode(try text(value, "public_key")), key.count == 32, keys[id] == nil else {
            throw fault("is no key, or the second one of \(id)")
        }
        if let pinned {
            guard let known = pinned[id] else { throw fault("\(id) signs this invoice, and is not among the keys that are known") }
            guard known == key else { throw fault("the key of \(id) is not the one that is known") }
        }
        keys[id] = key
        report.keys.append((id, key))
    }

    // MARK: The statement

    private mutating func book(_ kind: String, _ value: JSONValue) throws(InvoiceFault) {
        guard let after = NanoDollars(decimal: try text(value, "balance"))?.rawValue else { throw fault("has no balance") }
        switch kind {
        case "opening":
            guard balance == nil else { throw fault("opens a second time") }
            balance = after
        case "closing":
            guard balance == after, !hasClosed else { throw fault("the lines do not add up to the balance \(try text(value, "balance"))") }
            hasClosed = true
        default:
            guard let before = balance, !hasClosed, let amount = NanoDollars(decimal: try text(value, "amount"))?.rawValue else {
                throw fault("is no line of a statement")
            }
            guard try add(before, amount) == after else { throw fault("the balance before it and its amount are not the balance after it") }
            balance = after
            let day = try day(value)
            guard days.contains(day) else { throw fault("does not lie in \(report.month)") }
            guard kind == "usage" else { return }
            let line = InvoiceSum(requests: try number(value, "requests"), nano: 0 &- amount)
            try add(line, to: &used[day, default: InvoiceSum()])
            try add(line, to: &posted)
        }
    }

    private mutating func sum(_ kind: String, _ value: JSONValue) throws(InvoiceFault) {
        let day = try day(value)
        let sum = InvoiceSum(requests: try number(value, "requests"), nano: try number(value, "charged_nano"))
        guard days.contains(day) else { throw fault("does not lie in \(report.month)") }
        if kind == "unposted" {
            try add(sum, to: &used[day, default: InvoiceSum()])
            return try add(sum, to: &report.unposted)
        }
        guard sum.requests >= 0, sum.nano >= 0, sum != InvoiceSum() else {
            throw fault("the records of \(try text(value, "day")) are not what the statement charges for that day")
        }
        try endChain()
        try add(sum, to: &charged[day, default: InvoiceSum()])
        if kind == "unproved" { try add(sum, to: &report.purged) } else { try add(sum, to: &report.unsigned) }
    }

    private func add(_ sum: InvoiceSum, to total: inout InvoiceSum) throws(InvoiceFault) {
        total = InvoiceSum(requests: try add(total.requests, sum.requests), nano: try add(total.nano, sum.nano))
    }

    // MARK: Chains

    private mutating func beginChain(_ value: JSONValue) throws(InvoiceFault) {
        try endChain()
        let name = ChainName(dataPlaneID: try text(value, "data_plane_id"), incarnation: try text(value, "incarnation"))
        let (first, last) = (try number(value, "first"), try number(value, "last"))
        guard seen.insert(name).inserted else { throw fault("the chain \(name) is there twice") }
        guard let key = keys[name.dataPlaneID] else { throw fault("no key of \(name.dataPlaneID) is named") }
        guard first >= 1, last >= first - 1, last <= UsageChain.mostRecords else { throw fault("has no beginning or no end") }
        if let before = earlier[name], first > before.number + 1 {
            throw fault("the records \(before.number + 1) to \(first - 1) of \(name) are in neither invoice")
        }
        chain = InvoiceChain(
            name: name, key: key, last: last, number: first - 1,
            // What does not begin at the beginning follows a signed head.
            link: first == 1
                ? UsageChain.genesis(dataPlaneID: name.dataPlaneID, incarnation: name.incarnation, tenantID: report.tenantID) : nil)
        if let why = value["broken"]?.stringValue { report.notes.append("the control plane found \(name) broken: \(why.visible)") }
    }

    private mutating func head(_ value: JSONValue) throws(InvoiceFault) {
        guard var chain else { throw fault("belongs to no chain") }
        guard let link = Digest256(hex: try text(value, "link")), let signature = Base64.decode(try text(value, "signature")) else {
            throw fault("is no head")
        }
        let name = ChainName(dataPlaneID: try text(value, "data_plane_id"), incarnation: try text(value, "incarnation"))
        let head = UsageHead(
            dataPlaneID: name.dataPlaneID, incarnation: name.incarnation, tenantID: report.tenantID, number: try number(value, "number"),
            link: link, signedAt: try number(value, "signed_at_ms"), signature: signature)
        guard name == chain.name else { throw fault("is the head of another chain, \(name)") }
        guard head.number == chain.number else { throw fault("is the head of \(head.number) records, where there are \(chain.number)") }
        guard chain.link == nil || chain.link == link else {
            throw fault("\(name) signed other records than those up to number \(head.number)")
        }
        guard head.isSigned(by: chain.key) else { throw fault("its signature is not that of \(name.dataPlaneID)") }
        try compare(chain.name, head.number, link)
        (chain.link, chain.signed, chain.signedAt) = (link, head.number, max(chain.signedAt, head.signedAt))
        chain.open = InvoiceSum()
        report.heads += 1
        self.chain = chain
    }

    /// With an earlier invoice.
    private func compare(_ name: ChainName, _ number: Int64, _ link: Digest256) throws(InvoiceFault) {
        guard let before = earlier[name], before.number == number, before.link != link else { return }
        throw fault("the chain \(name) is another one than in the earlier invoice")
    }

    private mutating func record(_ value: JSONValue) throws(InvoiceFault) {
        guard var chain else { throw fault("belongs to no chain") }
        let number = try number(value, "number")
        guard number == chain.number + 1, number <= chain.last else {
            throw fault("is record \(number), where \(chain.number + 1) of \(chain.last) follows")
        }
        guard let before = chain.link else { throw fault("the chain begins without a signed head") }
        guard let bill = Base64.decode(try text(value, "bill")), let rest = Digest256(hex: try text(value, "rest")),
            let read = SignedBill(bill)
        else { throw fault("is no record") }
        guard read.tenantID == report.tenantID else {
            throw fault("is a record of another tenant, \(String(read.tenantID.prefix(64)).visible)")
        }
        let link = UsageChain.link(before, UsageDigests(bill: .of(bill), rest: rest))
        (chain.number, chain.link) = (number, link)
        try compare(chain.name, number, link)
        report.records += 1
        let (state, nano, day) = (try text(value, "state"), try self.number(value, "charged_nano"), try day(value))
        switch state {
        case "charged":
            guard (0...max(0, read.costNano)).contains(nano) else {
                throw fault("\(nano) nano-dollars are charged, where \(read.costNano) were signed")
            }
            guard day == read.admittedAtMicroseconds / 86_400_000_000 else { throw fault("counts for another day than was signed") }
            let plane = report.keys.firstIndex { $0.id == chain.name.dataPlaneID } ?? -1
            guard requests.insert(ChargedRequest(id: read.requestID, plane: plane)).inserted else {
                throw fault("its request is charged a second time")
            }
            if nano < read.costNano { report.reduced += 1 }
            let one = InvoiceSum(requests: 1, nano: nano)
            if days.contains(day) {
                try add(one, to: &charged[day, default: InvoiceSum()])
                try add(one, to: &report.charged)
                try add(one, to: &chain.open)
            } else {
                report.otherMonths += 1
            }
        case "repeated", "apart", "discarded":
            guard nano == 0 else { throw fault("is \(state), and charged all the same") }
            report.uncharged += 1
        default: throw fault("has an unknown state")
        }
        self.chain = chain
    }

    /// Records that the control plane has no more: how many there were is known by the head behind them.
    private mutating func purged(_ value: JSONValue) throws(InvoiceFault) {
        guard isPurged else { throw fault("says that records were purged, which the first line does not") }
        guard var chain else { throw fault("belongs to no chain") }
        let (first, last) = (try number(value, "first"), try number(value, "last"))
        guard first == chain.number + 1, last >= first, last <= chain.last else {
            throw fault("says that the records \(first) to \(last) were purged, where \(chain.number + 1) of \(chain.last) follows")
        }
        (chain.number, chain.link) = (last, nil)
        self.chain = chain
    }

    private mutating func endChain() throws(InvoiceFault) {
        guard let chain else { return }
        self.chain = nil
        guard chain.number == chain.last else {
            throw fault("the chain \(chain.name) ends with record \(chain.number), where \(chain.last) was to be the last")
        }
        report.chains.append(
            InvoiceReport.Chain(
                name: chain.name, last: chain.last, signed: chain.signed, open: chain.open,
                isClosed: chain.signed == chain.last && chain.signedAt >= days.upperBound * 86_400_000))
        if let link = chain.link { report.endings[chain.name] = Ending(number: chain.last, link: link) }
    }

    // MARK: The end

    private mutating func end(_ value: JSONValue) throws(InvoiceFault) {
        try endChain()
        guard hasClosed else { throw fault("the statement has no closing balance") }
        guard try number(value, "lines") == Int64(line - 1) else {
            throw fault("there are \(line - 1) lines before the end, and others were written")
        }
        guard try number(value, "records") == report.records, stated.chains == Int64(report.chains.count) else {
            throw fault("there are more or fewer records or chains than were written")
        }
        guard stated.requests == posted.requests, stated.nano == posted.nano else {
            throw fault("the lines of usage come to \(NanoDollars(posted.nano)), where the first line says \(NanoDollars(stated.nano))")
        }
        for day in Set(used.keys).union(charged.keys).sorted() {
            let (all, proved) = (used[day] ?? InvoiceSum(), charged[day] ?? InvoiceSum())
            guard all == proved else {
                throw fault(
                    "\(RFC3339.string(milliseconds: day * 86_400_000).prefix(10)): the statement charges \(NanoDollars(all.nano)) for \(all.requests) requests, its records come to \(NanoDollars(proved.nano)) for \(proved.requests)"
                )
            }
        }
        hasEnded = true
    }
}

/// A chain that is being read.
private struct InvoiceChain {
    let name: ChainName
    let key: [UInt8]
    let last: Int64
    var number: Int64
    var link: Digest256?
    /// Up to where it is signed, and the latest time (Unix milliseconds) at which it was.
    var signed: Int64 = 0
    var signedAt: Int64 = 0
    /// What is charged for the month after that.
    var open = InvoiceSum()
}

/// What a signed bill says that a charge depends on.
private struct SignedBill {
    private(set) var requestID = RequestID(high: 0, low: 0)
    private(set) var tenantID = ""
    private(set) var admittedAtMicroseconds: Int64 = 0
    private(set) var costNano: Int64 = 0

    /// Fields of a `weir.v1.UsageRecord`; nil for what is none.
    init?(_ bytes: [UInt8]) {
        var id: RequestID?
        let isWhole = bytes.withUnsafeBytes { bytes in
            var reader = WireReader(count: bytes.count)
            while let (number, wire) = reader.tag(bytes) {
                switch (number, wire) {
                case (1, 2): if let place = reader.block(bytes) { id = RequestID(bytes: bytes[place]) }
                case (2, 2): if let id = reader.block(bytes) { tenantID = String(decoding: bytes[id], as: UTF8.self) }
                case (10, 0): admittedAtMicroseconds = Int64(bitPattern: reader.varint(bytes) ?? 0)
                case (31, 0): costNano = Int64(bitPattern: reader.varint(bytes) ?? 0)
                default: reader.skip(wire, bytes)
                }
            }
            return !reader.hasFailed
        }
        guard isWhole, let id else { return nil }
        requestID = id
    }
}
