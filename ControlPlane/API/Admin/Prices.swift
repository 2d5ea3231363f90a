package import Domain
import Primitives

package enum PriceForm: CatalogForm {
    package typealias Noun = PriceNoun
    package static let permission = Permission.price
    package static let filters: Set<String> = ["model_id", "endpoint_id"]

    package static func content(_ fields: FieldReader, over present: PriceContent?) -> PriceContent {
        let zero = NanoDollars(0)
        let input = fields.dollars("input", or: present?.input)
        return PriceContent(
            modelID: fields.identifier("model_id", or: present?.modelID),
            endpointID: fields.optionalIdentifier("endpoint_id", or: present?.endpointID), input: input,
            output: fields.dollars("output", or: present?.output),
            // Where a provider gives no rebate for cached tokens and takes no premium for writing them, they cost what input costs.
            cachedInput: fields.dollars("cached_input", or: present?.cachedInput ?? max(input, zero)),
            cacheWrite: fields.dollars("cache_write", or: present?.cacheWrite ?? max(input, zero)),
            perRequest: fields.dollars("per_request", or: present?.perRequest ?? zero),
            effectiveFrom: fields.time("effective_from", or: present?.effectiveFrom ?? 0))
    }
}
