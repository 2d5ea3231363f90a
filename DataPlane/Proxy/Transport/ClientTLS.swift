import NIOSSL
import Synchronization

/// TLS contexts by trust roots, made once: a context costs milliseconds and is shared by all loops.
final class ClientTLS: Sendable {
    private struct Key: Hashable {
        let caPEM: String
        let offersHTTP2: Bool
    }

    private let contexts = Mutex<[Key: NIOSSLContext]>([:])

    /// - Throws: NIOSSL's error when the PEM cannot be read.
    static func check(caPEM: String) throws { _ = try NIOSSLCertificate.fromPEMBytes(Array(caPEM.utf8)) }

    /// - Throws: NIOSSL's error when the PEM holds no certificate.
    func context(caPEM: String, offersHTTP2: Bool) throws -> NIOSSLContext {
        let key = Key(caPEM: caPEM, offersHTTP2: offersHTTP2)
        return try contexts.withLock { contexts in
            if let context = contexts[key] { return context }
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.applicationProtocols = (offersHTTP2 ? [HTTP2Channel.protocolName] : []) + ["http/1.1"]
            configuration.minimumTLSVersion = .tlsv12
            if !caPEM.isEmpty {
                let roots = try NIOSSLCertificate.fromPEMBytes(Array(caPEM.utf8))
                configuration.additionalTrustRoots = [.certificates(roots)]
            }
            let context = try NIOSSLContext(configuration: configuration)
            contexts[key] = context
            return context
        }
    }
}
