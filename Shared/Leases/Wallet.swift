/// What a request wants of one account: its worst case.
package struct Claim: Hashable, Sendable {
    package var account: AccountKey
    package var amount: Int64

    package init(account: AccountKey, amount: Int64) {
        self.account = account
        self.amount = LeaseAmount.clamped(amount)
    }
}

/// What a request holds of one slice.
package struct HoldPart: Hashable, Sendable {
    package var account: AccountKey
    package var slice: SliceID
    package var amount: Int64

    package init(account: AccountKey, slice: SliceID, amount: Int64) {
        self.account = account
        self.slice = slice
        self.amount = amount
    }
}

package enum Reservation: Hashable, Sendable {
    case held([HoldPart])
    /// Nothing was taken: `account` has too little. An ask for more is due; see `Wallet.asks`.
    case short(AccountKey)
    /// Nothing was taken, and the control plane has said why it gives no more.
    case refused(AccountKey, RefusedAccount)
}

package struct RefusedAccount: Hashable, Sendable {
    package var reason: LeaseRefusal
    /// Unix milliseconds: when the account's next period begins; 0: never.
    package var resetsAt: Int64

    package init(reason: LeaseRefusal, resetsAt: Int64) {
        self.reason = reason
        self.resetsAt = resetsAt
    }
}

/// A change of what is held that is to be on the disk before the control plane is told.
package enum SliceChange: Hashable, Sendable {
    case lowered(SliceID, ceiling: Int64)
    /// Nothing is reserved of it, nor will be. It is closed once the records of all that was served from it are folded.
    case closing(SliceID, spent: Int64, unknown: Int64)
}

