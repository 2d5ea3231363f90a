import Nouns
import Storage

/// Names beside identifiers, of whatever is declared.
enum EntityNames {
    /// By identifier; what is none of ours, or gone for good, is not there.
    static func of(_ ids: some Sequence<String>, _ c: any SQLConnection) throws -> [String: String] {
        var names: [String: String] = [:]
        for (prefix, ids) in Dictionary(grouping: ids, by: { $0.prefix { $0 != "_" } }) {
            guard let noun = AdministeredNouns.noun(prefix: prefix + "_") else { continue }
            names.merge(try noun.names(c, ids)) { first, _ in first }
        }
        return names
    }
}

extension Administered {
    fileprivate static func names(_ c: any SQLConnection, _ ids: [String]) throws -> [String: String] {
        try Dictionary(
            table.find(c, ids: ids).map { row in (row.id, try Entity<Self>(row).content.title) }, uniquingKeysWith: { first, _ in first })
    }
}
