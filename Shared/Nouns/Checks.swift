import Foundation
package import Primitives

extension FieldShape {
    /// What is wrong with a value of the right type, by its kind alone.
    package func problems(of value: JSONValue, at name: String) -> [FieldProblem] {
        if value == .null, isNullable { return [] }
        return kind.problems(of: value, at: name)
    }
}

extension FieldKind {
    /// The value that a list is narrowed to, from a query; nil when it does not fit.
    package func filterValue(_ text: String) -> ColumnValue? {
        switch self {
        case .id(let prefix): text.hasPrefix(prefix) && Base32.decode(text.dropFirst(prefix.count))?.count == 10 ? .text(text) : nil
        case .word(let words): words.contains(text) ? .text(text) : nil
        case .flag: text == "true" ? .int(1) : text == "false" ? .int(0) : nil
        case .integer(let range): Int64(text).flatMap { range.contains($0) ? .int($0) : nil }
        case .name, .token, .label: problems(of: .string(text), at: "").isEmpty ? .text(text) : nil
        default: nil
        }
    }

    package func problems(of value: JSONValue, at name: String) -> [FieldProblem] {
        switch self {
        case .name: Text.name(name, value.stringValue ?? "")
        case .token: Text.token(name, value.stringValue ?? "")
        case .label: Text.label(name, value.stringValue ?? "")
        case .text(let maximum): Text.free(name, value.stringValue ?? "", maximum: maximum)
        case .integer(let range):
            value.intValue.map(range.contains) == true
                ? []
                : [FieldProblem(name, "is not from \(range.lowerBound) to \(range.upperBound)", remedy: "Choose a number in that range.")]
        case .word(let words):
            value.stringValue.map(words.contains) == true
                ? [] : [FieldProblem(name, "is not known", remedy: "Use one of: \(words.joined(separator: ", ")).")]
        case .list(let element, let bounds): Self.problems(of: value.arrayValue ?? [], element, bounds, at: name)
        case .scope(let element):
            if let entries = value.arrayValue {
                if entries.isEmpty {
                    [FieldProblem(name, "names nobody", remedy: "Give \"all\", or name at least one.")]
                } else {
                    Self.problems(of: entries, element, 1...1000, at: name)
                }
            } else {
                []
            }
        case .dollars:
            // Above a million dollars is a misplaced decimal point.
            value.stringValue.flatMap { NanoDollars(decimal: $0) }.map { (0...1_000_000_000_000_000).contains($0.rawValue) } == true
                ? [] : [FieldProblem(name, "is not from 0 to 1000000 dollars", remedy: "Give an amount in that range.")]
        case .labels: Text.labels(name, value.objectValue?.members ?? [])
        case .checked, .secret, .flag, .percentage, .time, .id, .object, .objects, .anything: []
        }
    }

    private static func problems(
        of entries: [JSONValue], _ element: FieldKind, _ bounds: ClosedRange<Int>, at name: String
    ) -> [FieldProblem] {
        var problems = entries.enumerated().flatMap { element.problems(of: $1, at: "\(name)[\($0)]") }
        if Set(entries).count != entries.count { problems.append(FieldProblem(name, "holds an entry twice", remedy: "Name each once.")) }
        if entries.count < bounds.lowerBound {
            problems.append(FieldProblem(name, "is empty", remedy: "Give \(FieldKind.list(element, bounds).words), at least one."))
        }
        if entries.count > bounds.upperBound {
            problems.append(FieldProblem(name, "holds more than \(bounds.upperBound) entries", remedy: "Name fewer."))
        }
        return problems
    }
}

