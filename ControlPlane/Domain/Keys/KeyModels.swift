import Contract
import Nouns
import Primitives
import Storage
import SwiftProtobuf

/// Names of models, as keys are limited to them.
enum KeyModels {
    /// Those that data planes serve just now.
    private static func served(_ c: any SQLConnection) throws -> Set<String> {
        var names: Set<String> = []
        for version in try Rollouts.referencedVersions(c) {
            guard let bytes = try ConfigVersionsTable.payload(c, version) else { continue }
            names.formUnion(try Weir_V1_ConfigPayload(serializedBytes: bytes).models.map(\.name))
        }
        return names
    }

    /// What is wrong with names that a key is limited to, but for those it was limited to before: each has to be a model of the draft, or of
    /// what data planes serve.
    static func problems(_ c: any SQLConnection, _ models: [String], besides old: Scope<String>?) throws -> [FieldProblem] {
        var unknown = Set(models)
        if case .only(let names) = old { unknown.subtract(names) }
        unknown = try unknown.filter { try ModelContent.table.list(c, matching: [("name", .text($0))], limit: 1).isEmpty }
        guard !unknown.isEmpty else { return [] }
        unknown.subtract(try served(c))
        return models.enumerated().filter { unknown.contains($1) }.map { index, _ in
            FieldProblem("models[\(index)]", "names no model", remedy: "Name one that `weir model list` lists, or create it first.")
        }
    }
}
