import Contract
package import Nouns
package import Primitives
package import Storage

extension RouteContent: Administered {
    package static var scope: NounScope { .draft }

    package func problems(id: RouteID, replacing old: RouteContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        try templateProblems(c) + modelProblems(id, c)
    }

    private func templateProblems(_ c: any SQLConnection) throws -> [FieldProblem] {
        if template.isEmpty { return [] }
        var route = Weir_V1_Route()
        route.template = template.map(\.message)
        let lookups = Set(try WorkflowContent.all(c).flatMap(\.content.steps).filter { $0.kind == "lookup" }.map(\.name))
        let headers = Set(try ProviderContent.all(c).compactMap(\.content.auth.header).map { $0.lowercased() })
        return TemplateRules.problems(of: route, lookups: lookups, authHeaders: headers).map { FieldProblem($0, within: "routes[].") }
    }

    private func modelProblems(_ id: RouteID, _ c: any SQLConnection) throws -> [FieldProblem] {
        guard !disabled else { return [] }
        let others = try RouteContent.table.list(c, matching: [("model_id", .text(modelID.rawValue)), ("disabled", .int(0))], limit: 2)
        guard let other = try others.first(where: { $0.id != id.rawValue }).map(Entity<RouteContent>.init) else { return [] }
        return [
            FieldProblem(
                "model_id", "is served by another enabled route, \(other.id) (\(other.content.name))",
                remedy: "Add the targets to that route, or disable one of the two.")
        ]
    }
}
