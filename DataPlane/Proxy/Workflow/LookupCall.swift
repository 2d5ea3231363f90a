import Contract
import NIOCore
import Primitives
import Wire

/// One question to a service of the operator's, on a connection of its own. Nothing is retried: the step's failure action says what follows.
final class LookupCall: ByteStreamUser {
    enum Failure: String, Error {
        case notAllowed = "its address is not on this data plane's list of lookup hosts"
        case busy = "too many lookups are under way"
        case unreachable = "it could not be reached"
        case forbidden = "its name leads to an address that is neither public nor in this data plane's --lookup-networks"
        case timedOut = "it did not answer in time"
        case refused = "it answered with an error"
        case unreadable = "its answer is no JSON object, or too large"
        case overrun = "what is to be sent takes more work than an expression may make"
    }

    /// Bytes of an answer.
    static let maximumBytes = 65_536

    private let deadline: Int64
    private var done: ((Result<JSONObject, Failure>) -> Void)?
    private var request: [UInt8] = []
    private var stream: (any ByteStream)?
    private var parser = ResponseHeadParser(limits: HTTPLimits(maxHeadBytes: 16_384, maxFields: 100))
    private var inbound = ByteBuffer()
    private var body: [UInt8] = []
    private var decoder: ChunkedDecoder?
    private var length: Int64?
    private var hasHead = false
    /// In place of an answer.
    var whenCancelled: (() -> Void)?

    /// - Parameter deadline: monotonic microseconds.
    init(deadline: Int64, done: @escaping (Result<JSONObject, Failure>) -> Void) {
        self.deadline = deadline
        self.done = done
    }

    func start(_ lookup: CompiledLookup, _ question: JSONValue, requestID: RequestID, on loop: LoopContext) {
        let body = question.bytes
        request =
            Array(
                ("POST \(lookup.target) HTTP/1.1\r\nhost: \(lookup.origin.authority)\r\ncontent-type: application/json\r\naccept: application/json\r\n"
                    + "accept-encoding: identity\r\nuser-agent: weir\r\nx-request-id: \(requestID)\r\ncontent-length: \(body.count)\r\n"
                    + "connection: close\r\n\r\n").utf8) + body
        parser.reset(requestMethod: .post)
        let origin = Transport.Origin(
            host: lookup.origin.host, port: lookup.origin.port, isTLS: lookup.origin.isTLS, caPEM: "", reach: loop.lookupReach(lookup))
        loop.transport.connect(to: origin, timeout: max(1, lookup.timeout / 1000), user: self) { failure in
            switch failure {
            case nil:
                guard self.done != nil, let stream = self.stream else { return self.stream?.close() ?? () }
                stream.writeAndFlush(ByteBuffer(bytes: self.request))
            case .timeout?: self.end(.failure(.timedOut))
            case .forbidden?: self.end(.failure(.forbidden))
            case .refused?, .tls?, .misconfigured?, .exhausted?: self.end(.failure(.unreachable))
            }
        }
    }

    func checkDeadline(_ now: Int64) { if now >= deadline { end(.failure(.timedOut)) } }

    /// Nobody waits for it any more.
    func cancel() {
        guard done != nil else { return }
        done = nil
        whenCancelled?()
        whenCancelled = nil
        stream?.close()
    }

    private func end(_ result: Result<JSONObject, Failure>) {
        guard let done else { return }
        self.done = nil
        whenCancelled = nil
        stream?.close()
        done(result)
    }

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        if done == nil { stream.close() }
    }

    func received(_ bytes: ByteBuffer) {
        guard done != nil else { return }
        inbound.writeImmutableBuffer(bytes)
        while !hasHead {
            switch inbound.withUnsafeReadableBytes({ parser.parse($0) }) {
            case .needMore: return
            case .invalid: return end(.failure(.unreadable))
            case .complete(let headBytes):
                inbound.moveReaderIndex(forwardBy: headBytes)
                if parser.status < 200 {
                    parser.reset(requestMethod: .post)
                    continue
                }
                guard (200..<300).contains(parser.status) else { return end(.failure(.refused)) }
                hasHead = true
                switch parser.framing {
                case .none: return end(.failure(.unreadable))
                case .length(let bytes): length = bytes
                case .chunked: decoder = ChunkedDecoder()
                case .untilClose: break
                }
            }
        }
        readBody()
    }

    private func readBody() {
        var isWhole = false
        if decoder == nil {
            body += inbound.readBytes(length: min(inbound.readableBytes, Self.maximumBytes + 1 - body.count)) ?? []
            isWhole = length.map { Int64(body.count) >= $0 } ?? false
        } else {
            let piece = inbound.readBytes(length: inbound.readableBytes) ?? []
            var isInvalid = false
            piece.withUnsafeBytes { bytes in
                var offset = 0
                while offset < bytes.count, !isWhole, !isInvalid, body.count <= Self.maximumBytes {
                    switch decoder?.next(bytes, from: offset) {
                    case .data(let range)?:
                        body += bytes[range]
                        offset = range.upperBound
                    case .needMore(let consumed)?: offset = max(consumed, bytes.count)
                    case .end?: isWhole = true
                    case .invalid?, nil: isInvalid = true
                    }
                }
            }
            if isInvalid { return end(.failure(.unreadable)) }
        }
        if body.count > Self.maximumBytes { return end(.failure(.unreadable)) }
        if isWhole { read() }
    }

    private func read() {
        let bytes = length.map { body.prefix(Int(min($0, Int64(Self.maximumBytes)))) } ?? body[...]
        guard let value = Array(bytes).withUnsafeBytes({ try? JSONValue(parsing: $0, maximumDepth: 32) }), case .object(let object) = value
        else { return end(.failure(.unreadable)) }
        end(.success(object))
    }

    func writabilityChanged(isWritable: Bool) {}

    func ended(_ failure: StreamFailure?) {
        stream = nil
        guard done != nil else { return }
        // A body without a length ends with its connection.
        if hasHead, length == nil, decoder == nil { return read() }
        end(.failure(.unreachable))
    }
}

/// How many lookups one loop has under way, so that a slow service holds up neither the data plane nor other tenants.
struct LookupRoom {
    static let most = 256
    /// Of one tenant.
    static let share = 64

    private var all = 0
    private var tenants: [IDBits: Int] = [:]

    mutating func take(_ tenant: IDBits) -> Bool {
        guard all < Self.most, tenants[tenant, default: 0] < Self.share else { return false }
        all += 1
        tenants[tenant, default: 0] += 1
        return true
    }

    mutating func giveBack(_ tenant: IDBits) {
        all -= 1
        guard let count = tenants[tenant] else { return }
        tenants[tenant] = count > 1 ? count - 1 : nil
    }
}
