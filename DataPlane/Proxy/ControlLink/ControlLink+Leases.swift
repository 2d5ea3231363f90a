import Contract
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Leases
import Logging
import NIOCore
import NIOPosix
import Primitives

/// The lane of the leases: a connection of its own.
extension ControlLink {
    /// A control plane that knows of no leases is asked again after this many milliseconds.
    private static let unknownMilliseconds: Int64 = 60_000

    func runLeases() async {
        guard budgets.store != nil else { return }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var backoff = Backoff()
        var reported = ""
        while !Task.isCancelled {
            guard budgets.isReady else {
                _ = await budgets.wake.wait(milliseconds: 1000)
                continue
            }
            let start = MonotonicClock.nowMicroseconds()
            var pause: Int64?
            do {
                try await lease(at: address, group)
            } catch let error as RPCError where error.code == .unimplemented {
                pause = Self.unknownMilliseconds
            } catch {
                let text = FleetConnection.text(error)
                if text != reported, !Task.isCancelled {
                    logger.notice("no stream of leases: budgets are spent from what is held", metadata: ["reason": "\(text)"])
                }
                reported = text
            }
            budgets.linked(false)
            try? await backoff.wait(since: start, milliseconds: pause)
        }
        try? await group.shutdownGracefully()
    }

    private func lease(at address: FleetAddress, _ group: MultiThreadedEventLoopGroup) async throws {
        let transport = try FleetConnection.transport(to: address, authorityPEM: enrollment.authorityPEM, group: group)
        try await FleetConnection.run(transport) { client in
            let fleet = Weir_V1_Fleet.Client(wrapping: client)
            let session = try await self.openSession(fleet)
            // The link acts on it.
            guard !session.hasRevocation else { throw RPCError(code: .unimplemented, message: "revoked") }
            defer { client.beginGracefulShutdown() }
            let stream = LeaseStream(desk: self.budgets)
            let (messages, queue) = AsyncStream<Weir_V1_LeaseRequest>.makeStream()
            defer { queue.finish() }
            queue.yield(try await stream.hello())
            let request = StreamingClientRequest<Weir_V1_LeaseRequest>(
                metadata: ["authorization": "Bearer \(session.session)"]
            ) { writer in
                for await message in messages { try await writer.write(message) }
            }
            let turns = Task {
                // What cannot be written down ends the stream: the next one begins with what is.
                defer { queue.finish() }
                while !Task.isCancelled {
                    for message in try await stream.turn() { queue.yield(message) }
                    _ = await self.budgets.wake.wait(milliseconds: LeaseStream.turnMilliseconds)
                }
            }
            defer { turns.cancel() }
            try await fleet.lease(request: request, options: FleetConnection.streamOptions) { response in
                for try await message in response.messages {
                    for answer in try await stream.receive(message) { queue.yield(answer) }
                }
            }
            throw RPCError(code: .unavailable, message: "the control plane ended the stream of leases")
        }
    }
}

