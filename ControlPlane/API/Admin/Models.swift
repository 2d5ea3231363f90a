package import Domain

package enum ModelForm: CatalogForm {
    package typealias Noun = ModelNoun
    package static let permission = Permission.operate
    package static let filters: Set<String> = []

    package static func content(_ fields: FieldReader, over present: ModelContent?) -> ModelContent {
        ModelContent(
            name: fields.string("name", or: present?.name), capabilities: fields.strings("capabilities", or: present?.capabilities),
            contextWindow: fields.integer("context_window", in: 0...Int64.max, or: present?.contextWindow ?? 0),
            maxOutputTokens: fields.integer("max_output_tokens", in: 0...Int64.max, or: present?.maxOutputTokens ?? 0),
            tenantIDs: fields.identifiers("tenant_ids", or: present?.tenantIDs ?? []),
            ownedBy: fields.string("owned_by", or: present?.ownedBy ?? ""))
    }
}
