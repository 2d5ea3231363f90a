import Foundation
package import Primitives
import SwiftProtobuf
package import Trust

/// The first half of the order in which a data plane judges a document (ARCHITECTURE.md, "Signed documents"): size cap → envelope →
/// kind → key → signature → header → audience → digest. The second half (`checkVersion`, `checkTime`) needs the marks that
/// the caller keeps; content and storage are the caller's. Nothing here changes any state.
package struct DocumentVerifier: Sendable {
    /// Bytes. A directory of a million keys is about 200 MiB.
    package static let defaultMaximumBytes = 512 << 20

    package var trust: TrustStore
    package let deployment: String
    package let dataPlaneID: String
    package let softwareVersion: SoftwareVersion
    package let maximumBytes: Int

    package init(
        trust: TrustStore, deployment: String, dataPlaneID: String, softwareVersion: SoftwareVersion = weirVersion,
        maximumBytes: Int = defaultMaximumBytes
    ) {
        self.trust = trust
        self.deployment = deployment
        self.dataPlaneID = dataPlaneID
        self.softwareVersion = softwareVersion
        self.maximumBytes = maximumBytes
    }

    package func verify(_ bytes: [UInt8]) throws(DocumentRefusal) -> VerifiedDocument {
        guard bytes.count <= maximumBytes else { throw DocumentRefusal(.tooLarge, "\(bytes.count) bytes; at most \(maximumBytes)") }
        guard let envelope = try? Weir_V1_Envelope(serializedBytes: bytes) else {
            throw DocumentRefusal(.malformedEnvelope, "the bytes are no envelope")
        }
        return try verify(envelope)
    }

    package func verify(_ envelope: Weir_V1_Envelope) throws(DocumentRefusal) -> VerifiedDocument {
        guard envelope.payload.count <= maximumBytes, envelope.header.count <= 65_536 else {
            throw DocumentRefusal(.tooLarge, "payload of \(envelope.payload.count) bytes; at most \(maximumBytes)")
        }
        guard envelope.unknownFields.data.isEmpty else { throw DocumentRefusal(.malformedEnvelope, "the envelope has unknown fields") }
        guard let kind = DocumentKind(rawValue: envelope.kind) else {
            throw DocumentRefusal(.unknownKind, "kind \"\(envelope.kind.prefix(80))\" is not one this data plane takes")
        }
        guard trust.contains(envelope.keyID) else {
            throw DocumentRefusal(.unknownKey, "key \"\(envelope.keyID.prefix(80))\" is not in the trust store")
        }
        guard
            trust.verify(keyID: envelope.keyID, type: kind.payloadType, body: envelope.header, signature: Array(envelope.signature))
        else { throw DocumentRefusal(.badSignature, "the signature by \(envelope.keyID) does not hold") }
        let header = try parse(header: envelope.header, of: envelope, kind: kind)
        guard header.deployment == deployment else {
            throw DocumentRefusal(.wrongAudience, "for deployment \"\(header.deployment.prefix(80))\"")
        }
        let audience = [.directory, .revocation, .bans].contains(kind) ? [dataPlaneID] : [SignedDocument.everyone, dataPlaneID]
        guard audience.contains(header.audience) else { throw DocumentRefusal(.wrongAudience, "for \"\(header.audience.prefix(80))\"") }
        let payload = Array(envelope.payload)
        guard header.payloadLength == UInt64(payload.count), Array(header.payloadDigest) == SHA256Digest.of(payload) else {
            throw DocumentRefusal(.badDigest, "the payload is not the one that was signed")
        }
        if let minimum = SoftwareVersion(header.minimumDataPlaneVersion), softwareVersion < minimum {
            throw DocumentRefusal(.dataPlaneTooOld, "needs a data plane of \(minimum) or later; this is \(softwareVersion)")
        }
        return VerifiedDocument(kind: kind, header: header, payload: payload)
    }

    private func parse(header bytes: Data, of envelope: Weir_V1_Envelope, kind: DocumentKind) throws(DocumentRefusal) -> Weir_V1_Header {
        guard let header = try? Weir_V1_Header(serializedBytes: bytes) else {
            throw DocumentRefusal(.malformedHeader, "the header cannot be read")
        }
        guard header.unknownFields.data.isEmpty else { throw DocumentRefusal(.malformedHeader, "the header has unknown fields") }
        guard header.kind == kind.payloadType, header.keyID == envelope.keyID else {
            throw DocumentRefusal(.malformedHeader, "header and envelope disagree")
        }
        guard header.version > 0, header.epoch > 0, header.payloadDigest.count == SHA256Digest.byteCount,
            header.previousDigest.isEmpty || header.previousDigest.count == SHA256Digest.byteCount, header.notBeforeMs <= header.expiresMs,
            header.minimumDataPlaneVersion.isEmpty || SoftwareVersion(header.minimumDataPlaneVersion) != nil,
            header.revision == 0 || kind == .config && header.audience == dataPlaneID
        else { throw DocumentRefusal(.malformedHeader, "a field of the header is missing or out of range") }
        return header
    }

    package enum VersionVerdict: Sendable, Hashable {
        case newer
        /// The same document again: acknowledged, nothing changes.
        case same
    }

    /// - Parameters:
    ///   - mark: the highest version ever activated for the document's kind and audience, with its payload digest.
    package func checkVersion(
        _ document: VerifiedDocument, mark: (version: DocumentVersion, digest: [UInt8])?
    ) throws(DocumentRefusal) -> VersionVerdict {
        guard let mark else { return .newer }
        if document.version > mark.version { return .newer }
        guard document.version == mark.version else {
            throw DocumentRefusal(.olderVersion, "version \(document.version) is below \(mark.version), which was active already")
        }
        guard document.digest == mark.digest else {
            throw DocumentRefusal(.equivocation, "version \(document.version) was seen with another content: is somebody else signing?")
        }
        return .same
    }

    /// - Parameter toleranceMilliseconds: how far the clocks of the planes may differ.
    package func checkTime(
        _ document: VerifiedDocument, nowMilliseconds: Int64, toleranceMilliseconds: Int64 = 120_000
    ) throws(DocumentRefusal) {
        guard document.header.notBeforeMs <= nowMilliseconds &+ toleranceMilliseconds else {
            throw DocumentRefusal(.notYetValid, "valid from \(RFC3339.string(milliseconds: document.header.notBeforeMs))")
        }
        guard document.header.expiresMs > nowMilliseconds &- toleranceMilliseconds else {
            throw DocumentRefusal(.expired, "expired at \(RFC3339.string(milliseconds: document.header.expiresMs))")
        }
    }
}

/// What a sealed provider credential is bound to.
package enum SealedCredentialBinding {
    /// What the names of things are made with that providers keep for tenants (`ResourceIDs`) travels under this name, which no credential has.
    package static let resourceKeyID = "resource-ids"

    package static func aad(deployment: String, dataPlaneID: String, credentialID: String, providerID: String, revision: UInt64) -> [UInt8]
    {
        Array([deployment, dataPlaneID, credentialID, providerID, String(revision)].joined(separator: "\u{0}").utf8)
    }
}

/// What a data plane signs to open a session.
package enum SessionChallenge {
    package static let type = "application/vnd.weir.session.v1"

    package static func body(deployment: String, dataPlaneID: String, nonce: [UInt8]) -> [UInt8] {
        Array("\(deployment)\u{0}\(dataPlaneID)\u{0}".utf8) + nonce
    }
}
