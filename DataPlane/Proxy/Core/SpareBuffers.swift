import NIOCore

/// Memory of messages that were sent, for the next ones of the same loop: pieces of this size malloc has no short way for.
struct SpareBuffers {
    private var spares: [ByteBuffer] = []
    private let allocator: ByteBufferAllocator

    /// At most so many are kept, of at most so many bytes each.
    private static let maximumCount = 32
    private static let maximumBytes = 16_384

    init(_ allocator: ByteBufferAllocator) { self.allocator = allocator }

    /// An empty buffer with room for so many bytes.
    mutating func take(_ capacity: Int) -> ByteBuffer {
        guard capacity <= Self.maximumBytes, var spare = spares.popLast() else { return allocator.buffer(capacity: capacity) }
        // Allocates when somebody, such as a connection that does not take it, still holds what it was used for.
        spare.clear(minimumCapacity: capacity)
        return spare
    }

    /// Gives back a buffer whose bytes were handed on.
    mutating func give(_ buffer: ByteBuffer) {
        if buffer.capacity <= Self.maximumBytes, spares.count < Self.maximumCount { spares.append(buffer) }
    }
}
