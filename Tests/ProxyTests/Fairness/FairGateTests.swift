import Testing

@testable import Proxy

/// Lines and places by themselves: time is a number.
@Suite("Fair places")
struct FairGateTests {
    private final class Waiter: FairWaiter {
        let tenant: IDBits
        let weight: Int64
        let since: Int64

        init(_ tenant: UInt64, weight: Int64 = 1, since: Int64 = 0) {
            self.tenant = IDBits(high: 0, low: tenant)
            self.weight = weight
            self.since = since
        }
    }

    private func joins(_ line: inout FairLine<Waiter>, _ waiter: Waiter) -> Bool {
        if case .joined = line.join(waiter) { true } else { false }
    }

    @Test("Each tenant is let in at its weight, however long its line; who comes new waits for nobody's crowd")
    func weights() {
        var line = FairLine<Waiter>(maximum: 1000)
        for index in 0..<100 {
            #expect(joins(&line, Waiter(1, since: Int64(index))))
            #expect(joins(&line, Waiter(2, weight: 3, since: Int64(index))))
        }
        let first = (0..<40).compactMap { _ in line.next()?.tenant.low }
        #expect(first.filter { $0 == 1 }.count == 10 && first.filter { $0 == 2 }.count == 30)
        #expect(joins(&line, Waiter(3, since: 500)))
        let then = (0..<5).compactMap { _ in line.next() }
        #expect(then.contains { $0.tenant.low == 3 }, "one of the next few, of 155")
        // Within a tenant in the order in which they came.
        let times = then.filter { $0.tenant.low == 2 }.map(\.since)
        #expect(times == times.sorted())
        while line.next() != nil {}
        #expect(line.isEmpty)
    }