/// One stream of leases, from its hello on. What it says is on the disk before, and what it hears before it counts.
actor LeaseStream {
    static let turnMilliseconds: Int64 = 1000
    /// How many slices are told at once.
    private static let reportsAtOnce = 500

    private let desk: BudgetDesk
    private var isWelcome = false
    private var isTold = false
    private var epoch: UInt64 = 0
    private var inventory: UInt64?
    private var number: UInt64 = 0
    private var unanswered: [UInt64: (slices: [SliceID], step: Int64, epoch: UInt64?)] = [:]
    private var asked: [UInt64: LeaseAsk] = [:]
    private var lastLook: Int64 = 0
    /// Monotonic microseconds.
    private var welcomedAt: Int64 = 0
    private static let patienceMicroseconds: Int64 = 3_000_000

    init(desk: BudgetDesk) { self.desk = desk }

    func hello() async throws -> Weir_V1_LeaseRequest {
        var message = Weir_V1_LeaseRequest()
        let told = try await desk.onDisk { store in
            let (number, epoch) = try store.nextHello()
            var hello = Weir_V1_LeaseHello()
            hello.boot = store.boot
            hello.previousBoot = store.previousBoot
            hello.number = number
            hello.epoch = epoch
            let (reports, step) = try store.reports(.held)
            hello.slices = reports.map { Weir_V1_SliceReport($0) }
            return (hello, reports.map(\.slice), step, epoch)
        }
        guard let told else { return message }
        message.hello = told.0
        unanswered[0] = (told.1, told.2, nil)
        epoch = told.3
        return message
    }

    /// What is to be said now.
    func turn() async throws -> [Weir_V1_LeaseRequest] {
        guard isWelcome else { return [] }
        var messages: [Weir_V1_LeaseRequest] = []
        let now = MonotonicClock.nowMicroseconds()
        let isDue = now - lastLook >= Self.turnMilliseconds * 900
        let (changes, isStopping) = isDue || desk.isStopping ? desk.look() : ([], false)
        if isDue { lastLook = now }
        if !changes.isEmpty, let closed = try await desk.onDisk({ try $0.apply(changes) }) { desk.closed(closed) }
        messages += try await reports()
        if isStopping, messages.isEmpty, unanswered.isEmpty { desk.givenBack() }
        // Nothing is granted to whoever has not told what he holds.
        guard isTold else { return messages }
        for ask in desk.asks() {
            asked[ask.id] = ask
            var message = Weir_V1_LeaseRequest()
            message.ask.ask = ask.id
            message.ask.budgetID = ask.account.budget.rawValue
            message.ask.periodStartMs = ask.account.periodStart
            message.ask.needed = ask.needed
            message.ask.wanted = ask.wanted
            message.ask.grant = desk.grant(of: ask.account) ?? ""
            messages.append(message)
        }
        return messages
    }

    private func reports() async throws -> [Weir_V1_LeaseRequest] {
        // One after the other: what is under way is not told twice.
        guard unanswered.isEmpty else { return [] }
        // It is told once, also where another turn comes while the disk is read.
        let wanted = inventory
        inventory = nil
        guard let (reports, step) = try await desk.onDisk({ try $0.reports(wanted == nil ? .changed : .all) }) else { return [] }
        guard !reports.isEmpty || wanted != nil else { return [] }
        var messages: [Weir_V1_LeaseRequest] = []
        var rest = reports[...]
        repeat {
            let part = rest.prefix(Self.reportsAtOnce)
            rest = rest.dropFirst(part.count)
            number += 1
            var message = Weir_V1_LeaseRequest()
            message.report.number = number
            message.report.slices = part.map { Weir_V1_SliceReport($0) }
            if rest.isEmpty, let wanted { message.report.completeEpoch = wanted }
            unanswered[number] = (part.map(\.slice), step, rest.isEmpty ? wanted : nil)
            messages.append(message)
        } while !rest.isEmpty
        return messages
    }

    func receive(_ message: Weir_V1_LeaseGrant) async throws -> [Weir_V1_LeaseRequest] {
        switch message.message {
        case .welcome(let welcome):
            isWelcome = true
            welcomedAt = MonotonicClock.nowMicroseconds()
            desk.linked(true)
            try await void(welcome.voidSlices)
            try await stored(through: 0)
            if welcome.epoch == epoch { isTold = true } else { inventory = welcome.epoch }
            return try await turn()
        case .granted(let granted):
            try await take(granted)
        case .refused(let refused):
            guard let ask = asked.removeValue(forKey: refused.ask) else { return [] }
            let reason: LeaseRefusal =
                switch refused.reason {
                case .held: .held
                case .noSuchAccount: .noSuchAccount
                case .recovering: .recovering
                case .exhausted, .unspecified, .UNRECOGNIZED: .exhausted
                }
            desk.refused(ask, RefusedAccount(reason: reason, resetsAt: refused.resetsAtMs))
            // It was restored since the hello, perhaps: another one tells what is held here.
            if reason == .recovering, MonotonicClock.nowMicroseconds() - welcomedAt > Self.patienceMicroseconds {
                throw RPCError(code: .aborted, message: "the control plane wants to hear what is held here")
            }
        case .stored(let stored):
            try await void(stored.voidSlices)
            try await self.stored(through: stored.number)
            return try await turn()
        case .recall(let recall):
            if let account = AccountKey(BudgetID(recall.budgetID), periodStart: recall.periodStartMs) { desk.recall(account) }
            lastLook = 0
        case nil: break
        }
        return []
    }

    private func take(_ granted: Weir_V1_GrantedSlice) async throws {
        guard asked.removeValue(forKey: granted.ask) != nil, let id = SliceID(granted.slice), granted.amount > 0,
            let account = AccountKey(BudgetID(granted.budgetID), periodStart: granted.periodStartMs)
        else { return }
        let unit = desk.unit(of: account)
        let added = try await desk.onDisk { store in
            let slice = HeldSlice(
                SliceReport(
                    slice: id, account: account, boot: store.boot, granted: granted.amount, ceiling: granted.amount, spent: 0, unknown: 0,
                    state: .open, expires: granted.expiresMs, epoch: granted.epoch))
            return try store.add(slice, unit: unit)
        }
        if let added = added ?? nil { desk.granted(added) }
    }

    private func void(_ ids: [UInt64]) async throws {
        let slices = ids.compactMap { SliceID($0) }
        guard !slices.isEmpty, let voided = try await desk.onDisk({ try $0.void(slices) }) else { return }
        desk.void(voided)
    }

    private func stored(through number: UInt64) async throws {
        let now = desk.clock.nowMilliseconds()
        for (key, told) in unanswered where key <= number {
            unanswered[key] = nil
            _ = try await desk.onDisk { store in
                try store.told(told.slices, through: told.step, nowMilliseconds: now)
                if let epoch = told.epoch { try store.told(epoch: epoch) }
            }
            if let epoch = told.epoch {
                self.epoch = epoch
                isTold = true
            }
        }
    }
}

extension Weir_V1_SliceReport {
    init(_ report: SliceReport) {
        self.init()
        slice = report.slice.bits
        budgetID = report.account.budget.rawValue
        periodStartMs = report.account.periodStart
        boot = report.boot
        granted = report.granted
        ceiling = report.ceiling
        spent = report.spent
        unknown = report.unknown
        state =
            switch report.state {
            case .open: .open
            case .closed: .closed
            case .orphaned: .orphaned
            }
        expiresMs = report.expires
        epoch = report.epoch
    }
}