/// The slices of a data plane, in memory: what requests reserve from. A value: whoever shares it has a lock around it. What is in it is on the
/// disk, or in the journal: a slice before it is added, a hold before its request leaves, a settlement before the answer's end leaves.
///
/// Times are Unix milliseconds of this data plane's clock.
package struct Wallet: Sendable {
    private struct Slice: Sendable {
        let id: SliceID
        var ceiling: Int64
        var spent: Int64
        var unknown: Int64
        var reserved: Int64 = 0
        let expires: Int64
        /// Nothing is reserved from it any more.
        var isClosing = false
        /// The control plane does not count it as held: nothing is promised of it either.
        var isVoid = false

        var room: Int64 { max(0, ceiling - spent - unknown - reserved) }
        func room(at now: Int64) -> Int64 { isClosing || now >= expires ? 0 : room }
    }

    private struct Account: Sendable {
        let key: AccountKey
        /// Oldest first, which is the order in which they are used up.
        var slices: [Slice] = []
        /// The ask that is under way.
        var asked: LeaseAsk?
        /// The most that a waiting request lacks, and what all of them do.
        var needed: Int64 = 0
        var wanted: Int64 = 0
        var refusal: (answer: RefusedAccount, needed: Int64, until: Int64)?
        /// Since when the control plane says that others hold what is lacking here.
        var heldSince: Int64?
        var recalled = false
        /// A request's recent worst case.
        var claim: Int64 = 0
        var usedAt: Int64
        /// Spent since the last look, and how much a second that has been of late.
        var spentSince: Int64 = 0
        var rate: Int64 = 0

        func room(at now: Int64) -> Int64 {
            var sum: Int64 = 0
            for index in slices.indices { sum = sum.plus(slices[index].room(at: now)) }
            return sum
        }

        mutating func take(_ wanted: Claim, _ now: Int64, into parts: inout [HoldPart]) {
            var left = wanted.amount
            usedAt = now
            claim = max(wanted.amount, claim / 2)
            for index in slices.indices where left > 0 {
                let part = min(left, slices[index].room(at: now))
                guard part > 0 else { continue }
                slices[index].reserved += part
                parts.append(HoldPart(account: key, slice: slices[index].id, amount: part))
                left -= part
            }
        }

        mutating func settle(_ part: HoldPart, spent: Int64, unknown: Int64) {
            guard let index = slices.firstIndex(where: { $0.id == part.slice }) else { return }
            slices[index].reserved = max(0, slices[index].reserved - part.amount)
            slices[index].spent = slices[index].spent.plus(max(0, spent))
            slices[index].unknown = slices[index].unknown.plus(max(0, unknown))
            spentSince = spentSince.plus(max(0, spent))
        }
    }

    package struct Settings: Sendable {
        /// What is asked for lasts so long at the rate of late …
        package var horizonSeconds: Int64 = 20
        /// … and more is asked for when what is left lasts no longer than this.
        package var lowSeconds: Int64 = 5
        /// An account that nobody used for so long gives all back.
        package var idleMilliseconds: Int64 = 30_000
        /// For how long a refusal answers those who need as much.
        package var refusalMilliseconds: Int64 = 500
        /// More slices of an account than this, and the oldest is used no more.
        package var slicesPerAccount = 6

        package init() {}
    }

    package let settings: Settings
    /// Places are found by key and used again when their account is forgotten.
    private var accounts: ContiguousArray<Account?> = []
    private var places: [AccountKey: Int] = [:]
    private var free: [Int] = []
    private var lastLook: Int64?

    package init(settings: Settings = Settings()) { self.settings = settings }

    /// The place of an account, which is made where there is none.
    private mutating func place(of key: AccountKey, _ now: Int64) -> Int {
        if let place = places[key] { return place }
        let place = free.popLast() ?? accounts.count
        if place == accounts.count { accounts.append(nil) }
        accounts[place] = Account(key: key, usedAt: now)
        places[key] = place
        return place
    }

    private func room(of key: AccountKey, _ now: Int64) -> Int64 { places[key].flatMap { accounts[$0]?.room(at: now) } ?? 0 }

    // MARK: Requests

    /// Reserves every claim, or nothing. No two claims are of one account.
    package mutating func reserve(_ claims: [Claim], nowMilliseconds now: Int64) -> Reservation {
        for claim in claims where room(of: claim.account, now) < claim.amount { return lacking(claim, now) }
        var parts: [HoldPart] = []
        parts.reserveCapacity(claims.count)
        for claim in claims { take(claim, now, into: &parts) }
        return .held(parts)
    }

    /// Takes as much more as a claim says, for a request that runs; the parts come beside those that it holds.
    package mutating func extend(_ claim: Claim, nowMilliseconds now: Int64) -> [HoldPart]? {
        guard room(of: claim.account, now) >= claim.amount else {
            _ = lacking(claim, now)
            return nil
        }
        var parts: [HoldPart] = []
        take(claim, now, into: &parts)
        return parts
    }

    /// Takes of a claim what there is, for what is used already.
    package mutating func takeWhatThereIs(_ claim: Claim, nowMilliseconds now: Int64) -> [HoldPart] {
        var parts: [HoldPart] = []
        take(claim, now, into: &parts)
        return parts
    }

    /// Milliseconds for which a refusal that is due to be asked about again still says something. Asks are made about twice a second: where none
    /// is answered for that long, nothing is known.
    private static let refusalsLast: Int64 = 5_000

    /// The last answer to an ask for so much, where nothing has come since: what is known of a claim that nobody waits for any longer.
    package func lastRefusal(_ claim: Claim, nowMilliseconds now: Int64) -> RefusedAccount? {
        guard let account = places[claim.account].flatMap({ accounts[$0] }), let refusal = account.refusal,
            now < refusal.until.plus(Self.refusalsLast)
        else { return nil }
        return claim.amount - account.room(at: now) >= refusal.needed ? refusal.answer : nil
    }

    /// Whether others were told no longer ago than this to give back what is lacking here: it is worth waiting for.
    package func isRecalled(_ key: AccountKey, within milliseconds: Int64, nowMilliseconds now: Int64) -> Bool {
        guard let since = places[key].flatMap({ accounts[$0]?.heldSince }) else { return false }
        return (0..<max(1, milliseconds)).contains(now.minus(since))
    }

    private mutating func take(_ claim: Claim, _ now: Int64, into parts: inout [HoldPart]) {
        guard claim.amount > 0, let place = places[claim.account] else { return }
        accounts[place]?.take(claim, now, into: &parts)
    }

    private mutating func lacking(_ claim: Claim, _ now: Int64) -> Reservation {
        let place = place(of: claim.account, now)
        guard var account = accounts[place] else { return .short(claim.account) }
        defer { accounts[place] = account }
        account.usedAt = now
        let missing = claim.amount - account.room(at: now)
        if let refusal = account.refusal, now < refusal.until, missing >= refusal.needed {
            return .refused(claim.account, refusal.answer)
        }
        account.needed = max(account.needed, missing)
        account.wanted = account.wanted.plus(claim.amount)
        account.claim = max(account.claim, claim.amount)
        return .short(claim.account)
    }

    /// A request is over, or was not begun: what it held of a slice is spent, unknown, or free again.
    package mutating func settle(_ part: HoldPart, spent: Int64, unknown: Int64 = 0) {
        guard let place = places[part.account] else { return }
        accounts[place]?.settle(part, spent: spent, unknown: unknown)
    }

    // MARK: The link

    /// A slice that is on the disk: granted just now, or before a restart that goes on with it.
    package mutating func add(_ slice: HeldSlice, nowMilliseconds now: Int64) {
        guard slice.state == .open else { return }
        let place = place(of: slice.account, now)
        guard var account = accounts[place] else { return }
        account.asked = nil
        account.refusal = nil
        account.heldSince = nil
        if !account.slices.contains(where: { $0.id == slice.id }) {
            account.slices.append(
                Slice(id: slice.id, ceiling: slice.ceiling, spent: slice.spent, unknown: slice.unknown, expires: slice.expires))
        }
        accounts[place] = account
    }

    /// The control plane gives nothing for an ask.
    package mutating func refused(_ ask: LeaseAsk, _ answer: RefusedAccount, nowMilliseconds now: Int64) {
        guard let place = places[ask.account], accounts[place]?.asked?.id == ask.id else { return }
        accounts[place]?.asked = nil
        // One of long ago is another time.
        let isRecent = accounts[place]?.refusal.map { now < $0.until.plus(Self.refusalsLast) } ?? false
        let heldSince = isRecent ? accounts[place]?.heldSince ?? now : now
        accounts[place]?.heldSince = answer.reason == .held ? heldSince : nil
        let until = now + settings.refusalMilliseconds
        accounts[place]?.refusal = (answer, max(1, ask.needed), until)
    }

    /// The stream on which asks were made is gone, and no answer to them will be taken.
    package mutating func forgetAsks() {
        for place in accounts.indices { accounts[place]?.asked = nil }
    }

    /// Others need the account: what it does not need itself goes back with the next look.
    package mutating func recall(_ key: AccountKey) {
        if let place = places[key] { accounts[place]?.recalled = true }
    }

    /// The control plane does not count it as held any more: nothing is reserved from it, and nothing promised.
    package mutating func void(_ id: SliceID, of key: AccountKey) {
        guard let place = places[key], let position = accounts[place]?.slices.firstIndex(where: { $0.id == id }) else { return }
        accounts[place]?.slices[position].isClosing = true
        accounts[place]?.slices[position].isVoid = true
    }

    /// A closing slice is closed on the disk.
    package mutating func closed(_ id: SliceID, of key: AccountKey) {
        if let place = places[key] { accounts[place]?.slices.removeAll { $0.id == id && $0.reserved == 0 } }
    }

    /// What is to be asked for now; each account has one ask under way at most.
    package mutating func asks(nowMilliseconds now: Int64, using generator: inout some RandomNumberGenerator) -> [LeaseAsk] {
        var asks: [LeaseAsk] = []
        for place in accounts.indices {
            guard let account = accounts[place], account.asked == nil else { continue }
            let room = account.room(at: now)
            let isRefused = account.refusal.map { now < $0.until } ?? false
            // Nobody waits yet: before it runs dry.
            let isLow = account.rate > 0 && !isRefused && room < account.rate.times(settings.lowSeconds)
            guard account.needed > 0 || isLow else { continue }
            let ahead = account.rate.times(settings.horizonSeconds)
            let needed = account.needed > 0 ? account.needed : max(1, account.claim)
            let wanted = max(needed, max(ahead, account.claim.times(4)).minus(room), account.wanted.minus(room))
            let ask = LeaseAsk(id: generator.next(), account: account.key, needed: needed, wanted: min(wanted, LeaseAmount.maximum))
            accounts[place]?.asked = ask
            accounts[place]?.needed = 0
            accounts[place]?.wanted = 0
            asks.append(ask)
        }
        return asks
    }

    /// Looks what is held for nothing, about once a second. What it names is not reserved from any more, so that its promise holds.
    /// - Parameter all: everything is given back: the data plane stops.
    package mutating func look(nowMilliseconds now: Int64, all: Bool = false) -> [SliceChange] {
        let elapsed = max(1, now - (lastLook ?? now - 1000))
        lastLook = now
        var changes: [SliceChange] = []
        for place in accounts.indices {
            guard var account = accounts[place] else { continue }
            let latest = account.spentSince.times(1000) / elapsed
            account.spentSince = 0
            account.rate = account.rate / 4 * 3 + latest / 4
            let isIdle = all || now - account.usedAt >= settings.idleMilliseconds
            if isIdle { account.rate = 0 }
            if isIdle || account.recalled {
                // Who is asked to give back keeps what the next seconds cost him, and nothing where nobody spends.
                keep(account.rate.times(2), of: &account, now, &changes)
                account.recalled = false
            } else {
                let plenty = max(account.rate.times(settings.horizonSeconds * 3), account.claim.times(16))
                keep(plenty, of: &account, now, &changes)
            }
            while account.slices.count(where: { !$0.isClosing }) > settings.slicesPerAccount,
                let oldest = account.slices.firstIndex(where: { !$0.isClosing })
            {
                account.slices[oldest].isClosing = true
            }
            for position in account.slices.indices where !account.slices[position].isVoid {
                let slice = account.slices[position]
                let isUsedUp = slice.reserved == 0 && slice.room == 0
                guard slice.isClosing || now >= slice.expires || isUsedUp || (isIdle && slice.reserved == 0) else { continue }
                account.slices[position].isClosing = true
                guard slice.reserved == 0 else { continue }
                account.slices[position].ceiling = slice.spent.plus(slice.unknown)
                changes.append(.closing(slice.id, spent: slice.spent, unknown: slice.unknown))
            }
            account.slices.removeAll { $0.isVoid && $0.reserved == 0 }
            let isForgotten = account.slices.isEmpty && account.asked == nil && account.needed == 0 && isIdle
            accounts[place] = isForgotten ? nil : account
            guard isForgotten else { continue }
            places[account.key] = nil
            free.append(place)
        }
        return changes
    }

    /// Gives back what is unreserved beyond `amount`, from the newest slice on.
    private func keep(_ amount: Int64, of account: inout Account, _ now: Int64, _ changes: inout [SliceChange]) {
        var surplus = account.room(at: now) - amount
        for position in account.slices.indices.reversed() where surplus > 0 {
            let room = account.slices[position].room(at: now)
            guard room > 0 else { continue }
            let part = min(room, surplus)
            account.slices[position].ceiling -= part
            surplus -= part
            changes.append(.lowered(account.slices[position].id, ceiling: account.slices[position].ceiling))
        }
    }

    // MARK: For metrics and tests

    package struct Sums: Hashable, Sendable {
        package var room: Int64 = 0
        package var reserved: Int64 = 0
        package var spent: Int64 = 0
        package var unknown: Int64 = 0
        package var slices = 0
    }

    package func sums(of key: AccountKey, nowMilliseconds now: Int64) -> Sums {
        var sums = Sums()
        for slice in places[key].flatMap({ accounts[$0] })?.slices ?? [] {
            sums.room = sums.room.plus(slice.room(at: now))
            sums.reserved = sums.reserved.plus(slice.reserved)
            sums.spent = sums.spent.plus(slice.spent)
            sums.unknown = sums.unknown.plus(slice.unknown)
            sums.slices += 1
        }
        return sums
    }

    package var isEmpty: Bool { places.isEmpty }
}
