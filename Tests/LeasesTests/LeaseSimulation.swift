import Leases
import Primitives

struct SimulationFailure: Error, CustomStringConvertible {
    let description: String
}

/// What the control plane's database holds; a backup is a copy.
struct SimulatedControl {
    struct Boot: Hashable {
        let dataPlane: String
        let boot: String
    }

    var accounts: [AccountKey: LeaseAccount] = [:]
    var slices: [SliceID: LeasedSlice] = [:]
    var holders: [Boot: LeaseHolder] = [:]
    var epoch: UInt64 = 1
    /// After a restore: who has not told yet what he holds.
    var awaited: Set<String> = []
}

enum ToControl {
    case hello(number: UInt64, previousBoot: String, toldEpoch: UInt64, slices: [SliceReport])
    case report([SliceReport])
    case inventory([SliceReport], epoch: UInt64)
    case ask(LeaseAsk)
}

enum ToPlane {
    case welcome(epoch: UInt64, void: [SliceReport])
    case granted(LeasedSlice, ask: UInt64)
    case refused(LeaseAsk, LeaseRefusal)
    case recall(AccountKey)
    case told(epoch: UInt64)
}

/// Several data planes, a control plane, a provider and clients, with everything that can go wrong between and in them. What is looked at after
/// every step is the truth: what the provider produced, and for which account.
final class LeaseSimulation {
    /// What of what goes wrong. A disk from before and a control plane from before, at once, forget the same money: nobody can know of it.
    enum Faults: CaseIterable {
        case disks
        case restores
    }

    static let budgets: [(high: UInt16, low: UInt64, limit: Int64)] = [(1, 1, 3_000), (1, 2, 1_500), (1, 3, 400)]
    static let period: Int64 = 3 * 3_600_000
    static let tolerance: Int64 = 15 * 60_000

    var random: SeededGenerator
    let faults: Faults
    /// Milliseconds of true time.
    var now: Int64 = 50 * 3_600_000
    var control = SimulatedControl()
    var backups: [SimulatedControl] = []
    var planes: [SimulatedPlane] = []
    var network: [(due: Int64, deliver: () throws -> Void)] = []
    var nextRequest = 1
    /// What the provider produced, by account and by slice.
    var truth: [AccountKey: Int64] = [:]
    var sliceTruth: [SliceID: Int64] = [:]
    var limits: [AccountKey: Int64] = [:]
    var isHealing = false
    var statistics = Statistics()

    struct Statistics {
        var served = 0, refused = 0, unknown = 0, kills = 0, orphans = 0, restores = 0, clones = 0, adopted = 0, continued = 0, extended = 0
        var neverReceived = 0
        /// Accounts of which less was left than a request may want.
        var usedUp = 0
    }

    init(seed: UInt64, faults: Faults) {
        random = SeededGenerator(seed: seed)
        self.faults = faults
        for index in 0..<Int.random(in: 2...4, using: &random) {
            let skew = Int64.random(in: -600_000...600_000, using: &random)
            let plane = SimulatedPlane("dp_\(index)", disk: SimulatedDisk(), skew: skew, self)
            planes.append(plane)
            plane.start()
        }
    }

    func chance(_ percent: Double) -> Bool { Double.random(in: 0..<100, using: &random) < percent }

    // MARK: Steps

    func run(steps: Int) throws {
        for _ in 0..<steps {
            try step()
            try check()
        }
    }

    private func step() throws {
        now += chance(0.7) ? Int64.random(in: 0...2_400_000, using: &random) : Int64.random(in: 0...2_500, using: &random)
        try deliver()
        guard let plane = planes.randomElement(using: &random) else { return }
        switch Double.random(in: 0..<100, using: &random) {
        case ..<40: for _ in 0...2 { plane.clientAsks() }
        case ..<66: for _ in 0...2 { plane.somethingEnds() }
        case ..<76: plane.turn()
        case ..<84: plane.fold()
        case ..<85.5: plane.reconnect()
        case ..<86.5: plane.kill(reboot: chance(30))
        case ..<87: plane.stopGracefully()
        case ..<88.5: snapshot(plane)
        case ..<89 where faults == .disks: restoreDisk(plane)
        case ..<89.3 where faults == .disks: clone(plane)
        case ..<89.3 where faults == .restores: restoreControl()
        case ..<90: changeLimit()
        default: plane.isAlive ? plane.turn() : plane.start()
        }
    }

    private func deliver() throws {
        let due = network.filter { $0.due <= now }
        network.removeAll { $0.due <= now }
        for message in due.shuffled(using: &random) { try message.deliver() }
    }

    /// Messages are lost, late, doubled and out of order.
    func send(_ body: @escaping () throws -> Void) {
        if !isHealing, chance(6) { return }
        let copies = !isHealing && chance(8) ? 2 : 1
        for _ in 0..<copies {
            let delay = isHealing ? 0 : Int64.random(in: 0...(chance(5) ? 400_000 : 800), using: &random)
            network.append((now + delay, body))
        }
    }

    private func snapshot(_ plane: SimulatedPlane) {
        plane.snapshots.append(plane.disk)
        if backups.count < 6 { backups.append(control) } else { backups[Int.random(in: 0..<6, using: &random)] = control }
    }

