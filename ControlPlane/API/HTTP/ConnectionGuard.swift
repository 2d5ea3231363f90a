package import Listening
package import NIOCore
import NIOHTTP1

/// What a connection may cost: the time until a request is complete and answered, the bytes it may send meanwhile, the time a
/// client may take to read an answer. Hummingbird bounds idle connections only, and one byte a second is not idle.
package final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = IOData
    package typealias OutboundOut = IOData

    package struct Limits: Sendable {
        /// From the first byte of a request (or from accepting the connection) to the first byte of its answer.
        package var requestTimeout: TimeAmount = .seconds(60)
        /// From accepting a connection to the head of its first request.
        package var firstHeadTimeout: TimeAmount = .seconds(15)
        /// How long a connection lives that was let in beyond the maximum.
        package var reservedLifetime: TimeAmount = .seconds(5)
        /// How long a client may leave an answer unread.
        package var writeTimeout: TimeAmount = .seconds(30)
        /// Between two answers. Far above what is taken (`APIResponder.bodyLimitBytes`): who sends more is told so with a 413, which he
        /// reads only once he has sent the rest, and that is read and thrown away.
        package var maximumRequestBytes = 64 * APIResponder.bodyLimitBytes

        package init() {}
    }

    /// Stands in Hummingbird's place for additional handlers, behind its HTTP codec, and puts the guard in front of it.
    final class Installer: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = NIOAny
        private let limits: Limits
        private let gate: ConnectionGate
        private var connectionGuard: ConnectionGuard?

        init(_ limits: Limits, _ gate: ConnectionGate) {
            self.limits = limits
            self.gate = gate
        }

        func handlerAdded(context: ChannelHandlerContext) {
            let made = ConnectionGuard(limits, gate.place(of: context.channel))
            connectionGuard = made
            // It fails only on a channel that is being torn down, which needs no guard.
            let pipeline = context.pipeline.syncOperations
            try? pipeline.addHandler(made, position: .first)
            if let decoder = try? pipeline.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self) {
                try? pipeline.addHandler(HeadGuard(), position: .after(decoder.handler))
            }
        }

        /// What comes here is parsed: the first thing is a whole head.
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            connectionGuard?.headIsWhole()
            connectionGuard = nil
            context.fireChannelRead(data)
        }
    }

    private let limits: Limits
    private let place: ConnectionGate.Place?
    /// Let in beyond the maximum.
    private let isReserved: Bool
    private var isSilent: Bool
    private var context: ChannelHandlerContext?
    private var deadline: Scheduled<Void>?
    private var writeDeadline: Scheduled<Void>?
    private var receivedBytes = 0

    /// - Parameter place: nil for a connection of no gate.
    package init(_ limits: Limits, _ place: ConnectionGate.Place? = nil) {
        self.limits = limits
        self.place = place
        isReserved = place?.passage == .reserved
        isSilent = place != nil
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { startDeadline(context) }
    }

    /// The head of the first request has come.
    package func headIsWhole() {
        guard isSilent, let context else { return }
        isSilent = false
        place?.spoke()
        // That of a reserved connection is for its whole life.
        guard !isReserved else { return }
        deadline?.cancel()
        deadline = nil
        startDeadline(context)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        cancel()
    }

    package func channelActive(context: ChannelHandlerContext) {
        startDeadline(context)
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        cancel()
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        if isReserved, isSilent, receivedBytes == 0, !Self.asksForHealth(bytes) { return refuse(context) }
        receivedBytes &+= bytes.readableBytes
        guard receivedBytes <= limits.maximumRequestBytes else {
            context.close(promise: nil)
            return
        }
        startDeadline(context)
        context.fireChannelRead(data)
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if !isReserved {
            deadline?.cancel()
            deadline = nil
        }
        receivedBytes = 0
        context.write(data, promise: promise)
    }

    private static func asksForHealth(_ bytes: ByteBuffer) -> Bool {
        ["GET /health", "HEAD /health"].contains { bytes.readableBytesView.starts(with: $0.utf8) }
    }

    /// Beyond the maximum only health is answered.
    private func refuse(_ context: ChannelHandlerContext) {
        let body = #"{"type":"about:blank","title":"Too many connections","status":503,"code":"overloaded"}"#
        let text =
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: \(body.utf8.count)\r\n"
            + "retry-after: 1\r\nconnection: close\r\n\r\n\(body)"
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.byteBuffer(ByteBuffer(string: text)))).whenComplete { _ in channel.close(promise: nil) }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        writeDeadline?.cancel()
        writeDeadline = context.channel.isWritable ? nil : closing(context, after: limits.writeTimeout)
        context.fireChannelWritabilityChanged()
    }

    /// One deadline a request: bytes that follow do not push it away.
    private func startDeadline(_ context: ChannelHandlerContext) {
        guard deadline == nil else { return }
        guard isSilent else {
            deadline = closing(context, after: limits.requestTimeout)
            return
        }
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: isReserved ? limits.reservedLifetime : limits.firstHeadTimeout) {
            if self.isSilent { self.place?.tookTooLong() }
            context.close(promise: nil)
        }
    }

    private func closing(_ context: ChannelHandlerContext, after time: TimeAmount) -> Scheduled<Void> {
        let channel = context.channel
        return context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    private func cancel() {
        deadline?.cancel()
        writeDeadline?.cancel()
        deadline = nil
        writeDeadline = nil
    }
}
