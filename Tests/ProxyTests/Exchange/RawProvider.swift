import Dispatch
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A provider that sends the bytes it is told, whatever HTTP says of them.
final class RawProvider: Sendable {
    /// What one request gets.
    struct Answer: Sendable {
        enum End: Sendable {
            case keepAlive
            case close
            /// A RST.
            case reset
            /// Says nothing more, and stays.
            case silence
        }

        var bytes: String
        var end: End

        static func raw(_ bytes: String, end: End = .keepAlive) -> Answer { Answer(bytes: bytes, end: end) }

        static func json(_ status: Int, _ body: String, fields: String = "") -> Answer {
            raw(
                "HTTP/1.1 \(status) X\r\ncontent-type: application/json\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)")
        }

        /// Events, each given without `data: `; the stream ends with its connection.
        static func stream(_ events: [String], end: End = .close) -> Answer {
            let text = events.map { "data: \($0)\n\n" }.joined()
            return raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\(text)", end: end)
        }

        /// Nothing is said, until `say`.
        static let silence = raw("", end: .silence)

        static let good = json(
            200,
            #"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],"#
                + #""usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#)
        static let goodStream = stream([
            #"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"}}]}"#,
            #"{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
            "[DONE]",
        ])
    }

    private let channel: any Channel
    private let seen: Seen

    private final class Seen: Sendable {
        let requests = Mutex<[String]>([])
        let connections = Mutex<[any Channel]>([])
    }

    var port: Int { channel.localAddress?.port ?? 0 }
    var url: String { "http://127.0.0.1:\(port)/v1" }
    var connectionCount: Int { seen.connections.withLock { $0.count } }
    /// Heads and bodies as they came.
    var requests: [String] { seen.requests.withLock { $0 } }

    private init(_ channel: any Channel, _ seen: Seen) {
        self.channel = channel
        self.seen = seen
    }

    /// - Parameters:
    ///   - tls: nil for none.
    ///   - readsBodies: false answers a head at once and reads nothing more of that connection.
    ///   - heedsEnds: false goes on although the peer has ended its side.
    ///   - answer: to the request of that number, from 0.
    static func start(
        tls: NIOSSLContext? = nil, readsBodies: Bool = true, heedsEnds: Bool = true, _ answer: @escaping @Sendable (Int) -> Answer
    ) async throws -> RawProvider {
        let seen = Seen()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                seen.connections.withLock { $0.append(channel) }
                return channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandler(Handler(seen, readsBodies: readsBodies, answer))
                }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: !heedsEnds)
            .childChannelOption(.socketOption(.so_rcvbuf), value: readsBodies ? 131_072 : 8192)
            .bind(host: "127.0.0.1", port: 0).get()
        return RawProvider(channel, seen)
    }

    static func start(_ answer: Answer) async throws -> RawProvider { try await start { _ in answer } }

    /// Closes what is open, and returns when the kernel knows. Not to be called on the provider's own loops.
    /// - Parameter withFarewell: TLS's, as far as there is TLS; nobody waits for the answer to it.
    func dropConnections(withFarewell: Bool = true) {
        for connection in seen.connections.withLock({ $0 }) {
            let closed = DispatchSemaphore(value: 0)
            connection.eventLoop.execute {
                let tls = try? connection.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
                if tls == nil || withFarewell { connection.close(promise: nil) }
                // Past the handler, which would wait for the peer's farewell.
                tls?.close(promise: nil)
                connection.closeFuture.whenComplete { _ in closed.signal() }
            }
            closed.wait()
        }
    }

    /// Connections that neither side has ended.
    var openCount: Int { seen.connections.withLock { $0.count(where: \.isActive) } }

    /// Sends this on every connection that is open, to requests that have got silence.
    func say(_ answer: Answer) {
        for connection in seen.connections.withLock({ $0 }) where connection.isActive {
            connection.writeAndFlush(ByteBuffer(string: answer.bytes)).whenComplete { _ in
                if case .close = answer.end { connection.close(promise: nil) }
            }
        }
    }

    func stop() async { try? await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let seen: Seen
        private let answer: @Sendable (Int) -> Answer
        private let readsBodies: Bool
        private var received = ""

        init(_ seen: Seen, readsBodies: Bool, _ answer: @escaping @Sendable (Int) -> Answer) {
            self.seen = seen
            self.readsBodies = readsBodies
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received += String(buffer: unwrapInboundIn(data))
            while let head = received.range(of: "\r\n\r\n") {
                guard readsBodies else {
                    let number = seen.requests.withLock { requests in
                        requests.append(String(received[..<head.upperBound]))
                        return requests.count - 1
                    }
                    received = ""
                    context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
                    return send(answer(number), context)
                }
                let length =
                    received[..<head.lowerBound].lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                    .flatMap { Int($0.dropFirst(15).drop { $0 == " " }) } ?? 0
                guard received[head.upperBound...].utf8.count >= length else { return }
                let end = received.utf8.index(head.upperBound, offsetBy: length)
                let number = seen.requests.withLock { requests in
                    requests.append(String(received[..<end]))
                    return requests.count - 1
                }
                received = String(received[end...])
                send(answer(number), context)
            }
        }

        private func send(_ answer: Answer, _ context: ChannelHandlerContext) {
            let written = context.eventLoop.makePromise(of: Void.self)
            context.writeAndFlush(NIOAny(ByteBuffer(string: answer.bytes)), promise: written)
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            written.futureResult.whenComplete { _ in
                let context = bound.value
                switch answer.end {
                case .keepAlive, .silence: return
                case .close: context.close(promise: nil)
                case .reset:
                    guard let socket = context.channel as? any SocketOptionProvider else { return }
                    socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in bound.value.close(promise: nil) }
                }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
