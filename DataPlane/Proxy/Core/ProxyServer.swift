package import Logging
import NIOCore
import NIOPosix
package import Primitives
import Synchronization

/// The listener of applications over a set of event loops, each with its own context. Everything it needs is handed to it, so that tests
/// run it beside a simulator in one process.
package final class ProxyServer: Sendable {
    package let settings: ProxySettings
    package let port: Int
    private let group: MultiThreadedEventLoopGroup
    let contexts: [LoopContext]
    private let listener: any Channel
    private let logger: Logger
    /// Of endpoints and credentials, for all loops.
    let health: UpstreamHealth
    private let draining = Atomic<Bool>(false)

    private init(
        settings: ProxySettings, group: MultiThreadedEventLoopGroup, contexts: [LoopContext], listener: any Channel, port: Int,
        health: UpstreamHealth, logger: Logger
    ) {
        self.settings = settings
        self.group = group
        self.contexts = contexts
        self.listener = listener
        self.port = port
        self.health = health
        self.logger = logger
    }

    /// How many loops a data plane with these settings runs.
    package static func loopCount(_ settings: ProxySettings) -> Int { settings.loops > 0 ? settings.loops : System.coreCount }

    /// Binds and serves. Until the snapshot store has a configuration, requests are answered with 503.
    /// - Throws: the bind's error, or `JournalError`.
    package static func start(
        settings: ProxySettings, snapshots: SnapshotStore, pipeline: UsagePipeline, logger: Logger, clock: any WallClock = SystemClock()
    ) async throws -> ProxyServer {
        let loops = loopCount(settings)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        let tls = UpstreamTLS()
        let health = UpstreamHealth(logger: logger)
        var contexts: [LoopContext] = []
        for index in 0..<loops {
            let eventLoop = group.next()
            let journal = try pipeline.journal(loop: index) { work in eventLoop.execute(work) }
            let context = LoopContext(
                eventLoop: eventLoop, index: index, settings: settings, clock: clock, logger: logger, journal: journal, tls: tls,
                health: health)
            contexts.append(context)
        }
        for context in contexts {
            try await context.eventLoop.submit { context.start() }.get()
        }
        let all = contexts
        snapshots.onActivate { snapshot in
            for context in all {
                context.eventLoop.execute { context.activate(snapshot) }
            }
        }
        do {
            let listener = try await bind(settings, group, contexts)
            let port = listener.localAddress?.port ?? settings.listenPort
            return ProxyServer(
                settings: settings, group: group, contexts: contexts, listener: listener, port: port, health: health, logger: logger)
        } catch {
            for context in contexts { try? await context.eventLoop.submit { context.stop() }.get() }
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static let unsentLimit = NIOBSDSocket.Option(rawValue: 25)  // TCP_NOTSENT_LOWAT, linux/tcp.h

    private static func bind(
        _ settings: ProxySettings, _ group: MultiThreadedEventLoopGroup, _ contexts: [LoopContext]
    ) async throws -> any Channel {
        let byLoop = Dictionary(uniqueKeysWithValues: contexts.map { (ObjectIdentifier($0.eventLoop), $0) })
        let limit = max(1, settings.maxConnections / max(1, contexts.count))
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // What is accepted inherits it.
            .serverChannelOption(.tcpOption(Self.unsentLimit), value: min(settings.maxUnsentBytes, 1 << 30))
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 16_384, high: 65_536))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let context = byLoop[ObjectIdentifier(channel.eventLoop)] else { throw ChannelError.ioOnClosedChannel }
                    guard context.fronts.items.count < limit, !context.isDraining else {
                        context.metrics.refusedConnections &+= 1
                        throw ChannelError.ioOnClosedChannel
                    }
                    try channel.pipeline.syncOperations.addHandler(FrontHandler(loop: context, allocator: channel.allocator))
                }
            }
            .bind(host: settings.listenHost, port: settings.listenPort)
            .get()
    }

    package var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// Sums over the loops, gathered on each of them.
    func metrics() async -> (metrics: LoopMetrics, connections: Int, active: Int, refusedCredentials: [String]) {
        var all: [LoopMetrics] = []
        var connections = 0
        var active = 0
        for context in contexts {
            let one = try? await context.eventLoop.submit {
                (context.metrics, context.fronts.items.count, context.fronts.items.count { !$0.exchange.isIdle })
            }.get()
            guard let one else { continue }
            all.append(one.0)
            connections += one.1
            active += one.2
        }
        return (LoopMetrics.sum(all), connections, active, health.refusedCredentials(now: MonotonicClock.nowMicroseconds()))
    }

    package func activeRequests() async -> Int { await metrics().active }

    /// Takes no more connections, answers no more requests than those under way, waits for these until the settings' `drainTimeout`, then
    /// records and closes what is left. Afterwards the journals are closed: the pipeline can be stopped.
    package func drain(force: Bool = false) async {
        draining.store(true, ordering: .relaxed)
        if settings.drainDelay > 0, !force { try? await Task.sleep(for: .milliseconds(settings.drainDelay)) }
        try? await listener.close()
        for context in contexts { try? await context.eventLoop.submit { context.beginDraining() }.get() }
        let deadline = MonotonicClock.nowMicroseconds() + Int64(settings.drainTimeout) * 1000
        while !force, await metrics().active > 0, MonotonicClock.nowMicroseconds() < deadline {
            try? await Task.sleep(for: .milliseconds(50))
        }
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
        try? await group.shutdownGracefully()
    }
}
