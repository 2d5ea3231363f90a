import CHiredis
import NIOCore

/// What Redis answers (RESP 2, https://redis.io/docs/latest/develop/reference/protocol-spec/).
enum RedisReply: Sendable, Hashable {
    case text([UInt8])
    case error(String)
    case integer(Int64)
    case array([RedisReply])
    case none

    var integer: Int64? {
        if case .integer(let value) = self { value } else { nil }
    }
}

/// Replies out of what arrives, by hiredis's reader. The socket is not hiredis's: a loop waits for nothing, and hiredis 0.14 knows no TLS.
struct RedisReader: ~Copyable {
    struct Malformed: Error {}

    /// Nil where there was no memory for it.
    private let reader: UnsafeMutablePointer<redisReader>?

    init() { reader = redisReaderCreate() }

    deinit { if let reader { redisReaderFree(reader) } }

    /// - Throws: `Malformed`; nothing more can be read then.
    mutating func feed(_ bytes: ByteBuffer) throws(Malformed) {
        let code = bytes.withUnsafeReadableBytes { bytes in
            redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard reader != nil, code == REDIS_OK else { throw Malformed() }
    }

    /// Nil: more has to arrive.
    mutating func next() throws(Malformed) -> RedisReply? {
        var found: UnsafeMutableRawPointer?
        guard reader != nil, redisReaderGetReply(reader, &found) == REDIS_OK else { throw Malformed() }
        guard let found else { return nil }
        defer { freeReplyObject(found) }
        return Self.reply(found.assumingMemoryBound(to: redisReply.self).pointee)
    }

    /// As deep as hiredis reads: seven levels.
    private static func reply(_ reply: redisReply) -> RedisReply {
        switch reply.type {
        case REDIS_REPLY_INTEGER: return .integer(reply.integer)
        case REDIS_REPLY_STRING, REDIS_REPLY_STATUS: return .text(bytes(reply))
        case REDIS_REPLY_ERROR: return .error(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            return .array((0..<reply.elements).map { index in reply.element[index].map { Self.reply($0.pointee) } ?? .none })
        default: return .none
        }
    }

    private static func bytes(_ reply: redisReply) -> [UInt8] {
        reply.str.map { Array(UnsafeRawBufferPointer(start: $0, count: reply.len)) } ?? []
    }
}

/// Words of a command as they are sent: an array of bulk strings.
struct RedisWords {
    private(set) var bytes: ByteBuffer
    private(set) var count = 0

    init(_ allocator: ByteBufferAllocator, capacity: Int = 256) { bytes = allocator.buffer(capacity: capacity) }

    mutating func add(_ word: some Collection<UInt8>) {
        count += 1
        bytes.writeString("$\(word.count)\r\n")
        bytes.writeBytes(word)
        bytes.writeString("\r\n")
    }

    mutating func add(_ word: String) { add(word.utf8) }
    mutating func add(_ number: Int64) { add(String(number)) }

    /// The whole command, of these words and those that follow them.
    func command(_ more: RedisWords? = nil) -> ByteBuffer {
        var out = ByteBuffer(string: "*\(count + (more?.count ?? 0))\r\n")
        out.writeImmutableBuffer(bytes)
        if let more { out.writeImmutableBuffer(more.bytes) }
        return out
    }
}
