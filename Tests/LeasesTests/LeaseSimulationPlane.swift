import Leases
import Primitives

struct SimulatedRequest {
    let id: Int
    var holds: [HoldPart]
    /// What it was reserved for, extensions included.
    var held: Int64
    /// What the provider has produced for it.
    var produced: Int64 = 0
    /// Where its budgets count what is likely: the most that it may have come to, by what was written down last; its provider keeps to that.
    var likely: Int64?
    /// Records that said so, the intent aside.
    var progress = 0

    /// What may yet be produced without anything being written down.
    var unheard: Int64 { min(held, likely ?? held) - produced }
}

/// What a data plane's folder holds. A value: a snapshot, a copy and an older one that is put back are copies.
struct SimulatedDisk {
    enum Frame {
        case intent(Int, [HoldPart], likely: Int64?)
        /// All that was taken beyond the intent, and what is known to be spent.
        case progress(Int, [HoldPart], spent: Int64, likely: Int64?, count: Int)
        case completion(Int, [HoldPart], [(spent: Int64, unknown: Int64)], progress: Int)
    }

    var mark = ContinuityMark(boot: "", step: 0)
    var previousBoot = ""
    var hellos: UInt64 = 0
    var toldEpoch: UInt64 = 0
    var rows: [SliceID: HeldSlice] = [:]
    var journal: [Frame] = []
    var pending: [Int: (holds: [HoldPart], extensions: [HoldPart], spent: Int64, likely: Int64?, progress: Int)] = [:]
    /// Rows that the control plane has not answered for.
    var untold: Set<SliceID> = []

    mutating func charge(_ part: HoldPart, spent: Int64, unknown: Int64) {
        rows[part.slice]?.charge(spent: spent, unknown: unknown)
        untold.insert(part.slice)
    }

    /// Moves the journal into the rows.
    mutating func fold(_ count: Int) {
        for frame in journal.prefix(count) {
            switch frame {
            case .intent(let id, let holds, let likely): pending[id] = (holds, [], 0, likely, 0)
            case .progress(let id, let extensions, let spent, let likely, let count):
                pending[id]?.extensions = extensions
                pending[id]?.spent = spent
                pending[id]?.likely = likely
                pending[id]?.progress = count
            case .completion(let id, let holds, let charges, let progress):
                pending[id] = nil
                mark.holds += UInt64(holds.count + progress)
                for (part, charge) in zip(holds, charges) { self.charge(part, spent: charge.spent, unknown: charge.unknown) }
            }
        }
        journal.removeFirst(min(count, journal.count))
    }

    /// What was under way when the process died: what is known is spent, the rest is not known.
    mutating func closePending() {
        for (_, open) in pending.sorted(by: { $0.key < $1.key }) {
            let parts = open.holds + open.extensions
            mark.holds += UInt64(parts.count + open.progress)
            for key in Set(parts.map(\.account)) {
                let theirs = parts.filter { $0.account == key }
                let divided = HoldDivision.divide(theirs.map(\.amount), spent: open.spent, isKnown: false, most: open.likely)
                for (part, sums) in zip(theirs, divided.parts) { charge(part, spent: sums.spent, unknown: sums.unknown) }
            }
        }
        pending = [:]
    }
}

/// A data plane: its disk, what its machine's memory holds, and a process, which may be dead.
final class SimulatedPlane {
    let id: String
    let skew: Int64
    var disk: SimulatedDisk
    var snapshots: [SimulatedDisk] = []
    private var witness: ContinuityMark?
    private unowned let world: LeaseSimulation

    var isAlive = false
    var wallet = Wallet()
    var running: [SimulatedRequest] = []
    /// The number of the stream's hello.
    var connection: UInt64?
    private var isWelcome = false

    init(_ id: String, disk: SimulatedDisk, skew: Int64, _ world: LeaseSimulation) {
        self.id = id
        self.disk = disk
        self.skew = skew
        self.world = world
    }

    var clock: Int64 { world.now + skew }
    private var boot: SimulatedControl.Boot { .init(dataPlane: id, boot: disk.mark.boot) }

    /// A transaction on the disk, beside the witness.
    private func write(_ body: (inout SimulatedDisk) -> Void) {
        body(&disk)
        disk.mark.step += 1
        witness = ContinuityMark(boot: disk.mark.boot, step: disk.mark.step, holds: witness?.holds ?? 0)
    }

    /// What is in the journal is in the witness, too.
    private func append(_ frame: SimulatedDisk.Frame, holding parts: Int) {
        disk.journal.append(frame)
        witness?.holds += UInt64(parts)
    }

