import Contract
import Nouns
import Primitives
import Storage
import SwiftProtobuf

/// Names of models, as keys are limited to them.
enum KeyModels {
    /// Those that data planes serve just now.
    private static func served(_ c: any SQLConnection) throws -> [Weir_V1_Model] {
        let tenant: String? = if case .tenant(let id) = c.scope { id } else { nil }
        return try Rollouts.referencedVersions(c).flatMap { version -> [Weir_V1_Model] in
            guard let bytes = try ConfigVersionsTable.payload(c, version) else { return [] }
            return try Weir_V1_ConfigPayload(serializedBytes: bytes).models.filter { model in tenant.map { model.isVisible(to: $0) } ?? true
            }
        }
    }

    /// Whether data planes serve a model of this identifier just now.
    static func isServed(id: String, _ c: any SQLConnection) throws -> Bool { try served(c).contains { $0.id == id } }

    /// What is wrong with names that a key is limited to, but for those it was limited to before: each has to be a model of the draft, or of
    /// what data planes serve.
    static func problems(_ c: any SQLConnection, _ models: [String], besides old: Scope<String>?) throws -> [FieldProblem] {
        var unknown = Set(models)
        if case .only(let names) = old { unknown.subtract(names) }
        // The draft is the operator's: a tenant's administrator does not learn what is in it.
        let isTenants = c.scope != .all
        if !isTenants { unknown = try unknown.filter { try ModelContent.table.list(c, matching: [("name", .text($0))], limit: 1).isEmpty } }
        guard !unknown.isEmpty else { return [] }
        unknown.subtract(try served(c).map(\.name))
        return models.enumerated().filter { unknown.contains($1) }.map { index, _ in
            FieldProblem(
                "models[\(index)]", "names no model",
                remedy: isTenants ? "Name one that GET /v1/models lists." : "Name one that `weir model list` lists, or create it first.")
        }
    }
}
