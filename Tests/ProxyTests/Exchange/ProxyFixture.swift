import Contract
import Foundation
import Logging
import NIOCore
import NIOPosix
import Primitives
import Simulator
import SwiftProtobuf
import Synchronization
import Telemetry
import Trust

@testable import Proxy

/// A data plane in this process, configured by documents that the test signs, in front of a simulator. No control plane: usage is read
/// from the outbox.
final class ProxyFixture: Sendable {
    let snapshots: SnapshotFixture
    let store: SnapshotStore
    let local: LocalStore
    let pipeline: UsagePipeline
    let signatures: SignatureDesk
    let rates = RateLedger(isReady: false)
    let server: ProxyServer
    let simulator: SimulatorServer
    let key: String
    /// A key of another tenant.
    let neighbour: String
    let tenant = TenantID.random()
    let project = ProjectID.random()
    /// What the data plane was sent: one key of one project of one tenant.
    let directory: Weir_V1_DirectoryPayload

    /// - Parameters:
    ///   - models: names the simulator understands, all in one route each.
    ///   - endpoints: base URLs tried in this order of weight; nil is the simulator alone.
    init(
        models: [String], endpoints: [String]? = nil, upstreamModel: String = "", rollsOut: Bool = true, log: (any LogSink)? = nil,
        redis: RedisSettings? = nil, change: (inout ProxySettings) -> Void = { _ in },
        adjustKey: (inout Weir_V1_VirtualKey) -> Void = { _ in },
        adjustConfig: (inout Weir_V1_ConfigPayload) -> Void = { _ in }
    ) async throws {
        simulator = try await SimulatorServer.start()
        snapshots = SnapshotFixture(log: log)
        local = try snapshots.local()
        store = try snapshots.store(local)
        let id = KeyID.random()
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.virtualKeyPrefix, idSuffix: id.suffix)
        key = text.text
        let otherID = KeyID.random()
        let other = VirtualKeyText.generate(prefix: VirtualKeyText.virtualKeyPrefix, idSuffix: otherID.suffix)
        neighbour = other.text
        var entry = SnapshotFixture.key(id, project: project, secret: text.text)
        adjustKey(&entry)
        var directory = SnapshotFixture.smallDirectory([], tenant: tenant, project: project)
        let (otherTenant, otherProject) = (TenantID.random(), ProjectID.random())
        let next = SnapshotFixture.smallDirectory([], tenant: otherTenant, project: otherProject)
        directory.tenants += next.tenants
        directory.projects += next.projects
        directory.keys = [entry, SnapshotFixture.key(otherID, project: otherProject, secret: other.text)]
        self.directory = directory
        let address = "127.0.0.1:\(simulator.port)"
        let urls = (endpoints ?? ["http://SIMULATOR/v1"]).map { $0.replacing("SIMULATOR", with: address) }
        var config = Self.config(models, urls, upstreamModel)
        adjustConfig(&config)
        var acknowledged: [Weir_V1_Acknowledgement] = []
        acknowledged.append(await store.apply(try snapshots.config(1, config)))
        acknowledged.append(await store.apply(try snapshots.directory(1, directory)))
        if rollsOut { acknowledged.append(await store.apply(try snapshots.rollout(1, baseline: 1))) }
        if let refused = acknowledged.first(where: { !$0.accepted }) { throw FixtureError.refused(refused.reason + refused.detail) }
        var secrets = Weir_V1_SealedSecrets()
        secrets.secrets = [try snapshots.sealed("sk-upstream-secret")]
        await store.apply(secrets)
        var settings = ProxySettings()
        settings.listenPort = 0
        settings.loops = 1
        settings.drainTimeout = 100
        change(&settings)
        var journal = JournalSettings()
        journal.segmentBytes = 1 << 20
        journal.durability = settings.durability
        let estimator = InterruptedEstimate(snapshots: store)
        let (desk, keeper) = try SignatureDesk.make(settings, store: local, clock: snapshots.clock)
        signatures = desk
        pipeline = try UsagePipeline(
            store: local, journalDirectory: snapshots.folder.path + "/journal", settings: journal, loops: 1,
            participants: [keeper, try RateKeeper(ledger: rates, store: local, clock: snapshots.clock)],
            recovered: { [rates] in
                desk.nonces.recovered()
                rates.recovered()
            }, logger: snapshots.logger,
            clock: snapshots.clock, estimateInterrupted: { estimator.suffix(for: $0) })
        server = try await ProxyServer.start(
            settings: settings, snapshots: store, pipeline: pipeline, logger: snapshots.logger, clock: snapshots.clock, signatures: desk,
            rates: rates, redis: redis)
        pipeline.start()
    }

    enum FixtureError: Error { case refused(String) }

    static func config(_ models: [String], _ urls: [String], _ upstreamModel: String) -> Weir_V1_ConfigPayload {
        var config = SnapshotFixture.smallConfig()
        config.endpoints = urls.enumerated().map { index, url in
            var endpoint = config.endpoints[0]
            endpoint.id = "ep_\(index)"
            endpoint.name = "endpoint \(index)"
            endpoint.baseURL = url
            return endpoint
        }
        let (model, route, price) = (config.models[0], config.routes[0], config.prices[0])
        config.models = models.map { name in
            var entry = model
            entry.id = "mdl_\(name)"
            entry.name = name
            entry.capabilities = ["chat", "completions", "embeddings"]
            entry.maxOutputTokens = 1000
            return entry
        }
        config.routes = models.map { name in
            var entry = route
            entry.id = "rt_\(name)"
            entry.modelID = "mdl_\(name)"
            // Only the first has weight: the others are what comes after it.
            entry.targets = config.endpoints.enumerated().map { index, endpoint in
                var target = Weir_V1_RouteTarget()
                target.endpointID = endpoint.id
                target.weight = index == 0 ? 1 : 0
                target.upstreamModel = upstreamModel
                return target
            }
            return entry
        }
        config.prices = models.map { name in
            var entry = price
            entry.id = "price_\(name)"
            entry.modelID = "mdl_\(name)"
            return entry
        }
        return config
    }

    /// A page of the operator's.
    func page(_ path: String) async -> OperatorStatus.Page {
        await OperatorStatus(server: server, snapshots: store, pipeline: pipeline, quarantined: []).page(path)
    }

    /// Between two looks at what the loops do: time for them to do it.
    /// - Throws: when the test's time is over.
    static func pause() async throws {
        try Task.checkCancellation()
        try? await MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .milliseconds(2)) {}.futureResult.get()
    }

    /// Stops everything, and answers every usage record there is.
    func finish() async throws -> [Weir_V1_UsageRecord] {
        await server.drain()
        await server.close()
        pipeline.stop()
        let batches = try pipeline.outbox.batches(after: 0, limit: 1000).batches
        let records = try batches.flatMap { batch in try Weir_V1_UsageBatch(serializedBytes: batch.records).records }
        local.close()
        try await simulator.shutdown()
        // Loops write what ends at about one time in either order.
        return records.sorted { $0.admittedAtUs < $1.admittedAtUs }
    }

    /// One request with the fixture's key on a connection of its own.
    func chat(
        _ model: String, stream: Bool = false, extra: String = "", path: String = "/v1/chat/completions", headers: [String] = []
    ) async throws -> RawResponse {
        let body = #"{"model":"\#(model)","messages":[{"role":"user","content":"hello"}]\#(stream ? #","stream":true"# : "")\#(extra)}"#
        return try await send("POST \(path)", headers: headers + ["content-type: application/json"], body: body)
    }

    /// The bytes of a request for a stream, to be sent by a client that does not wait for its end.
    func streamRequest(_ model: String) -> String {
        let body = #"{"model":"\#(model)","messages":[],"stream":true}"#
        return "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(key)\r\n"
            + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    func send(_ requestLine: String, headers: [String] = [], body: String? = nil, authorised: Bool = true) async throws -> RawResponse {
        var text = "\(requestLine) HTTP/1.1\r\nhost: weir.test\r\n"
        if authorised { text += "authorization: Bearer \(key)\r\n" }
        for header in headers { text += header + "\r\n" }
        if let body { text += "content-length: \(body.utf8.count)\r\n" }
        text += "connection: close\r\n\r\n" + (body ?? "")
        return try await raw(text)
    }

    /// Sends bytes as they are and reads until the connection ends.
    func raw(_ text: String) async throws -> RawResponse {
        let client = try await RawClient.connect(port: server.port)
        try await client.send(text)
        return RawResponse(try await client.readToEnd())
    }
}

