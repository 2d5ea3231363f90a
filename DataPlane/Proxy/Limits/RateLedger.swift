import Primitives
import Synchronization

/// What all limits have counted, for all loops of a data plane, behind one short lock: a request is held against all of its limits at once, or
/// counts for none. Who is not limited never comes here.
///
/// Memory is bounded. A counter goes when nothing is in it any more, and not before: forgetting one would let its subject begin anew. Where
/// there is no room for another, subjects that come new share counters, chosen by a hash that nobody outside knows: they may be limited
/// earlier than they should, never later, and those that were there before notice nothing.
package final class RateLedger: Sendable {
    package struct Key: Hashable, Sendable {
        package let rule: IDBits
        package let subject: LimitSubject

        package init(rule: IDBits, subject: LimitSubject) {
            self.rule = rule
            self.subject = subject
        }
    }

    /// What a request counts for.
    package struct Claim: Sendable {
        package let rule: LimitRule
        package let key: Key
        package let amount: Int64

        package init(rule: LimitRule, key: Key, amount: Int64) {
            self.rule = rule
            self.key = key
            self.amount = amount
        }
    }

    /// What was counted for a claim, and where.
    struct Held: Sendable {
        let rule: LimitRule
        let key: Key
        let amount: Int64
        /// Monotonic microseconds.
        let at: Int64
    }

    /// How a limit stands after a request: for the answer.
    package struct Standing: Sendable, Hashable {
        package let limit: Int64
        package let remaining: Int64
        /// Microseconds until nothing is in it.
        package let reset: Int64
    }

    /// The strictest of the limits that are enforced, by what they count.
    package struct Standings: Sendable, Hashable {
        package var requests: Standing?
        package var tokens: Standing?

        mutating func add(_ standing: Standing, of measure: LimitRule.Measure) {
            func stricter(_ known: Standing?) -> Standing? {
                if let known, known.remaining <= standing.remaining { known } else { standing }
            }
            if measure == .tokens { tokens = stricter(tokens) } else { requests = stricter(requests) }
        }
    }

    package struct Refusal: Sendable {
        package let rule: LimitRule
        /// Microseconds until there is room; nil: there never is, since the request is larger than the limit.
        package let wait: Int64?
    }

    struct Taken: Sendable {
        var refusal: Refusal?
        var held: [Held] = []
        var standings = Standings()
        /// Limits that only observe would have refused it.
        var wouldHaveRefused = false
    }

    private struct Counter {
        var key: Key
        var window = SlidingWindow()
        var bucket = TokenBucket()
        var running: Int64 = 0
        /// Of the rule that it was used by last.
        var rule: LimitRule
        var isUsed = true
        /// This data plane's part of the rule's amount.
        var share: Int64
        /// What was refused since shares were asked for last.
        var refused: Int64 = 0

        /// What a window, or a full bucket, lets in here.
        var capacity: Int64 {
            rule.capacity(ofPart: share)
        }
        private var refill: Int64 { max(1, min(share, rule.amount)) }

        /// Forgets what time has taken out of it. A limit that has become another keeps what was counted.
        mutating func advance(to now: Int64, _ rule: LimitRule) {
            if self.rule !== rule {
                advance(to: now)
                if self.rule.isBucket != rule.isBucket || (rule.isBucket && self.rule.window != rule.window) { convert(to: rule, now) }
                self.rule = rule
            }
            advance(to: now)
        }

        private mutating func advance(to now: Int64) {
            if rule.isBucket { bucket.advance(to: now, amount: refill) } else { window.advance(to: now, window: rule.window) }
        }

        private mutating func convert(to next: LimitRule, _ now: Int64) {
            let used = rule.isBucket ? bucket.used(window: rule.window) : window.used
            window = SlidingWindow()
            bucket = TokenBucket()
            bucket.advance(to: now, amount: next.amount)
            if used > 0 {
                if next.isBucket { bucket.add(used, window: next.window) } else { window.add(used, at: now, window: next.window) }
            }
        }

        var used: Int64 {
            switch rule.measure {
            case .concurrent: running
            case .requests, .tokens: rule.isBucket ? bucket.used(window: rule.window) : window.used
            }
        }

        /// Nothing is in it, so that one that is made anew is the same.
        mutating func isIdle(at now: Int64) -> Bool {
            advance(to: now)
            return running == 0 && window.isEmpty && bucket.isFull
        }

        func wait(for amount: Int64, now: Int64) -> Int64? {
            // More than this data plane's part, and not more than the whole: more of it may come.
            if amount > capacity, amount <= rule.capacity { return RateLedger.shareWait }
            return switch rule.measure {
            // When one of those ends nobody knows: a second is a good time to try again.
            case .concurrent: running < capacity ? 0 : 1_000_000
            case .requests, .tokens:
                rule.isBucket
                    ? bucket.wait(for: amount, burst: capacity, amount: refill, window: rule.window)
                    : window.wait(for: amount, limit: capacity, now: now, window: rule.window)
            }
        }

        mutating func add(_ amount: Int64, at now: Int64) {
            switch rule.measure {
            case .concurrent: running &+= 1
            case .requests, .tokens:
                if rule.isBucket {
                    bucket.add(amount, window: rule.window)
                } else {
                    window.add(amount, at: now, window: rule.window)
                }
            }
        }

        mutating func giveBack(_ amount: Int64, from time: Int64) {
            if rule.isBucket { bucket.giveBack(amount, window: rule.window) } else { window.giveBack(amount, from: time) }
        }

        func standing(now: Int64) -> Standing {
            let reset =
                rule.isBucket
                ? bucket.reset(amount: refill) : window.last.map { max(0, $0 &+ rule.window &- now) } ?? 0
            return Standing(limit: rule.capacity, remaining: max(0, capacity &- used), reset: reset)
        }
    }

    private struct State {
        var counters: ContiguousArray<Counter> = []
        var places: [Key: Int] = [:]
        var free: [Int] = []
        /// Where the search for idle counters goes on.
        var hand = 0
        /// The latest time that anybody brought: loops look at the clock one after the other.
        var now: Int64 = 0
        /// What earlier processes had counted, until its counter is asked for: monotonic microseconds and amounts.
        var restored: [Key: [(at: Int64, amount: Int64)]] = [:]
        var scratch: [Int] = []
        /// How many data planes divide what there are no shares of.
        var dataPlanes: Int64 = 1
        /// How many of them count together in Redis, this one included; until it is told: all.
        var regionPlanes: Int64 = .max
        /// What those may have together, of what was told.
        var regions: [Key: Int64] = [:]
        /// Parts of amounts, as the control plane told them last.
        var shares: [Key: Int64] = [:]
        /// Counters that are half used up, or have refused, since shares were asked for last.
        var hot: Set<Key> = []
        var sharing = 0
    }

    private static let sharedCounters: UInt64 = 1024
    private let maximum: Int
    private let state = Mutex(State())
    private let ready: Atomic<Bool>
    /// Tells this process's notes in the journal from those of the process before.
    let boot: UInt64

    /// - Parameter maximum: counters that are kept at one time. One takes some hundred bytes, and up to six thousand where all its window is
    ///   busy.
    /// - Parameter isReady: false where an earlier process may have left counts in the journal; `recovered` follows.
    package init(maximum: Int = 262_144, boot: UInt64 = .random(in: 1...UInt64.max), isReady: Bool = true) {
        ready = Atomic(isReady)
        self.maximum = max(1, maximum)
        self.boot = boot
    }

    package func recovered() { ready.store(true, ordering: .releasing) }
    /// Until what the last process counted is read, nobody who is limited is let in: a restart would give him a new window.
    var isReady: Bool { ready.load(ordering: .acquiring) }

    /// Counters that there are, and how many claims had to share one for want of room.
    package var size: (counters: Int, sharing: Int) { state.withLock { ($0.places.count, $0.sharing) } }

    // MARK: A request

    /// Holds a request against all of its limits. When one of them refuses, nothing is counted, and the one that is to be waited for longest is
    /// named.
    func take(_ claims: [Claim], now: Int64) -> Taken {
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            Self.sweep(&state, claims.count * 2, now)
            state.scratch.removeAll(keepingCapacity: true)
            var taken = Taken()
            for claim in claims {
                let index = place(of: claim, &state, now)
                state.scratch.append(index)
                if state.dataPlanes > 1 {
                    state.counters[index].share = Self.share(of: state.counters[index].key, claim.rule, state)
                } else {
                    state.counters[index].share = claim.rule.amount
                }
                state.counters[index].advance(to: now, claim.rule)
                let wait = state.counters[index].wait(for: claim.amount, now: now)
                if wait == 0 { continue }
                if state.dataPlanes > 1 { Self.refuse(claim, index, &state) }
                if claim.rule.observes {
                    taken.wouldHaveRefused = true
                } else if taken.refusal.map({ ($0.wait ?? .max) < (wait ?? .max) }) ?? true {
                    taken.refusal = Refusal(rule: claim.rule, wait: wait)
                }
            }
            if taken.refusal == nil {
                taken.held.reserveCapacity(claims.count)
                for (index, claim) in zip(state.scratch, claims) {
                    state.counters[index].add(claim.amount, at: now)
                    if state.dataPlanes > 1, state.counters[index].used >= state.counters[index].capacity / 2 { Self.mark(index, &state) }
                    taken.held.append(Held(rule: claim.rule, key: state.counters[index].key, amount: claim.amount, at: now))
                }
            }
            for (index, claim) in zip(state.scratch, claims) where !claim.rule.observes && claim.rule.measure != .concurrent {
                taken.standings.add(state.counters[index].standing(now: now), of: claim.rule.measure)
            }
            return taken
        }
    }

    /// What the counters that data planes share have answered to a request. What this data plane had of them is counted here as well: for its
    /// own shares, where those are out of reach, and for what it tells that it needs.
    func note(_ claims: [Claim], _ answer: SharedTake.Answer, _ entries: [SharedCharge.Entry], now: Int64) -> Taken {
        var taken = Taken()
        for (claim, counter) in zip(claims, answer.counters) where counter.wait != 0 {
            // More than this region's part, and not more than the whole: more of it may come.
            let wait = counter.wait > 0 ? counter.wait : claim.amount <= claim.rule.capacity ? Self.shareWait : nil
            if claim.rule.observes {
                taken.wouldHaveRefused = true
            } else if taken.refusal.map({ ($0.wait ?? .max) < (wait ?? .max) }) ?? true {
                taken.refusal = Refusal(rule: claim.rule, wait: wait)
            }
        }
        for (claim, (counter, entry)) in zip(claims, zip(answer.counters, entries))
        where !claim.rule.observes && claim.rule.measure != .concurrent {
            taken.standings.add(
                Standing(limit: claim.rule.capacity, remaining: max(0, entry.most &- counter.used), reset: max(0, counter.reset)),
                of: claim.rule.measure)
        }
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            Self.sweep(&state, claims.count * 2, now)
            for (claim, counter) in zip(claims, answer.counters) {
                let index = place(of: claim, &state, now)
                state.counters[index].advance(to: now, claim.rule)
                if state.dataPlanes > 1, counter.wait != 0 { Self.refuse(claim, index, &state) }
                guard taken.refusal == nil else { continue }
                state.counters[index].add(claim.amount, at: now)
                if state.dataPlanes > 1, state.counters[index].used >= state.counters[index].capacity / 2 { Self.mark(index, &state) }
                taken.held.append(Held(rule: claim.rule, key: state.counters[index].key, amount: claim.amount, at: now))
            }
        }
        return taken
    }

    /// What this region may have of each; nil: all of them.
    func regionParts(_ claims: [Claim]) -> [Int64]? {
        state.withLock { state in
            guard state.regionPlanes < state.dataPlanes else { return nil }
            return claims.map { claim in
                let (amount, planes) = (claim.rule.amount, state.dataPlanes)
                let equal = Int64(clamping: Int128(amount) * Int128(max(1, state.regionPlanes)) / Int128(planes))
                return min(amount, max(1, state.regions[claim.key] ?? equal))
            }
        }
    }

    /// A request has ended: what it had for itself at one time is free, and its tokens are what they came to.
    /// - Parameter tokens: nil: it never was, and used none.
    /// - Returns: what was counted too much or too little of each, in the order of `held`.
    @discardableResult
    func settle(_ held: [Held], tokens: Int64?, now: Int64, wasServed: Bool = true) -> [Int64] {
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            return held.map { held in
                let index = state.places[held.key]
                switch held.rule.measure {
                case .requests where wasServed: return 0
                case .requests:
                    if let index { state.counters[index].giveBack(held.amount, from: held.at) }
                    return -held.amount
                case .concurrent:
                    if let index { state.counters[index].running = max(0, state.counters[index].running &- 1) }
                    return 0
                case .tokens:
                    let difference = max(0, tokens ?? 0) &- held.amount
                    guard difference != 0 else { return 0 }
                    if difference < 0 {
                        if let index { state.counters[index].giveBack(-difference, from: held.at) }
                    } else {
                        // What nobody foresaw counts from when it is known: a long answer must not slip out of its window unseen.
                        let claim = Claim(rule: held.rule, key: held.key, amount: difference)
                        let place = index ?? place(of: claim, &state, now)
                        state.counters[place].advance(to: now, state.counters[place].rule)
                        state.counters[place].add(difference, at: now)
                    }
                    return difference
                }
            }
        }
    }

    // MARK: Memory

    private static func advance(_ state: inout State, to now: Int64) -> Int64 {
        state.now = max(state.now, now)
        return state.now
    }

    private func place(of claim: Claim, _ state: inout State, _ now: Int64) -> Int {
        if let index = state.places[claim.key] { return index }
        let shared = sharedKey(claim.key)
        if let index = state.places[shared], !state.counters[index].isIdle(at: now) {
            state.sharing &+= 1
            return index
        }
        guard state.places.count >= maximum else { return make(claim.key, claim.rule, &state, now) }
        state.sharing &+= 1
        return state.places[shared] ?? make(shared, claim.rule, &state, now)
    }

    private func sharedKey(_ key: Key) -> Key {
        // Swift's hashes are seeded anew in each process.
        Key(rule: key.rule, subject: LimitSubject(high: .max, low: UInt64(bitPattern: Int64(key.hashValue)) % Self.sharedCounters))
    }

    private func make(_ key: Key, _ rule: LimitRule, _ state: inout State, _ now: Int64) -> Int {
        var counter = Counter(key: key, rule: rule, share: Self.share(of: key, rule, state))
        counter.bucket.advance(to: now, amount: rule.amount)
        if let restored = state.restored.removeValue(forKey: key) {
            for (at, amount) in restored.sorted(by: { $0.at < $1.at }) { Self.restore(amount, at: at, &counter, now) }
        }
        let index: Int
        if let free = state.free.popLast() {
            state.counters[free] = counter
            index = free
        } else {
            index = state.counters.count
            state.counters.append(counter)
        }
        state.places[key] = index
        return index
    }

    /// Lets go of counters in which nothing is, a few at a time.
    private static func sweep(_ state: inout State, _ count: Int, _ now: Int64) {
        for _ in 0..<min(count, state.counters.count) {
            state.hand = state.hand + 1 < state.counters.count ? state.hand + 1 : 0
            guard state.counters[state.hand].isUsed, state.counters[state.hand].isIdle(at: now) else { continue }
            state.places[state.counters[state.hand].key] = nil
            state.counters[state.hand].isUsed = false
            state.free.append(state.hand)
        }
    }

    // MARK: Shares between data planes

    /// When more of a share may have come: as long as a report and its answer take.
    fileprivate static let shareWait: Int64 = 2_000_000
    /// Counters that one report names, and shares that are kept.
    private static let maximumUses = 256
    private static let maximumShares = 16_384

    package struct Use: Sendable, Hashable {
        package let key: Key
        package let wanted: Int64
        package let held: Int64
        /// In the window.
        package let had: Int64
    }

    private static func share(of key: Key, _ rule: LimitRule, _ state: State) -> Int64 {
        if state.dataPlanes <= 1 { return rule.amount }
        return min(rule.amount, state.shares[key] ?? max(1, rule.amount / state.dataPlanes))
    }

    private static func refuse(_ claim: Claim, _ index: Int, _ state: inout State) {
        let refused = state.counters[index].refused &+ min(claim.amount, claim.rule.amount)
        state.counters[index].refused = min(claim.rule.amount, refused)
        mark(index, &state)
    }

    private static func mark(_ index: Int, _ state: inout State) {
        if state.hot.count < maximumUses * 4 { state.hot.insert(state.counters[index].key) }
    }

    /// What this data plane needs of limits that it shares: what was hot since it said so last, and all that it was told a share of; those
    /// first that want most.
    package func uses(now: Int64) -> [Use] {
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            var uses: [Use] = []
            for key in state.hot.union(state.shares.keys) {
                guard let index = state.places[key] else {
                    uses.append(Use(key: key, wanted: 0, held: max(0, state.shares[key] ?? 0), had: 0))
                    continue
                }
                let share = Self.share(of: key, state.counters[index].rule, state)
                state.counters[index].share = share
                state.counters[index].advance(to: now, state.counters[index].rule)
                let used = state.counters[index].used
                uses.append(Use(key: key, wanted: used &+ state.counters[index].refused, held: max(share, used), had: used))
                state.counters[index].refused = 0
            }
            state.hot.removeAll(keepingCapacity: true)
            if uses.count > Self.maximumUses { uses.sort { $0.wanted > $1.wanted } }
            return Array(uses.prefix(Self.maximumUses))
        }
    }

    /// A data plane's part of a limit.
    package struct Share: Sendable, Hashable {
        package let key: Key
        /// -1: an equal part again.
        package let amount: Int64
        /// What the data planes of the region may have together; 0: not said.
        package let region: Int64

        package init(_ key: Key, _ amount: Int64, region: Int64 = 0) {
            self.key = key
            self.amount = amount
            self.region = region
        }
    }

    /// - Parameter inRegion: how many of the data planes count together; 0: not said.
    package func take(dataPlanes: Int, inRegion: Int = 0, shares: [Share]) {
        state.withLock { state in
            state.dataPlanes = Int64(max(1, dataPlanes))
            state.regionPlanes = inRegion > 0 ? Int64(inRegion) : .max
            for share in shares {
                if share.amount < 0 {
                    state.shares[share.key] = nil
                    state.regions[share.key] = nil
                } else if state.shares.count < Self.maximumShares || state.shares[share.key] != nil {
                    state.shares[share.key] = share.amount
                    state.regions[share.key] = share.region > 0 ? share.region : nil
                }
            }
        }
    }

    /// What was told, for the next process.
    var told: (dataPlanes: Int, inRegion: Int) {
        state.withLock { (Int($0.dataPlanes), $0.regionPlanes == .max ? 0 : Int($0.regionPlanes)) }
    }

    // MARK: What earlier processes counted

    /// - Parameters:
    ///   - amount: negative: so much less.
    ///   - at: monotonic microseconds; before this machine's clock began, where it was long ago.
    func restore(_ key: Key, _ amount: Int64, at: Int64, now: Int64) {
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            if let index = state.places[key] {
                Self.restore(amount, at: min(at, now), &state.counters[index], now)
            } else if state.restored.count < maximum || state.restored[key] != nil {
                state.restored[key, default: []].append((min(at, now), amount))
            }
        }
    }

    private static func restore(_ amount: Int64, at: Int64, _ counter: inout Counter, _ now: Int64) {
        let rule = counter.rule
        guard rule.measure != .concurrent else { return }
        if amount < 0 {
            counter.giveBack(amount == .min ? .max : -amount, from: at)
        } else if rule.isBucket {
            // What has come back since it was had is not missing.
            let back = Int64(
                clamping: Int128(max(0, now &- at)) * Int128(min(rule.amount, max(1, counter.share))) / Int128(max(1, rule.window)))
            if amount > back { counter.bucket.add(amount &- back, window: rule.window) }
        } else if now &- at < rule.window {
            counter.window.insert(amount, at: at)
        }
    }
}

/// What a request has taken of its limits. Given back when it ends without having been settled, however it ends.
final class RateCharge {
    let held: [RateLedger.Held]
    /// The same in the counters that data planes share; nil: it was not counted there.
    var shared: SharedCharge?
    private let ledger: RateLedger
    private var isOpen = true

    init(_ held: [RateLedger.Held], of ledger: RateLedger) {
        self.held = held
        self.ledger = ledger
    }

    /// - Returns: corrections, in the order of `held`; nil when it was settled before.
    func settle(tokens: Int64, now: Int64) -> [Int64]? {
        guard isOpen else { return nil }
        isOpen = false
        shared?.settle(tokens: tokens)
        return ledger.settle(held, tokens: tokens, now: now)
    }

    /// The request was never begun, for no fault of its caller's: it counts for nothing.
    /// - Returns: as `settle`.
    func undo() -> [Int64]? {
        guard isOpen else { return nil }
        isOpen = false
        shared?.settle(tokens: nil, wasServed: false)
        return ledger.settle(held, tokens: nil, now: 0, wasServed: false)
    }

    deinit {
        guard isOpen else { return }
        shared?.settle(tokens: nil)
        ledger.settle(held, tokens: nil, now: 0)
    }
}
