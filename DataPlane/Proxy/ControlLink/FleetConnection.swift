import Contract
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import Primitives

/// One connection to the fleet listener.
enum FleetConnection {
    typealias Transport = HTTP2ClientTransport.Posix

    /// A directory of a million keys is a message of about 120 MB.
    static let maximumMessageBytes = 512 << 20

    /// - Parameter authorityPEM: what has to have signed the listener's certificate; empty: plaintext.
    static func transport(to address: FleetAddress, authorityPEM: String, group: any EventLoopGroup) throws -> Transport {
        let target: any ResolvableTarget
        if address.isIPv4 {
            target = .ipv4(address: address.host, port: address.port)
        } else if address.isIPv6 {
            target = .ipv6(address: address.host, port: address.port)
        } else {
            target = .dns(host: address.host, port: address.port)
        }
        let security: Transport.TransportSecurity =
            authorityPEM.isEmpty
            ? .plaintext
            : .tls { tls in
                tls.trustRoots = .certificates([.bytes(Array(authorityPEM.utf8), format: .pem)])
                tls.serverCertificateVerification = .fullVerification
            }
        let config = Transport.Config.defaults { config in
            // A peer that vanished without a word is noticed, and a path that forgets idle connections is kept open.
            config.connection.keepalive = .init(time: .seconds(20), timeout: .seconds(10), allowWithoutCalls: false)
            config.backoff = .init(initial: .milliseconds(200), max: .seconds(5), multiplier: 2, jitter: 0.3)
        }
        return try Transport(target: target, transportSecurity: security, config: config, eventLoopGroup: group)
    }

    static var callOptions: CallOptions {
        var options = CallOptions.defaults
        options.timeout = .seconds(10)
        options.waitForReady = false
        return options
    }

    /// For streams: no deadline, and large documents. The NIO transport takes the limit of what it receives from the request's.
    static var streamOptions: CallOptions {
        var options = CallOptions.defaults
        options.waitForReady = false
        options.maxRequestMessageBytes = maximumMessageBytes
        options.maxResponseMessageBytes = maximumMessageBytes
        return options
    }

    /// What people are told of an error: the control plane's own words, or the transport's.
    static func text(_ error: any Error) -> String {
        guard let error = error as? RPCError else { return "\(error)".prefix(300).description }
        let cause = error.cause.map { " (\($0))" } ?? ""
        return "\(error.code): \(error.message)\(cause)".prefix(300).description
    }
}