    func start() {
        guard !isAlive else { return }
        isAlive = true
        let found = disk.mark.step
        disk.fold(disk.journal.count)
        disk.closePending()
        let isContinued = ContinuityMark.isContinued(disk: disk.mark, found: found, witness: witness, begun: witness?.step ?? 0)
        if !isContinued { witness = nil }
        write { disk in
            if isContinued { return }
            disk.previousBoot = disk.mark.boot
            disk.mark = ContinuityMark(boot: "boot\(world.random.next())", step: 0)
            for id in disk.rows.keys where disk.rows[id]?.state == .open {
                disk.rows[id]?.orphan()
                disk.untold.insert(id)
            }
        }
        if isContinued { world.statistics.continued += 1 } else { world.statistics.orphans += 1 }
        wallet = Wallet()
        for row in disk.rows.values where row.boot == disk.mark.boot { wallet.add(row, nowMilliseconds: clock) }
    }

    func kill(reboot: Bool) {
        if reboot { witness = nil }
        guard isAlive else { return }
        isAlive = false
        connection = nil
        world.statistics.kills += 1
        // The provider goes on for a while with what it was asked for.
        for var request in running {
            world.produced(Int64.random(in: 0...request.unheard, using: &world.random), &request)
        }
        running = []
    }

    // MARK: Requests

    func clientAsks() {
        guard isAlive else { return }
        let start = clock / LeaseSimulation.period * LeaseSimulation.period
        let amount = Int64.random(in: 1...(world.chance(10) ? 300 : 60), using: &world.random)
        var claims = LeaseSimulation.budgets.filter { _ in world.chance(50) }
        if claims.isEmpty { claims = [LeaseSimulation.budgets[0]] }
        let reservation = wallet.reserve(
            claims.map { Claim(account: AccountKey(high: $0.high, low: $0.low, periodStart: start), amount: amount) },
            nowMilliseconds: clock)
        guard case .held(let parts) = reservation else {
            world.statistics.refused += 1
            return turn()
        }
        var request = SimulatedRequest(id: world.nextRequest, holds: parts, held: amount)
        if world.chance(40) { request.likely = Int64.random(in: 1...max(1, amount / 2), using: &world.random) }
        world.nextRequest += 1
        append(.intent(request.id, parts, likely: request.likely), holding: parts.count)
        running.append(request)
    }

    func somethingEnds() {
        guard isAlive, let index = running.indices.randomElement(using: &world.random) else { return }
        var request = running[index]
        // A long answer goes on.
        if world.chance(30), !world.isHealing {
            world.produced(Int64.random(in: 0...request.unheard, using: &world.random), &request)
            if world.chance(50) { extend(&request) }
            if request.likely != nil {
                request.likely = request.produced + Int64.random(in: 0...max(1, request.held / 4), using: &world.random)
                noteProgress(&request)
            }
            running[index] = request
            return
        }
        running.remove(at: index)
        let isKnown = world.isHealing || world.chance(85)
        let left = isKnown ? request.held - request.produced : request.unheard
        world.produced(Int64.random(in: 0...left, using: &world.random), &request)
        if isKnown { world.statistics.served += 1 } else { world.statistics.unknown += 1 }
        var parts: [HoldPart] = []
        var charges: [(spent: Int64, unknown: Int64)] = []
        for key in Set(request.holds.map(\.account)) {
            let theirs = request.holds.filter { $0.account == key }
            let divided = HoldDivision.divide(
                theirs.map(\.amount), spent: isKnown ? request.produced : 0, isKnown: isKnown, most: request.likely)
            for (part, sums) in zip(theirs, divided.parts) { wallet.settle(part, spent: sums.spent, unknown: sums.unknown) }
            parts += theirs
            charges += divided.parts
        }
        append(.completion(request.id, parts, charges, progress: request.progress), holding: 0)
        // Nobody heard the end, and the provider went on.
        if !isKnown { world.produced(Int64.random(in: 0...request.unheard, using: &world.random), &request) }
    }

    private func extend(_ request: inout SimulatedRequest) {
        let more = Int64.random(in: 1...60, using: &world.random)
        let extensionStart = request.holds.count
        for key in Set(request.holds.map(\.account)) {
            guard let parts = wallet.extend(Claim(account: key, amount: more), nowMilliseconds: clock) else {
                // All or nothing: what was taken of the others goes back.
                for part in request.holds[extensionStart...] { wallet.settle(part, spent: 0) }
                request.holds.removeSubrange(extensionStart...)
                return
            }
            request.holds += parts
        }
        request.held += more
        world.statistics.extended += 1
        extensions[request.id, default: []] += request.holds[extensionStart...]
        noteProgress(&request, holding: request.holds.count - extensionStart)
    }

