import Primitives

/// What a value is: how it is written in JSON and what bounds it. Checks, schemas and the command line's options come from it.
package indirect enum FieldKind: Sendable, Hashable {
    /// A name for people: 1 to 128 printable characters.
    case name
    /// A name that programs send, such as a model's: 1 to 256 bytes without white space.
    case token
    /// 1 to 63 lower-case letters, digits and hyphens: a region's name.
    case label
    /// Text for people, of up to so many characters; may be empty.
    case text(maximum: Int)
    /// Any text that a rule of its own checks: a URL, a certificate. `format` is JSON Schema's word for it, if there is one.
    case checked(format: String?)
    /// Given and never shown.
    case secret
    case word([String])
    case flag
    case integer(ClosedRange<Int64>)
    /// A decimal string of at most nine decimals; written as a number it is read by its digits.
    case dollars
    /// 0 to 100 with at most two decimals.
    case percentage
    /// RFC 3339; a date is its first moment in UTC.
    case time
    /// An identifier with this prefix.
    case id(String)
    /// Distinct entries.
    case list(FieldKind, ClosedRange<Int>)
    /// `"all"`, or a list that names at least one.
    case scope(FieldKind)
    /// Labels: up to 32 names with a text each.
    case labels
    case object([FieldShape])
    case objects([FieldShape], maximum: Int)
    /// Told by the system and not described further.
    case anything

    package static let number = FieldKind.integer(0...Int64.max)

    /// What to give, in a sentence that begins with "Give".
    package var words: String {
        switch self {
        case .label: "1 to 63 lower-case letters, digits and hyphens, like eu-west-1"
        case .name, .token, .text, .checked, .secret: "a string"
        case .word(let words): "one of " + words.joined(separator: ", ")
        case .flag: "true or false"
        case .integer(0...Int64.max): "a whole number, 0 or more"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .dollars: "an amount in US dollars with at most 9 decimals, like \"2.50\""
        case .percentage: "a number from 0 to 100 with at most two decimals"
        case .time: "an RFC 3339 time like 2026-11-21T04:05:06Z, or a date (its first moment in UTC)"
        case .id(let prefix): "an identifier that starts with \(prefix)"
        case .list(.id(let prefix), _): "an array of identifiers that start with \(prefix)"
        case .list(.word(let words), _): "an array of some of \(words.joined(separator: ", "))"
        case .list: "an array of strings"
        case .scope(let element): "\"all\", or \(FieldKind.list(element, 1...1000).words)"
        case .labels: "an object whose members are strings"
        case .object: "an object"
        case .objects(let shapes, _): "an array of {\(shapes.map(\.name).joined(separator: ", "))}"
        case .anything: "a value"
        }
    }
    /// The prefixes of the identifiers that are in it.
    package var references: Set<String> {
        switch self {
        case .id(let prefix): [prefix]
        case .list(let element, _), .scope(let element): element.references
        case .object(let shapes), .objects(let shapes, _): shapes.reduce(into: []) { $0.formUnion($1.kind.references) }
        default: []
        }
    }
}
