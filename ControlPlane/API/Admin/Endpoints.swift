package import Domain

package enum EndpointForm: CatalogForm {
    package typealias Noun = EndpointNoun
    package static let permission = Permission.operate
    package static let filters: Set<String> = ["provider_id"]

    package static func content(_ fields: FieldReader, over present: EndpointContent?) -> EndpointContent {
        EndpointContent(
            providerID: fields.identifier("provider_id", or: present?.providerID), name: fields.string("name", or: present?.name),
            baseURL: fields.optionalString("base_url", or: present?.baseURL),
            credentialIDs: fields.identifiers("credential_ids", or: present?.credentialIDs ?? []),
            disabled: fields.bool("disabled", or: present?.disabled ?? false), timeouts: fields.timeouts(or: present?.timeouts))
    }
}
