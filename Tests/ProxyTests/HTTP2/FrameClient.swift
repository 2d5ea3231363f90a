import NIOCore
import NIOHPACK
import NIOPosix
import NIOSSL
import Synchronization
import Testing

@testable import Proxy

/// A frame of HTTP/2 as it is on the wire (RFC 9113 §4.1), right or wrong.
struct Frame: Sendable, CustomStringConvertible {
    enum Kind: UInt8, Sendable {
        case data, headers, priority, rstStream, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }

    var kind: Kind
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var payload: [UInt8] = []

    static let endStream: UInt8 = 1
    static let acknowledges: UInt8 = 1
    static let endHeaders: UInt8 = 4

    var bytes: [UInt8] {
        let count = UInt32(payload.count)
        return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), kind.rawValue, flags] + Self.number(stream) + payload
    }

    var description: String { "\(kind) of \(stream), flags \(flags), \(payload.prefix(24))" }

    static func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) } }

    /// The number at an offset of the payload.
    func number(at offset: Int = 0) -> UInt32 { payload.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }

    static func settings(_ values: [(UInt16, UInt32)] = []) -> Frame {
        Frame(kind: .settings, payload: values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + number($0.1) })
    }

    static func data(_ stream: UInt32, _ text: String, ends: Bool = true) -> Frame {
        Frame(kind: .data, flags: ends ? endStream : 0, stream: stream, payload: Array(text.utf8))
    }

    static func headers(_ stream: UInt32, _ fields: [(String, String)], ends: Bool, isWhole: Bool = true) -> Frame {
        Frame(
            kind: .headers, flags: (ends ? endStream : 0) | (isWhole ? endHeaders : 0), stream: stream,
            payload: fields.flatMap { literal($0.0, $0.1) })
    }

    /// A field that is in no table, and is put into none (RFC 7541 §6.2.2).
    static func literal(_ name: String, _ value: String) -> [UInt8] {
        [0] + length(name.utf8.count) + Array(name.utf8) + length(value.utf8.count) + Array(value.utf8)
    }

    private static func length(_ count: Int) -> [UInt8] {
        guard count >= 127 else { return [UInt8(count)] }
        var out: [UInt8] = [127]
        var rest = count - 127
        while rest >= 128 {
            out.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return out + [UInt8(rest)]
    }

    static func reset(_ stream: UInt32, _ error: UInt32 = 8) -> Frame {
        Frame(kind: .rstStream, stream: stream, payload: number(error))
    }

    static func window(_ stream: UInt32, by bytes: UInt32) -> Frame {
        Frame(kind: .windowUpdate, stream: stream, payload: number(bytes))
    }
}

/// A client of HTTP/2 that sends the frames it is told, and keeps those that come. It gives no window back by itself.
final class FrameClient: Sendable {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let channel: any Channel
    private let seen: Seen
    let key: String

    private final class Seen: Sendable {
        struct State {
            var frames: [Frame] = []
            var isOver = false
        }
        let state = Mutex(State())
    }

    private init(_ channel: any Channel, _ seen: Seen, key: String) {
        self.channel = channel
        self.seen = seen
        self.key = key
    }

