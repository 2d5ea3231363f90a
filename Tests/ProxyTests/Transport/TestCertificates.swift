import Crypto
import Foundation
import NIOSSL
import SwiftASN1
import X509

/// An authority of a test's own and the certificates it signs.
struct TestAuthority {
    let pem: String
    private let key = P256.Signing.PrivateKey()
    private let certificate: Certificate

    init() throws {
        let name = try DistinguishedName { CommonName("Test authority") }
        certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: Date() - 86_400,
            notValidAfter: Date() + 86_400, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
            }, issuerPrivateKey: .init(key))
        pem = try certificate.serializeAsPEM().pemString
    }

    /// A server's context with a certificate for one address or name.
    /// - Parameters:
    ///   - days: from now until it expires; negative for one that has.
    ///   - protocols: for ALPN; empty: none.
    func server(
        for host: GeneralName = .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])), days: Double = 1, protocols: [String] = []
    ) throws -> NIOSSLContext {
        let pair = try issue(for: host, days: days)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try NIOSSLCertificate(bytes: Array(pair.certificate.utf8), format: .pem))],
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(pair.key.utf8), format: .pem)))
        configuration.applicationProtocols = protocols
        return try NIOSSLContext(configuration: configuration)
    }

    /// A certificate and its key in PEM.
    func issue(
        for host: GeneralName = .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])), name: String = "Test provider", days: Double = 1
    ) throws -> (certificate: String, key: String) {
        let own = P256.Signing.PrivateKey()
        let leaf = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(own.publicKey), notValidBefore: Date() - 10 * 86_400,
            notValidAfter: Date() + days * 86_400, issuer: certificate.subject, subject: try DistinguishedName { CommonName(name) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                SubjectAlternativeNames([host])
            }, issuerPrivateKey: .init(key))
        return (try leaf.serializeAsPEM().pemString, own.pemRepresentation)
    }

    /// A client's context that trusts this authority.
    func client(protocols: [String]) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)))
        configuration.certificateVerification = .noHostnameVerification
        configuration.applicationProtocols = protocols
        return try NIOSSLContext(configuration: configuration)
    }
}
