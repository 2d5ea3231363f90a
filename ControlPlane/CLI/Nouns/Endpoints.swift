import ArgumentParser
import Primitives

enum Endpoints: EditableNoun {
    static let name = "endpoint"
    static let abstract = "A provider with credentials: what routes lead to. Part of the draft."
    static let path = "endpoints"
    static let columns: [Column] = [
        .id, .name, Column("PROVIDER", "provider_id", .id), Column("CREDENTIALS", "credential_ids"), Column("DISABLED", "disabled"),
        .created,
    ]
    static let exampleID = "ep_aaaaaaaaaaaaaaaa"
    static let createExample = "--provider-id \(Providers.exampleID) --name openai-main --credential-id \(Credentials.exampleID)"
    static let updateExample = "--disabled true"

    struct Fields: BodyFields {
        static let required = ["provider_id", "name"]
        static let empty: [String: JSONValue] = ["credential_ids": []]

        @Option(help: "The provider it belongs to.")
        var providerID: String?

        @Option(help: "What people call it.")
        var name: String?

        @Option(help: "Another address than the provider's.")
        var baseURL: String?

        @Option(name: .customLong("credential-id"), help: "A credential to use; may be repeated.")
        var credentialIDs: [String] = []

        @Option(help: ArgumentHelp("Whether it is left out.", valueName: "true|false"))
        var disabled: Bool?

        @OptionGroup var timeouts: TimeoutOptions

        func body() -> Body {
            var body = Body()
            body.set("provider_id", providerID)
            body.set("name", name)
            body.set("base_url", baseURL)
            body.set("credential_ids", credentialIDs)
            body.set("disabled", disabled)
            body.set("timeouts", timeouts.body())
            return body
        }
    }

    struct Filters: ListFilters {
        @Option(help: "Only this provider's.")
        var providerID: String?

        func query() -> [(String, String)] { pairs(("provider_id", providerID)) }
    }
}
