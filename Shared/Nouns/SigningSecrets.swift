package import Primitives

/// The secret with which the holder of a key signs requests (HMAC), beside the key itself. Encrypted at rest; shown once.
package struct SigningSecretContent: Noun {
    package typealias Kind = SigningSecretKind

    /// Fixed when it is made.
    package var keyID = KeyID("")
    /// Its key's, which never changes.
    package var tenantID = TenantID("")
    /// When the one that a rotation replaced ends, Unix milliseconds; nil: there is none.
    package var previousExpiresAt: Int64?
    /// AES-256-GCM, bound to the row: the present secret, and until then the one before. Empty once it is deleted.
    package var ciphertext = StoredBytes()
    /// Names the master key that it is encrypted with.
    package var masterKeyID: String?

    package init() {}

    package static let words = NounWords(
        "signing secret", path: "signing-secrets",
        "Secrets with which the holders of keys sign requests (HMAC), one for a key. Shown once.",
        create: "--key-id \(KeyKind.example)", update: "")

    package static let fields: [Field<Self>] = [
        Field("key_id", \.keyID, "The key in whose name it signs.").fixed.filter.heading("KEY"),
        Field("tenant_id", \.tenantID, "Its key's tenant.").shown.filter,
        Field("previous_expires_at", \.previousExpiresAt, .time, "Until when the secret that a rotation replaced still works.").shown,
        Field("ciphertext", \.ciphertext, "The secret, encrypted.").hidden,
        Field("master_key_id", \.masterKeyID, .text(maximum: 64), "The master key that it is encrypted with.").hidden,
    ]

    package static let identity = ["key_id"]
    package var title: String { keyID.rawValue }
}
