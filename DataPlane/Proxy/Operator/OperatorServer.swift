package import Logging
import NIOCore
import NIOPosix
import Primitives
import Wire

/// The operator's listener: `/health/live`, `/health/ready`, `/metrics`. On a thread of its own, so that a scrape takes nothing from the
/// requests.
package final class OperatorServer: Sendable {
    package let port: Int
    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel

    private init(group: MultiThreadedEventLoopGroup, listener: any Channel, port: Int) {
        self.group = group
        self.listener = listener
        self.port = port
    }

    package static func start(host: String, port: Int, status: OperatorStatus, logger: Logger) async throws -> OperatorServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let listener = try await ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(OperatorHandler(status: status))
                    }
                }
                .bind(host: host, port: port)
                .get()
            return OperatorServer(group: group, listener: listener, port: listener.localAddress?.port ?? port)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    package func stop() async {
        try? await listener.close()
        try? await group.shutdownGracefully()
    }
}

/// One request a connection, GET only, no body: what probes and scrapers send.
private final class OperatorHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let status: OperatorStatus
    private var parser = RequestHeadParser(limits: HTTPLimits(maxHeadBytes: 8192))
    private var inbound = ByteBuffer()
    private var isAnswering = false
    private var timeout: Scheduled<Void>?

    init(status: OperatorStatus) { self.status = status }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        timeout = context.eventLoop.scheduleTask(in: .seconds(15)) { channel.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { timeout?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswering else { return }
        var buffer = unwrapInboundIn(data)
        inbound.writeBuffer(&buffer)
        var path = ""
        let step = inbound.withUnsafeReadableBytes { bytes -> ParseStep in
            let step = parser.parse(bytes)
            if case .complete = step { path = String(decoding: bytes[parser.path], as: UTF8.self) }
            return step
        }
        switch step {
        case .needMore: return
        case .invalid(let violation): answer(context.channel, 400, "text/plain", violation.reason + "\n")
        case .complete:
            guard parser.method == .get || parser.method == .head else {
                return answer(context.channel, 405, "text/plain", "only GET\n")
            }
            isAnswering = true
            let channel = context.channel
            let status = status
            let asked = path
            let promise = context.eventLoop.makePromise(of: OperatorStatus.Page.self)
            promise.completeWithTask { await status.page(asked) }
            promise.futureResult.assumeIsolated().whenSuccess { page in self.answer(channel, page.status, page.contentType, page.body) }
        }
    }

    private func answer(_ channel: any Channel, _ status: Int, _ type: String, _ body: String) {
        isAnswering = true
        var out = channel.allocator.buffer(capacity: body.utf8.count + 160)
        out.writeStatusLine(status)
        out.writeString("content-type: \(type)\r\ncontent-length: \(body.utf8.count)\r\nconnection: close\r\n\r\n")
        if parser.method != .head { out.writeString(body) }
        channel.writeAndFlush(out).assumeIsolated().whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
