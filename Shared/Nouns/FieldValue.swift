package import Primitives

/// What a column holds.
package enum ColumnValue: Sendable, Hashable {
    case null
    case int(Int64)
    case text(String)
    case blob([UInt8])
}

/// A type that a field can have: how it stands in JSON and in a column.
package protocol FieldValue: Sendable, Hashable {
    /// What the type alone says of its kind; nil where the declaration has to say it.
    static var kind: FieldKind? { get }
    /// What it is when it is left out, where the type alone says it: null for what is optional.
    static var absent: Self? { get }
    /// Nil when it does not fit.
    static func read(_ json: JSONValue, as kind: FieldKind) -> Self?
    func json(as kind: FieldKind) -> JSONValue
    /// Nil when the column holds something else.
    static func read(_ column: ColumnValue) -> Self?
    var column: ColumnValue { get }
}

extension FieldValue {
    package static var kind: FieldKind? { nil }
    package static var absent: Self? { nil }
}

extension String: FieldValue {
    package static func read(_ json: JSONValue, as kind: FieldKind) -> String? {
        switch kind {
        case .name, .token: json.stringValue.map(Text.composed)
        default: json.stringValue
        }
    }
    package func json(as kind: FieldKind) -> JSONValue { .string(self) }
    package static func read(_ column: ColumnValue) -> String? { if case .text(let text) = column { text } else { nil } }
    package var column: ColumnValue { .text(self) }
}

extension Bool: FieldValue {
    package static var kind: FieldKind? { .flag }
    package static func read(_ json: JSONValue, as kind: FieldKind) -> Bool? { json.boolValue }
    package func json(as kind: FieldKind) -> JSONValue { .bool(self) }
    package static func read(_ column: ColumnValue) -> Bool? { Int64.read(column).map { $0 != 0 } }
    package var column: ColumnValue { .int(self ? 1 : 0) }
}

/// A number, or as `.time` Unix milliseconds.
extension Int64: FieldValue {
    package static func read(_ json: JSONValue, as kind: FieldKind) -> Int64? {
        kind == .time ? json.stringValue.flatMap(moment) : json.intValue
    }

    /// A date is its first moment in UTC, here as on the command line.
    private static func moment(_ text: String) -> Int64? { RFC3339.milliseconds(text.utf8.count == 10 ? text + "T00:00:00Z" : text) }

    package func json(as kind: FieldKind) -> JSONValue { kind == .time ? .string(RFC3339.string(milliseconds: self)) : .int(self) }
    package static func read(_ column: ColumnValue) -> Int64? { if case .int(let value) = column { value } else { nil } }
    package var column: ColumnValue { .int(self) }
}

extension ID: FieldValue {
    package static var kind: FieldKind? { .id(Kind.prefix) }
    /// What is stored was checked when it came.
    package static func read(_ json: JSONValue, as kind: FieldKind) -> ID? {
        json.stringValue.flatMap { kind == .anything ? ID($0) : try? parse($0) }
    }

    package func json(as kind: FieldKind) -> JSONValue { .string(rawValue) }
    package static func read(_ column: ColumnValue) -> ID? { String.read(column).map { ID($0) } }
    package var column: ColumnValue { .text(rawValue) }
}

extension NanoDollars: FieldValue {
    package static var kind: FieldKind? { .dollars }
    package static func read(_ json: JSONValue, as kind: FieldKind) -> NanoDollars? {
        switch json {
        case .string(let text), .number(let text): NanoDollars(decimal: text)
        case .int(let whole): NanoDollars(decimal: String(whole))
        default: nil
        }
    }

    package func json(as kind: FieldKind) -> JSONValue { .string(decimalString) }
    package static func read(_ column: ColumnValue) -> NanoDollars? { Int64.read(column).map { NanoDollars($0) } }
    package var column: ColumnValue { .int(rawValue) }
}

/// Bytes that never leave the control plane: digests and ciphertexts.
package struct StoredBytes: FieldValue {
    package var bytes: [UInt8]

    package init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    package static func read(_ json: JSONValue, as kind: FieldKind) -> StoredBytes? { nil }
    package func json(as kind: FieldKind) -> JSONValue { .null }
    package static func read(_ column: ColumnValue) -> StoredBytes? { if case .blob(let bytes) = column { Self(bytes) } else { nil } }
    package var column: ColumnValue { .blob(bytes) }
}

