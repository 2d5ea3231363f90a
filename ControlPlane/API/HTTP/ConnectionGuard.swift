package import NIOCore

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
        /// How long a client may leave an answer unread.
        package var writeTimeout: TimeAmount = .seconds(30)
        /// Between two answers; above what a request's head and body may have together.
        package var maximumRequestBytes = 2 * APIResponder.bodyLimitBytes

        package init() {}
    }

    /// Stands in Hummingbird's place for additional handlers, behind its HTTP codec, and puts the guard in front of it.
    final class Installer: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = NIOAny
        private let limits: Limits

        init(_ limits: Limits) { self.limits = limits }

        func handlerAdded(context: ChannelHandlerContext) {
            // It fails only on a channel that is being torn down, which needs no guard.
            try? context.pipeline.syncOperations.addHandler(ConnectionGuard(limits), position: .first)
        }
    }

    private let limits: Limits
    private var deadline: Scheduled<Void>?
    private var writeDeadline: Scheduled<Void>?
    private var receivedBytes = 0

    package init(_ limits: Limits) { self.limits = limits }

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { startDeadline(context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { cancel() }

    package func channelActive(context: ChannelHandlerContext) {
        startDeadline(context)
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        cancel()
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        receivedBytes &+= unwrapInboundIn(data).readableBytes
        guard receivedBytes <= limits.maximumRequestBytes else {
            context.close(promise: nil)
            return
        }
        startDeadline(context)
        context.fireChannelRead(data)
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        deadline?.cancel()
        deadline = nil
        receivedBytes = 0
        context.write(data, promise: promise)
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        writeDeadline?.cancel()
        writeDeadline = context.channel.isWritable ? nil : closing(context, after: limits.writeTimeout)
        context.fireChannelWritabilityChanged()
    }

    /// One deadline a request: bytes that follow do not push it away.
    private func startDeadline(_ context: ChannelHandlerContext) {
        if deadline == nil { deadline = closing(context, after: limits.requestTimeout) }
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
