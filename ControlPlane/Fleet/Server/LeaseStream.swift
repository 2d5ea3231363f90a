import Contract
import Domain
import GRPCCore
import Leases
import Logging
import Primitives
import Synchronization

/// One data plane's stream of slices: its hello, what it says of those it holds, what it asks for; answered in order, each once it is stored.
struct LeaseStream: Sendable {
    /// Slices of one message.
    private static let maximumSlices = 10_000

    let dataPlaneID: String
    let leases: LeaseService
    let recalls: LeaseRecalls
    let logger: Logger

    func serve(
        _ messages: RPCAsyncSequence<Weir_V1_LeaseRequest, any Error>, _ writer: RPCWriter<Weir_V1_LeaseGrant>
    ) async throws {
        let (accounts, number) = recalls.add(dataPlaneID)
        defer { recalls.remove(number) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var session: LeaseSession?
                for try await message in messages { try await writer.write(try await answer(message, &session)) }
            }
            group.addTask {
                for await account in accounts {
                    var grant = Weir_V1_LeaseGrant()
                    grant.recall.budgetID = account.budget.rawValue
                    grant.recall.periodStartMs = account.periodStart
                    try await writer.write(grant)
                }
            }
            // The data plane that stops asking has left.
            try await group.next()
            group.cancelAll()
        }
    }

    private func answer(_ message: Weir_V1_LeaseRequest, _ session: inout LeaseSession?) async throws -> Weir_V1_LeaseGrant {
        do {
            switch (message.message, session) {
            case (.hello(let hello), nil): return try await answer(hello, &session)
            case (.report(let report), var current?):
                defer { session = current }
                return try await answer(report, &current)
            case (.ask(let ask), var current?):
                defer { session = current }
                return try await answer(ask, &current)
            default: throw RPCError(code: .invalidArgument, message: "a lease stream begins with one hello; then come reports and asks")
            }
        } catch is LeaseRefusal {
            throw RPCError(code: .aborted, message: "this data plane has opened a newer lease stream")
        }
    }

    private func answer(_ hello: Weir_V1_LeaseHello, _ session: inout LeaseSession?) async throws -> Weir_V1_LeaseGrant {
        let isHex = hello.boot.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard hello.boot.utf8.count == 32, isHex, hello.number > 0, hello.number <= UInt64(Int64.max) else {
            throw RPCError(code: .invalidArgument, message: "a lease hello needs a boot of 32 hex digits and a number")
        }
        let welcome = try await leases.hello(
            dataPlaneID, boot: hello.boot, number: hello.number, toldEpoch: hello.epoch, slices: try reports(hello.slices))
        session = welcome.session
        var grant = Weir_V1_LeaseGrant()
        grant.welcome.epoch = welcome.epoch
        grant.welcome.voidSlices = welcome.void.map(\.bits)
        return grant
    }

    private func answer(_ report: Weir_V1_LeaseReport, _ session: inout LeaseSession) async throws -> Weir_V1_LeaseGrant {
        let void = try await leases.report(&session, try reports(report.slices), completeEpoch: report.completeEpoch)
        var grant = Weir_V1_LeaseGrant()
        grant.stored.number = report.number
        grant.stored.voidSlices = void.map(\.bits)
        return grant
    }

    private func answer(_ message: Weir_V1_LeaseAsk, _ session: inout LeaseSession) async throws -> Weir_V1_LeaseGrant {
        var grant = Weir_V1_LeaseGrant()
        guard let account = AccountKey(BudgetID(message.budgetID), periodStart: message.periodStartMs), message.ask != 0 else {
            grant.refused = Self.refusal(message, .noSuchAccount, resetsAt: 0)
            return grant
        }
        let ask = LeaseAsk(
            id: message.ask, account: account, needed: LeaseAmount.clamped(message.needed), wanted: LeaseAmount.clamped(message.wanted))
        switch try await leases.ask(&session, ask, grant: message.grant) {
        case .granted(let slice):
            grant.granted.ask = message.ask
            grant.granted.slice = slice.id.bits
            grant.granted.budgetID = message.budgetID
            grant.granted.periodStartMs = message.periodStartMs
            grant.granted.amount = slice.granted
            grant.granted.expiresMs = slice.expires
            grant.granted.epoch = slice.epoch
        case .refused(let reason, let resetsAt):
            grant.refused = Self.refusal(message, reason, resetsAt: resetsAt)
            if reason == .held { recalls.look() }
        }
        return grant
    }

    private static func refusal(_ ask: Weir_V1_LeaseAsk, _ reason: LeaseRefusal, resetsAt: Int64) -> Weir_V1_LeaseRefusal {
        var refusal = Weir_V1_LeaseRefusal()
        refusal.ask = ask.ask
        refusal.budgetID = ask.budgetID
        refusal.periodStartMs = ask.periodStartMs
        refusal.resetsAtMs = resetsAt
        refusal.reason =
            switch reason {
            case .exhausted: .exhausted
            case .held: .held
            case .noSuchAccount: .noSuchAccount
            case .recovering: .recovering
            case .superseded: .unspecified
            }
        return refusal
    }

    /// What cannot be a slice is passed over: it is nobody's money.
    private func reports(_ messages: [Weir_V1_SliceReport]) throws -> [SliceReport] {
        guard messages.count <= Self.maximumSlices else {
            throw RPCError(code: .invalidArgument, message: "more than \(Self.maximumSlices) slices in one message")
        }
        return messages.compactMap { message in
            guard let id = SliceID(message.slice), let account = AccountKey(BudgetID(message.budgetID), periodStart: message.periodStartMs)
            else {
                logger.warning("a slice that is none was reported", metadata: ["data_plane": "\(dataPlaneID)"])
                return nil
            }
            let state: SliceReport.State =
                switch message.state {
                case .closed: .closed
                case .orphaned: .orphaned
                case .open, .UNRECOGNIZED: .open
                }
            return SliceReport(
                slice: id, account: account, boot: String(message.boot.prefix(32)), granted: LeaseAmount.clamped(message.granted),
                ceiling: LeaseAmount.clamped(message.ceiling), spent: LeaseAmount.clamped(message.spent),
                unknown: LeaseAmount.clamped(message.unknown), state: state, expires: message.expiresMs, epoch: message.epoch)
        }
    }
}

