/// What the control plane keeps of a slice; one row.
package struct LeasedSlice: Hashable, Sendable {
    package enum State: Int, Hashable, Sendable {
        case open = 0
        /// Its data plane's word: nothing will be spent from it any more.
        case closed = 1
        /// Its data plane has started without being able to go on with it. It stays counted in full.
        case orphaned = 2
        /// An operator's word that whoever held it is gone.
        case writtenOff = 3
    }

    package let id: SliceID
    package let account: AccountKey
    package let dataPlane: String
    package let boot: String
    /// The ask that it answers: the same ask gets it again.
    package let ask: UInt64
    package let granted: Int64
    package internal(set) var ceiling: Int64
    package internal(set) var spent: Int64
    package internal(set) var unknown: Int64
    /// How much of `unknown` an operator has decided, and how much of that he charged.
    package internal(set) var resolved: Int64
    package internal(set) var charged: Int64
    package internal(set) var state: State
    /// Unix milliseconds: from then on it is overdue. That alone makes nothing free.
    package let expires: Int64
    package let epoch: UInt64

    /// As stored.
    package init(
        id: SliceID, account: AccountKey, dataPlane: String, boot: String, ask: UInt64, granted: Int64, ceiling: Int64, spent: Int64,
        unknown: Int64, resolved: Int64, charged: Int64, state: State, expires: Int64, epoch: UInt64
    ) {
        self.id = id
        self.account = account
        self.dataPlane = dataPlane
        self.boot = boot
        self.ask = ask
        self.granted = granted
        self.ceiling = ceiling
        self.spent = spent
        self.unknown = unknown
        self.resolved = resolved
        self.charged = charged
        self.state = state
        self.expires = expires
        self.epoch = epoch
    }

    package var isHeld: Bool { state == .open || state == .orphaned }

    /// What it adds to its account's sums.
    package var parts: (settled: Int64, unknown: Int64, leased: Int64) {
        (spent.plus(charged), unknown - resolved, isHeld ? ceiling - spent - unknown : 0)
    }
}

/// How large slices are, and for how long they are given.
package struct LeasePolicy: Sendable {
    package var durationMilliseconds: Int64 = 24 * 3_600_000

    package init() {}

    /// What a data plane gets: what it wants where there is plenty, and less and less of what is left, down to what its request needs, so
    /// that little of the last of it lies with those who do not need it.
    /// - Parameter holders: how many data planes draw from the account.
    /// - Returns: nil where less is free than is needed.
    func size(free: Int64, needed: Int64, wanted: Int64, holders: Int) -> Int64? {
        let needed = max(1, needed)
        guard free >= needed else { return nil }
        let share = free / (2 * Int64(min(max(1, holders), 1 << 20)))
        return max(needed, min(wanted, share, LeaseAmount.maximum))
    }
}

/// What was odd about a report. None of it makes money free.
package struct ReportFindings: OptionSet, Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// More was said to be spent, or lent, than was granted: it counts up to that.
    package static let aboveGranted = ReportFindings(rawValue: 1)
    /// Less is spent than the same boot has said before: its disk is an older one.
    package static let wentBack = ReportFindings(rawValue: 2)
    /// More was spent after the slice was closed or written off: it counts.
    package static let afterTheEnd = ReportFindings(rawValue: 4)
    /// The control plane did not know of it: it counts from now on.
    package static let adopted = ReportFindings(rawValue: 8)
    /// Somebody other than its holder spoke for it: nothing counts.
    package static let notTheirs = ReportFindings(rawValue: 16)
}

