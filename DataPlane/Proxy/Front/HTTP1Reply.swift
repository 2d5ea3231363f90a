import NIOCore
import Primitives
import Wire

/// Frames answers as HTTP/1.x (RFC 9112 §6, §7.1), one after the other, into a buffer that its owner sends.
struct HTTP1Reply {
    /// What of the request and the connection decides the form of an answer.
    struct Terms {
        /// The request was HEAD: the fields of the answer are written and its body is not (RFC 9110 §9.3.2).
        var isHeadRequest = false
        var isHTTP10 = false
        var keepAlive = true
        /// Whole lines about the request's origin: see `CrossOrigin`.
        var originLines: [UInt8] = []
    }

    private enum Framing {
        case none
        /// Bytes still to come.
        case length(Int64)
        case chunked
        /// HTTP/1.0: the connection's end is the body's.
        case close
    }

    /// Written and not taken yet.
    private var out: ByteBuffer
    private let nothing: ByteBuffer
    private var framing = Framing.none
    /// Where the size of the chunk that is open goes; nil when none is.
    private var chunkAt: Int?
    private(set) var status = 0
    /// This answer is its connection's last.
    private(set) var closesConnection = false
    private let allocator: ByteBufferAllocator

    /// - Parameter nothing: takes the place of what was taken.
    init(allocator: ByteBufferAllocator, nothing: ByteBuffer) {
        self.allocator = allocator
        self.nothing = nothing
        out = nothing
    }

    /// The largest size that six hexadecimal digits hold.
    private static let largestChunk = 0xFF_FFFF
    private static let chunkHead: StaticString = "000000\r\n"

    var isEmpty: Bool { out.readableBytes == 0 }

    /// - Parameter dateLine: `date: …`, with its line end.
    mutating func begin(_ head: ReplyHead, _ terms: Terms, dateLine: [UInt8], from spares: inout SpareBuffers) {
        status = head.status
        chunkAt = nil
        var body = 1024
        switch head.length {
        case .none: framing = .none
        case .known(let length):
            framing = .length(length)
            body = Int(clamping: min(length, 16_384))
        case .unknown: framing = terms.isHTTP10 ? .close : .chunked
        }
        closesConnection = head.closesConnection || !terms.keepAlive
        if case .close = framing { closesConnection = true }
        out = spares.take(512 + body)
        let (framing, closes) = (framing, closesConnection)
        out.writeHead { Self.write(head, terms, framing, closes: closes, dateLine: dateLine, to: &$0) }
        if terms.isHeadRequest { self.framing = .none }
    }

    private static func write(
        _ head: ReplyHead, _ terms: Terms, _ framing: Framing, closes: Bool, dateLine: [UInt8], to out: inout HeadWriter
    ) {
        out.put(statusLine: head.status)
        switch head.content {
        case .json: if head.length != .none { out.put("content-type: application/json\r\n") }
        case .eventStream: out.put("content-type: text/event-stream\r\ncache-control: no-cache\r\n")
        case .other(let value): if !value.isEmpty { write("content-type", value, to: &out) }
        }
        switch framing {
        // These two never have a body, and say so by themselves (RFC 9110 §8.6).
        case .none: if head.status != 204, head.status != 304 { out.put("content-length: 0\r\n") }
        case .length(let length):
            out.put("content-length: ")
            out.put(decimal: Int(clamping: length))
            out.put("\r\n")
        case .chunked: out.put("transfer-encoding: chunked\r\n")
        case .close: break
        }
        for field in head.fields { write(field.name, field.value, to: &out) }
        head.standings?.forEach { name, value in
            out.put(name)
            out.put(": ")
            out.put(value)
            out.put("\r\n")
        }
        if !terms.originLines.isEmpty { out.put(terms.originLines) }
        out.put(dateLine)
        out.put("x-request-id: ")
        out.put(head.requestID)
        if !head.configVersion.isEmpty {
            out.put("\r\nx-weir-config-version: ")
            out.put(head.configVersion)
        }
        if closes {
            out.put("\r\nconnection: close\r\n\r\n")
        } else if terms.isHTTP10 {
            out.put("\r\nconnection: keep-alive\r\n\r\n")
        } else {
            out.put("\r\n\r\n")
        }
    }

    private static func write(_ name: StaticString, _ value: [UInt8], to out: inout HeadWriter) {
        out.put(name)
        out.put(": ")
        out.put(value)
        out.put("\r\n")
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty { return }
        if out.readableBytes == 0 { out = allocator.buffer(capacity: bytes.count + 32) }
        switch framing {
        case .none: return
        case .length(let rest):
            let count = min(Int64(bytes.count), rest)
            framing = .length(rest - count)
            out.writeBytes(bytes[..<Int(count)])
        case .close: out.writeBytes(bytes)
        case .chunked:
            if let open = chunkAt, out.writerIndex - open - Self.chunkHead.utf8CodeUnitCount + bytes.count > Self.largestChunk {
                closeChunk()
            }
            if chunkAt == nil {
                chunkAt = out.writerIndex
                out.writeStaticString(Self.chunkHead)
            }
            out.writeBytes(bytes)
        }
    }

    /// Whether `piece` may be sent as it is, behind what `take` gives. Its bytes are counted then.
    mutating func passes(_ piece: ByteBuffer) -> Bool {
        guard case .length(let rest) = framing, rest >= Int64(piece.readableBytes) else { return false }
        framing = .length(rest - Int64(piece.readableBytes))
        return true
    }

    /// What was written, ready to be sent; empty when nothing was.
    mutating func take() -> ByteBuffer {
        closeChunk()
        defer { out = nothing }
        return out
    }

    /// The body is over. Where fewer bytes came than the head had promised, only the connection's end can tell.
    mutating func end() {
        closeChunk()
        switch framing {
        case .none, .close: return
        case .length(let rest): if rest > 0 { closesConnection = true }
        case .chunked: out.writeStaticString("0\r\n\r\n")
        }
    }

    mutating func discard() {
        out = nothing
        chunkAt = nil
        framing = .none
    }

    /// Fills in the size of the chunk that is open.
    private mutating func closeChunk() {
        guard let start = chunkAt else { return }
        chunkAt = nil
        let size = out.writerIndex - start - Self.chunkHead.utf8CodeUnitCount
        var digits = UInt64(0)
        withUnsafeMutableBytes(of: &digits) { scratch in
            for index in 0..<6 {
                let digit = UInt8(truncatingIfNeeded: size >> (20 - 4 * index) & 15)
                scratch[index] = digit < 10 ? digit &+ UInt8(ascii: "0") : digit &- 10 &+ UInt8(ascii: "a")
            }
            out.setBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<6]), at: start)
        }
        out.writeStaticString("\r\n")
    }
}
