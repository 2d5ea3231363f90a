import Crypto
package import Domain
package import Foundation
import GRPCNIOTransportHTTP2Posix
import Primitives
import SwiftASN1
import X509

/// The fleet listener's certificates when the operator brings none: one authority for the deployment, kept in the database so that
/// every replica shows a certificate of the same one, and a certificate a process, whose key never leaves its memory.
package struct FleetCertificates: Sendable {
    /// PEM; what data planes trust. Travels in the enrolment token.
    package let authorityPEM: String
    /// PEM, the listener's own and the authority's.
    let chainPEM: [String]
    let privateKeyPEM: String

    // Nothing renews the authority: it has to outlast the deployment. The token hands it out, so its loss costs an enrolment.
    private static let authorityYears = 30.0
    private static let leafYears = 5.0
    private static let year = 366.0 * 86_400
    /// The clocks of the planes differ.
    private static let backdating = 86_400.0

    /// A certificate for `hosts`, signed by the deployment's authority, which is made when there is none.
    /// - Throws: `DomainError.unavailable`, `TrustError.opening` under another master key, or the certificate library's errors.
    package static func issue(hosts: [String], store: FleetAuthorityStore, now: Date) async throws -> FleetCertificates {
        let stored = try await store.loadOrCreate {
            let key = P256.Signing.PrivateKey()
            let certificate = try makeAuthority(key, now: now)
            return (try certificate.serializeAsPEM().pemString, key.pemRepresentation)
        }
        let authorityKey = try P256.Signing.PrivateKey(pemRepresentation: stored.privateKeyPEM)
        let authority = try Certificate(pemEncoded: stored.certificatePEM)
        let key = P256.Signing.PrivateKey()
        let leaf = try certificate(for: hosts, key, signedBy: authority, authorityKey, now: now)
        return FleetCertificates(
            authorityPEM: stored.certificatePEM, chainPEM: [try leaf.serializeAsPEM().pemString, stored.certificatePEM],
            privateKeyPEM: key.pemRepresentation)
    }

    /// When the first certificate of a PEM text ends, Unix milliseconds; nil when none can be read.
    package static func end(ofPEM text: String) -> Int64? {
        let marker = "-----END CERTIFICATE-----"
        guard let end = text.range(of: marker), let start = text.range(of: "-----BEGIN CERTIFICATE-----"),
            start.lowerBound < end.lowerBound,
            let certificate = try? Certificate(pemEncoded: String(text[start.lowerBound..<end.upperBound]))
        else { return nil }
        let seconds = certificate.notValidAfter.timeIntervalSince1970
        // A certificate can name a year that no clock of ours reaches.
        return abs(seconds) < 1e12 ? Int64(seconds * 1000) : nil
    }

    private static func makeAuthority(_ key: P256.Signing.PrivateKey, now: Date) throws -> Certificate {
        let name = try DistinguishedName {
            OrganizationName("Weir")
            CommonName("Weir fleet authority \(Hex.encode(SecureRandom.bytes(4)))")
        }
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: now - backdating,
            notValidAfter: now + authorityYears * year, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: .init(key.publicKey))
            }, issuerPrivateKey: .init(key))
    }

    private static func certificate(
        for hosts: [String], _ key: P256.Signing.PrivateKey, signedBy authority: Certificate, _ authorityKey: P256.Signing.PrivateKey,
        now: Date
    ) throws -> Certificate {
        let names = names(hosts)
        let subject = try DistinguishedName {
            OrganizationName("Weir")
            CommonName("Weir control plane")
        }
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: now - backdating,
            notValidAfter: min(now + leafYears * year, authority.notValidAfter), issuer: authority.subject, subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(names)
                AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: .init(authorityKey.publicKey)).keyIdentifier)
            }, issuerPrivateKey: .init(authorityKey))
    }

    /// The hosts, localhost and the loopback addresses, each once.
    private static func names(_ hosts: [String]) -> [GeneralName] {
        var seen = Set<String>()
        return (hosts + ["localhost", "127.0.0.1", "::1"]).compactMap { host in
            guard !host.isEmpty, seen.insert(host.lowercased()).inserted else { return nil }
            if let address = IPAddress.bytes(host) { return .ipAddress(ASN1OctetString(contentBytes: address[...])) }
            return .dnsName(host)
        }
    }
}

/// Numeric addresses, as certificates hold them.
enum IPAddress {
    /// 4 or 16 bytes in network order; nil for a name.
    static func bytes(_ text: String) -> [UInt8]? {
        let plain = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        var v4 = in_addr()
        if inet_pton(AF_INET, plain, &v4) == 1 { return withUnsafeBytes(of: v4) { Array($0) } }
        var v6 = in6_addr()
        if inet_pton(AF_INET6, plain, &v6) == 1 { return withUnsafeBytes(of: v6) { Array($0) } }
        return nil
    }
}