    private func restoreDisk(_ plane: SimulatedPlane) {
        guard let old = plane.snapshots.randomElement(using: &random) else { return }
        plane.kill(reboot: chance(30))
        plane.disk = old
        plane.start()
    }

    private func clone(_ plane: SimulatedPlane) {
        guard planes.count < 7 else { return }
        statistics.clones += 1
        let copy = SimulatedPlane(plane.id, disk: plane.disk, skew: plane.skew, self)
        planes.append(copy)
        copy.start()
    }

    private func restoreControl() {
        guard let backup = backups.randomElement(using: &random) else { return }
        let epoch = control.epoch + 1
        control = backup
        control.epoch = epoch
        control.awaited = Set(planes.map(\.id))
        statistics.restores += 1
        for plane in planes { plane.connection = nil }
    }

    private func changeLimit() {
        guard let key = control.accounts.keys.randomElement(using: &random) else { return }
        let limit = Self.limit(of: key) * Int64.random(in: 70...130, using: &random) / 100
        control.accounts[key]?.setLimit(limit)
        limits[key] = max(limits[key] ?? 0, limit)
    }

    static func limit(of key: AccountKey) -> Int64 { budgets.first { $0.low == key.low }?.limit ?? 0 }

    // MARK: The provider

    /// Something was produced, for what is held of these slices, in their order.
    func produced(_ amount: Int64, _ request: inout SimulatedRequest) {
        for key in Set(request.holds.map(\.account)) {
            truth[key, default: 0] += amount
            var left = amount
            var before = request.produced
            for part in request.holds where part.account == key {
                let room = max(0, part.amount - before)
                before = max(0, before - part.amount)
                let here = min(room, left)
                sliceTruth[part.slice, default: 0] += here
                left -= here
            }
        }
        request.produced += amount
    }

    // MARK: What must hold

    func check() throws {
        var all: [AccountKey: (settled: Int64, unknown: Int64, leased: Int64)] = [:]
        for slice in control.slices.values {
            let parts = slice.parts
            guard parts.leased >= 0, parts.unknown >= 0, slice.spent >= 0 else { throw SimulationFailure(description: "\(slice)") }
            let before = all[slice.account] ?? (0, 0, 0)
            all[slice.account] = (before.settled + parts.settled, before.unknown + parts.unknown, before.leased + parts.leased)
        }
        for (key, account) in control.accounts {
            guard account.settled + account.unknown + account.leased + account.free == account.limit else {
                throw SimulationFailure(description: "\(key): \(account) does not add up")
            }
            let sums = all[key] ?? (0, 0, 0)
            guard sums == (account.settled, account.unknown, account.leased) else {
                throw SimulationFailure(description: "\(key): \(account), but its slices say \(sums)")
            }
            let most = max(limits[key] ?? 0, Self.limit(of: key))
            guard truth[key] ?? 0 <= most else {
                throw SimulationFailure(description: "\(key): \(truth[key] ?? 0) was produced of \(most)")
            }
        }
    }

    /// Everything that is only late comes; operators write off what nobody holds any more. Then what was not produced can be used again.
    func heal() throws {
        isHealing = true
        now += 2_000_000
        try deliver()
        // Clones are found out and switched off.
        var seen: Set<String> = []
        for plane in planes where !seen.insert(plane.id).inserted { plane.kill(reboot: true) }
        planes = planes.filter { plane in planes.first { $0.id == plane.id } === plane }
        for round in 0..<6 {
            for plane in planes {
                if !plane.isAlive { plane.start() }
                if plane.connection == nil || round == 0 { plane.reconnect() }
                for _ in 0..<50 where !plane.running.isEmpty { plane.somethingEnds() }
                plane.fold()
                plane.turn()
                now += 1_000
                try deliver()
                try check()
            }
        }
        for plane in planes { plane.giveBackAll() }
        try deliver()
        for plane in planes { plane.giveBackAll() }
        try deliver()
        // What is under way holds its sender.
        network = []
        for (id, slice) in control.slices {
            var slice = slice
            let produced = sliceTruth[id] ?? 0
            if slice.state == .orphaned { control.accounts[slice.account]?.writeOff(&slice, charging: produced - slice.spent) }
            if slice.parts.unknown > 0 {
                control.accounts[slice.account]?.resolveUnknown(of: &slice, charging: produced - slice.parts.settled)
            }
            control.slices[id] = slice
        }
        try check()
        statistics.usedUp = control.accounts.keys.count { key in (limits[key] ?? Self.limit(of: key)) - (truth[key] ?? 0) < 120 }
        for (key, account) in control.accounts {
            guard account.unknown == 0, account.leased == 0, account.settled == truth[key] ?? 0 else {
                let left = control.slices.values.filter { $0.account == key && $0.parts.settled != sliceTruth[$0.id] ?? 0 || $0.isHeld }
                throw SimulationFailure(
                    description: "\(key): after healing \(account), but \(truth[key] ?? 0) was produced; \(left.prefix(3))")
            }
        }
    }
}
