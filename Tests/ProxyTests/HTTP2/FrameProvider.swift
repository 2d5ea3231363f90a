import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import NIOSSL
import Synchronization

@testable import Proxy

/// A provider that speaks HTTP/2 over TLS and answers each request as it is told.
final class FrameProvider: Sendable {
    struct Request: Sendable {
        /// Of the provider's connections, from 0.
        let connection: Int
        let stream: Int
        let fields: [String: String]
        let body: String
    }

    enum Step: Sendable {
        case head(Int, [(String, String)] = [], ends: Bool = false)
        case data(String, ends: Bool = false)
        case reset(HTTP2ErrorCode)
        /// With the last stream that is looked at.
        case goAway(Int)
        case close
    }

    /// A whole answer.
    static func json(_ body: String, _ status: Int = 200) -> [Step] {
        [
            .head(status, [("content-type", "application/json"), ("content-length", "\(body.utf8.count)")]), .data(body, ends: true),
        ]
    }

    static let good = json(
        #"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],"#
            + #""usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#)

    static func events(_ events: [String], ends: Bool = true) -> [Step] {
        [.head(200, [("content-type", "text/event-stream")])] + events.map { .data("data: \($0)\n\n") }
            + (ends ? [.data("", ends: true)] : [])
    }

    private final class Seen: Sendable {
        struct State {
            var requests: [Request] = []
            var resets: [HTTP2ErrorCode] = []
            var connections: [any Channel] = []
            var pings = 0
        }
        let state = Mutex(State())
    }

    private let channel: any Channel
    private let seen: Seen

    var port: Int { channel.localAddress?.port ?? 0 }
    var requests: [Request] { seen.state.withLock { $0.requests } }
    /// What requests were cancelled with.
    var resets: [HTTP2ErrorCode] { seen.state.withLock { $0.resets } }
    var connectionCount: Int { seen.state.withLock { $0.connections.count } }
    var openConnections: Int { seen.state.withLock { $0.connections.count(where: \.isActive) } }

    private init(_ channel: any Channel, _ seen: Seen) {
        self.channel = channel
        self.seen = seen
    }

    /// - Parameters:
    ///   - authority: nil: without TLS.
    ///   - answer: to the request of that number, from 0. No steps: none.
    static func start(
        _ authority: TestAuthority?, maxStreams: Int = 100, _ answer: @escaping @Sendable (Int, Request) -> [Step]
    ) async throws -> FrameProvider {
        let seen = Seen()
        let tls = try authority?.server(protocols: ["h2"])
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                let number = seen.state.withLock { state in
                    state.connections.append(channel)
                    return state.connections.count - 1
                }
                return channel.eventLoop.makeCompletedFuture {
                    var connection = NIOHTTP2Handler.ConnectionConfiguration()
                    connection.initialSettings = [HTTP2Setting(parameter: .maxConcurrentStreams, value: maxStreams)]
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandlers([
                        NIOHTTP2Handler(mode: .server, connectionConfiguration: connection),
                        Handler(seen, number, answer),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FrameProvider(channel, seen)
    }

    func dropConnections() async {
        for connection in seen.state.withLock({ $0.connections }) { try? await connection.close() }
    }

    func stop() async {
        try? await channel.close()
        await dropConnections()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTP2Frame
        typealias OutboundOut = HTTP2Frame
        private let seen: Seen
        private let number: Int
        private let answer: @Sendable (Int, Request) -> [Step]
        private var heads: [HTTP2StreamID: HPACKHeaders] = [:]
        private var bodies: [HTTP2StreamID: ByteBuffer] = [:]

        init(_ seen: Seen, _ number: Int, _ answer: @escaping @Sendable (Int, Request) -> [Step]) {
            self.seen = seen
            self.number = number
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            switch frame.payload {
            case .headers(let block):
                heads[frame.streamID] = block.headers
                if block.endStream { whole(frame.streamID, context) }
            case .data(let data):
                guard case .byteBuffer(let bytes) = data.data else { return }
                bodies[frame.streamID, default: ByteBuffer()].writeImmutableBuffer(bytes)
                if data.endStream { whole(frame.streamID, context) }
            case .rstStream(let code): seen.state.withLock { $0.resets.append(code) }
            default: return
            }
        }

        private func whole(_ id: HTTP2StreamID, _ context: ChannelHandlerContext) {
            let fields = Dictionary((heads[id] ?? [:]).map { ($0.name, $0.value) }, uniquingKeysWith: { $0 + ", " + $1 })
            let request = Request(connection: number, stream: Int(id), fields: fields, body: String(buffer: bodies[id] ?? ByteBuffer()))
            let index = seen.state.withLock { state in
                state.requests.append(request)
                return state.requests.count - 1
            }
            for step in answer(index, request) { take(step, id, context) }
            context.flush()
        }

        private func take(_ step: Step, _ id: HTTP2StreamID, _ context: ChannelHandlerContext) {
            func send(_ id: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload) {
                context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: nil)
            }
            switch step {
            case .head(let status, let fields, let ends):
                send(id, .headers(.init(headers: HPACKHeaders([(":status", "\(status)")] + fields), endStream: ends)))
            case .data(let text, let ends): send(id, .data(.init(data: .byteBuffer(ByteBuffer(string: text)), endStream: ends)))
            case .reset(let code):
                // A reset takes back what was not flushed.
                context.flush()
                send(id, .rstStream(code))
            case .goAway(let last): send(.rootStream, .goAway(lastStreamID: HTTP2StreamID(last), errorCode: .noError, opaqueData: nil))
            case .close:
                context.flush()
                context.close(promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
}
