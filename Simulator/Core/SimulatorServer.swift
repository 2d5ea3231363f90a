import NIOCore
import NIOPosix
package import NIOSSL
package import Primitives
import Synchronization

/// What a simulator does beyond what the model's name says.
package struct SimulatorSettings: Sendable {
    package var host = "127.0.0.1"
    /// 0: one the system chooses.
    package var port = 0
    package var loops = 1
    /// Decides which requests of `flaky` models fail.
    package var seed: UInt64 = 1
    /// Not empty: requests must carry one of these as bearer token or in `api-key`, or are answered 401.
    package var acceptedKeys: [String] = []
    /// Management keys of OpenRouter's kind: with them keys are made (``ManagedKeys``). None: there is no such API.
    package var managementKeys: [String] = []
    /// Be the demonstration provider: any model answers the one sentence.
    package var isDemonstration = false
    package var tls: NIOSSLContext?
    package var clock: any WallClock = SystemClock()

    package init() {}
}

/// What all connections of one simulator share.
final class Shared: Sendable {
    let settings: SimulatorSettings
    let ledger: Ledger
    let answers = Answers()
    let managedKeys: ManagedKeys
    let keptResponses = KeptResponses()
    let files = SimulatedFiles()
    let requests = Atomic<UInt64>(0)
    let connectionsOpened = Atomic<Int>(0)
    let connectionsOpen = Atomic<Int>(0)
    private let requestsByModel = Mutex<[String: UInt64]>([:])

    /// Counts a request to a model of which only the first ones fail, and says whether it is one of them.
    func isAmongFirst(_ count: UInt64, ofModel model: String) -> Bool {
        requestsByModel.withLock { requests in
            requests[model, default: 0] += 1
            return requests[model, default: 0] <= count
        }
    }

    init(settings: SimulatorSettings, ledger: Ledger) {
        self.settings = settings
        self.ledger = ledger
        managedKeys = ManagedKeys(management: settings.managementKeys)
    }
}

/// An OpenAI-compatible provider that does what a model's name tells it (``Script``) and keeps the truth about it (``Ledger``).
///
///     let provider = try await SimulatorServer.start()
///     // base URL: http://127.0.0.1:\(provider.port)/v1, model: sim-in120-out64
///     try await provider.shutdown()
package final class SimulatorServer: Sendable {
    package let port: Int
    package let ledger: Ledger
    private let shared: Shared
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel

    private init(port: Int, shared: Shared, group: MultiThreadedEventLoopGroup, channel: any Channel) {
        self.port = port
        self.ledger = shared.ledger
        self.shared = shared
        self.group = group
        self.channel = channel
    }

    package var managedKeys: ManagedKeys { shared.managedKeys }

    /// Requests answered or being answered, since the start.
    package var requestsTotal: UInt64 { shared.requests.load(ordering: .relaxed) }
    package var connectionsOpen: Int { shared.connectionsOpen.load(ordering: .relaxed) }
    /// Connections accepted since the start.
    package var connectionsOpened: Int { shared.connectionsOpened.load(ordering: .relaxed) }

    /// Listens on loopback, on a port of the system's choice unless one is given.
    package static func start(port: Int = 0, ledger: Ledger? = nil) async throws -> SimulatorServer {
        var settings = SimulatorSettings()
        settings.port = port
        return try await start(settings, ledger: ledger)
    }

    /// Throws what binding the address throws.
    package static func start(_ settings: SimulatorSettings, ledger: Ledger? = nil) async throws -> SimulatorServer {
        let shared = Shared(settings: settings, ledger: try ledger ?? Ledger(clock: settings.clock))
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, settings.loops))
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16_384))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls = shared.settings.tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.addHandler(Connection(shared))
                }
            }
        do {
            let channel = try await bootstrap.bind(host: settings.host, port: settings.port).get()
            return SimulatorServer(port: channel.localAddress?.port ?? settings.port, shared: shared, group: group, channel: channel)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Returns when the port is closed.
    package func waitUntilClosed() async throws { try await channel.closeFuture.get() }

    /// Closes the port and every connection.
    package func shutdown() async throws {
        try? await channel.close()
        try await group.shutdownGracefully()
    }
}
