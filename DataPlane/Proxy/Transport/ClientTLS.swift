import NIOSSL
import Synchronization

/// TLS contexts by trust roots, made once: a context costs milliseconds and is shared by all loops.
final class ClientTLS: Sendable {
    private let contexts = Mutex<[String: NIOSSLContext]>([:])

    /// - Throws: NIOSSL's error when the PEM holds no certificate.
    func context(caPEM: String) throws -> NIOSSLContext {
        try contexts.withLock { contexts in
            if let context = contexts[caPEM] { return context }
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.applicationProtocols = ["http/1.1"]
            configuration.minimumTLSVersion = .tlsv12
            if !caPEM.isEmpty {
                let roots = try NIOSSLCertificate.fromPEMBytes(Array(caPEM.utf8))
                configuration.additionalTrustRoots = [.certificates(roots)]
            }
            let context = try NIOSSLContext(configuration: configuration)
            contexts[caPEM] = context
            return context
        }
    }
}
