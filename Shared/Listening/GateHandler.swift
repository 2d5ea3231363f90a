package import NIOCore
import Primitives

/// Puts a `ConnectionGate` into a listener: first in the pipeline of its server channel, before the connections that come get handlers of
/// their own. An accept that fails is counted, does not end the listener, and is tried again after a pause: what could not be accepted waits
/// in the kernel meanwhile, and asking for it at once would take the whole loop.
package final class GateHandler: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = any Channel
    package typealias InboundOut = any Channel

    private let gate: ConnectionGate
    private var isPausing = false

    /// Long enough to cost nothing, short enough that nobody misses a descriptor that has become free.
    static let pause = TimeAmount.milliseconds(200)

    package init(_ gate: ConnectionGate) { self.gate = gate }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        let id = ObjectIdentifier(channel)
        guard
            gate.admit(id, from: gate.source(ofAddress: channel.remoteAddress?.networkBytes), close: { channel.close(promise: nil) }) != nil
        else {
            channel.close(promise: nil)
            return
        }
        let gate = gate
        channel.closeFuture.whenComplete { _ in gate.closed(id) }
        context.fireChannelRead(data)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is IOError {
            gate.refuse(.accept, detail: "\(error)")
            pause(context)
        }
        context.fireErrorCaught(error)
    }

    private func pause(_ context: ChannelHandlerContext) {
        guard !isPausing, (try? context.channel.syncOptions?.getOption(.autoRead)) == true else { return }
        isPausing = true
        let channel = context.channel
        channel.setOption(.autoRead, value: false).whenFailure { _ in }
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPausing = false
            channel.setOption(.autoRead, value: true).whenFailure { _ in }
        }
    }
}

extension SocketAddress {
    /// Of an IP address: 4 or 16 bytes in network order.
    package var networkBytes: [UInt8]? {
        ipAddress.flatMap { NetworkList.bytes($0) }
    }
}
