import Contract
import Listening
import NIOCore
import Primitives

/// Where a name may lead.
enum AddressReach: Sendable {
    /// What the deployment's operators have configured: anywhere but to link-local addresses, where clouds answer everybody with a machine's
    /// credentials.
    case configured
    /// What whoever writes workflows names: the public Internet, and these networks.
    case `public`(and: NetworkList)

    /// - Parameter address: 4 or 16 bytes in network order.
    func allows(_ address: [UInt8]) -> Bool {
        switch self {
        case .configured: !LocalNetwork.isLinkLocal(address)
        case .public(let networks): networks.contains(bytes: address) || LocalNetwork.isPublic(address)
        }
    }
}

/// Judges the address of a connection when it is opened, after all resolving: what a name leads to may be another at each time. Then it is gone.
final class AddressGuard: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer

    struct Refusal: Error {}

    private let reach: AddressReach

    init(_ reach: AddressReach) { self.reach = reach }

    func connect(context: ChannelHandlerContext, to address: SocketAddress, promise: EventLoopPromise<Void>?) {
        guard let bytes = address.networkBytes, reach.allows(bytes) else {
            promise?.fail(Refusal())
            return
        }
        context.connect(to: address, promise: promise)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
