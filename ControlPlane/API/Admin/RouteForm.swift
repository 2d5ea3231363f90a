package import Domain

package enum RouteForm: CatalogForm {
    package typealias Noun = RouteNoun
    package static let permission = Permission.operate
    package static let filters: Set<String> = ["model_id"]

    package static func content(_ fields: FieldReader, over present: RouteContent?) -> RouteContent {
        let targets = fields.objects("targets") { target in
            RouteTarget(
                endpointID: target.identifier("endpoint_id"), upstreamModel: target.optionalString("upstream_model") ?? "",
                weight: target.integer("weight", in: 0...1_000_000, or: 1))
        }
        if present == nil { fields.missing("targets", "an array of {endpoint_id, upstream_model, weight}") }
        return RouteContent(
            modelID: fields.identifier("model_id", or: present?.modelID), name: fields.string("name", or: present?.name),
            targets: targets ?? present?.targets ?? [],
            maxAttempts: fields.integer("max_attempts", in: 0...64, or: present?.maxAttempts ?? 0),
            disabled: fields.bool("disabled", or: present?.disabled ?? false))
    }
}
