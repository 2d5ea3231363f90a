import Listening
import NIOCore
import NIOPosix
import NIOSSL

/// Accepts connections and hands each to a user on the loop that will own it.
struct Listener: Sendable {
    let port: Int
    private let channel: any Channel

    struct Options: Sendable {
        var host: String
        /// 0: any free one.
        var port: Int
        /// Bytes that the kernel keeps unsent for one connection (TCP_NOTSENT_LOWAT, linux/tcp.h); nil leaves it to the kernel.
        var unsentBytes: Int?
        /// Nil: connections are not encrypted.
        var tls: ServerTLS?
    }

    private static let unsentLimit = NIOBSDSocket.Option(rawValue: 25)

    /// Event loops for listeners and what they accept, each a thread.
    static func loops(_ count: Int) -> any EventLoopGroup { MultiThreadedEventLoopGroup(numberOfThreads: count) }

    /// - Parameters:
    ///   - gate: decides which connections are kept.
    ///   - user: called on a connection's loop; nil closes it.
    /// - Throws: the bind's error.
    static func open(
        _ options: Options, on loops: any EventLoopGroup, gate: ConnectionGate,
        user: @escaping @Sendable (any EventLoop, ByteBufferAllocator, ConnectionGate.Place) -> (any ByteStreamUser)?
    ) async throws -> Listener {
        let tls = options.tls
        var bootstrap = ServerBootstrap(group: loops)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(GateHandler(gate)) }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 16_384, high: 65_536))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let user = user(channel.eventLoop, channel.allocator, gate.place(of: channel)) else {
                        throw ChannelError.ioOnClosedChannel
                    }
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls.context)) }
                    let stream = NIOStream(user: user, isAlone: tls == nil)
                    try channel.pipeline.syncOperations.addHandler(stream)
                    user.opened(stream)
                }
            }
        if let unsentBytes = options.unsentBytes {
            // What is accepted inherits it.
            bootstrap = bootstrap.serverChannelOption(.tcpOption(unsentLimit), value: min(unsentBytes, 1 << 30))
        }
        let channel = try await bootstrap.bind(host: options.host, port: options.port).get()
        return Listener(port: channel.localAddress?.port ?? options.port, channel: channel)
    }

    /// Accepts no more; what was accepted stays.
    func close() async { try? await channel.close() }
}
