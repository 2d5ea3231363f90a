import Contract
import Nouns
import Primitives
import Storage
import SwiftProtobuf

/// Names of models, as keys are limited to them.
enum KeyModels {
    /// Those of the draft, and of what data planes serve just now.
    private static func known(_ c: any SQLConnection) throws -> Set<String> {
        var names = Set(try ModelContent.all(c).map(\.content.name))
        for version in try Rollouts.referencedVersions(c) {
            guard let bytes = try ConfigVersionsTable.payload(c, version) else { continue }
            names.formUnion(try Weir_V1_ConfigPayload(serializedBytes: bytes).models.map(\.name))
        }
        return names
    }

    /// What is wrong with names that a key is limited to, but for those it was limited to before.
    static func problems(_ c: any SQLConnection, _ models: [String], besides old: Scope<String>?) throws -> [FieldProblem] {
        var added = Set(models)
        if case .only(let names) = old { added.subtract(names) }
        guard !added.isEmpty else { return [] }
        let known = try known(c)
        return models.enumerated().filter { added.contains($1) && !known.contains($1) }.map { index, _ in
            FieldProblem("models[\(index)]", "names no model", remedy: "Name one of GET /admin/api/models, or create it first.")
        }
    }
}