/// The rules for texts that people and programs give.
package enum Text {
    package static func name(_ field: String, _ value: String) -> [FieldProblem] {
        let scalars = value.unicodeScalars
        if scalars.isEmpty { return [FieldProblem(field, "is empty", remedy: "Give it a name.")] }
        return free(field, value, maximum: 128)
    }

    package static func free(_ field: String, _ value: String, maximum: Int) -> [FieldProblem] {
        let scalars = value.unicodeScalars
        if scalars.count > maximum {
            return [FieldProblem(field, "is longer than \(maximum) characters", remedy: "Shorten it.")]
        } else if !isPrintable(value) {
            return [FieldProblem(field, "holds control or invisible formatting characters", remedy: "Use printable characters only.")]
        } else if let first = scalars.first, let last = scalars.last, first.properties.isWhitespace || last.properties.isWhitespace {
            return [FieldProblem(field, "starts or ends with white space", remedy: "Remove it.")]
        }
        return []
    }

    package static func token(_ field: String, _ value: String, maximumBytes: Int = 256) -> [FieldProblem] {
        if value.isEmpty {
            return [FieldProblem(field, "is empty", remedy: "Give it a name.")]
        } else if value.utf8.count > maximumBytes {
            return [FieldProblem(field, "is longer than \(maximumBytes) bytes", remedy: "Shorten it.")]
        } else if !isPrintable(value) || value.unicodeScalars.contains(where: \.properties.isWhitespace) {
            return [
                FieldProblem(
                    field, "holds white space, control or invisible characters", remedy: "Use printable characters without spaces.")
            ]
        }
        return []
    }

    static func label(_ field: String, _ value: String) -> [FieldProblem] {
        let fits = value.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "-")
        }
        if fits, (1...63).contains(value.utf8.count) { return [] }
        return [FieldProblem(field, "does not fit", remedy: "Give \(FieldKind.label.words).")]
    }

    static func labels(_ field: String, _ labels: [JSONObject.Member]) -> [FieldProblem] {
        var problems: [FieldProblem] = []
        if labels.count > 32 { problems.append(FieldProblem(field, "holds more than 32 entries", remedy: "Use fewer.")) }
        for label in labels {
            let name = "\(field).\(label.name.prefix(64))"
            let plain = label.name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "_.-".utf8.contains(byte)
            }
            if label.name.isEmpty || label.name.utf8.count > 64 || !plain {
                problems.append(
                    FieldProblem(name, "is not a label's name", remedy: "Use up to 64 letters, digits, underscores, dots and hyphens."))
            }
            let text = label.value.stringValue ?? ""
            if text.unicodeScalars.count > 256 || !isPrintable(text) {
                problems.append(FieldProblem(name, "is too long or not printable", remedy: "Use up to 256 printable characters."))
            }
        }
        return problems
    }

    /// In Unicode's composed form (NFC): two names that look the same are one, whichever keyboard they came from.
    package static func composed(_ text: String) -> String { text.precomposedStringWithCanonicalMapping }

    /// Free of what would change how a line is read, or could not be seen: controls, characters of no width or another direction, spaces
    /// that are no plain space. So two texts that look the same are the same.
    package static func isPrintable(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        return scalars.indices.allSatisfy { index in
            let scalar = scalars[index]
            switch scalar.properties.generalCategory {
            case .control, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: return false
            case .spaceSeparator: return scalar == " " && (index == 0 || scalars[index - 1] != " ")
            default: break
            }
            // Looks like a space and is none.
            if scalar == "\u{2800}" { return false }
            guard scalar.properties.isDefaultIgnorableCodePoint || scalar.properties.generalCategory == .format else { return true }
            return joins(scalar, after: index > 0 ? scalars[index - 1] : nil, before: index + 1 < scalars.count ? scalars[index + 1] : nil)
        }
    }

    /// Joiners and the emoji selector are needed inside of emoji and several scripts, and are seen there. Between Latin, Greek or Cyrillic
    /// letters they are not.
    private static func joins(_ scalar: Unicode.Scalar, after before: Unicode.Scalar?, before after: Unicode.Scalar?) -> Bool {
        func takesJoiners(_ neighbour: Unicode.Scalar?) -> Bool { neighbour.map { $0.value >= 0x590 } ?? false }
        switch scalar {
        case "\u{200C}", "\u{200D}": return takesJoiners(before) && takesJoiners(after)
        case "\u{FE0F}": return before.map { $0.properties.isEmoji && $0.value > 0x7F } ?? false
        default: return false
        }
    }
}
