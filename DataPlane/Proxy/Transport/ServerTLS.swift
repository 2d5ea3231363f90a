import Glibc
import Logging
import NIOSSL
import Primitives
import Synchronization

/// The certificate that applications see, and its key: read from two files when the data plane starts and again when these change, so that
/// it is renewed without a restart. A new pair that cannot be used is refused, and the one before serves on.
final class ServerTLS: Sendable {
    /// PEM files: the certificate followed by those that lead to its authority, and its private key without a passphrase.
    struct Files: Sendable {
        let certificate: String
        let key: String
    }

    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// How the files last were: which ones they are and when they were written.
    private struct Stamp: Equatable {
        var parts: [Int] = []

        init(_ files: Files) {
            for path in [files.certificate, files.key] {
                var info = stat()
                guard stat(path, &info) == 0 else {
                    parts += [0, 0, 0, 0]
                    continue
                }
                parts += [Int(info.st_ino), Int(info.st_size), Int(info.st_mtim.tv_sec), Int(info.st_mtim.tv_nsec)]
            }
        }
    }

    private struct State {
        var context: NIOSSLContext
        /// Unix seconds.
        var expires: Int
        /// Of the files when they were last read, and at the last look.
        var read: Stamp
        var seen: Stamp
        /// Why the files as they are now are not what is served; nil while they are.
        var refusal: String?
        var reloads = 0
        var refusals = 0
    }

    private let files: Files
    private let offersHTTP2: Bool
    private let logger: Logger
    private let state: Mutex<State>

    /// - Throws: `Problem`, when the files hold no pair that can be used.
    init(_ files: Files, offersHTTP2: Bool, logger: Logger, nowSeconds: Int = time(nil)) throws(Problem) {
        self.files = files
        self.offersHTTP2 = offersHTTP2
        self.logger = logger
        let stamp = Stamp(files)
        let (context, expires) = try Self.read(files, offersHTTP2)
        state = Mutex(State(context: context, expires: expires, read: stamp, seen: stamp))
        if expires < nowSeconds {
            logger.error(
                "the certificate for applications has expired", metadata: ["file": "\(files.certificate)", "expired": Self.date(expires)])
        }
    }

    /// For connections that come now.
    var context: NIOSSLContext { state.withLock { $0.context } }

    struct Standing {
        /// Unix seconds.
        var expires: Int
        var reloads: Int
        var refusals: Int
        var refusal: String?
    }

    var standing: Standing {
        state.withLock { Standing(expires: $0.expires, reloads: $0.reloads, refusals: $0.refusals, refusal: $0.refusal) }
    }

    private static let warnSeconds = 14 * 86_400

    /// What an operator should know; nil: nothing.
    func warning(nowSeconds: Int = time(nil)) -> String? {
        let standing = standing
        if let refusal = standing.refusal {
            return "the new certificate for applications is not served, the one before is: \(refusal)"
        }
        if standing.expires < nowSeconds {
            return "the certificate for applications expired on \(RFC3339.string(milliseconds: Int64(standing.expires) * 1000))"
        }
        if standing.expires - nowSeconds < Self.warnSeconds {
            return "the certificate for applications expires on \(RFC3339.string(milliseconds: Int64(standing.expires) * 1000))"
        }
        return nil
    }

    /// Reads the files again where they have changed and have been the same for two looks: a pair is written one file after the other.
    func look(nowSeconds: Int = time(nil)) {
        let stamp = Stamp(files)
        let isDue = state.withLock { state in
            defer { state.seen = stamp }
            return stamp != state.read && stamp == state.seen
        }
        if isDue { reload(stamp, nowSeconds) }
    }

    /// Reads the files again, as SIGHUP asks.
    func reload(nowSeconds: Int = time(nil)) { reload(Stamp(files), nowSeconds) }

    private func reload(_ stamp: Stamp, _ now: Int) {
        do {
            let (context, expires) = try Self.read(files, offersHTTP2)
            if expires < now { throw Problem(description: "it expired on \(RFC3339.string(milliseconds: Int64(expires) * 1000))") }
            state.withLock { state in
                (state.context, state.expires, state.read, state.seen) = (context, expires, stamp, stamp)
                state.refusal = nil
                state.reloads += 1
            }
            logger.notice(
                "the certificate for applications was read again: new connections are served with it",
                metadata: ["file": "\(files.certificate)", "expires": Self.date(expires)])
        } catch {
            state.withLock { state in
                (state.read, state.seen) = (stamp, stamp)
                state.refusal = "\(error)"
                state.refusals += 1
            }
            logger.error(
                "the new certificate for applications cannot be used; the one before is served on",
                metadata: ["file": "\(files.certificate)", "key": "\(files.key)", "reason": "\(error)"])
        }
    }

    private static func read(_ files: Files, _ offersHTTP2: Bool) throws(Problem) -> (NIOSSLContext, expires: Int) {
        let chain: [NIOSSLCertificate]
        do { chain = try NIOSSLCertificate.fromPEMFile(files.certificate) } catch {
            throw Problem(description: "\(files.certificate) holds no certificate in PEM that can be read")
        }
        guard let leaf = chain.first else { throw Problem(description: "\(files.certificate) holds no certificate") }
        let key: NIOSSLPrivateKey
        do { key = try NIOSSLPrivateKey(file: files.key, format: .pem) } catch {
            throw Problem(description: "\(files.key) holds no private key in PEM that can be read without a passphrase")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = (offersHTTP2 ? [HTTP2Channel.protocolName] : []) + ["http/1.1"]
        do { return (try NIOSSLContext(configuration: configuration), leaf.notValidAfter) } catch {
            throw Problem(
                description:
                    "the key in \(files.key) is not the one of the certificate in \(files.certificate), or of a kind that TLS does not use")
        }
    }

    private static func date(_ seconds: Int) -> Logger.MetadataValue { "\(RFC3339.string(milliseconds: Int64(seconds) * 1000))" }
}