/// One of a fixed set of words.
package protocol Word: FieldValue, RawRepresentable, CaseIterable where RawValue == String {
    /// What a stored word counts as that this version does not know; nil: the row cannot be read.
    static var unknown: Self? { get }
}

extension Word {
    package static var unknown: Self? { nil }
    package static var kind: FieldKind? { .word(allCases.map(\.rawValue)) }
    package static func read(_ json: JSONValue, as kind: FieldKind) -> Self? { json.stringValue.flatMap(Self.init(rawValue:)) }
    package func json(as kind: FieldKind) -> JSONValue { .string(rawValue) }
    package static func read(_ column: ColumnValue) -> Self? { String.read(column).flatMap { Self(rawValue: $0) ?? unknown } }
    package var column: ColumnValue { .text(rawValue) }
}

extension Optional: FieldValue where Wrapped: FieldValue {
    package static var kind: FieldKind? { Wrapped.kind }
    package static var absent: Self? { .some(.none) }
    package static func read(_ json: JSONValue, as kind: FieldKind) -> Self? {
        json == .null ? .some(.none) : Wrapped.read(json, as: kind).map { .some($0) }
    }

    package func json(as kind: FieldKind) -> JSONValue { self?.json(as: kind) ?? .null }
    package static func read(_ column: ColumnValue) -> Self? {
        column == .null ? .some(.none) : Wrapped.read(column).map { .some($0) }
    }

    package var column: ColumnValue { self?.column ?? .null }
}

/// Several values, in one column as a JSON array.
extension Array: FieldValue where Element: FieldValue {
    package static var kind: FieldKind? { Element.kind.map { .list($0, 0...1000) } }

    package static func read(_ json: JSONValue, as kind: FieldKind) -> Self? {
        guard let values = json.arrayValue else { return nil }
        let elements = values.compactMap { Element.read($0, as: kind.element) }
        return elements.count == values.count ? elements : nil
    }

    package func json(as kind: FieldKind) -> JSONValue { .array(map { $0.json(as: kind.element) }) }
    package static func read(_ column: ColumnValue) -> Self? {
        guard case .text(let text) = column, let json = try? JSONValue(parsing: text) else { return nil }
        return read(json, as: .anything)
    }

    package var column: ColumnValue { .text(json(as: .anything).text) }
}

/// Everybody, or those that are named: at least one, so that nothing that is emptied opens a thing for all.
package enum Scope<Element: FieldValue>: FieldValue {
    case all
    case only([Element])

    package static var kind: FieldKind? { Element.kind.map { .scope($0) } }

    /// Those that are named; nil for all.
    package var named: [Element]? { if case .only(let elements) = self { elements } else { nil } }

    package static func read(_ json: JSONValue, as kind: FieldKind) -> Self? {
        json == "all" ? .all : [Element].read(json, as: kind).map { .only($0) }
    }

    package func json(as kind: FieldKind) -> JSONValue { named?.json(as: kind) ?? "all" }

    /// An empty list is never stored as such, so it stays what it was before there was a word for it: all. The release before reads it.
    package static func read(_ column: ColumnValue) -> Self? {
        [Element].read(column).map { $0.isEmpty ? .all : .only($0) }
    }

    package var column: ColumnValue { (named ?? []).column }
}

/// Names with a text each.
extension Dictionary: FieldValue where Key == String, Value == String {
    package static var kind: FieldKind? { .labels }
    package static func read(_ json: JSONValue, as kind: FieldKind) -> Self? {
        guard let object = json.objectValue else { return nil }
        var texts: [String: String] = [:]
        for member in object.members {
            guard let text = member.value.stringValue else { return nil }
            texts[member.name] = text
        }
        return texts
    }

    /// Sorted by name.
    package func json(as kind: FieldKind) -> JSONValue {
        .object(JSONObject(members: sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .string($0.value)) }))
    }

    package static func read(_ column: ColumnValue) -> Self? {
        String.read(column).flatMap { try? JSONValue(parsing: $0) }.flatMap { read($0, as: .labels) }
    }

    package var column: ColumnValue { .text(json(as: .labels).text) }
}

extension FieldKind {
    /// What one entry of a list is.
    var element: FieldKind {
        switch self {
        case .list(let element, _), .scope(let element): element
        default: self
        }
    }
}
