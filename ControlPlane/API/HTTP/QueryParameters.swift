package import Domain
package import Primitives

/// A URL's query, decoded. Each name at most once; a name that the handler never asked for is refused by `finish`, since a
/// filter with a typing error would otherwise show everything.
package struct QueryParameters: Sendable {
    private let values: [String: String]

    package init(values: [String: String] = [:]) {
        self.values = values
    }

    /// - Throws: `DomainError.invalid` naming the parameter that is doubled or badly encoded.
    package init(parsing query: Substring?) throws(DomainError) {
        var values: [String: String] = [:]
        for pair in (query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = parts.first, let name = Self.decoded(first), let value = Self.decoded(parts.count > 1 ? parts[1] : "") else {
                throw .invalid("query", "is not percent-encoded UTF-8", remedy: "Encode the parameters as RFC 3986 says.")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .invalid(String(name.prefix(64)), "appears twice in the query", remedy: "Pass the parameter once.")
            }
        }
        self.values = values
    }

    /// The parameter's value; an empty one counts as absent.
    package subscript(name: String) -> String? {
        values[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    func with(_ name: String, _ value: String) -> QueryParameters {
        var values = values
        values[name] = value
        return QueryParameters(values: values)
    }

    package var names: some Collection<String> { values.keys }

    package func integer(_ name: String, in range: ClosedRange<Int64>) throws(DomainError) -> Int64? {
        guard let text = self[name] else { return nil }
        guard let value = Int64(text), range.contains(value) else {
            throw .invalid(
                name, "is not a whole number from \(range.lowerBound) to \(range.upperBound)", remedy: "Pass a number in that range.")
        }
        return value
    }

    /// Unix milliseconds of an RFC 3339 time.
    package func time(_ name: String) throws(DomainError) -> Int64? {
        guard let text = self[name] else { return nil }
        guard let value = RFC3339.milliseconds(text) else {
            throw .invalid(name, "is not an RFC 3339 time", remedy: "Write it like 2026-11-21T04:05:06Z (a + in an offset is %2B).")
        }
        return value
    }

    package func id<Kind: IdentifierKind>(_ name: String, as kind: ID<Kind>.Type = ID<Kind>.self) throws(DomainError) -> ID<Kind>? {
        guard let text = self[name] else { return nil }
        guard let id = try? ID<Kind>.parse(text) else {
            throw .invalid(name, "is not an identifier", remedy: "Pass an identifier that starts with \(Kind.prefix).")
        }
        return id
    }

    /// - Throws: `DomainError.invalid` for each parameter that is not among `known`.
    package func allow(_ known: Set<String>) throws(DomainError) {
        let unknown = values.keys.filter { !known.contains($0) }.sorted()
        guard unknown.isEmpty else {
            let list = known.sorted().joined(separator: ", ")
            throw .invalid(
                unknown.map {
                    FieldProblem(
                        String($0.prefix(64)), "is not a parameter of this request",
                        remedy: known.isEmpty ? "It takes none." : "It takes: \(list).")
                })
        }
    }

    private static func decoded(_ text: Substring) -> String? {
        var out = [UInt8]()
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            switch byte {
            case UInt8(ascii: "+"): out.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = bytes.next(), let low = bytes.next(),
                    let value = Hex.decode(String(decoding: [high, low], as: UTF8.self)),
                    let decoded = value.first
                else { return nil }
                out.append(decoded)
            default: out.append(byte)
            }
        }
        return out.contains(0) ? nil : String(validating: out, as: UTF8.self)
    }
}