/// An account of the control plane: one row, whose sums are those of its slices. `settled + unknown + leased + free = limit` after every step;
/// `free` is negative where the limit was lowered below what is out, and nothing is granted until it is back.
///
/// Each step changes the account and one slice, and both are stored in one transaction.
package struct LeaseAccount: Hashable, Sendable {
    package private(set) var limit: Int64
    package private(set) var settled: Int64
    package private(set) var unknown: Int64
    package private(set) var leased: Int64

    package init(limit: Int64, settled: Int64 = 0, unknown: Int64 = 0, leased: Int64 = 0) {
        self.limit = LeaseAmount.clamped(limit)
        self.settled = settled
        self.unknown = unknown
        self.leased = leased
    }

    package var free: Int64 { limit.minus(settled).minus(unknown).minus(leased) }

    /// Counts at once; what is out stays out.
    package mutating func setLimit(_ limit: Int64) { self.limit = LeaseAmount.clamped(limit) }

    /// Gives a slice, which is to be stored with the account before it is sent. An ask that was answered before gets the stored slice again:
    /// whoever calls this has looked for it.
    /// - Parameters:
    ///   - holders: how many data planes draw from the account, this one included.
    ///   - periodEnd: Unix milliseconds; nil for a budget that never begins anew.
    package mutating func grant(
        _ ask: LeaseAsk, as id: SliceID, to holder: LeaseHolder, holders: Int, policy: LeasePolicy = LeasePolicy(), epoch: UInt64,
        periodEnd: Int64?, nowMilliseconds now: Int64
    ) throws(LeaseRefusal) -> LeasedSlice {
        guard let amount = policy.size(free: free, needed: LeaseAmount.clamped(ask.needed), wanted: ask.wanted, holders: holders) else {
            throw free.plus(leased) >= max(1, ask.needed) ? .held : .exhausted
        }
        let expires = min(now.plus(policy.durationMilliseconds), periodEnd ?? .max)
        let slice = LeasedSlice(
            id: id, account: ask.account, dataPlane: holder.dataPlane, boot: holder.boot, ask: ask.id, granted: amount, ceiling: amount,
            spent: 0, unknown: 0, resolved: 0, charged: 0, state: .open, expires: expires, epoch: epoch)
        add(slice)
        return slice
    }

    /// Takes what a data plane says of a slice: the largest sums and the lowest ceiling count.
    /// - Parameter holder: who says it: the data plane and the boot of the stream's hello.
    package mutating func take(_ report: SliceReport, of slice: inout LeasedSlice, from holder: LeaseHolder) -> ReportFindings {
        guard holder.dataPlane == slice.dataPlane, report.slice == slice.id, report.account == slice.account else { return .notTheirs }
        var findings: ReportFindings = []
        remove(slice)
        defer { add(slice) }
        let isOwn = holder.boot == slice.boot
        if isOwn, report.spent < slice.spent { findings.insert(.wentBack) }
        if report.spent.plus(report.unknown) > slice.granted { findings.insert(.aboveGranted) }
        if !slice.isHeld, report.spent > slice.spent || report.unknown > slice.unknown { findings.insert(.afterTheEnd) }
        slice.spent = max(slice.spent, min(LeaseAmount.clamped(report.spent), slice.granted))
        // What was decided stays decided.
        let most = max(slice.resolved, slice.granted - slice.spent)
        slice.unknown = min(max(slice.unknown, LeaseAmount.clamped(report.unknown)), most)
        let used = slice.spent + slice.unknown
        // A ceiling, and an end, are promises that are on the disk before they are told: whichever boot reads them there, they were made.
        slice.ceiling = max(min(slice.ceiling, LeaseAmount.clamped(report.ceiling)), used)
        switch report.state {
        case .closed where slice.isHeld:
            slice.state = .closed
            slice.ceiling = used
        case .orphaned where slice.state == .open: slice.state = .orphaned
        case .open, .closed, .orphaned: break
        }
        return findings
    }

    /// Takes in a slice that the control plane does not know of: it was granted before a restore. Whoever holds it spends from it, so that
    /// nothing may be given twice.
    package mutating func adopt(_ report: SliceReport, from holder: LeaseHolder) -> LeasedSlice {
        let granted = LeaseAmount.clamped(max(report.granted, report.ceiling, report.spent.plus(report.unknown)))
        var slice = LeasedSlice(
            id: report.slice, account: report.account, dataPlane: holder.dataPlane, boot: report.boot, ask: 0, granted: granted,
            ceiling: granted, spent: 0, unknown: 0, resolved: 0, charged: 0, state: .open, expires: report.expires, epoch: report.epoch)
        add(slice)
        _ = take(report, of: &slice, from: holder)
        return slice
    }

    /// The holder's hello, or all that it told after a restore, did not name this slice of its boot: it was never received, and no stream on
    /// which it could still arrive is read any more. One that was reported before cannot be explained so, and becomes an orphan.
    package mutating func notHeld(_ slice: inout LeasedSlice) {
        guard slice.state == .open else { return }
        remove(slice)
        if slice.spent == 0, slice.unknown == 0 {
            slice.state = .closed
            slice.ceiling = 0
        } else {
            slice.state = .orphaned
        }
        add(slice)
    }

    /// Its data plane has started as another boot.
    package mutating func orphan(_ slice: inout LeasedSlice) {
        if slice.state == .open { slice.state = .orphaned }
    }

    /// An operator says that whoever held it is gone, and what was spent of it beside what was reported: that is settled, the rest free again.
    package mutating func writeOff(_ slice: inout LeasedSlice, charging amount: Int64) {
        guard slice.isHeld else { return }
        remove(slice)
        let open = max(0, slice.ceiling - slice.spent - slice.unknown)
        slice.charged = slice.charged.plus(min(LeaseAmount.clamped(amount), open))
        slice.state = .writtenOff
        add(slice)
    }

    /// An operator says what requests of unknown outcome have cost: that is settled, the rest of it is free again.
    package mutating func resolveUnknown(of slice: inout LeasedSlice, charging amount: Int64) {
        remove(slice)
        let open = slice.unknown - slice.resolved
        slice.charged = slice.charged.plus(min(LeaseAmount.clamped(amount), max(0, open)))
        slice.resolved = slice.unknown
        add(slice)
    }

    private mutating func add(_ slice: LeasedSlice) {
        let parts = slice.parts
        settled = settled.plus(parts.settled)
        unknown = unknown.plus(parts.unknown)
        leased = leased.plus(parts.leased)
    }

    private mutating func remove(_ slice: LeasedSlice) {
        let parts = slice.parts
        settled = settled.minus(parts.settled)
        unknown = unknown.minus(parts.unknown)
        leased = leased.minus(parts.leased)
    }
}

