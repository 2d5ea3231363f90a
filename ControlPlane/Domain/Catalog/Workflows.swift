import Contract
package import Nouns
package import Primitives
package import Storage

extension WorkflowContent: Administered {
    package static var scope: NounScope { .draft }

    package func problems(replacing old: WorkflowContent?, now: Int64) -> [FieldProblem] {
        var message = Weir_V1_Workflow()
        Self.fill(&message, of: self)
        return WorkflowRules.problems(of: message).map { FieldProblem($0, within: "workflows[].") }
    }

    package func problems(id: WorkflowID, replacing old: WorkflowContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard !disabled else { return [] }
        let others = try WorkflowContent.table.list(c, matching: [("channel", .text(channel)), ("disabled", .int(0))], limit: 2)
        guard let other = try others.first(where: { $0.id != id.rawValue }).map(Entity<WorkflowContent>.init) else { return [] }
        return [
            FieldProblem(
                "channel", "has another enabled workflow, \(other.id) (\(other.content.name))",
                remedy: "Add the steps to that one, or disable one of the two.")
        ]
    }
}

extension FieldProblem {
    /// Of a part of a configuration, as a problem of the thing itself.
    init(_ problem: ConfigProblem, within path: String) {
        self.init(
            problem.path.hasPrefix(path) ? String(problem.path.dropFirst(path.count)) : problem.path, problem.message,
            remedy: problem.remedy.prefix(1).uppercased() + problem.remedy.dropFirst() + ".")
    }
}
