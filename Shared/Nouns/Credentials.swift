package import Primitives

/// What a provider's key is for.
package enum CredentialPurpose: String, Word {
    /// For requests: it is sent, sealed, to the data planes whose endpoints name it.
    case requests
    /// For making other keys (OpenRouter's management keys): it never leaves the control plane.
    case management

    /// What cannot be read goes to no data plane.
    package static var unknown: CredentialPurpose? { .management }
}

package struct CredentialContent: Noun {
    package typealias Kind = CredentialKind

    /// Fixed when the credential is made: its secret is never sent to another provider.
    package var providerID = ProviderID("")
    package var name = ""
    package var purpose = CredentialPurpose.requests
    /// What was given; only on its way to being encrypted.
    package var secret: Secret?
    /// AES-256-GCM, bound to the row; empty once it is deleted.
    package var ciphertext = StoredBytes()
    /// The end of a long secret; empty for a short one.
    package var secretHint = ""
    /// Names the master key that the secret is encrypted with; nil: not known.
    package var masterKeyID: String?

    package init() {}

    package static let words = NounWords(
        "credential", path: "credentials", "Provider keys. Encrypted at rest, never shown again.",
        create: "--provider-id \(ProviderKind.example) --name main --secret-env OPENAI_API_KEY", update: "--name spare")

    package static let fields: [Field<Self>] = [
        Field("provider_id", \.providerID, "The provider it is for.").fixed.filter.heading("PROVIDER"),
        .name(\.name),
        Field(
            "purpose", \.purpose,
            "requests, or management: a key that makes other keys (OpenRouter) and stays on the control plane.", or: .requests
        ).fixed.heading("PURPOSE"),
        Field(secret: "secret", \.secret, "The provider's key; shown never again."),
        Field("ciphertext", \.ciphertext, "The secret, encrypted.").hidden,
        Field("master_key_id", \.masterKeyID, .text(maximum: 64), "The master key that the secret is encrypted with.").hidden,
        Field("secret_hint", \.secretHint, .text(maximum: 4), "The end of a long secret, to tell keys apart.", or: "").shown
            .heading("SECRET"),
    ]

    /// Whatever its provider: a name is taken once.
    package static let identity = ["name"]
    package var title: String { name }
}
