import API
import NIOCore
import NIOEmbedded
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
}
