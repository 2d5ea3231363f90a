import Contract
import Domain
import GRPCCore
import Logging
import Primitives
import Synchronization

/// One data plane's stream of bans: the newest document, one at a time, and its answers.
final class BanStream: Sendable {
    private struct State {
        var held: DocumentMark?
        /// What was sent and not answered yet, and when.
        var sent: (mark: DocumentMark, atMs: Int64)?
        /// What was sent last was refused: it is sent again, since nothing is more urgent.
        var isRefused = false
        var seen: Seen?
        /// Taken since then, Unix milliseconds.
        var freezes = 0
        var freezesSince: Int64 = 0
    }

    /// What a document depends on, but for time.
    private struct Seen: Hashable {
        let bans: Int64
        let dataPlanes: Int64
        let epoch: Int64
        let signingKeyID: String
    }

    /// Between two looks that nobody asked for: at what expires, at refusals.
    private static let lookPeriod: Duration = .seconds(1)
    /// Looks after which the database is asked although no counter has changed: bans expire.
    private static let looks = 30

    private let stream: FleetHub.Stream
    private let hub: FleetHub
    private let services: FleetServices
    private let settings: FleetSettings
    private let metrics: FleetMetrics
    private let logger: Logger
    private let state: Mutex<State>
    private let takesKillSwitches: Bool
    private var dataPlaneID: String { stream.dataPlaneID }

    init(
        _ hello: Weir_V1_Hello, stream: FleetHub.Stream, hub: FleetHub, services: FleetServices, settings: FleetSettings,
        metrics: FleetMetrics, logger: Logger
    ) {
        self.stream = stream
        self.hub = hub
        self.services = services
        self.settings = settings
        self.metrics = metrics
        self.logger = logger
        takesKillSwitches = hello.takesKillSwitches
        state = Mutex(State(held: hello.held.lazy.compactMap { DocumentMark($0) }.first { $0.kind == .bans }))
    }

    private var nowMs: Int64 { services.context.domain.clock.nowMilliseconds() }

    func receive(_ message: Weir_V1_SubscribeRequest) async throws {
        switch message.message {
        case .acknowledgement(let answer)?: try await acknowledged(answer)
        case .freezes(let report)?: await take(report)
        default: break
        }
    }

    /// One data plane's freezes in a minute: each costs a transaction, and what it says again costs, too.
    private static let freezesPerMinute = 200

    private func take(_ report: Weir_V1_FreezeReport) async {
        let now = nowMs
        let taken = state.withLock { state in
            if now - state.freezesSince >= 60_000 { (state.freezesSince, state.freezes) = (now, 0) }
            let count = min(report.freezes.count, Self.freezesPerMinute - state.freezes)
            state.freezes += count
            return report.freezes.prefix(count).map { ReportedFreeze(keyID: $0.keyID, milliseconds: $0.remainingMs) }
        }
        do {
            let made = try await services.freezes.take(taken, from: dataPlaneID)
            if made > 0 { logger.notice("keys frozen", metadata: ["data_plane": "\(dataPlaneID)", "keys": "\(made)"]) }
        } catch {
            // It says so again with its next stream.
            logger.warning("freezes not taken", metadata: ["data_plane": "\(dataPlaneID)", "error": "\(error)"])
        }
    }

    private func acknowledged(_ answer: Weir_V1_Acknowledgement) async throws {
        guard let mark = DocumentMark(answer), state.withLock({ $0.sent?.mark == mark }) else { return }
        if answer.accepted {
            try await services.bans.acted(dataPlaneID, on: mark, takesKillSwitches: takesKillSwitches)
        } else {
            metrics.refused(.bans)
            logger.warning(
                "data plane refused a document",
                metadata: [
                    "data_plane": "\(dataPlaneID)", "kind": "bans", "version": "\(mark.epoch).\(mark.version)",
                    "reason": "\(answer.reason.prefix(64))", "detail": "\(answer.detail.prefix(300))",
                ])
        }
        state.withLock { state in
            state.sent = nil
            state.isRefused = !answer.accepted
            if answer.accepted { state.held = mark }
        }
        if answer.accepted { stream.wake() }
    }

    /// Sends until the stream ends.
    func send(_ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        let (ticks, tick) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingNewest(2))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var count = 0
                while !Task.isCancelled {
                    tick.yield(count % Self.looks == 0)
                    count &+= 1
                    try? await Task.sleep(for: Self.lookPeriod)
                }
            }
            group.addTask {
                for await _ in self.stream.wakes { tick.yield(false) }
            }
            group.addTask {
                for await isDue in ticks { try await self.look(isDue, writer) }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private func look(_ isDue: Bool, _ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        guard let target = hub.target else { return }
        let seen = Seen(bans: target.bans, dataPlanes: target.dataPlanes, epoch: target.epoch, signingKeyID: target.signingKeyID)
        let (sent, wants, held) = state.withLock { ($0.sent, isDue || $0.isRefused || $0.seen != seen, $0.held) }
        if let sent {
            guard nowMs - sent.atMs <= settings.answerTimeout.milliseconds else {
                throw RPCError(code: .aborted, message: "bans were not answered in time")
            }
            return
        }
        guard wants else { return }
        do {
            let document = try await services.bans.next(for: dataPlaneID, held: held, takesKillSwitches: takesKillSwitches)
            let now = nowMs
            state.withLock { state in
                state.seen = seen
                state.isRefused = false
                // Noted as sent first: the answer may arrive before `write` returns.
                if let document { state.sent = (document.mark, now) }
            }
            guard let document else { return }
            var response = Weir_V1_SubscribeResponse()
            response.document = document.envelope
            try await writer.write(response)
            metrics.sent(.bans, bytes: document.envelope.payload.count)
        } catch let error as FleetRefusal {
            throw RPCError(error)
        } catch  where DomainError.isTemporary(error) {
            // The next look tries again.
            logger.debug("bans not made", metadata: ["data_plane": "\(dataPlaneID)", "error": "\(error)"])
        }
    }
}
