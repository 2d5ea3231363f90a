import NIOCore
import Testing

@testable import Proxy

@Suite("Memory of messages that were sent")
struct SpareBuffersTests {
    @Test func servesTheNextMessageAndNoTwoAtOnce() {
        var spares = SpareBuffers(ByteBufferAllocator())
        var first = spares.take(100)
        first.writeString("first")
        spares.give(first)
        // Somebody still holds it: the next one gets memory of its own.
        var second = spares.take(100)
        second.writeString("other")
        #expect(String(buffer: first) == "first" && String(buffer: second) == "other")
        spares.give(second)
        let third = spares.take(200)
        #expect(third.readableBytes == 0 && third.writableBytes >= 200)
    }

    @Test func isKeptForSmallMessagesOnly() {
        var spares = SpareBuffers(ByteBufferAllocator())
        spares.give(ByteBuffer(repeating: 1, count: 100_000))
        #expect(spares.take(100).capacity < 100_000)
        #expect(spares.take(1_000_000).writableBytes >= 1_000_000)
    }
}