    /// - Parameters:
    ///   - tls: nil: in the clear.
    ///   - settings: the client's own; nil: it sends neither preface nor settings.
    static func connect(
        _ proxy: ProxyFixture, tls: NIOSSLContext? = nil, settings: [(UInt16, UInt32)]? = [], isDeaf: Bool = false, window: Int? = nil
    ) async throws -> FrameClient {
        let seen = Seen()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: !isDeaf)
            .channelOption(.socketOption(.so_rcvbuf), value: SocketOptionValue(window ?? 131_072))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: tls, serverHostname: nil))
                    }
                    try channel.pipeline.syncOperations.addHandler(Collector(seen))
                }
            }
            .connect(host: "127.0.0.1", port: proxy.server.port).get()
        let client = FrameClient(channel, seen, key: proxy.key)
        if let settings { client.push(bytes: preface + Frame.settings(settings).bytes) }
        return client
    }

    func push(_ frames: Frame...) { push(frames) }
    func push(_ frames: [Frame]) { push(bytes: frames.flatMap(\.bytes)) }
    func push(bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }
    func listen() async throws { try await channel.setOption(.autoRead, value: true).get() }
    func close() async { try? await channel.close() }

    /// The head of a request.
    /// - Parameter changes: fields that take the place of others of that name; an empty value leaves the field out.
    func head(
        _ method: String = "POST", _ path: String = "/v1/chat/completions", _ more: [(String, String)] = [], isAuthorised: Bool = true
    ) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "weir.test")]
            + (isAuthorised ? [("authorization", "Bearer \(key)")] : []) + more
    }

    static func body(_ model: String, stream: Bool = false, extra: String = "") -> String {
        #"{"model":"\#(model)","messages":[]\#(stream ? #","stream":true"# : "")\#(extra)}"#
    }

    func ask(_ stream: UInt32, _ model: String, streaming: Bool = false) {
        push(.headers(stream, head(), ends: false), .data(stream, Self.body(model, stream: streaming)))
    }

    // MARK: What came

    var frames: [Frame] { seen.state.withLock { $0.frames } }
    var isOver: Bool { seen.state.withLock { $0.isOver } }

    /// Until something of that kind has come, or the connection is over.
    func wait(_ isThere: ([Frame]) -> Bool) async throws {
        while !isThere(frames), !isOver { try await ProxyFixture.pause() }
    }

    func waitForEnd() async throws { while !isOver { try await ProxyFixture.pause() } }

    struct Answer {
        var status = 0
        var fields: [(name: String, value: String)] = []
        var interim: [Int] = []
        var body = ""
        var isWhole = false
        /// The error code that the stream was reset with.
        var reset: UInt32?

        func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
        var errorCode: String? { RawResponse(Array("HTTP/1.1 0 \r\n\r\n\(body)".utf8)).errorCode }
    }

    /// What came on a stream until its end or its reset. Decodes the connection's header blocks in their order.
    func answer(_ stream: UInt32) async throws -> Answer {
        try await wait { frames in
            frames.contains {
                $0.stream == stream && ($0.kind == .rstStream || $0.kind != .windowUpdate && $0.flags & Frame.endStream != 0)
            }
        }
        return try soFar(stream)
    }

    func soFar(_ stream: UInt32) throws -> Answer {
        var answer = Answer()
        var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
        for frame in frames {
            switch frame.kind {
            case .headers:
                var block = ByteBuffer(bytes: frame.payload)
                let fields = try decoder.decodeHeaders(from: &block)
                guard frame.stream == stream else { continue }
                let status = fields.first(name: ":status").flatMap { Int($0) } ?? 0
                if status / 100 == 1 {
                    answer.interim.append(status)
                    continue
                }
                answer.status = status
                answer.fields = fields.map { ($0.name, $0.value) }
            case .data where frame.stream == stream: answer.body += String(decoding: frame.payload, as: UTF8.self)
            case .rstStream where frame.stream == stream: answer.reset = frame.number()
            default: continue
            }
            if frame.stream == stream, frame.kind == .headers || frame.kind == .data, frame.flags & Frame.endStream != 0 {
                answer.isWhole = true
            }
        }
        return answer
    }

    /// The error that the connection was ended with, once it was.
    func goodbye() async throws -> UInt32? {
        try await wait { $0.contains { $0.kind == .goAway && $0.number(at: 4) != 0 } }
        return frames.last { $0.kind == .goAway }?.number(at: 4)
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let seen: Seen
        private var bytes = ByteBuffer()

        init(_ seen: Seen) { self.seen = seen }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes.writeImmutableBuffer(unwrapInboundIn(data))
            while let start = bytes.getBytes(at: bytes.readerIndex, length: 9) {
                let length = Int(start[0]) << 16 | Int(start[1]) << 8 | Int(start[2])
                guard bytes.readableBytes >= 9 + length else { return }
                bytes.moveReaderIndex(forwardBy: 9)
                let payload = bytes.readBytes(length: length) ?? []
                guard let kind = Frame.Kind(rawValue: start[3]) else { continue }
                let stream = start[5...8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                seen.state.withLock { $0.frames.append(Frame(kind: kind, flags: start[4], stream: stream, payload: payload)) }
            }
        }

        func channelInactive(context: ChannelHandlerContext) { seen.state.withLock { $0.isOver = true } }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
