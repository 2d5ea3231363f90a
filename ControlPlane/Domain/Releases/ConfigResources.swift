import Contract
import Nouns
import Primitives

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

    init(_ config: Weir_V1_ConfigPayload) {
        sections = DraftNouns.all.map { ($0.words.path, $0.resources(of: config)) }
    }

    /// `{"providers": […], "endpoints": […], …}`
    var members: JSONObject {
        JSONObject(members: sections.map { .init(name: $0.name, value: .array($0.resources.map { .object($0.object) })) })
    }

    static func == (a: ConfigResources, b: ConfigResources) -> Bool { a.members == b.members }
    func hash(into hasher: inout Hasher) { hasher.combine(members) }
}
