import Contract
import Primitives
import Storage

/// One provider, endpoint, model, route or price of a configuration, as the admin API shows it.
struct ConfigResource: Hashable {
    let id: String
    let name: String
    let object: JSONObject
}

/// A configuration the way the admin API shows it, whether it is the draft or was published.
struct ConfigResources: Hashable {
    /// In the payload's order: `providers`, `endpoints`, `models`, `routes`, `prices`.
    let sections: [(name: String, resources: [ConfigResource])]

    init(_ config: Weir_V1_ConfigPayload) throws {
        let none = RowMeta(revision: 0, createdAt: 0, updatedAt: 0)
        sections = [
            ("providers", try config.providers.map { try Self.resource(ProviderNoun.self, ProviderRow($0, none), name: $0.name) }),
            ("endpoints", try config.endpoints.map { try Self.resource(EndpointNoun.self, EndpointRow($0, none), name: $0.name) }),
            (
                "models",
                try config.models.map {
                    let created = RFC3339.string(milliseconds: $0.createdS &* 1000)
                    return try Self.resource(ModelNoun.self, ModelRow($0, none), name: $0.name, ["created_at": .string(created)])
                }
            ),
            ("routes", try config.routes.map { try Self.resource(RouteNoun.self, RouteRow($0, none), name: $0.name) }),
            ("prices", try config.prices.map { try Self.resource(PriceNoun.self, PriceRow($0, none), name: $0.modelID) }),
        ]
    }

    /// `{"providers": […], "endpoints": […], …}`
    var members: JSONObject {
        JSONObject(members: sections.map { .init(name: $0.name, value: .array($0.resources.map { .object($0.object) })) })
    }

    private static func resource<Noun: CatalogNoun>(
        _ noun: Noun.Type, _ row: Noun.Table.Row, name: String, _ more: JSONObject = [:]
    ) throws -> ConfigResource {
        var object: JSONObject = ["id": .string(row.key)]
        for member in try Noun.content(of: row).members.members + more.members { object[member.name] = member.value }
        return ConfigResource(id: row.key, name: name, object: object)
    }

    static func == (a: ConfigResources, b: ConfigResources) -> Bool { a.members == b.members }
    func hash(into hasher: inout Hasher) { hasher.combine(members) }
}
