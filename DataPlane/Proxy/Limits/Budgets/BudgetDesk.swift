import Contract
import Foundation
import Leases
import Logging
import Primitives
import Synchronization

/// What all loops share of budgets: the slices held (a short lock, uncontended as a rule), who waits for more, and what the lease stream is to
/// say. A deployment without budgets has one that nobody asks.
package final class BudgetDesk: Sendable {
    private struct State {
        var wallet = Wallet()
        /// The unit of each account that was asked for: it is kept beside its slices.
        var units: [AccountKey: Int] = [:]
        /// Grants that have an amount, by its account: sent with each ask for more of it.
        var grants: [AccountKey: String] = [:]
        var isReady = false
        var isStopping = false
        var isGivenBack = false
        var isLinked = false
        /// Told when something may be had that was not, or is known not to be.
        var listeners: [@Sendable () -> Void] = []
        var counts = Counts()
    }

    package struct Counts: Sendable {
        package var reserved: UInt64 = 0
        package var refused: UInt64 = 0
        package var unavailable: UInt64 = 0
        package var observed: UInt64 = 0
        package var waited: UInt64 = 0
        package var beyond: UInt64 = 0
    }

    private let state: Mutex<State>
    /// Nil where nothing is kept: in tests of other things.
    let store: LeaseStore?
    let clock: any WallClock
    private let logger: Logger
    /// The lease stream waits for it.
    let wake = LinkSignal()
    private let worker = DispatchQueue(label: "weir.leases", qos: .utility)

    init(store: LeaseStore?, clock: any WallClock = SystemClock(), logger: Logger, wallet: Wallet = Wallet()) {
        self.store = store
        self.clock = clock
        self.logger = logger
        var state = State()
        state.wallet = wallet
        state.isReady = store == nil
        self.state = Mutex(state)
    }

    /// For data planes without budgets, and tests of other things.
    package convenience init() { self.init(store: nil, logger: Logger(label: "weir.budgets") { _ in SwiftLogNoOpLogHandler() }) }

    package var sums: Counts { state.withLock { $0.counts } }

    /// Everything that an earlier process left is folded: what the disk says is what is held.
    package func recovered() {
        do {
            let orphans = try store?.judge() ?? 0
            if orphans > 0 {
                logger.warning(
                    """
                    slices of budgets that the last process held are not spent from: this machine was restarted, or the data directory is \
                    another or an older one. They stay counted until they are written off: weir budget write-off
                    """, metadata: ["slices": "\(orphans)"])
            }
            let open = try store?.open() ?? []
            let now = clock.nowMilliseconds()
            state.withLock { state in
                for (slice, unit) in open {
                    state.units[slice.account] = unit
                    state.wallet.add(slice, nowMilliseconds: now)
                }
                state.isReady = true
            }
        } catch {
            logger.error("slices of budgets cannot be read: what is limited by budgets waits for new ones", metadata: ["error": "\(error)"])
            state.withLock { $0.isReady = true }
        }
        tell()
        wake.raise()
    }

    // MARK: Requests

    /// Reserves all claims of rules that refuse, or nothing; then those of the others, as far as there is something. `.short`: more was asked
    /// for, and the listeners are told when the answer is there.
    /// - Parameter strict: how many of the rules refuse; they are the first.
    /// - Returns: also the places of those others that were refused.
    func reserve(_ claims: [Claim], of rules: [BudgetRule], strict: Int) -> (Reservation, refused: [Int]) {
        let now = clock.nowMilliseconds()
        var refused: [Int] = []
        var isShort = false
        let reservation = state.withLock { state -> Reservation in
            guard state.isReady else {
                return strict == 0 ? .held([]) : .short(claims.first?.account ?? AccountKey(high: 0, low: 0, periodStart: 0))
            }
            func reserve(_ claims: [Claim], _ rules: some Collection<BudgetRule>) -> Reservation {
                let reservation = state.wallet.reserve(claims, nowMilliseconds: now)
                if case .short = reservation {
                    isShort = true
                    for (claim, rule) in zip(claims, rules) { state.units[claim.account] = rule.unit.rawValue }
                }
                return reservation
            }
            var parts: [HoldPart] = []
            switch reserve(strict == claims.count ? claims : Array(claims[..<strict]), rules) {
            case .held(let held): parts = held
            case let other: return other
            }
            // Whoever only observes makes nobody wait.
            for index in strict..<claims.count {
                switch reserve([claims[index]], CollectionOfOne(rules[index])) {
                case .held(let held): parts += held
                case .short: if state.wallet.lastRefusal(claims[index], nowMilliseconds: now) != nil { refused.append(index) }
                case .refused: refused.append(index)
                }
            }
            state.counts.reserved &+= 1
            return .held(parts)
        }
        if isShort { wake.raise() }
        return (reservation, refused)
    }

    private static let maximumGrants = 4096

    /// A request asks with a grant: see `GrantBudget`.
    func know(_ grant: String, of account: AccountKey) {
        state.withLock { state in
            guard state.grants[account] == nil else { return }
            // Whoever asks again brings it again.
            if state.grants.count >= Self.maximumGrants { state.grants.removeAll() }
            state.grants[account] = grant
        }
    }

    func grant(of account: AccountKey) -> String? { state.withLock { $0.grants[account] } }

    /// More for a request that runs.
    func extend(_ claim: Claim) -> [HoldPart]? {
        let now = clock.nowMilliseconds()
        let parts = state.withLock { $0.wallet.extend(claim, nowMilliseconds: now) }
        if parts == nil { wake.raise() }
        return parts
    }

    /// What there is of an amount that is used already.
    func takeWhatThereIs(_ claim: Claim) -> [HoldPart] {
        let now = clock.nowMilliseconds()
        return state.withLock { $0.wallet.takeWhatThereIs(claim, nowMilliseconds: now) }
    }

    func settle(_ settlements: [SettledPart]) {
        state.withLock { state in
            for one in settlements { state.wallet.settle(one.part, spent: one.spent, unknown: one.unknown) }
        }
    }

    func release(_ parts: [HoldPart]) {
        state.withLock { state in for part in parts { state.wallet.settle(part, spent: 0) } }
        tellWaiting()
    }

    /// Something is free again: who waits may have it.
    func tellWaiting() {
        if waiting.load(ordering: .relaxed) > 0 { tell() }
    }

    private let waiting = Atomic<Int>(0)
    func waits(_ change: Int) { waiting.wrappingAdd(change, ordering: .relaxed) }

    func count(_ body: (inout Counts) -> Void) { state.withLock { body(&$0.counts) } }

    /// So many parts of holds are in the journal; see `LeaseWitness`.
    func wroteDown(_ parts: Int) { store?.wroteDown(parts) }

    // MARK: Listeners

    package func onChange(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.listeners.append(body) } }

    private func tell() {
        for listener in state.withLock({ $0.listeners }) { listener() }
    }

    // MARK: The lease stream

    /// Before everything is folded nothing can be said. From then on there is a stream, with or without budgets: after a restore of the control
    /// plane others wait until it has heard that nothing is held here.
    var isReady: Bool { state.withLock { $0.isReady } }

    func linked(_ isLinked: Bool) {
        state.withLock { state in
            state.isLinked = isLinked
            if !isLinked { state.wallet.forgetAsks() }
        }
    }

    /// Blocking work on the disk, away from the tasks' threads.
    func onDisk<R: Sendable>(_ body: @escaping @Sendable (LeaseStore) throws -> R) async throws -> R? {
        guard let store else { return nil }
        return try await worker.blocking { try body(store) }
    }

    func asks() -> [LeaseAsk] {
        let now = clock.nowMilliseconds()
        var generator = SystemRandomNumberGenerator()
        return state.withLock { $0.isStopping ? [] : $0.wallet.asks(nowMilliseconds: now, using: &generator) }
    }

    /// What is to be written and told: see `Wallet.look`.
    func look() -> (changes: [SliceChange], isStopping: Bool) {
        let now = clock.nowMilliseconds()
        return state.withLock { ($0.wallet.look(nowMilliseconds: now, all: $0.isStopping), $0.isStopping) }
    }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    func closed(_ slices: [HeldSlice]) {
        state.withLock { state in for slice in slices { state.wallet.closed(slice.id, of: slice.account) } }
    }

    func void(_ slices: [HeldSlice]) {
        state.withLock { state in for slice in slices { state.wallet.void(slice.id, of: slice.account) } }
    }

    func unit(of account: AccountKey) -> Int { state.withLock { $0.units[account] ?? 0 } }

    /// A slice that is on the disk now.
    func granted(_ slice: HeldSlice) {
        let now = clock.nowMilliseconds()
        state.withLock { $0.wallet.add(slice, nowMilliseconds: now) }
        tell()
    }

    func refused(_ ask: LeaseAsk, _ answer: RefusedAccount) {
        let now = clock.nowMilliseconds()
        let milliseconds = state.withLock { state in
            state.wallet.refused(ask, answer, nowMilliseconds: now)
            return state.wallet.settings.refusalMilliseconds
        }
        tell()
        guard answer.reason == .held else { return }
        // Who waits for what others give back asks again.
        worker.asyncAfter(deadline: .now() + .milliseconds(Int(milliseconds) + 20)) { [weak self] in self?.tellWaiting() }
    }

    func lastRefusal(_ claim: Claim) -> RefusedAccount? {
        let now = clock.nowMilliseconds()
        return state.withLock { $0.wallet.lastRefusal(claim, nowMilliseconds: now) }
    }

    /// Each settlement makes all who wait try again, so no more than this wait for what others hold.
    private static let maximumPatient = 32

    /// Whether what others hold of an account is worth waiting for: see `Wallet.isRecalled`.
    func isRecalled(_ account: AccountKey, within milliseconds: Int64) -> Bool {
        guard waiting.load(ordering: .relaxed) < Self.maximumPatient else { return false }
        let now = clock.nowMilliseconds()
        return state.withLock { $0.wallet.isRecalled(account, within: milliseconds, nowMilliseconds: now) }
    }

    func recall(_ account: AccountKey) {
        state.withLock { $0.wallet.recall(account) }
        wake.raise()
    }

    func givenBack() { state.withLock { $0.isGivenBack = true } }

    /// The data plane stops, and everything is folded: what is held goes back while the control plane is there to take it. If it is not, the
    /// next process goes on with it.
    package func giveBack(within milliseconds: Int64) async {
        let isWorthIt = state.withLock { state in
            guard state.isLinked, !state.wallet.isEmpty else { return false }
            state.isStopping = true
            return true
        }
        guard isWorthIt else { return }
        wake.raise()
        let deadline = MonotonicClock.nowMicroseconds() + milliseconds * 1000
        while !state.withLock({ $0.isGivenBack || !$0.isLinked }), MonotonicClock.nowMicroseconds() < deadline {
            try? await Task.sleep(for: .milliseconds(10))
        }
    }
}
