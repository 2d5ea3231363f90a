import Crypto
import Foundation
package import Primitives

/// A short statement that only holders of the key can make and check: `base64url(claims).base64url(HMAC-SHA256)`. Any replica with
/// the same key checks it without a lookup.
package struct StatementCodec: Sendable {
    private let key: SymmetricKey
    private let purpose: [UInt8]

    /// - Parameter purpose: keeps the statements of one use from being taken for another's.
    package init(key: [UInt8], purpose: String) {
        self.key = SymmetricKey(data: key)
        self.purpose = Array((purpose + "\u{0}").utf8)
    }

    package func issue(_ claims: [UInt8]) -> String {
        let tag = HMAC<SHA256>.authenticationCode(for: purpose + claims, using: key)
        return Base64.encodeURL(claims) + "." + Base64.encodeURL(Array(tag))
    }

    /// The claims, or nil when the tag is not ours.
    package func verify(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 4096, parts.count == 2, let claims = Base64.decodeURL(parts[0]), let tag = Base64.decodeURL(parts[1]),
            HMAC<SHA256>.isValidAuthenticationCode(tag, authenticating: purpose + claims, using: key)
        else { return nil }
        return claims
    }
}

/// What a data plane presents on its streams: who it is and until when.
package struct SessionToken: Sendable, Hashable {
    package let dataPlaneID: DataPlaneID
    package let expiresMilliseconds: Int64

    package init(dataPlaneID: DataPlaneID, expiresMilliseconds: Int64) {
        self.dataPlaneID = dataPlaneID
        self.expiresMilliseconds = expiresMilliseconds
    }

    package func encoded(with codec: StatementCodec) -> String { codec.issue(Array("\(dataPlaneID)\u{0}\(expiresMilliseconds)".utf8)) }

    /// Nil when the token is not ours; the expiry is the caller's to compare with its clock.
    package init?(_ text: String, codec: StatementCodec) {
        guard let claims = codec.verify(text) else { return nil }
        let parts = claims.split(separator: 0)
        guard parts.count == 2, let id = try? DataPlaneID.parse(String(decoding: parts[0], as: UTF8.self)),
            let expires = Int64(String(decoding: parts[1], as: UTF8.self))
        else { return nil }
        self.init(dataPlaneID: id, expiresMilliseconds: expires)
    }
}
