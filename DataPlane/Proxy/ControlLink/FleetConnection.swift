import Contract
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import Primitives
import Synchronization

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

    /// Runs `body` with a client over the transport and closes it afterwards.
    ///
    /// Not `withGRPCClient`: a call that is cancelled just before it asks for an idle connection waits for ever in grpc-swift-nio-transport
    /// 2.9 (`GRPCChannel.enqueue` looks for the cancellation in every case but `.poke`), and the link would hang with it. A channel that is
    /// shut down lets such calls go, so every cancellation begins with the shutdown; and what hangs all the same is left behind when the
    /// process stops.
    static func run(_ transport: Transport, _ body: @escaping @Sendable (GRPCClient<Transport>) async throws -> Void) async throws {
        let client = GRPCClient(transport: transport)
        let connection = Task { try await client.runConnections() }
        let work = Task { try await body(client) }
        let outcome = Outcome()
        Task { outcome.set(await work.result) }
        await withTaskCancellationHandler {
            await outcome.wait()
        } onCancel: {
            client.beginGracefulShutdown()
            work.cancel()
            Task {
                try await Task.sleep(for: .seconds(3))
                outcome.set(.failure(CancellationError()))
            }
        }
        client.beginGracefulShutdown()
        // A peer that says nothing more is not waited for.
        let patience = Task {
            try await Task.sleep(for: .seconds(3))
            connection.cancel()
        }
        _ = await connection.result
        patience.cancel()
        try outcome.result.get()
    }

    /// The first result that is set.
    private final class Outcome: Sendable {
        private let first = Mutex<Result<Void, any Error>?>(nil)
        private let signal = LinkSignal()

        func set(_ result: Result<Void, any Error>) {
            let isFirst = first.withLock { first in
                if first != nil { return false }
                first = result
                return true
            }
            if isFirst { signal.raise() }
        }

        /// Until one is set, cancelled or not.
        func wait() async {
            await Task {
                while first.withLock({ $0 == nil }) { _ = await signal.wait(milliseconds: 3_600_000) }
            }.value
        }

        var result: Result<Void, any Error> { first.withLock { $0 } ?? .failure(CancellationError()) }
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
