import Foundation
import Primitives
import SwiftProtobuf
package import Trust

/// What a signed document says something about. The raw value is DSSE's payload type.
package enum DocumentKind: String, Sendable, Hashable, CaseIterable {
    case config = "application/vnd.weir.config.v1"
    case rollout = "application/vnd.weir.rollout.v1"
    case directory = "application/vnd.weir.directory.v1"
    case heartbeat = "application/vnd.weir.heartbeat.v1"
    case keyring = "application/vnd.weir.keyring.v1"
    case revocation = "application/vnd.weir.revocation.v1"
    case bans = "application/vnd.weir.bans.v1"

    package var payloadType: String { rawValue }

    /// The word people read: "config".
    package var word: String { "\(self)" }
}

/// Why a document was refused. `code` is stable and crosses the link; `detail` is for people.
package struct DocumentRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        case tooLarge = "too_large"
        case malformedEnvelope = "malformed_envelope"
        case unknownKind = "unknown_kind"
        case unknownKey = "unknown_key"
        case badSignature = "bad_signature"
        case malformedHeader = "malformed_header"
        case wrongAudience = "wrong_audience"
        case badDigest = "bad_digest"
        case olderVersion = "older_version"
        case equivocation = "equivocation"
        case wrongPreviousDigest = "wrong_previous_digest"
        case notYetValid = "not_yet_valid"
        case expired = "expired"
        case dataPlaneTooOld = "data_plane_too_old"
        case malformedPayload = "malformed_payload"
        case brokenReference = "broken_reference"
        case storage = "storage"
    }

    package let code: Code
    package let detail: String

    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    package var description: String { "\(code.rawValue): \(detail)" }
}

package enum SignedDocument {
    /// The audience of documents that every data plane of the deployment takes.
    package static let everyone = "*"

    /// Signs a payload. `header`'s kind, key id, payload length and digest are filled in here.
    /// - Throws: `TrustError.signing`, or SwiftProtobuf's encoding error.
    package static func sign(kind: DocumentKind, header: Weir_V1_Header, payload: [UInt8], with key: SigningKey) throws -> Weir_V1_Envelope
    {
        var header = header
        header.kind = kind.payloadType
        header.keyID = key.keyID
        header.payloadLength = UInt64(payload.count)
        header.payloadDigest = Data(SHA256Digest.of(payload))
        var envelope = Weir_V1_Envelope()
        envelope.kind = kind.payloadType
        envelope.header = try header.serializedBytes()
        envelope.payload = Data(payload)
        envelope.keyID = key.keyID
        envelope.signature = Data(try key.sign(type: kind.payloadType, body: envelope.header))
        return envelope
    }
}

/// A document whose signature, header, audience and digest hold. Its time and content are still to be judged.
package struct VerifiedDocument: Sendable {
    package let kind: DocumentKind
    package let header: Weir_V1_Header
    package let payload: [UInt8]

    package var digest: [UInt8] { Array(header.payloadDigest) }
    package var version: DocumentVersion { DocumentVersion(epoch: header.epoch, version: header.version, revision: header.revision) }
    package var isDelta: Bool { !header.previousDigest.isEmpty }

    init(kind: DocumentKind, header: Weir_V1_Header, payload: [UInt8]) {
        self.kind = kind
        self.header = header
        self.payload = payload
    }
}

/// Versions order by epoch first: a control plane restored from a backup raises it. The revision tells apart what one version of the
/// configuration was to a data plane before and after its tenants changed.
package struct DocumentVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let epoch: UInt64
    package let version: UInt64
    /// Of configurations only; else 0.
    package let revision: UInt64

    package init(epoch: UInt64, version: UInt64, revision: UInt64 = 0) {
        self.epoch = epoch
        self.version = version
        self.revision = revision
    }

    package var description: String { revision == 0 ? "\(epoch).\(version)" : "\(epoch).\(version).\(revision)" }
    package static func < (a: DocumentVersion, b: DocumentVersion) -> Bool {
        (a.epoch, a.version, a.revision) < (b.epoch, b.version, b.revision)
    }
}