/// A connection that sends what it is told and keeps what comes back.
final class RawClient: Sendable {
    private let channel: any Channel
    private let received: EventLoopFuture<[UInt8]>
    private let count: Count

    private init(channel: any Channel, received: EventLoopFuture<[UInt8]>, count: Count) {
        self.channel = channel
        self.received = received
        self.count = count
    }

    private final class Count: Sendable { let bytes = Atomic<Int>(0) }

    /// - Parameters:
    ///   - isDeaf: nothing that comes is read, until `listen`.
    ///   - window: bytes that this side's kernel takes for a client that does not read; nil leaves it to the kernel.
    static func connect(port: Int, isDeaf: Bool = false, window: Int? = nil) async throws -> RawClient {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let done = loop.makePromise(of: [UInt8].self)
        let count = Count()
        let channel = try await ClientBootstrap(group: loop)
            .channelOption(.autoRead, value: !isDeaf)
            .channelOption(.socketOption(.so_rcvbuf), value: SocketOptionValue(window ?? 131_072))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collector(done: done, count)) }
            }
            .connect(host: "127.0.0.1", port: port)
            .get()
        return RawClient(channel: channel, received: done.futureResult, count: count)
    }

    func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

    /// Sends as much as the other side takes, and waits for none of it.
    func push(_ text: String) { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }

    func listen() async throws { try await channel.setOption(.autoRead, value: true).get() }

    /// What comes until the other side ends, or a minute is over.
    func readToEnd() async throws -> [UInt8] {
        let channel = channel
        let timer = channel.eventLoop.scheduleTask(in: .seconds(60)) { channel.close(promise: nil) }
        defer { timer.cancel() }
        return try await received.get()
    }

    /// Until so much has come.
    func receive(bytes: Int) async throws { while count.bytes.load(ordering: .relaxed) < bytes { try await ProxyFixture.pause() } }

    func close() async { try? await channel.close() }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let done: EventLoopPromise<[UInt8]>
        private var bytes: [UInt8] = []

        private let count: Count

        init(done: EventLoopPromise<[UInt8]>, _ count: Count) {
            self.done = done
            self.count = count
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += unwrapInboundIn(data).readableBytesView
            count.bytes.store(bytes.count, ordering: .relaxed)
        }
        func channelInactive(context: ChannelHandlerContext) { done.succeed(bytes) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// A response taken apart leniently: the tests look at what Weir wrote, they do not judge it with Weir's own parser.
struct RawResponse {
    let text: String

    init(_ bytes: [UInt8]) { text = String(decoding: bytes, as: UTF8.self) }

    var status: Int { Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    var head: String { text.components(separatedBy: "\r\n\r\n").first ?? "" }

    func header(_ name: String) -> String? {
        head.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
    }

    /// Without the chunked framing, where there is one.
    var body: String {
        guard let start = text.range(of: "\r\n\r\n") else { return "" }
        var rest = text[start.upperBound...]
        guard header("transfer-encoding") == "chunked" else { return String(rest) }
        var out = ""
        while let line = rest.range(of: "\r\n"), let size = Int(rest[..<line.lowerBound], radix: 16), size > 0 {
            let bytes = rest[line.upperBound...].utf8
            out += String(decoding: bytes.prefix(size), as: UTF8.self)
            rest = Substring(bytes.dropFirst(size + 2))
        }
        return out
    }

    /// Whether a chunked body came to its proper end.
    var isComplete: Bool { text.hasSuffix("0\r\n\r\n") }

    var errorCode: String? { field("code") }
    func field(_ name: String) -> String? {
        guard let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any],
            let error = object["error"] as? [String: Any]
        else { return nil }
        return error[name] as? String
    }
}
