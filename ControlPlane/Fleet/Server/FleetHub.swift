import Contract
import Domain
import GRPCCore
package import Logging
import Primitives
import Synchronization

/// What the open streams of this replica share: the newest target, who is connected, and who has to go.
///
/// Woken by the changes of this process and, for those of other replicas, by a look at the database's counters twice a second; so
/// a revoked data plane's streams end and a changed key is on its way within a second, wherever the change was made.
package final class FleetHub: Sendable {
    /// One open stream of a data plane.
    final class Stream: Sendable {
        let dataPlaneID: String
        /// Names the subscription in the database; nil for the other streams.
        let connection: String?
        /// The database names it as its data plane's: see `checkStandings`.
        let isRecorded = Atomic<Bool>(false)
        /// Opened by a data plane that was revoked by then: there is nothing to end it for.
        let outlivesRevocation: Bool
        /// What its last report said: credentials that a provider refuses, endpoints that fail.
        let refusedCredentials = Atomic<Int>(0)
        let failingEndpoints = Atomic<Int>(0)
        private let wakeUps: AsyncStream<Void>
        private let wakeUp: AsyncStream<Void>.Continuation
        private let endings: AsyncStream<RPCError>
        private let ending: AsyncStream<RPCError>.Continuation

        init(dataPlaneID: String, connection: String?, outlivesRevocation: Bool = false) {
            self.dataPlaneID = dataPlaneID
            self.outlivesRevocation = outlivesRevocation
            self.connection = connection
            (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
            (endings, ending) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
        }

        func told(_ report: Weir_V1_StatusReport) {
            refusedCredentials.store(report.credentials.count, ordering: .relaxed)
            failingEndpoints.store(report.endpoints.count { $0.failing }, ordering: .relaxed)
        }

        /// Something may have to be sent. Any number of calls before the stream looks count as one.
        func wake() { wakeUp.yield() }

        /// For the one task that sends.
        var wakes: AsyncStream<Void> { wakeUps }

        func end(_ error: RPCError) { ending.yield(error) }

        /// Throws when the stream has to end; returns when the task is cancelled.
        func waitForEnd() async throws {
            for await error in endings { throw error }
        }
    }

    private struct State {
        var next = 0
        var streams: [Int: Stream] = [:]
        var target: FleetTarget?
    }

    private let services: FleetServices
    private let settings: FleetSettings
    private let logger: Logger
    private let state = Mutex(State())

    package init(services: FleetServices, settings: FleetSettings, logger: Logger) {
        self.services = services
        self.settings = settings
        self.logger = logger
    }

    /// Nil until the database was read for the first time.
    var target: FleetTarget? { state.withLock { $0.target } }

    /// How many data planes are subscribed here.
    package var subscriptions: Int { state.withLock { $0.streams.values.count { $0.connection != nil } } }

    /// What the data planes that are subscribed here say, summed: of a credential or an endpoint once for each data plane.
    var refusedCredentials: Int {
        state.withLock { $0.streams.values.reduce(0) { $0 + $1.refusedCredentials.load(ordering: .relaxed) } }
    }
    var failingEndpoints: Int {
        state.withLock { $0.streams.values.reduce(0) { $0 + $1.failingEndpoints.load(ordering: .relaxed) } }
    }

    /// Adds a stream. An older subscription of the same data plane ends: it has reconnected before we noticed.
    func add(_ stream: Stream) -> Int {
        let (number, replaced) = state.withLock { state in
            let replaced = state.streams.values.filter { $0.dataPlaneID == stream.dataPlaneID && $0.connection != nil }
            state.next &+= 1
            state.streams[state.next] = stream
            return (state.next, stream.connection == nil ? [] : replaced)
        }
        for old in replaced { old.end(RPCError(code: .aborted, message: "replaced by a newer connection of this data plane")) }
        return number
    }

    func remove(_ number: Int) {
        state.withLock { _ = $0.streams.removeValue(forKey: number) }
    }

    // MARK: Looking

    /// Follows the changes until the task is cancelled. One look at a time: a slow read must not put an older target over a newer.
    func run() async {
        let (ticks, tick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in self.services.context.domain.signal.changes() { tick.yield() }
            }
            group.addTask {
                while !Task.isCancelled {
                    tick.yield()
                    try? await Task.sleep(for: self.settings.pollInterval)
                }
            }
            group.addTask {
                var round = 0
                for await _ in ticks {
                    // A replaced subscription raises no counter: it is looked for from time to time.
                    await self.look(alwaysCheckingStreams: round % 10 == 0)
                    round &+= 1
                }
            }
            await group.waitForAll()
        }
    }

    /// Reads the target and wakes whom a change of it concerns. A database that does not answer changes nothing: data planes serve
    /// on with what they have.
    func look(alwaysCheckingStreams: Bool = false) async {
        let target: FleetTarget
        do {
            target = try await services.factory.target()
        } catch {
            logger.debug("fleet target not read", metadata: ["error": "\(error)"])
            return
        }
        let (old, streams) = state.withLock { state in
            let old = state.target
            state.target = target
            return (old, Array(state.streams.values))
        }
        if alwaysCheckingStreams || old?.dataPlanes != target.dataPlanes { await checkStandings(streams) }
        guard old != target else { return }
        for stream in streams { stream.wake() }
    }

    private func checkStandings(_ streams: [Stream]) async {
        // Before the database is read: until a stream is named there, the one before it still is, and would seem to be the newer one.
        let recorded = Set(streams.filter { $0.isRecorded.load(ordering: .acquiring) }.compactMap(\.connection))
        guard !streams.isEmpty, let standings = try? await services.dataPlanes.standings(Set(streams.map(\.dataPlaneID)).sorted()) else {
            return
        }
        for stream in streams {
            guard let standing = standings[stream.dataPlaneID], standing.active || stream.outlivesRevocation else {
                stream.end(RPCError(FleetRefusal.revoked))
                continue
            }
            if let connection = stream.connection, recorded.contains(connection), let present = standing.connection, present != connection {
                stream.end(RPCError(code: .aborted, message: "replaced by a newer connection of this data plane"))
            }
        }
    }
}

extension RPCError {
    /// What a data plane is told, and whether trying again is of use: UNAVAILABLE is, FAILED_PRECONDITION and PERMISSION_DENIED
    /// need a person.
    init(_ refusal: FleetRefusal) {
        switch refusal {
        case .unauthenticated(let detail): self.init(code: .unauthenticated, message: detail)
        case .revoked: self.init(code: .permissionDenied, message: "this data plane was revoked: enrol it anew to let it in again")
        case .dataPlaneTooOld(let detail): self.init(code: .failedPrecondition, message: detail)
        case .invalid(let detail): self.init(code: .invalidArgument, message: detail)
        }
    }
}
