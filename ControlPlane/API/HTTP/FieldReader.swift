package import Domain
import Nouns
package import Primitives

/// The problems found so far in one request, in the order of the document.
package final class ProblemList {
    package private(set) var problems: [FieldProblem] = []

    package init() {}

    package func add(_ field: String, _ message: String, remedy: String) {
        problems.append(FieldProblem(field, message, remedy: remedy))
    }

    package func throwIfAny() throws(DomainError) {
        if !problems.isEmpty { throw .invalid(problems) }
    }
}

/// Reads the members of a JSON object. A wrong or missing one is noted and read as a placeholder, so that one answer names all
/// that is wrong; the caller throws before it uses the result. `or` is what an absent member means: for a PATCH the present
/// value, for a POST the default; without it the member is required.
package final class FieldReader {
    private let object: JSONObject
    private let prefix: String
    private let problems: ProblemList
    private var known: Set<String> = []

    package init(_ object: JSONObject, prefix: String = "", problems: ProblemList) {
        self.object = object
        self.prefix = prefix
        self.problems = problems
    }

    package func has(_ name: String) -> Bool { object[name] != nil }

    /// A member that is read elsewhere; nil when it is absent.
    package func raw(_ name: String) -> JSONValue? {
        known.insert(name)
        return object[name]
    }

    // MARK: Members that may not be null

    /// A name is taken in Unicode's composed form (NFC): two that look the same are one, whichever keyboard they came from.
    package func string(_ name: String, or absent: String? = nil) -> String {
        value(name, or: absent, placeholder: "", "a string") { value in value.stringValue.map { name == "name" ? Text.composed($0) : $0 } }
    }

    package func bool(_ name: String, or absent: Bool? = nil) -> Bool {
        value(name, or: absent, placeholder: false, "true or false") { $0.boolValue }
    }

    package func integer(_ name: String, in range: ClosedRange<Int64>, or absent: Int64? = nil) -> Int64 {
        let words = range == 0...Int64.max ? "a whole number, 0 or more" : "a whole number from \(range.lowerBound) to \(range.upperBound)"
        return value(name, or: absent, placeholder: range.lowerBound, words) { value in
            value.intValue.flatMap { range.contains($0) ? $0 : nil }
        }
    }

    package func strings(_ name: String, or absent: [String]? = nil) -> [String] {
        value(name, or: absent, placeholder: [], "an array of strings") { value in
            guard let elements = value.arrayValue else { return nil }
            let strings = elements.compactMap(\.stringValue)
            return strings.count == elements.count ? strings : nil
        }
    }

    package func stringMap(_ name: String, or absent: [String: String]? = nil) -> [String: String] {
        value(name, or: absent, placeholder: [:], "an object whose members are strings") { value in
            guard let object = value.objectValue else { return nil }
            var map: [String: String] = [:]
            for member in object.members {
                guard let text = member.value.stringValue else { return nil }
                map[member.name] = text
            }
            return map
        }
    }

    /// One of a fixed set of words.
    package func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, or absent: Choice? = nil) -> Choice?
    where Choice.RawValue == String {
        let words = "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ")
        return value(name, or: absent.map(Optional.some), placeholder: nil, words) { value in
            value.stringValue.flatMap(Choice.init(rawValue:)).map(Optional.some)
        }
    }

    /// An amount in US dollars: a decimal string, or a JSON number, which is read by its digits and never as floating point.
    package func dollars(_ name: String, or absent: NanoDollars? = nil) -> NanoDollars {
        value(name, or: absent, placeholder: NanoDollars(0), "an amount in US dollars with at most 9 decimals, like \"2.50\"") { value in
            switch value {
            case .string(let text), .number(let text): NanoDollars(decimal: text)
            case .int(let whole): NanoDollars(decimal: String(whole))
            default: nil
            }
        }
    }

    /// An RFC 3339 time as Unix milliseconds.
    package func time(_ name: String, or absent: Int64? = nil) -> Int64 {
        value(name, or: absent, placeholder: 0, "an RFC 3339 time like 2026-11-21T04:05:06Z") { value in
            value.stringValue.flatMap(RFC3339.milliseconds)
        }
    }

    package func identifier<Kind: IdentifierKind>(_ name: String, or absent: ID<Kind>? = nil) -> ID<Kind> {
        value(name, or: absent, placeholder: ID(""), "an identifier that starts with \(Kind.prefix)") { value in
            value.stringValue.flatMap { try? ID<Kind>.parse($0) }
        }
    }

    package func identifiers<Kind: IdentifierKind>(_ name: String, or absent: [ID<Kind>]? = nil) -> [ID<Kind>] {
        value(name, or: absent, placeholder: [], "an array of identifiers that start with \(Kind.prefix)") { value in
            guard let elements = value.arrayValue else { return nil }
            let ids = elements.compactMap { $0.stringValue.flatMap { try? ID<Kind>.parse($0) } }
            return ids.count == elements.count ? ids : nil
        }
    }

    // MARK: Members that may be null

    package func optionalString(_ name: String, or absent: String? = nil) -> String? {
        nullable(name, or: absent) { self.string(name) }
    }

    package func optionalIdentifier<Kind: IdentifierKind>(_ name: String, or absent: ID<Kind>? = nil) -> ID<Kind>? {
        nullable(name, or: absent) { self.identifier(name) }
    }

    /// An RFC 3339 time as Unix milliseconds.
    package func optionalTime(_ name: String, or absent: Int64? = nil) -> Int64? {
        nullable(name, or: absent) { self.time(name) }
    }

    // MARK: Objects inside

    /// Reads a member that is an object; nil when it is absent, null or no object (the last is noted).
    package func object<R>(_ name: String, _ read: (FieldReader) -> R) -> R? {
        known.insert(name)
        guard let value = object[name], value != .null else { return nil }
        guard case .object(let inner) = value else {
            problems.add(prefix + name, "is \(value.typeName)", remedy: "Give an object.")
            return nil
        }
        return nested(inner, "\(prefix)\(name).", read)
    }

    /// Reads a member that is an array of objects; nil when it is absent.
    package func objects<R>(_ name: String, _ read: (FieldReader) -> R) -> [R]? {
        known.insert(name)
        guard let value = object[name] else { return nil }
        guard case .array(let elements) = value else {
            problems.add(prefix + name, "is \(value.typeName)", remedy: "Give an array of objects.")
            return nil
        }
        var out: [R] = []
        for (index, element) in elements.enumerated() {
            guard case .object(let inner) = element else {
                problems.add("\(prefix)\(name)[\(index)]", "is \(element.typeName)", remedy: "Give an object.")
                continue
            }
            out.append(nested(inner, "\(prefix)\(name)[\(index)].", read))
        }
        return out
    }

    /// Notes that a member is required, for those that `object` and `objects` read.
    package func missing(_ name: String, _ words: String) {
        if object[name] == nil { problems.add(prefix + name, "is missing", remedy: "Give \(words).") }
    }

    /// Notes every member that was not asked for.
    package func finish() {
        let allowed = known.sorted().joined(separator: ", ")
        for member in object.members where !known.contains(member.name) {
            problems.add(
                prefix + String(member.name.prefix(64)), "is not a field of this object",
                remedy: known.isEmpty ? "It takes none." : "Leave it out; the fields are: \(allowed).")
        }
    }

    // MARK: -

    private func nested<R>(_ inner: JSONObject, _ prefix: String, _ read: (FieldReader) -> R) -> R {
        let reader = FieldReader(inner, prefix: prefix, problems: problems)
        let result = read(reader)
        reader.finish()
        return result
    }

    private func nullable<R>(_ name: String, or absent: R?, _ read: () -> R) -> R? {
        known.insert(name)
        return switch object[name] {
        case nil: absent
        case .null: nil
        default: read()
        }
    }

    private func value<R>(_ name: String, or absent: R?, placeholder: R, _ words: String, _ convert: (JSONValue) -> R?) -> R {
        known.insert(name)
        guard let value = object[name] else {
            if let absent { return absent }
            problems.add(prefix + name, "is missing", remedy: "Give \(words).")
            return placeholder
        }
        guard let converted = convert(value) else {
            problems.add(prefix + name, "is \(describe(value))", remedy: "Give \(words).")
            return placeholder
        }
        return converted
    }

    /// The value in a message: its type only, since a text may be a secret.
    private func describe(_ value: JSONValue) -> String {
        switch value {
        case .string: "a string that does not fit"
        case .int: "an integer that does not fit"
        case .number: "a number that does not fit"
        case .array: "an array that does not fit"
        default: value.typeName
        }
    }
}
