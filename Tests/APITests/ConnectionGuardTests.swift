import API
import Listening
import Logging
import NIOCore
import NIOEmbedded
import Telemetry
import Testing

/// Time is the embedded event loop's: nothing here waits.
@Suite("What a connection may cost")
struct ConnectionGuardTests {
    private let loop: EmbeddedEventLoop
    private let channel: EmbeddedChannel

    init() throws {
        var limits = ConnectionGuard.Limits()
        limits.requestTimeout = .seconds(60)
        limits.writeTimeout = .seconds(30)
        limits.maximumRequestBytes = 1000
        loop = EmbeddedEventLoop()
        channel = EmbeddedChannel(handler: ConnectionGuard(limits), loop: loop)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private func receive(_ count: Int) throws {
        try channel.writeInbound(ByteBuffer(repeating: 0x61, count: count))
    }

    private func answer() throws {
        try channel.writeOutbound(IOData.byteBuffer(ByteBuffer(string: "HTTP/1.1 200 OK")))
    }

    @Test("a byte now and then does not keep a request open beyond its deadline")
    func drip() throws {
        for _ in 0..<59 {
            loop.advanceTime(by: .seconds(1))
            try receive(1)
        }
        #expect(channel.isActive)
        loop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test("a connection that never sends anything is closed")
    func silence() {
        loop.advanceTime(by: .seconds(60))
        #expect(!channel.isActive)
    }

    @Test("each answer starts the count anew, and none runs between requests")
    func keepAlive() throws {
        for _ in 0..<10 {
            try receive(900)
            loop.advanceTime(by: .seconds(59))
            try answer()
        }
        // Idle connections are Hummingbird's to close.
        loop.advanceTime(by: .minutes(10))
        #expect(channel.isActive)
        try receive(10)
        loop.advanceTime(by: .seconds(60))
        #expect(!channel.isActive)
    }

    @Test("a request that goes on and on is cut off")
    func tooMuch() throws {
        for _ in 0..<10 { try receive(100) }
        #expect(channel.isActive)
        try receive(1)
        loop.run()
        #expect(!channel.isActive)
    }

    @Test("a client that does not read its answer is cut off, one that reads late is not")
    func notReading() throws {
        try receive(10)
        try answer()
        channel.isWritable = false
        channel.pipeline.fireChannelWritabilityChanged()
        loop.advanceTime(by: .seconds(29))
        channel.isWritable = true
        channel.pipeline.fireChannelWritabilityChanged()
        loop.advanceTime(by: .seconds(29))
        #expect(channel.isActive)
        channel.isWritable = false
        channel.pipeline.fireChannelWritabilityChanged()
        loop.advanceTime(by: .seconds(30))
        #expect(!channel.isActive)
    }

    // MARK: In a gate

    /// A gate with one place and one in reserve; both are taken by the channels that are asked for.
    private func gated() throws -> (gate: ConnectionGate, open: EmbeddedChannel, reserved: EmbeddedChannel, ConnectionGuard) {
        let gate = ConnectionGate(
            listener: "test", limits: .init(maximum: 1, reserve: 1), metric: "refused_total", metrics: MetricsRegistry(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var guards: [ConnectionGuard] = []
        let channels = try (0..<2).map { index in
            let channel = EmbeddedChannel(loop: loop)
            _ = gate.admit(ObjectIdentifier(channel)) { channel.close(promise: nil) }
            if index == 0 { gate.spoke(ObjectIdentifier(channel)) }
            let made = ConnectionGuard(.init(), gate.place(of: channel))
            guards.append(made)
            try channel.pipeline.syncOperations.addHandler(made)
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            return channel
        }
        return (gate, channels[0], channels[1], guards[0])
    }

    @Test("the head of a first request has less time than a request")
    func firstHead() throws {
        let (gate, open, _, connection) = try gated()
        try open.writeInbound(ByteBuffer(string: "GET /admin"))
        loop.advanceTime(by: .seconds(14))
        #expect(open.isActive)
        connection.headIsWhole()
        loop.advanceTime(by: .seconds(59))
        #expect(open.isActive && gate.refused(.deadline) == 1)
        loop.advanceTime(by: .seconds(1))
        #expect(!open.isActive)
    }

    @Test("beyond the maximum health is answered, for a short time, and nothing else")
    func reserved() throws {
        let (_, _, reserved, _) = try gated()
        try reserved.writeInbound(ByteBuffer(string: "GET /health/live HTTP/1.1\r\n\r\n"))
        #expect(try reserved.readInbound(as: ByteBuffer.self) != nil && reserved.isActive)
        loop.advanceTime(by: .seconds(5))
        #expect(!reserved.isActive)

        let (_, _, other, _) = try gated()
        try other.writeInbound(ByteBuffer(string: "GET /admin/api/tenants HTTP/1.1\r\n\r\n"))
        #expect(try other.readInbound(as: ByteBuffer.self) == nil)
        let answer = try #require(try other.readOutbound(as: IOData.self))
        guard case .byteBuffer(let bytes) = answer else { return #expect(Bool(false), "no bytes") }
        #expect(String(buffer: bytes).hasPrefix("HTTP/1.1 503 ") && !other.isActive)
    }
}
