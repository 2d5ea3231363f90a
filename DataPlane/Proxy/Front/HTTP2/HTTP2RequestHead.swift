import NIOCore
import NIOHPACK
import Wire

/// The head of a request of HTTP/2. Its fields are written out as HTTP/1.1 would have them and read by the codec that reads those: one set
/// of rules decides what a head may be, how large, and what its fields mean, whatever it came in. What HTTP/2 itself asks of a header
/// block (RFC 9113 §8.2, §8.3) the framing has checked before.
struct HTTP2RequestHead: RequestHead, ~Copyable {
    private var parser: RequestHeadParser
    private(set) var hasBody = false
    /// The head as the ranges mean it, until the next `read`.
    private(set) var text: ByteBuffer

    init(limits: HTTPLimits, text: ByteBuffer) {
        parser = RequestHeadParser(limits: limits)
        self.text = text
    }

    /// - Returns: what keeps it from being a head.
    mutating func read(_ headers: HPACKHeaders, endStream: Bool) -> HTTPViolation? {
        parser.reset()
        text.clear(minimumCapacity: 1024)
        hasBody = !endStream
        guard let path = headers.first(name: ":path"), path.utf8.first == UInt8(ascii: "/") || path == "*" else {
            return .unsupportedTarget
        }
        write(headers.first(name: ":method") ?? "", " ", path)
        text.writeStaticString(" HTTP/1.1")
        let authority = headers.first(name: ":authority")
        if let authority { write("\r\nhost", ": ", authority) }
        for (name, value, _) in headers {
            if name.utf8.first == UInt8(ascii: ":") { continue }
            // A host that says the same is no second one (RFC 9113 §8.3.1).
            if name == "host", value == authority { continue }
            text.writeStaticString("\r\n")
            write(name, ": ", value)
        }
        text.writeStaticString("\r\n\r\n")
        switch text.withUnsafeReadableBytes({ parser.parse($0) }) {
        case .complete(let bytes): return bytes == text.readableBytes ? nil : .malformedRequestLine
        case .needMore: return .malformedRequestLine
        case .invalid(let violation): return violation
        }
    }

    private mutating func write(_ first: String, _ between: StaticString, _ second: String) {
        text.writeString(first)
        text.writeStaticString(between)
        text.writeString(second)
    }

    /// With its ranges' bytes: see `CrossOrigin.judge`.
    func judge(_ policy: CrossOrigin) -> (lines: [UInt8], decision: HeadDecision?) {
        text.withUnsafeReadableBytes { policy.judge(parser, $0) }
    }

    func pathStarts(with prefix: StaticString) -> Bool {
        text.withUnsafeReadableBytes { bytes in
            bytes[parser.path].starts(with: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
        }
    }

    var expectsContinue: Bool { hasBody && parser.has(.expect) }
    var method: HTTPMethod { parser.method }
    var methodRange: Range<Int> { parser.methodRange }
    var path: Range<Int> { parser.path }
    var query: Range<Int> { parser.query }
    var hasQuery: Bool { parser.hasQuery }
    var contentLength: Int64? { parser.contentLength }
    func has(_ known: KnownField) -> Bool { parser.has(known) }
    func first(_ known: KnownField) -> HTTPField? { parser.first(known) }
    func forEach(_ known: KnownField, _ body: (HTTPField) -> Void) { parser.forEach(known, body) }
    func forEachField(_ body: (HTTPField) -> Void) { parser.forEachField(body) }
}
