package import Listening
package import NIOCore

/// Gives a connection of the fleet's a deadline for its first call: TLS, HTTP/2's preface and a stream. gRPC bounds what is idle after that.
package final class FirstCallGuard: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    private static let patience = TimeAmount.seconds(20)

    private let place: ConnectionGate.Place
    private var deadline: Scheduled<Void>?

    package init(_ place: ConnectionGate.Place) { self.place = place }

    package func handlerAdded(context: ChannelHandlerContext) {
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: Self.patience) {
            self.place.tookTooLong()
            context.close(promise: nil)
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    package func callCame() {
        guard let deadline else { return }
        deadline.cancel()
        self.deadline = nil
        place.spoke()
    }
}
