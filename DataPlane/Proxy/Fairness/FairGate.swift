/// A number of places that requests of several tenants have in turn: which may take one, and who waits. Pure: it knows neither threads nor
/// clocks.
///
/// - Whoever has less than its share (the places by weight, among those who have been here within some seconds) may take any free place.
/// - Who has more may take what is left beyond what the others lately needed of their shares, and those keep at most half of the places free
///   for them. So a tenant that sends what it sent before finds a place at once, whatever another sends: a place that is given away is not
///   taken back, and waiting for the end of another's request is what would raise its times.
/// - Nothing is kept free for who has not come for that long: one tenant alone has all places.
/// - Of those who wait, who has least of its share is next; among equals start-time fair queueing decides (`FairLine`).
struct FairGate<Waiter: FairWaiter> {
    private struct Account {
        var weight: Int64
        var taken = 0
        /// The most places it had and waited for, within this span of time and the one before.
        var peak = 0
        var peakBefore = 0
        /// Places that are kept for it.
        var reserve = 0

        /// Of these, those that it does not use.
        var unused: Int { max(0, reserve - taken) }
    }

    /// Microseconds. What a tenant needed counts for one to two of these.
    static var span: Int64 { 5_000_000 }

    private(set) var places: Int
    private(set) var taken = 0
    private(set) var line: FairLine<Waiter>
    private var accounts: [IDBits: Account] = [:]
    private var weights: Int64 = 0
    /// The sum of what is kept and not used.
    private var unused = 0
    private var rolledAt: Int64

    /// - Parameter maximum: how many wait at most.
    init(places: Int, maximum: Int, now: Int64) {
        self.places = places
        line = FairLine(maximum: maximum)
        rolledAt = now
    }

    /// Whether a request of a tenant would have to wait.
    func isFull(for tenant: IDBits, weight: Int64) -> Bool { line.waiting(of: tenant) > 0 || !mayTake(tenant, weight) }

    /// Nothing is here, and nothing of before matters any more.
    func isIdle(now: Int64) -> Bool { taken == 0 && line.isEmpty && now &- rolledAt > 2 * Self.span }

    private func mayTake(_ tenant: IDBits, _ weight: Int64) -> Bool { terms.allow(accounts[tenant], weight) }

    /// What decides, apart from the tenants' own accounts.
    private struct Terms {
        let places: Int
        let taken: Int
        let weights: Int64
        let unused: Int

        func allow(_ account: Account?, _ weight: Int64) -> Bool {
            guard taken < places else { return false }
            let all = account == nil ? weights + weight : weights
            let (own, others) = (Int64(account?.taken ?? 0).multipliedFullWidth(by: all), Int64(places).multipliedFullWidth(by: weight))
            if (own.high, own.low) < (others.high, others.low) { return true }
            return places - taken > min(places / 2, unused)
        }
    }

    private var terms: Terms { Terms(places: places, taken: taken, weights: weights, unused: unused) }

    /// - Returns: whether the request has a place. If not, it may `join`.
    mutating func take(_ tenant: IDBits, weight: Int64, now: Int64) -> Bool {
        roll(now)
        let mayTake = !isFull(for: tenant, weight: weight)
        change(tenant, weight: weight, by: mayTake ? 1 : 0, asks: 1)
        return mayTake
    }

    mutating func join(_ waiter: Waiter) -> FairLine<Waiter>.Joined { line.join(waiter) }

    mutating func leave(_ waiter: Waiter) -> Bool { line.leave(waiter) }

    /// A place is free again. `next` follows.
    mutating func release(_ tenant: IDBits, now: Int64) {
        guard let account = accounts[tenant], account.taken > 0 else { return }
        change(tenant, weight: account.weight, by: -1, asks: 0)
        roll(now)
    }

    mutating func set(places: Int) {
        guard places != self.places else { return }
        self.places = places
        renew()
    }

    /// Gives a free place to who is next. To be called until it is nil, after each change and now and then.
    mutating func next(now: Int64) -> Waiter? {
        guard !line.isEmpty else { return nil }
        roll(now)
        guard taken < places else { return nil }
        let (terms, accounts) = (terms, accounts)
        let waiter = line.next { tenant, weight in
            let account = accounts[tenant]
            return terms.allow(account, weight) ? Double(account?.taken ?? 0) / Double(weight) : nil
        }
        if let waiter { change(waiter.tenant, weight: waiter.weight, by: 1, asks: 0) }
        return waiter
    }

    private mutating func change(_ tenant: IDBits, weight: Int64, by difference: Int, asks: Int) {
        var account = accounts[tenant] ?? Account(weight: 0)
        weights += weight - account.weight
        unused -= account.unused
        taken += difference
        account.weight = weight
        account.taken += difference
        account.peak = max(account.peak, account.taken + line.waiting(of: tenant) + (difference > 0 ? 0 : asks))
        account.reserve = reserve(account)
        unused += account.unused
        accounts[tenant] = account
    }

    private func reserve(_ account: Account) -> Int {
        let share = Int64(places).multipliedReportingOverflow(by: account.weight)
        return min(max(account.peak, account.peakBefore), share.overflow ? places : Int(share.partialValue / max(1, weights)))
    }

    /// Forgets what is long ago.
    private mutating func roll(_ now: Int64) {
        guard now &- rolledAt >= Self.span else { return }
        let isLong = now &- rolledAt >= 2 * Self.span
        rolledAt = now
        for (id, var account) in accounts {
            let present = account.taken + line.waiting(of: id)
            account.peakBefore = isLong ? present : account.peak
            account.peak = present
            accounts[id] = present == 0 && account.peakBefore == 0 ? nil : account
        }
        renew()
    }

    private mutating func renew() {
        weights = accounts.values.reduce(0) { $0 + $1.weight }
        unused = 0
        for id in Array(accounts.keys) {
            guard var account = accounts[id] else { continue }
            account.reserve = reserve(account)
            unused += account.unused
            accounts[id] = account
        }
    }
}
