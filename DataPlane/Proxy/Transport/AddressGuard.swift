import Contract
import Listening
import NIOCore

/// Judges the address of a connection when it is opened, after all resolving: what a name leads to may be another at each time. Then it is gone.
final class AddressGuard: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer

    private let reach: AddressReach

    init(_ reach: AddressReach) { self.reach = reach }

    func connect(context: ChannelHandlerContext, to address: SocketAddress, promise: EventLoopPromise<Void>?) {
        if let refusal = reach.refusal(of: address.networkBytes ?? []) {
            promise?.fail(refusal)
            return
        }
        context.connect(to: address, promise: promise)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
