import Glibc
import NIOSSL
import Primitives

/// Why TLS did not come about or broke, as an operator needs it: a reason and a remedy in place of an error's type name. BoringSSL says
/// little of why a certificate was refused, so its dates are looked at here.
struct TLSFailure: Error, Equatable {
    let reason: String
    let remedy: String

    static func closedDuringHandshake(host: String) -> TLSFailure {
        TLSFailure(
            reason: "\(host) closed the connection during the TLS handshake",
            remedy: "check that the port speaks TLS and serves this host's name, and what stands between")
    }

    private init(reason: String, remedy: String) {
        self.reason = reason
        self.remedy = remedy
    }

    /// - Parameters:
    ///   - host: as the base URL names it.
    ///   - leaf: the peer's own certificate, where it got so far.
    init(_ error: any Error, host: String, leaf: NIOSSLCertificate?, nowSeconds: Int = time(nil)) {
        if let error = error as? NIOSSLExtraError, error == .failedToValidateHostname {
            self.init(
                reason: "the certificate of \(host) is for other names",
                remedy: "write the name that the certificate is for into the base URL, or have one issued for \(host)")
            return
        }
        let codes = Self.codes(error)
        if codes.contains("CERTIFICATE_VERIFY_FAILED") {
            self = Self.refused(leaf, host, nowSeconds)
        } else if case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])) = error {
            self = .closedDuringHandshake(host: host)
        } else if codes.contains(where: { $0.hasPrefix("WRONG_VERSION_NUMBER") || $0.hasPrefix("HTTP_") || $0 == "UNEXPECTED_MESSAGE" }) {
            self.init(
                reason: "\(host) does not speak TLS at this port", remedy: "write http:// in the base URL, or the port that speaks TLS")
        } else if codes.contains(where: { $0.contains("PROTOCOL_VERSION") || $0 == "UNSUPPORTED_PROTOCOL" }) {
            self.init(reason: "\(host) speaks no TLS version from 1.2 on", remedy: "have TLS 1.2 or 1.3 switched on at the provider")
        } else if codes.contains(where: { $0.contains("UNRECOGNIZED_NAME") }) {
            self.init(reason: "\(host) serves no such name", remedy: "check the host in the base URL")
        } else if codes.contains(where: { $0.contains("CERTIFICATE_REQUIRED") || $0.contains("BAD_CERTIFICATE") }) {
            self.init(
                reason: "\(host) wants a certificate of the client",
                remedy: "use an address of the provider that asks for none: Weir sends none")
        } else if codes.contains(where: { $0.contains("HANDSHAKE_FAILURE") || $0.contains("NO_SHARED") }) {
            self.init(reason: "\(host) refused the TLS handshake", remedy: "check its TLS settings, and that it serves this host's name")
        } else {
            let detail = codes.first ?? "\(type(of: error))"
            self.init(
                reason: "TLS with \(host) failed (\(detail))", remedy: "check the TLS settings of the provider and what stands between")
        }
    }

    private static func refused(_ leaf: NIOSSLCertificate?, _ host: String, _ now: Int) -> TLSFailure {
        func date(_ seconds: Int) -> String { RFC3339.string(milliseconds: Int64(seconds) * 1000) }
        if let leaf, leaf.notValidAfter < now {
            return TLSFailure(
                reason: "the certificate of \(host) expired on \(date(leaf.notValidAfter))", remedy: "have it renewed at the provider")
        }
        if let leaf, leaf.notValidBefore > now {
            return TLSFailure(
                reason: "the certificate of \(host) is valid from \(date(leaf.notValidBefore)) on",
                remedy: "check the clock of this machine")
        }
        return TLSFailure(
            reason: "the certificate of \(host) is not trusted: no authority that is known here signed it",
            remedy: "add its authority's certificate to the provider as ca_pem")
    }

    /// BoringSSL's names for what went wrong: `CERTIFICATE_VERIFY_FAILED` of
    /// `error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED at …`.
    private static func codes(_ error: any Error) -> [String] {
        var stack: NIOBoringSSLErrorStack = []
        if case NIOSSLError.handshakeFailed(let inner) = error {
            stack = Self.stack(inner)
        } else if let inner = error as? BoringSSLError {
            stack = Self.stack(inner)
        }
        return stack.compactMap { entry in
            entry.description.split(separator: ":").map { $0.prefix { $0 != " " } }
                .last { !$0.isEmpty && $0.allSatisfy { $0.isUppercase || $0.isNumber || $0 == "_" } && $0.contains(where: \.isUppercase) }
                .map { String($0) }
        }
    }

    private static func stack(_ error: BoringSSLError) -> NIOBoringSSLErrorStack {
        switch error {
        case .sslError(let stack), .unknownError(let stack), .invalidSNIName(let stack), .failedToSetALPN(let stack): stack
        default: []
        }
    }
}