/// A boot of a data plane, as the control plane knows it; one row.
package struct LeaseHolder: Hashable, Sendable {
    package let dataPlane: String
    package let boot: String
    /// Of its last hello.
    package private(set) var hello: UInt64
    /// The control plane's epoch for which it has told everything that it keeps.
    package private(set) var toldEpoch: UInt64

    package init(dataPlane: String, boot: String, hello: UInt64 = 0, toldEpoch: UInt64 = 0) {
        self.dataPlane = dataPlane
        self.boot = boot
        self.hello = hello
        self.toldEpoch = toldEpoch
    }

    /// A stream begins. Whatever was asked for on an earlier one is void from now on: see `mayAsk`.
    /// - Returns: whether what the hello does not name is not held (`LeaseAccount.notHeld`): it names everything only to a control plane
    ///   that knows what was told as closed.
    /// - Throws: `.superseded` for a hello that is not newer than the last.
    package mutating func takeHello(_ number: UInt64, toldEpoch: UInt64, epoch: UInt64) throws(LeaseRefusal) -> Bool {
        guard number > hello else { throw .superseded }
        hello = number
        self.toldEpoch = toldEpoch
        return toldEpoch == epoch
    }

    /// Everything that is kept was told for an epoch, on the stream of a hello; what was not is not held.
    /// - Throws: `.superseded` when the stream does not count any more, or it was told before: what was granted since is not named in it.
    package mutating func takeInventory(onHello number: UInt64, for epoch: UInt64) throws(LeaseRefusal) {
        guard number == hello, toldEpoch != epoch else { throw .superseded }
        toldEpoch = epoch
    }

    /// To be looked at in the transaction that grants: a grant on an older stream would not be taken, and its slice was, or will be, closed as
    /// never received. So would one that comes before everything was told.
    package func mayAsk(onHello number: UInt64, epoch: UInt64) -> Bool { number == hello && toldEpoch == epoch }
}
