package import Primitives

package struct EndpointContent: Noun {
    package typealias Kind = EndpointKind

    package var providerID = ProviderID("")
    package var name = ""
    /// Nil: the provider's.
    package var baseURL: String?
    package var credentialIDs: [CredentialID] = []
    package var disabled = false
    package var timeouts = Timeouts()
    package var maxConcurrent: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "endpoint", path: "endpoints", "A provider with credentials: what routes lead to. Part of the draft.",
        create: "--provider-id \(ProviderKind.example) --name openai-main --credential-id \(CredentialKind.example)",
        update: "--disabled true")

    package static let fields: [Field<Self>] = [
        Field("provider_id", \.providerID, "The provider it reaches.").filter.heading("PROVIDER"),
        .name(\.name),
        Field("base_url", \.baseURL, .checked(format: "uri"), "Another address than the provider's own.").reading(
            null: "default"),
        Field(
            "credential_ids", \.credentialIDs, .list(.id(CredentialKind.prefix), 0...100),
            "Credentials to use there, in turn; of its provider only.", or: []
        ).option("credential-id").heading("CREDENTIALS"),
        Field("disabled", \.disabled, "Whether it is left out.", or: false).heading("DISABLED"),
        Field(object: "timeouts", \.timeouts, "Limits of one exchange with it; 0: the provider's."),
        Field(
            "max_concurrent", \.maxConcurrent, .integer(0...1_000_000),
            "Requests that each data plane has there at one time; others wait in line, in turn by tenant. 0: no bound.", or: 0
        ).reading(zero: "none"),
    ]

    package var title: String { name }
}
