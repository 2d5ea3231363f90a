import Contract
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import Primitives

/// Why no connection came about. Nothing was sent: nothing is charged.
enum ConnectFailure: Error {
    /// No connection in time; whether TCP or TLS was waited for.
    case timeout(duringTLS: Bool)
    /// Not reached, or turned away.
    case refused(String)
    case tls(TLSFailure)
    /// This machine has no descriptor or no port left: the provider has nothing to do with it.
    case exhausted(String)
    /// It leads where it must not: to this address, or by the name of its host (nil).
    case forbidden(AddressRefusal?)
    /// The operator's settings do not make a connection.
    case misconfigured(String)

    /// For the operator.
    var reason: String {
        switch self {
        case .timeout(let duringTLS): duringTLS ? "no TLS handshake in time" : "no connection in time"
        case .refused(let detail): detail
        case .tls(let failure): failure.reason
        case .exhausted(let detail): detail
        case .misconfigured(let detail): detail
        case .forbidden(let refusal): AttemptResult.forbidden(refusal).words
        }
    }

    /// What the operator may do about it.
    var remedy: String {
        switch self {
        case .timeout(let duringTLS):
            duringTLS
                ? "check that the port speaks TLS, or write http:// in the base URL"
                : "check the base URL, the network and firewalls between"
        case .forbidden(let refusal): AttemptResult.forbidden(refusal).remedy
        case .refused: "check the base URL's host and port, and that the provider is up"
        case .tls(let failure): failure.remedy
        case .exhausted: "raise the limit of open files (ulimit -n, LimitNOFILE)"
        case .misconfigured: "correct the provider's ca_pem"
        }
    }
}

/// Opens connections to providers on one loop.
struct Transport {
    let eventLoop: any EventLoop
    let tls: ClientTLS

    struct Origin {
        let host: String
        let port: Int
        let isTLS: Bool
        /// Trust roots in addition to the system's.
        let caPEM: String
        /// Whether its user can do with a stream that speaks HTTP/2.
        var offersHTTP2 = false
        /// Where its name may lead; nil: it is not even looked up.
        var reach: AddressReach? = .configured
    }

    /// Calls `done` once, on the loop: with nil when the stream that `user` was given can carry a request, its TLS handshake behind it, or
    /// with what kept it from that.
    /// - Parameter timeout: milliseconds for all of it: the name, TCP and TLS.
    func connect(
        to origin: Origin, timeout: Int64, user: any ByteStreamUser, done: @escaping (ConnectFailure?) -> Void
    ) {
        guard let reach = origin.reach else { return done(.forbidden(nil)) }
        let context: NIOSSLContext?
        do {
            context = origin.isTLS ? try tls.context(caPEM: origin.caPEM, offersHTTP2: origin.offersHTTP2) : nil
        } catch {
            return done(.misconfigured("the provider's ca_pem cannot be used: \(error)"))
        }
        let host = origin.host
        let startedAt = MonotonicClock.nowMicroseconds()
        // The initialiser runs once for each address that is tried, the user gets the stream of the one that is taken.
        let opening = ClientBootstrap(group: eventLoop)
            .connectTimeout(.milliseconds(timeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 4)
            // The peer's end is told before the socket is closed.
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AddressGuard(reach))
                    if let context {
                        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
                        let handler = try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    try channel.pipeline.syncOperations.addHandler(NIOStream(waitsForTLS: context != nil))
                }
            }
            .connect(host: host, port: origin.port)
        opening.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                guard let stream = try? channel.pipeline.syncOperations.handler(type: NIOStream.self) else {
                    return done(.refused("the connection was closed"))
                }
                let left = max(1, timeout * 1000 - (MonotonicClock.nowMicroseconds() - startedAt))
                stream.finishOpening(for: user, host: host, deadline: .microseconds(left), done: done)
            case .failure(let error): done(Self.failure(error))
            }
        }
    }

    private static func failure(_ error: any Error) -> ConnectFailure {
        if let refusal = error as? AddressRefusal { return .forbidden(refusal) }
        if case ChannelError.connectTimeout = error { return .timeout(duringTLS: false) }
        if let error = error as? NIOConnectionError {
            // Of several addresses one that is refused says the most: what else there was could not be reached.
            let errors = error.connectionErrors.map(\.error)
            if let most = errors.first(where: { $0 is AddressRefusal }) ?? errors.first { return failure(most) }
            return .refused("its name was not resolved")
        }
        if let error = error as? IOError {
            switch error.errnoCode {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted("no descriptor is left for a connection: \(error.description)")
            case EADDRNOTAVAIL: return .exhausted("no local port is left for a connection")
            default: return .refused(error.description)
            }
        }
        return .refused("\(error)")
    }
}
