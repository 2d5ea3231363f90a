import Nouns
import Primitives
import Storage

/// One transaction's work with a document: what there is, what it is called, and everything that was found to be wrong.
final class DocumentSession {
    let connection: any SQLConnection
    let actor: Actor
    /// Unix milliseconds.
    let now: Int64
    let isDryRun: Bool
    var names = DocumentNames()
    /// What the document does not say rightly, and what the state of the system does not allow.
    var problems: [FieldProblem] = []
    var conflicts: [FieldProblem] = []
    /// What the document names, and what goes: identifiers.
    var named: Set<String> = []
    var pruned: Set<String> = []
    var numbers: [ChangeCounter: Int64] = [:]

    init(_ connection: any SQLConnection, actor: Actor, now: Int64, isDryRun: Bool = false) {
        self.isDryRun = isDryRun
        self.connection = connection
        self.actor = actor
        self.now = now
    }

    /// So many problems are told at once.
    private static let maximumProblems = 200

    func throwIfAny() throws(DomainError) {
        if !problems.isEmpty { throw .invalid(Array(problems.prefix(Self.maximumProblems))) }
        guard let first = conflicts.first else { return }
        let rest = conflicts.count > 1 ? " There are \(conflicts.count - 1) more problems." : ""
        throw .conflict(
            detail: "\(first.field) \(first.message).\(rest)", problems: Array(conflicts.prefix(Self.maximumProblems)))
    }

    func change(under scope: NounScope) -> NounChange {
        NounChange(connection: connection, actor: actor, now: now, number: scope.counters.first.flatMap { numbers[$0] } ?? 0)
    }

    /// Does something for the thing at `path`, and notes what is refused.
    func attempt(_ noun: any Administered.Type, at path: String, _ work: () throws -> Void) throws {
        do {
            try work()
        } catch DomainError.invalid(let found) {
            problems += found.map { $0.inside(path, noun.shapes) }
        } catch DomainError.conflict(let detail, let found) {
            conflicts +=
                found.isEmpty
                ? [FieldProblem(path, "is refused: \(detail)", remedy: "Change that first.")] : found.map { $0.inside(path, noun.shapes) }
        } catch DatabaseError.uniqueViolation {
            // After a failed statement the transaction takes no other.
            conflicts.append(noun.taken.inside(path, noun.shapes))
            try throwIfAny()
        }
    }
}
