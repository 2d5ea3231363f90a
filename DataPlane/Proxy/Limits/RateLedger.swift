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

        package init(rule: LimitRule, key: Key) {
            self.rule = rule
            self.key = key
        }

        /// How much of it, for a request that is taken for so many tokens.
        func amount(tokens: Int64) -> Int64 { rule.measure == .tokens ? tokens : 1 }
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
        var standings = Standings()
        /// Monotonic microseconds: when it was counted.
        var at: Int64 = 0
        /// The counters, in the plan's order, where a claim had to share one; else empty, and they are the claims' own.
        var counters: [Key] = []
        /// Limits that only observe would have refused it.
        var wouldHaveRefused = false

        fileprivate mutating func refuse(_ rule: LimitRule, wait: Int64?) {
            if rule.observes {
                wouldHaveRefused = true
            } else if refusal.map({ ($0.wait ?? .max) < (wait ?? .max) }) ?? true {
                refusal = Refusal(rule: rule, wait: wait)
            }
        }
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
    /// - Parameter tokens: how many it is taken for.
    func take(_ plan: RatePlan, tokens: Int64, now: Int64) -> Taken {
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            var taken = Taken()
            taken.at = now
            find(plan, &state, &taken, now)
            let shares = state.dataPlanes > 1
            for (claim, index) in zip(plan.claims, plan.places) {
                let amount = claim.amount(tokens: tokens)
                if !shares {
                    state.counters[index].share = claim.rule.amount
                } else if state.counters[index].rule !== claim.rule {
                    state.counters[index].share = Self.share(of: state.counters[index].key, claim.rule, state)
                }
                state.counters[index].advance(to: now, claim.rule)
                let wait = state.counters[index].wait(for: amount, now: now)
                if wait == 0 { continue }
                if shares { Self.refuse(claim.rule, amount, index, &state) }
                taken.refuse(claim.rule, wait: wait)
            }
            let isHeld = taken.refusal == nil
            for (claim, index) in zip(plan.claims, plan.places) {
                if isHeld { Self.count(claim.amount(tokens: tokens), index, &state, now) }
                if claim.rule.isTold { taken.standings.add(state.counters[index].standing(now: now), of: claim.rule.measure) }
            }
            return taken
        }
    }

    /// What the counters that data planes share have answered to a request. What this data plane had of them is counted here as well: for its
    /// own shares, where those are out of reach, and for what it tells that it needs.
    func note(_ plan: RatePlan, tokens: Int64, _ answer: SharedTake.Answer, _ entries: [SharedCharge.Entry], now: Int64) -> Taken {
        var taken = Taken()
        for (claim, counter) in zip(plan.claims, answer.counters) where counter.wait != 0 {
            // More than this region's part, and not more than the whole: more of it may come.
            let fits = claim.amount(tokens: tokens) <= claim.rule.capacity
            taken.refuse(claim.rule, wait: counter.wait > 0 ? counter.wait : fits ? Self.shareWait : nil)
        }
        for (claim, (counter, entry)) in zip(plan.claims, zip(answer.counters, entries)) where claim.rule.isTold {
            taken.standings.add(
                Standing(limit: claim.rule.capacity, remaining: max(0, entry.most &- counter.used), reset: max(0, counter.reset)),
                of: claim.rule.measure)
        }
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            taken.at = now
            find(plan, &state, &taken, now)
            for ((claim, index), counter) in zip(zip(plan.claims, plan.places), answer.counters) {
                let amount = claim.amount(tokens: tokens)
                if state.dataPlanes > 1, state.counters[index].rule !== claim.rule {
                    state.counters[index].share = Self.share(of: state.counters[index].key, claim.rule, state)
                }
                state.counters[index].advance(to: now, claim.rule)
                if state.dataPlanes > 1, counter.wait != 0 { Self.refuse(claim.rule, amount, index, &state) }
                if taken.refusal == nil { Self.count(amount, index, &state, now) }
            }
        }
        return taken
    }

    /// Finds the plan's counters, or makes them.
    private func find(_ plan: RatePlan, _ state: inout State, _ taken: inout Taken, _ now: Int64) {
        var isNew = 0
        var isShared = false
        for (position, claim) in plan.claims.enumerated() {
            let known = plan.places[position]
            if known < state.counters.count, state.counters[known].isUsed, state.counters[known].key == claim.key { continue }
            isNew += 1
            let index = place(of: claim, &state, now)
            plan.places[position] = index
            if state.counters[index].key != claim.key { isShared = true }
        }
        if isShared { taken.counters = plan.places.map { state.counters[$0].key } }
        // Faster than they can come, so that what is idle goes.
        Self.sweep(&state, 1 + isNew * 2, now, sparing: plan)
    }

    private static func count(_ amount: Int64, _ index: Int, _ state: inout State, _ now: Int64) {
        state.counters[index].add(amount, at: now)
        if state.dataPlanes > 1, state.counters[index].used >= state.counters[index].capacity / 2 { mark(index, &state) }
    }

    /// What this region may have of each; nil: all of them.
    func regionParts(_ plan: RatePlan) -> [Int64]? {
        state.withLock { state in
            guard state.regionPlanes < state.dataPlanes else { return nil }
            return plan.claims.map { claim in
                let (amount, planes) = (claim.rule.amount, state.dataPlanes)
                let equal = Int64(clamping: Int128(amount) * Int128(max(1, state.regionPlanes)) / Int128(planes))
                return min(amount, max(1, state.regions[claim.key] ?? equal))
            }
        }
    }

    /// A request has ended: what it had for itself at one time is free, and its tokens are what they came to.
    func settle(_ charge: RateCharge, _ correction: RateCharge.Correction, now: Int64) {
        let plan = charge.plan
        state.withLock { state in
            let now = Self.advance(&state, to: now)
            for (position, claim) in plan.claims.enumerated() where charge.holds(claim) {
                let change: Int64
                switch claim.rule.measure {
                case .concurrent: change = -1
                case .requests: change = correction.requests
                case .tokens: change = correction.tokens
                }
                if change == 0 { continue }
                let key = charge.counter(position)
                let known = plan.places[position]
                let isThere = known < state.counters.count && state.counters[known].isUsed && state.counters[known].key == key
                guard let index = isThere ? known : state.places[key] else {
                    // What nobody foresaw counts, though nothing else is left of its counter.
                    guard change > 0 else { continue }
                    let place = place(of: claim, &state, now)
                    state.counters[place].add(change, at: now)
                    continue
                }
                if claim.rule.measure == .concurrent {
                    state.counters[index].running = max(0, state.counters[index].running &- 1)
                } else if change < 0 {
                    state.counters[index].giveBack(-change, from: charge.at)
                } else {
                    // From when it is known: a long answer must not slip out of its window unseen.
                    state.counters[index].advance(to: now, state.counters[index].rule)
                    state.counters[index].add(change, at: now)
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

    /// Lets go of counters in which nothing is, a few at a time, but for those that are about to be counted in.
    private static func sweep(_ state: inout State, _ count: Int, _ now: Int64, sparing plan: RatePlan) {
        for _ in 0..<min(count, state.counters.count) {
            state.hand = state.hand + 1 < state.counters.count ? state.hand + 1 : 0
            guard state.counters[state.hand].isUsed, state.counters[state.hand].isIdle(at: now),
                !plan.places.contains(state.hand)
            else { continue }
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

    private static func refuse(_ rule: LimitRule, _ amount: Int64, _ index: Int, _ state: inout State) {
        let refused = state.counters[index].refused &+ min(amount, rule.amount)
        state.counters[index].refused = min(rule.amount, refused)
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
            let isOtherFleet = state.dataPlanes != Int64(max(1, dataPlanes))
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
                if let index = state.places[share.key] {
                    state.counters[index].share = Self.share(of: share.key, state.counters[index].rule, state)
                }
            }
            guard isOtherFleet else { return }
            for index in state.counters.indices {
                state.counters[index].share = Self.share(of: state.counters[index].key, state.counters[index].rule, state)
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