    private func noteProgress(_ request: inout SimulatedRequest, holding parts: Int = 0) {
        if request.likely != nil { request.progress += 1 }
        append(
            .progress(
                request.id, extensions[request.id] ?? [], spent: request.produced, likely: request.likely, count: request.progress),
            holding: parts + (request.likely == nil ? 0 : 1))
    }

    private var extensions: [Int: [HoldPart]] = [:]

    // MARK: The folder and the link

    func fold() {
        guard isAlive, !disk.journal.isEmpty else { return }
        let count = Int.random(in: 1...disk.journal.count, using: &world.random)
        write { $0.fold(world.isHealing ? $0.journal.count : count) }
    }

    /// A second of the link: what is held for nothing, what is to be told, what is to be asked for.
    func turn(all: Bool = false) {
        guard isAlive else { return }
        let changes = wallet.look(nowMilliseconds: clock, all: all)
        if !changes.isEmpty { write { disk in for change in changes { apply(change, to: &disk) } } }
        guard isWelcome, connection != nil else { return }
        tell()
        guard !all else { return }
        for ask in wallet.asks(nowMilliseconds: clock, using: &world.random) { say(.ask(ask)) }
    }

    private func apply(_ change: SliceChange, to disk: inout SimulatedDisk) {
        switch change {
        case .lowered(let id, let ceiling):
            disk.rows[id]?.lower(to: ceiling)
            disk.untold.insert(id)
        case .closing(let id, let spent, let unknown):
            guard let row = disk.rows[id], disk.rows[id]?.close(spent: spent, unknown: unknown) == true else { return }
            disk.untold.insert(id)
            wallet.closed(id, of: row.account)
        }
    }

    func tell() {
        let reports = disk.untold.compactMap { disk.rows[$0]?.report }
        if !reports.isEmpty { say(.report(reports)) }
        // Nobody answers for a report here, so closed ones are told again and again.
        disk.untold = disk.untold.filter { world.isHealing ? false : disk.rows[$0]?.state != .open }
    }

    private func say(_ message: ToControl) {
        guard let stream = connection else { return }
        let (world, boot) = (world, boot)
        world.send { try world.receive(message, from: self, boot, stream: stream) }
    }

    func reconnect() {
        guard isAlive else { return }
        write { $0.hellos += 1 }
        connection = disk.hellos
        isWelcome = false
        wallet.forgetAsks()
        let slices = disk.rows.values.filter { $0.state != .closed || disk.untold.contains($0.id) }.map(\.report)
        say(.hello(number: disk.hellos, previousBoot: disk.previousBoot, toldEpoch: disk.toldEpoch, slices: slices))
    }

    func receive(_ message: ToPlane, on stream: UInt64) {
        guard isAlive, stream == connection else { return }
        switch message {
        case .welcome(let epoch, let void):
            isWelcome = true
            for report in void { wallet.void(report.slice, of: report.account) }
            write { disk in for report in void { disk.rows[report.slice]?.orphan() } }
            if epoch != disk.toldEpoch { say(.inventory(disk.rows.values.map(\.report), epoch: epoch)) }
        case .told(let epoch): write { $0.toldEpoch = epoch }
        case .granted(let slice, _):
            guard disk.rows[slice.id] == nil, slice.boot == disk.mark.boot else { return }
            let held = HeldSlice(
                SliceReport(
                    slice: slice.id, account: slice.account, boot: slice.boot, granted: slice.granted, ceiling: slice.granted, spent: 0,
                    unknown: 0, state: .open, expires: slice.expires, epoch: slice.epoch))
            write { $0.rows[slice.id] = held }
            wallet.add(held, nowMilliseconds: clock)
        case .refused(let ask, let reason):
            wallet.refused(ask, RefusedAccount(reason: reason, resetsAt: 0), nowMilliseconds: clock)
        case .recall(let key): wallet.recall(key)
        }
    }

    /// Stops, having given everything back.
    func stopGracefully() {
        guard isAlive, running.isEmpty else { return }
        giveBackAll()
        isAlive = false
        connection = nil
    }

    func giveBackAll() {
        guard isAlive else { return }
        if !disk.journal.isEmpty { write { $0.fold($0.journal.count) } }
        turn(all: true)
    }
}
