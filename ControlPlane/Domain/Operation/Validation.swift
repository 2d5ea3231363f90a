import Contract
import Foundation
import Primitives

/// Checks of single fields. Each adds to `problems` what is wrong, so that one answer names everything.
struct Validation {
    private(set) var problems: [FieldProblem] = []

    mutating func add(_ field: String, _ message: String, remedy: String) {
        problems.append(FieldProblem(field, message, remedy: remedy))
    }

    mutating func add(_ more: [FieldProblem]) { problems += more }

    func throwIfAny() throws(DomainError) {
        if !problems.isEmpty { throw .invalid(problems) }
    }

    /// A name for people.
    mutating func name(_ field: String, _ value: String) {
        let scalars = value.unicodeScalars
        if scalars.isEmpty {
            add(field, "is empty", remedy: "Give it a name.")
        } else if scalars.count > 128 {
            add(field, "is longer than 128 characters", remedy: "Shorten it.")
        } else if !Self.isPrintable(value) {
            add(field, "holds control or invisible formatting characters", remedy: "Use printable characters only.")
        } else if let first = scalars.first, let last = scalars.last, first.properties.isWhitespace || last.properties.isWhitespace {
            add(field, "starts or ends with white space", remedy: "Remove it.")
        }
    }

    /// A name that programs send, such as a model's.
    mutating func token(_ field: String, _ value: String, maximumBytes: Int = 256) {
        if value.isEmpty {
            add(field, "is empty", remedy: "Give it a name.")
        } else if value.utf8.count > maximumBytes {
            add(field, "is longer than \(maximumBytes) bytes", remedy: "Shorten it.")
        } else if !Self.isPrintable(value) || value.unicodeScalars.contains(where: \.properties.isWhitespace) {
            add(field, "holds white space, control or invisible characters", remedy: "Use printable characters without spaces.")
        }
    }

    /// Distinct words out of a fixed set.
    mutating func words(_ field: String, _ values: [String], among allowed: [String]) {
        for (index, value) in values.enumerated() where !allowed.contains(value) {
            add("\(field)[\(index)]", "is not known", remedy: "Use some of: \(allowed.joined(separator: ", ")).")
        }
        distinct(field, values)
    }

    mutating func distinct<Value: Hashable>(_ field: String, _ values: [Value], maximum: Int = 1000) {
        if Set(values).count != values.count { add(field, "holds an entry twice", remedy: "Name each once.") }
        if values.count > maximum { add(field, "holds more than \(maximum) entries", remedy: "Name fewer.") }
    }

    mutating func range(_ field: String, _ value: Int64, _ range: ClosedRange<Int64>) {
        if !range.contains(value) {
            add(field, "is not from \(range.lowerBound) to \(range.upperBound)", remedy: "Choose a number in that range.")
        }
    }

    /// What data planes dial: http or https, without credentials, query or fragment.
    mutating func baseURL(_ field: String, _ value: String) {
        if case .failure(let invalid) = ConfigValidation.parse(baseURL: value) {
            add(field, invalid.reason, remedy: "Write it as https://host[:port][/path], without credentials, query or fragment.")
        }
    }

    mutating func future(_ field: String, _ time: Int64?, now: Int64) {
        if let time, time <= now { add(field, "has passed already", remedy: "Choose a later time, or null for never.") }
    }

    /// Free of what would change how a line is read: controls, and characters of no width or another direction.
    static func isPrintable(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
            // Joiners are needed inside of emoji and several scripts; the other format characters hide or turn text.
            case .format: scalar == "\u{200D}" || scalar == "\u{200C}"
            default: true
            }
        }
    }
}
