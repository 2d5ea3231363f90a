package import Primitives
import Storage

/// Why an operation was refused, in the words of the domain. The API turns each case into one status and problem document.
/// Texts are meant for the caller: they never hold secrets or the text of a driver's error.
package enum DomainError: Error, Hashable, Sendable {
    case unauthenticated(detail: String)
    case forbidden(detail: String)
    case notFound(kind: String, id: String)
    case invalid([FieldProblem])
    /// The request is well formed but the state of the system does not allow it: a taken name, a row that others refer to.
    case conflict(detail: String, problems: [FieldProblem])
    /// The row changed since the caller read it; `current` is its revision now.
    case preconditionFailed(current: Int64)
    /// A change without the revision it is based on.
    case preconditionRequired
    case tooLarge(limitBytes: Int)
    /// The caller has as much under way as one caller may.
    case tooMany(detail: String, retryAfterSeconds: Int)
    /// Something this process depends on does not answer; trying again is right.
    case unavailable(detail: String)

    /// A refusal of one field.
    package static func invalid(_ field: String, _ message: String, remedy: String) -> DomainError {
        .invalid([FieldProblem(field, message, remedy: remedy)])
    }

    /// A conflict about one field.
    package static func conflict(_ field: String, _ message: String, remedy: String) -> DomainError {
        .conflict(detail: "The \(field) \(message).", problems: [FieldProblem(field, message, remedy: remedy)])
    }

    /// What a thrown error means to a caller: domain errors as they are, a database that is gone as `unavailable`; nil for
    /// everything that is our own fault.
    package init?(translating error: any Error) {
        switch error {
        case let error as DomainError: self = error
        case let error as DatabaseError:
            switch error {
            case .unavailable, .closed: self = .unavailable(detail: "The database does not answer.")
            case .overloaded: self = .unavailable(detail: "Too many reports are being made already.")
            case .timedOut, .contended: self = .unavailable(detail: "The database is too busy.")
            case .invalidValue(let detail):
                self = .invalid("body", "cannot be stored: \(detail)", remedy: "Leave the character U+0000 out.")
            default: return nil
            }
        default: return nil
        }
    }
}