    @Test("A tenant has half of a line at most; where that is full, the longest gives way with its youngest")
    func bounds() {
        var line = FairLine<Waiter>(maximum: 8)
        let crowd = (0..<4).map { Waiter(1, since: Int64($0)) }
        for waiter in crowd { #expect(joins(&line, waiter)) }
        if case .refused = line.join(Waiter(1)) {} else { Issue.record("a tenant crowds the line") }
        for tenant in UInt64(2)...5 { #expect(joins(&line, Waiter(tenant))) }
        guard case .instead(let gone) = line.join(Waiter(6)) else {
            Issue.record("nobody gave way")
            return
        }
        #expect(gone === crowd[3] && line.count == 8)
        if case .refused = line.join(Waiter(1)) {} else { Issue.record("the longest came back") }
        #expect(line.leave(crowd[0]) && !line.leave(crowd[0]) && !line.leave(gone) && line.count == 7)
        let rest = (0..<7).compactMap { _ in line.next() }
        #expect(rest.filter { $0.tenant.low == 1 }.map(\.since) == [1, 2] && line.next() == nil)
    }

    /// A gate whose requests all take the same time, and those who have places there.
    private struct Load {
        var gate: FairGate<Waiter>
        var now: Int64 = 0
        var held: [UInt64: Int] = [:]

        mutating func ask(_ tenant: UInt64, weight: Int64 = 1) -> Bool {
            if gate.take(IDBits(high: 0, low: tenant), weight: weight, now: now) {
                held[tenant, default: 0] += 1
                return true
            }
            _ = gate.join(Waiter(tenant, weight: weight, since: now))
            return false
        }

        mutating func end(_ tenant: UInt64) {
            held[tenant, default: 0] -= 1
            gate.release(IDBits(high: 0, low: tenant), now: now)
            look()
        }

        mutating func look() { while let next = gate.next(now: now) { held[next.tenant.low, default: 0] += 1 } }
    }

    @Test("One alone has all places; what another lately needed of its share is kept for it, and for no longer than it matters")
    func reserve() {
        var load = Load(gate: FairGate(places: 8, maximum: 100, now: 0))
        for _ in 0..<40 { _ = load.ask(1) }
        #expect(load.held == [1: 8])
        // Two of another come: theirs are the next two places.
        #expect(!load.ask(2) && !load.ask(2))
        load.end(1)
        load.end(1)
        #expect(load.held == [1: 6, 2: 2])
        // They end, and the others do not take what they had.
        load.end(2)
        load.end(2)
        #expect(load.held == [1: 6, 2: 0] && load.ask(2) && load.ask(2))
        load.end(2)
        load.end(2)
        load.now += 11_000_000
        load.look()
        #expect(load.held == [1: 8, 2: 0])
        // Nor does it keep more than half, whatever was needed.
        var third = Load(gate: FairGate(places: 8, maximum: 100, now: 0))
        for tenant in UInt64(10)..<30 where third.ask(tenant) { third.end(tenant) }
        for _ in 0..<20 { _ = third.ask(1) }
        #expect(third.held[1] == 4)
    }

    @Test("Two that want all of it have it by weight; with more places than before those who wait go on")
    func shares() {
        var load = Load(gate: FairGate(places: 8, maximum: 1000, now: 0))
        for _ in 0..<100 {
            _ = load.ask(1)
            _ = load.ask(2, weight: 3)
        }
        for step in 0..<100 { load.end(step % 2 == 0 ? 1 : load.held[2] ?? 0 > 0 ? 2 : 1) }
        #expect(load.held == [1: 2, 2: 6])
        load.gate.set(places: 12)
        load.look()
        #expect(load.held == [1: 3, 2: 9])
        load.gate.set(places: 2)
        load.look()
        for _ in 0..<9 { load.end(2) }
        #expect(load.held == [1: 3, 2: 0], "none is given while more are taken than there are")
    }

    @Test("Ten times its share from one tenant raises another's times at the 99th percentile by less than a quarter", arguments: 1...3)
    func quarter(seed: Int) {
        let alone = times(seed, flood: 0)
        let beside = times(seed, flood: 40)
        #expect(beside <= alone + alone / 4, "\(alone) → \(beside)")
        // Without turns the one is drowned: what this test sees.
        if seed == 1 { #expect(times(seed, flood: 40, isFair: false) > 2 * alone) }
    }

    /// What a tenant with four clients, who pause between requests, waits at an endpoint of 16 places: the 99th percentile of its requests'
    /// times in microseconds.
    private func times(_ seed: Int, flood: Int, isFair: Bool = true) -> Int64 {
        var random = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15
        func number(_ range: ClosedRange<Int64>) -> Int64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return range.lowerBound + Int64(random >> 33) % (range.upperBound - range.lowerBound + 1)
        }
        enum Event {
            case asks(UInt64)
            case ends(UInt64, since: Int64)
        }
        var gate = FairGate<Waiter>(places: 16, maximum: 1000, now: 0)
        var events: [(at: Int64, event: Event)] = []
        for _ in 0..<4 { events.append((number(0...100_000), .asks(2))) }
        for _ in 0..<flood { events.append((number(0...1000), .asks(1))) }
        var measured: [Int64] = []
        /// Unless it is fair, all are one tenant.
        func id(_ tenant: UInt64) -> IDBits { IDBits(high: 0, low: isFair ? tenant : 0) }
        var owners: [ObjectIdentifier: UInt64] = [:]
        while measured.count < 600 {
            guard let index = events.indices.min(by: { events[$0].at < events[$1].at }) else { break }
            let (now, event) = events.remove(at: index)
            switch event {
            case .asks(let tenant):
                if gate.take(id(tenant), weight: 1, now: now) {
                    events.append((now + number(80_000...120_000), .ends(tenant, since: now)))
                } else {
                    let waiter = Waiter(id(tenant).low, since: now)
                    owners[ObjectIdentifier(waiter)] = tenant
                    _ = gate.join(waiter)
                }
            case .ends(let tenant, let since):
                if tenant == 2 { measured.append(now - since) }
                gate.release(id(tenant), now: now)
                events.append((now + (tenant == 1 ? 0 : number(0...200_000)), .asks(tenant)))
            }
            while let next = gate.next(now: now) {
                let tenant = owners.removeValue(forKey: ObjectIdentifier(next)) ?? 0
                events.append((now + number(80_000...120_000), .ends(tenant, since: next.since)))
            }
        }
        // Its first second is that of a newcomer, who may find all places taken.
        let sorted = measured.dropFirst(60).sorted()
        return sorted[sorted.count * 99 / 100]
    }
}
