import NIOCore
import NIOPosix
import NIOSSL

/// One loop's connections to one origin. The most recently used idle one is taken first, so that a burst's extra connections age out.
final class UpstreamPool {
    private let key: PoolKey
    private let caPEM: String
    let loop: LoopContext
    private var idle: [UpstreamConnection] = []
    /// Open ones and those being opened.
    private var count = 0

    init(endpoint: CompiledEndpoint, loop: LoopContext) {
        key = endpoint.pool
        caPEM = endpoint.caPEM
        self.loop = loop
    }

    enum Failure: Error {
        case exhausted
        case connect(String)
        case timeout
    }

    /// Gives the attempt a connection: at once when one is idle, else when it is open. Calls `upstreamReady` or `upstreamUnavailable`,
    /// the latter perhaps before this returns.
    /// - Parameter fresh: one that has not served yet.
    func acquire(for attempt: Attempt, connectTimeout: Int64, fresh: Bool) {
        while !fresh, let connection = idle.popLast() {
            if connection.isUsable {
                connection.begin(attempt)
                attempt.upstreamReady(connection, isReused: true)
                return
            }
        }
        guard count < loop.settings.maxUpstreamConnections else {
            attempt.upstreamUnavailable(.exhausted)
            return
        }
        open(for: attempt, connectTimeout: connectTimeout)
    }

    private func open(for attempt: Attempt, connectTimeout: Int64) {
        let tls: NIOSSLContext?
        do {
            tls = key.isTLS ? try loop.tls.context(caPEM: caPEM) : nil
        } catch {
            attempt.upstreamUnavailable(.connect("the provider's ca_pem cannot be used: \(error)"))
            return
        }
        count += 1
        let loop = loop
        let host = key.host
        let connection = UpstreamConnection(pool: self, loop: loop)
        // The connection is confined to this loop, and the initialiser runs on it.
        let box = NIOLoopBound(connection, eventLoop: loop.eventLoop)
        let opening = ClientBootstrap(group: loop.eventLoop)
            .connectTimeout(.milliseconds(connectTimeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 4)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
                        let handler = try NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    try channel.pipeline.syncOperations.addHandler(box.value)
                }
            }
            .connect(host: host, port: key.port)
        opening.assumeIsolated().whenComplete { result in
            switch result {
            case .success:
                loop.metrics.upstreamConnectionsOpened &+= 1
                if attempt.isConnecting, connection.isUsable {
                    connection.begin(attempt)
                    attempt.upstreamReady(connection, isReused: false)
                } else {
                    self.release(connection)
                }
            case .failure(let error):
                self.count -= 1
                guard attempt.isConnecting else { return }
                if case ChannelError.connectTimeout = error {
                    attempt.upstreamUnavailable(.timeout)
                } else {
                    attempt.upstreamUnavailable(.connect(Self.describe(error)))
                }
            }
        }
    }

    /// Takes a connection back after an attempt, or closes it when it cannot serve another.
    func release(_ connection: UpstreamConnection) {
        guard connection.isUsable, !loop.isDraining else {
            connection.close()
            return
        }
        connection.rest(until: loop.nowMicroseconds &+ Int64(loop.settings.upstreamKeepAlive) &* 1000)
        idle.append(connection)
    }

    func closed(_ connection: UpstreamConnection) {
        count -= 1
        if let index = idle.firstIndex(where: { $0 === connection }) { idle.remove(at: index) }
    }

    /// Without addresses of the inside: what may stand in a log.
    private static func describe(_ error: any Error) -> String {
        if let error = error as? NIOConnectionError {
            if error.dnsAError != nil || error.dnsAAAAError != nil, error.connectionErrors.isEmpty { return "its name was not resolved" }
            if let first = error.connectionErrors.first { return describe(first.error) }
        }
        if let error = error as? IOError { return error.description }
        return "\(error)"
    }
}
