import Crypto
import Foundation
package import Primitives

/// Signs what leaves as a webhook, as Standard Webhooks has it (https://github.com/standard-webhooks/standard-webhooks, version 1): HMAC-SHA256
/// over `id.timestamp.body`, with the bytes behind `whsec_` as the key.
package enum WebhookSignature {
    private static let prefix = "whsec_"

    /// A new secret: 256 random bits.
    package static func generate() -> Secret { Secret(prefix + Data(SecureRandom.bytes(32)).base64EncodedString()) }

    /// The value of `webhook-signature`: one for each secret that works, the present one first. Nil where there is no key to sign with.
    /// - Parameters:
    ///   - timestamp: Unix seconds, as `webhook-timestamp` says it.
    package static func value(_ secrets: SigningSecrets, id: String, timestamp: Int64, body: [UInt8]) -> String? {
        let message = Array("\(id).\(timestamp).".utf8) + body
        let signatures = secrets.working(atMilliseconds: timestamp &* 1000).compactMap { secret -> String? in
            let text = String(decoding: secret, as: UTF8.self)
            guard text.hasPrefix(prefix), let key = Data(base64Encoded: String(text.dropFirst(prefix.count))), !key.isEmpty else {
                return nil
            }
            return "v1," + Data(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key))).base64EncodedString()
        }
        return signatures.isEmpty ? nil : signatures.joined(separator: " ")
    }
}
