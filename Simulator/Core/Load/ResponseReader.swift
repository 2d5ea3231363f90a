import NIOCore
import Wire

/// Reads one answer after the other off a connection and says when each is over.
struct ResponseReader {
    enum Progress { case needMore, complete(keepAlive: Bool), invalid }

    private var parser = ResponseHeadParser(limits: HTTPLimits(maxHeadBytes: 256 << 10))
    private var chunks = ChunkedDecoder()
    private var remaining: Int64 = 0
    private var headIsRead = false
    private var lastWasNewline = false
    private var tail: [UInt8] = []
    private static let done = Array("data: [DONE]\n\n".utf8)

    private(set) var status = 0
    private(set) var events = 0
    private(set) var bodyBytes = 0
    /// The body so far ends with the event that ends OpenAI's streams.
    var endsInDone: Bool { tail == Self.done }

    mutating func reset() {
        parser.reset(requestMethod: .post)
        chunks = ChunkedDecoder()
        headIsRead = false
        lastWasNewline = false
        tail.removeAll(keepingCapacity: true)
        status = 0
        events = 0
        bodyBytes = 0
    }

    /// Consumes what it used of `buffer`; what the head needs in one piece stays.
    mutating func read(_ buffer: inout ByteBuffer) -> Progress {
        if !headIsRead {
            switch buffer.withUnsafeReadableBytes({ parser.parse($0) }) {
            case .needMore: return .needMore
            case .invalid: return .invalid
            case .complete(let bytes):
                buffer.moveReaderIndex(forwardBy: bytes)
                if parser.isInformational {
                    parser.reset(requestMethod: .post)
                    return read(&buffer)
                }
                headIsRead = true
                status = parser.status
                if case .length(let length) = parser.framing { remaining = length }
            }
        }
        switch parser.framing {
        case .none: return .complete(keepAlive: parser.keepAlive)
        case .length:
            let count = Int(min(Int64(buffer.readableBytes), remaining))
            buffer.withUnsafeReadableBytes { note(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            buffer.moveReaderIndex(forwardBy: count)
            remaining -= Int64(count)
            return remaining == 0 ? .complete(keepAlive: parser.keepAlive) : .needMore
        case .chunked: return readChunks(&buffer)
        case .untilClose:
            buffer.withUnsafeReadableBytes { note($0) }
            buffer.moveReaderIndex(to: buffer.writerIndex)
            return .needMore
        }
    }

    /// Whether the end of the connection is the end of the answer.
    var mayEndWithConnection: Bool { headIsRead && parser.framing == .untilClose }

    private mutating func readChunks(_ buffer: inout ByteBuffer) -> Progress {
        let (progress, consumed) = buffer.withUnsafeReadableBytes { bytes -> (Progress, Int) in
            var offset = 0
            while true {
                switch chunks.next(bytes, from: offset) {
                case .data(let range):
                    note(UnsafeRawBufferPointer(rebasing: bytes[range]))
                    offset = range.upperBound
                case .end(let end): return (.complete(keepAlive: parser.keepAlive), end)
                case .needMore(let end): return (.needMore, end)
                case .invalid: return (.invalid, bytes.count)
                }
            }
        }
        buffer.moveReaderIndex(forwardBy: min(consumed, buffer.readableBytes))
        return progress
    }

    private mutating func note(_ bytes: UnsafeRawBufferPointer) {
        bodyBytes &+= bytes.count
        for byte in bytes {
            if byte == 10 {
                if lastWasNewline { events &+= 1 }
                lastWasNewline.toggle()
            } else {
                lastWasNewline = false
            }
        }
        let kept = bytes.suffix(Self.done.count)
        if kept.count == Self.done.count {
            tail.removeAll(keepingCapacity: true)
        } else if tail.count + kept.count > Self.done.count {
            tail.removeFirst(tail.count + kept.count - Self.done.count)
        }
        tail.append(contentsOf: kept)
    }
}
