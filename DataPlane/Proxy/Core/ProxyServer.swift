import Listening
package import Logging
import NIOCore
package import Primitives
import Synchronization
import Telemetry

/// The listener of applications over a set of event loops, each with its own context. Everything it needs is handed to it, so that tests
/// run it beside a simulator in one process.
package final class ProxyServer: Sendable {
    package let settings: ProxySettings
    package let port: Int
    /// What the listeners of this process turned away.
    let listenerMetrics: MetricsRegistry
    private let group: any EventLoopGroup
    let contexts: [LoopContext]
    private let listener: Listener
    /// Nil where connections of applications are not encrypted.
    let tls: ServerTLS?
    let endpointStates: EndpointStates
    let signatures: SignatureDesk
    let rates: RateLedger
    /// Nil where there is no Redis.
    let redis: RedisSettings?
    let budgets: BudgetDesk
    let places: EndpointPlaces
    private let logger: Logger
    /// Of endpoints and credentials, for all loops.
    let health: UpstreamHealth
    private let draining = Atomic<Bool>(false)
    private let hurried = Atomic<Bool>(false)

    private init(
        settings: ProxySettings, group: any EventLoopGroup, contexts: [LoopContext], listener: Listener,
        tls: ServerTLS?, listenerMetrics: MetricsRegistry, health: UpstreamHealth, endpointStates: EndpointStates,
        signatures: SignatureDesk,
        rates: RateLedger, redis: RedisSettings?, budgets: BudgetDesk, places: EndpointPlaces, logger: Logger
    ) {
        self.tls = tls
        self.places = places
        self.rates = rates
        self.redis = redis
        self.budgets = budgets
        self.signatures = signatures
        self.listenerMetrics = listenerMetrics
        self.settings = settings
        self.group = group
        self.contexts = contexts
        self.listener = listener
        port = listener.port
        self.health = health
        self.endpointStates = endpointStates
        self.logger = logger
    }

    /// How many loops a data plane with these settings runs.
    package static func loopCount(_ settings: ProxySettings) -> Int { settings.loops > 0 ? settings.loops : System.coreCount }

    /// Binds and serves. Until the snapshot store has a configuration, requests are answered with 503.
    /// - Throws: the bind's error, `JournalError`, or `ServerTLS.Problem`.
    package static func start(
        settings: ProxySettings, snapshots: SnapshotStore, pipeline: UsagePipeline, logger: Logger, clock: any WallClock = SystemClock(),
        signatures: SignatureDesk = SignatureDesk(), rates: RateLedger = RateLedger(), redis: RedisSettings? = nil,
        budgets: BudgetDesk = BudgetDesk()
    ) async throws -> ProxyServer {
        let loops = loopCount(settings)
        var serverTLS: ServerTLS?
        if let files = settings.tlsFiles { serverTLS = try ServerTLS(files, offersHTTP2: settings.maxStreams > 0, logger: logger) }
        let group = Listener.loops(loops)
        let tls = ClientTLS()
        let health = UpstreamHealth(logger: logger, breakers: settings.breakers)
        let endpointStates = EndpointStates(logger: logger, clock: clock)
        let places = EndpointPlaces(maximum: settings.maxWaiting)
        var contexts: [LoopContext] = []
        for index in 0..<loops {
            let eventLoop = group.next()
            let journal = try pipeline.journal(loop: index) { work in eventLoop.execute(work) }
            let context = LoopContext(
                eventLoop: eventLoop, index: index, settings: settings, clock: clock, logger: logger, journal: journal, tls: tls,
                health: health, endpointStates: endpointStates, signatures: signatures, questions: snapshots.questions,
                rates: rates, redis: redis, budgets: budgets, places: places)
            contexts.append(context)
        }
        for context in contexts {
            try await context.eventLoop.submit { context.start() }.get()
        }
        let all = contexts
        budgets.onChange { for context in all { context.eventLoop.execute { context.retryParked() } } }
        let bans = snapshots.bans
        // First to be told of what comes, then given what is there: nothing in between is missed.
        bans.onActivate { bans in
            signatures.freezes.take(bans.frozen)
            for context in all { try? await context.eventLoop.submit { context.activate(bans) }.get() }
        }
        signatures.freezes.take(bans.current.frozen)
        for context in contexts { try await context.eventLoop.submit { context.activate(bans.current) }.get() }
        let previous = Mutex<RuntimeSnapshot?>(nil)
        snapshots.onActivate { snapshot in
            endpointStates.activated(
                snapshot,
                after: previous.withLock { previous in
                    defer { previous = snapshot }
                    return previous
                })
            for context in all {
                context.eventLoop.execute { context.activate(snapshot) }
            }
            places.activated(snapshot, now: MonotonicClock.nowMicroseconds())
        }
        do {
            let metrics = MetricsRegistry()
            let listener = try await bind(settings, serverTLS, group, contexts, metrics, logger)
            return ProxyServer(
                settings: settings, group: group, contexts: contexts, listener: listener, tls: serverTLS, listenerMetrics: metrics,
                health: health,
                endpointStates: endpointStates, signatures: signatures, rates: rates, redis: redis, budgets: budgets, places: places,
                logger: logger)
        } catch {
            for context in contexts { try? await context.eventLoop.submit { context.stop() }.get() }
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static func bind(
        _ settings: ProxySettings, _ tls: ServerTLS?, _ group: any EventLoopGroup, _ contexts: [LoopContext], _ metrics: MetricsRegistry,
        _ logger: Logger
    ) async throws -> Listener {
        let byLoop = Dictionary(uniqueKeysWithValues: contexts.map { (ObjectIdentifier($0.eventLoop), $0) })
        // Each may have a connection to a provider behind it.
        let maximum = ConnectionGate.Limits.fitting(settings.maxConnections, each: 2, listener: "applications", logger: logger)
        let gate = ConnectionGate(
            listener: "applications",
            limits: .init(
                maximum: maximum, withRequests: settings.maxConnections, reserve: 32, maximumOfAddress: settings.maxConnectionsPerAddress,
                exempt: NetworkList(settings.trustedProxies) ?? .none), metric: OperatorStatus.refusedConnections,
            metrics: metrics, logger: logger
        ) {
            for context in contexts { context.eventLoop.execute { context.closeResting() } }
        }
        let options = Listener.Options(
            host: settings.listenHost, port: settings.listenPort, unsentBytes: settings.maxUnsentBytes, tls: tls)
        return try await Listener.open(options, on: group, gate: gate) { eventLoop, allocator, place in
            guard let context = byLoop[ObjectIdentifier(eventLoop)], !context.isDraining else { return nil }
            return FrontHandler(loop: context, allocator: allocator, place: place)
        }
    }

    package var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// What the loops have counted, summed.
    struct Sums: Sendable {
        var metrics = LoopMetrics()
        var attempts: [AttemptMetrics.Key: AttemptMetrics.Counts] = [:]
        var connections = 0
        /// Requests under way.
        var active = 0
        /// Credentials that are tried last, since their provider refused them.
        var refusedCredentials: [String] = []
    }

    /// Gathered on each loop.
    func sums() async -> Sums {
        var sums = Sums()
        var all: [LoopMetrics] = []
        for context in contexts {
            let one = try? await context.eventLoop.submit {
                (context.metrics, context.load, context.attempts.all)
            }.get()
            guard let one else { continue }
            all.append(one.0)
            sums.connections += one.1.connections
            sums.active += one.1.active
            for (key, counts) in one.2 { sums.attempts[key, default: .init()] += counts }
        }
        sums.metrics = LoopMetrics.sum(all)
        sums.refusedCredentials = health.refusedCredentials(now: MonotonicClock.nowMicroseconds())
        return sums
    }

    package func activeRequests() async -> Int {
        var active = 0
        for context in contexts {
            active += (try? await context.eventLoop.submit { context.load.active }.get()) ?? 0
        }
        return active
    }

    /// Cuts a `drain` short that is under way, or will be.
    package func hurry() { hurried.store(true, ordering: .relaxed) }

    /// Takes no more connections, answers no more requests than those under way, and waits until these have ended and their clients have
    /// what was answered, or the settings' `drainTimeout` is over. What is left is ended then, its callers told and its records written.
    /// Afterwards the journals are closed: the pipeline can be stopped. The loops still answer what is asked of them, until `close`.
    package func drain(force: Bool = false) async {
        if force { hurry() }
        draining.store(true, ordering: .relaxed)
        await waits(milliseconds: settings.drainDelay) { true }
        await listener.close()
        for context in contexts { try? await context.eventLoop.submit { context.beginDraining() }.get() }
        await waits(milliseconds: settings.drainTimeout) { await self.activeRequests() > 0 }
        for context in contexts { try? await context.eventLoop.submit { context.interrupt() }.get() }
        // What the callers are told leaves behind the records, in the turns that follow.
        let told = MonotonicClock.nowMicroseconds() + 500_000
        while await activeRequests() > 0, MonotonicClock.nowMicroseconds() < told { try? await Task.sleep(for: .milliseconds(5)) }
        for context in contexts { try? await context.eventLoop.submit { context.stop() }.get() }
        for context in contexts {
            // Channels close, and their exchanges settle, in the turns that follow: the journal takes their completions first.
            let settled = MonotonicClock.nowMicroseconds() + 1_000_000
            while (try? await context.eventLoop.submit({ context.journal.openRequests }).get()) ?? 0 > 0,
                MonotonicClock.nowMicroseconds() < settled
            {
                await Task.yield()
            }
            try? await context.eventLoop.submit { context.journal.close() }.get()
        }
    }

    /// Ends the loops themselves, after `drain`. Last of all: who asks a loop that has ended, as `sums` does, is never answered.
    package func close() async { try? await group.shutdownGracefully() }

    private func waits(milliseconds: Int, while isWanted: () async -> Bool) async {
        let deadline = MonotonicClock.nowMicroseconds() + Int64(milliseconds) * 1000
        while !hurried.load(ordering: .relaxed), MonotonicClock.nowMicroseconds() < deadline, await isWanted() {
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}
