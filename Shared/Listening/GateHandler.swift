package import NIOCore

/// Puts a `ConnectionGate` into a listener: first in the pipeline of its server channel, before the connections that come get handlers of
/// their own. An accept that fails is counted; NIO tries again after a second and does not end the listener.
package final class GateHandler: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = any Channel
    package typealias InboundOut = any Channel

    private let gate: ConnectionGate

    package init(_ gate: ConnectionGate) { self.gate = gate }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        let id = ObjectIdentifier(channel)
        guard gate.admit(id, close: { channel.close(promise: nil) }) != nil else {
            channel.close(promise: nil)
            return
        }
        let gate = gate
        channel.closeFuture.whenComplete { _ in gate.closed(id) }
        context.fireChannelRead(data)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is IOError { gate.refuse(.accept, detail: "\(error)") }
        context.fireErrorCaught(error)
    }
}
