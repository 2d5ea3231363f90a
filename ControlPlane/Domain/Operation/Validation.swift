import Nouns
import Primitives

/// Problems gathered, so that one answer names everything.
struct Validation {
    private(set) var problems: [FieldProblem] = []

    mutating func add(_ more: [FieldProblem]) { problems += more }
    mutating func name(_ field: String, _ value: String) { add(Text.name(field, value)) }

    mutating func range(_ field: String, _ value: Int64, _ range: ClosedRange<Int64>) {
        add(FieldKind.integer(range).problems(of: .int(value), at: field))
    }

    func throwIfAny() throws(DomainError) {
        if !problems.isEmpty { throw .invalid(problems) }
    }
}
