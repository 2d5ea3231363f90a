/// Who waits in a line: for whom, with which share, since when.
protocol FairWaiter: AnyObject {
    var tenant: IDBits { get }
    /// 1...1000.
    var weight: Int64 { get }
    /// Monotonic microseconds.
    var since: Int64 { get }
}

/// Those who wait for the same thing, each tenant in a line of its own. Pure: it knows neither threads nor clocks.
///
/// The next one is taken by start-time fair queueing (Goyal, Vin, Cheng 1996) with requests as the unit: each tenant has a time of its own
/// that goes on by 1/weight with each that is taken, who comes new begins at the present, and the earliest is next. So a tenant is let in at
/// its share however many others of one tenant wait, and gains nothing by having been away.
///
/// No tenant can crowd it: each has at most half of the places, and when there is none left the longest line, by share, gives way with its
/// youngest.
struct FairLine<Waiter: FairWaiter> {
    private struct Tenant {
        var waiting: [Waiter] = []
        var weight: Int64
        /// In `unit`s by weight.
        var time: Int64
    }

    enum Joined {
        case joined
        /// In another's place, who has to be told.
        case instead(of: Waiter)
        case refused
    }

    private static var unit: Int64 { 1_000_000 }

    let maximum: Int
    private(set) var count = 0
    private var tenants: [IDBits: Tenant] = [:]
    private var present: Int64 = 0

    /// - Parameter maximum: how many wait at most.
    init(maximum: Int) { self.maximum = max(2, maximum) }

    var isEmpty: Bool { count == 0 }

    func waiting(of tenant: IDBits) -> Int { tenants[tenant]?.waiting.count ?? 0 }

    /// At the end of its tenant's line.
    mutating func join(_ waiter: Waiter) -> Joined {
        let own = waiting(of: waiter.tenant)
        guard own < maximum / 2 else { return .refused }
        var gone: Waiter?
        if count >= maximum {
            guard let longest = tenants.max(by: { Self.isShorter($0.value, $1.value) }),
                // Who would then be the longest gives way itself.
                Int64(longest.value.waiting.count) * waiter.weight > Int64(own + 1) * longest.value.weight
            else { return .refused }
            gone = tenants[longest.key]?.waiting.popLast()
            count -= 1
        }
        var tenant = tenants[waiter.tenant] ?? Tenant(weight: waiter.weight, time: present)
        tenant.weight = waiter.weight
        if own == 0 { tenant.time = max(tenant.time, present) }
        tenant.waiting.append(waiter)
        tenants[waiter.tenant] = tenant
        count += 1
        return gone.map { .instead(of: $0) } ?? .joined
    }

    private static func isShorter(_ a: Tenant, _ b: Tenant) -> Bool {
        Int64(a.waiting.count) * b.weight < Int64(b.waiting.count) * a.weight
    }

    /// Takes the next one out.
    /// - Parameter rank: of a tenant; the lowest goes first, before its time is asked. Nil: none of it may now.
    mutating func next(_ rank: (IDBits, _ weight: Int64) -> Double? = { _, _ in 0 }) -> Waiter? {
        guard count > 0 else { return nil }
        var best: (tenant: IDBits, rank: Double, time: Int64, since: Int64)?
        var past: [IDBits] = []
        for (id, tenant) in tenants {
            guard let first = tenant.waiting.first else {
                if tenant.time <= present { past.append(id) }
                continue
            }
            guard let rank = rank(id, tenant.weight) else { continue }
            let this = (tenant: id, rank: rank, time: tenant.time, since: first.since)
            if best.map({ (this.rank, this.time, this.since) < ($0.rank, $0.time, $0.since) }) ?? true { best = this }
        }
        for id in past { tenants[id] = nil }
        guard let best, let waiter = tenants[best.tenant]?.waiting.removeFirst() else { return nil }
        present = max(present, best.time)
        tenants[best.tenant]?.time = best.time &+ Self.unit / max(1, waiter.weight)
        count -= 1
        forgetIfEmpty()
        return waiter
    }

    /// It waits no longer.
    /// - Returns: false when it was not there.
    mutating func leave(_ waiter: Waiter) -> Bool {
        guard let index = tenants[waiter.tenant]?.waiting.firstIndex(where: { $0 === waiter }) else { return false }
        tenants[waiter.tenant]?.waiting.remove(at: index)
        count -= 1
        forgetIfEmpty()
        return true
    }

    /// Times mean something only while somebody waits.
    private mutating func forgetIfEmpty() {
        guard count == 0 else { return }
        tenants.removeAll(keepingCapacity: true)
        present = 0
    }
}