/// Who is to give slices back, and the streams of this replica that tell them so.
final class LeaseRecalls: Sendable {
    private struct State {
        var next = 0
        var streams: [Int: (dataPlaneID: String, accounts: AsyncStream<AccountKey>.Continuation)] = [:]
        /// When those recalls were made (by the clock of some replica, Unix milliseconds) that were told here.
        var told: [LeaseService.Recall: Int64] = [:]
    }

    private static let period: Duration = .milliseconds(500)
    /// Recalls that wait for a data plane that does not read; asked for again by who lacks something.
    private static let waiting = 64

    private let leases: LeaseService
    private let logger: Logger
    private let state = Mutex(State())
    private let ticks: AsyncStream<Void>
    private let tick: AsyncStream<Void>.Continuation

    init(_ leases: LeaseService, logger: Logger) {
        self.leases = leases
        self.logger = logger
        (ticks, tick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    func add(_ dataPlaneID: String) -> (accounts: AsyncStream<AccountKey>, number: Int) {
        let (stream, continuation) = AsyncStream.makeStream(of: AccountKey.self, bufferingPolicy: .bufferingNewest(Self.waiting))
        let number = state.withLock { state in
            state.next &+= 1
            state.streams[state.next] = (dataPlaneID, continuation)
            return state.next
        }
        return (stream, number)
    }

    func remove(_ number: Int) {
        state.withLock { _ = $0.streams.removeValue(forKey: number) }
    }

    /// There is something to recall.
    func look() { tick.yield() }

    /// Until the task is cancelled. Other replicas' recalls are looked for twice a second, while anybody is here who could be meant.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    self.tick.yield()
                    try? await Task.sleep(for: Self.period)
                }
            }
            group.addTask {
                for await _ in self.ticks { await self.tell() }
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func tell() async {
        guard state.withLock({ !$0.streams.isEmpty }) else { return }
        do {
            let recalls = try await leases.recalls()
            state.withLock { state in
                for (recall, at) in recalls where state.told[recall] != at {
                    for stream in state.streams.values where stream.dataPlaneID == recall.dataPlaneID {
                        stream.accounts.yield(recall.account)
                    }
                }
                state.told = recalls
            }
        } catch {
            // Looked for again in a moment.
            logger.debug("recalls not read", metadata: ["error": "\(error)"])
        }
    }
}
