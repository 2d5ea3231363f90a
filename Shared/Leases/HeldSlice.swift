/// What a data plane's disk keeps of a slice; one row. It is changed by what was folded from the journal and by what is promised to the control
/// plane; both are on the disk before they are told.
package struct HeldSlice: Hashable, Sendable {
    package typealias State = SliceReport.State

    package let id: SliceID
    package let account: AccountKey
    package let boot: String
    package let granted: Int64
    package private(set) var ceiling: Int64
    package private(set) var spent: Int64
    package private(set) var unknown: Int64
    package private(set) var state: State
    package let expires: Int64
    package let epoch: UInt64

    package init(_ report: SliceReport) {
        id = report.slice
        account = report.account
        boot = report.boot
        granted = LeaseAmount.clamped(report.granted)
        ceiling = min(LeaseAmount.clamped(report.ceiling), granted)
        spent = LeaseAmount.clamped(report.spent)
        unknown = LeaseAmount.clamped(report.unknown)
        state = report.state
        expires = report.expires
        epoch = report.epoch
    }

    package var report: SliceReport {
        SliceReport(
            slice: id, account: account, boot: boot, granted: granted, ceiling: ceiling, spent: spent, unknown: unknown, state: state,
            expires: expires, epoch: epoch)
    }

    /// A record was folded: what its request held of the slice is spent, not known, or given back. It counts whatever the slice's state is:
    /// it was reserved while the slice was open.
    package mutating func charge(spent more: Int64, unknown open: Int64) {
        spent = spent.plus(LeaseAmount.clamped(more))
        unknown = unknown.plus(LeaseAmount.clamped(open))
        ceiling = max(ceiling, spent.plus(unknown))
    }

    /// No more than this will be spent: a promise, and what is above it is another's once it was told.
    package mutating func lower(to ceiling: Int64) {
        guard state == .open else { return }
        self.ceiling = max(min(self.ceiling, ceiling), spent.plus(unknown))
    }

    /// Nothing will be spent from it any more.
    /// - Returns: false, and nothing is changed, while records of requests that were served from it are not folded: memory knows of more.
    package mutating func close(spent: Int64, unknown: Int64) -> Bool {
        guard state == .open, spent == self.spent, unknown == self.unknown else { return state == .closed }
        state = .closed
        ceiling = spent.plus(unknown)
        return true
    }

    /// This process may not be the one that it was granted to, or the control plane does not count it as held.
    package mutating func orphan() {
        if state == .open { state = .orphaned }
    }
}

/// Divides what a request came to over what it held of one account, part by part.
package struct HoldDivision {
    /// What was used beyond all that was held so far.
    package private(set) var beyond: Int64
    /// What may have been used beside, and is not divided yet.
    private var open: Int64

    /// - Parameters:
    ///   - spent: what was used, in the account's unit.
    ///   - isKnown: false where more may have been used than is known: the rest of what was held is then unknown.
    ///   - most: that no more than this is then taken to be used in all, `spent` included. Nil: everything that was held may be.
    package init(spent: Int64, isKnown: Bool, most: Int64? = nil) {
        beyond = max(0, spent)
        open = isKnown ? 0 : max(0, (most ?? .max).minus(beyond))
    }

    /// - Parameter amount: what was held of a slice.
    package mutating func take(_ amount: Int64) -> (spent: Int64, unknown: Int64) {
        let amount = max(0, amount)
        let spent = min(amount, beyond)
        beyond -= spent
        let unknown = min(open, amount - spent)
        open -= unknown
        return (spent, unknown)
    }

    /// - Parameter held: what was held of each slice, extensions included.
    /// - Returns: for each slice what is spent and what is unknown, and what was used beyond all that was held.
    package static func divide(
        _ held: [Int64], spent: Int64, isKnown: Bool, most: Int64? = nil
    ) -> (parts: [(spent: Int64, unknown: Int64)], beyond: Int64) {
        var division = HoldDivision(spent: spent, isKnown: isKnown, most: most)
        let parts = held.map { division.take($0) }
        return (parts, division.beyond)
    }
}

/// Who may go on spending after a restart. A disk can be an older one that was put back, or a copy, so what it holds proves nothing. The process
/// keeps a witness in this machine's memory which its death leaves behind and a restart of the machine does not. It is stepped with each
/// transaction that changes what is held, and counts what was written down of holds between two of them.
package struct ContinuityMark: Hashable, Sendable {
    package var boot: String
    package var step: UInt64
    /// Parts of holds that this boot has written down: on the disk, those that were folded.
    package var holds: UInt64

    package init(boot: String, step: UInt64, holds: UInt64 = 0) {
        self.boot = boot
        self.step = step
        self.holds = holds
    }

    /// - Parameters:
    ///   - disk: what the disk says, once everything that lay in the journal is folded.
    ///   - step: of the disk, as it was found.
    ///   - witness: what the memory says: the step that was last known to be on the disk, and what was written down before it left.
    ///   - begun: the step that was begun last, which may have come to the disk or not.
    package static func isContinued(disk: ContinuityMark?, found step: UInt64, witness: ContinuityMark?, begun: UInt64) -> Bool {
        guard let disk, let witness, disk.boot == witness.boot, !disk.boot.isEmpty, disk.holds >= witness.holds else { return false }
        return step == witness.step || (step == begun && begun == witness.step &+ 1)
    }
}
