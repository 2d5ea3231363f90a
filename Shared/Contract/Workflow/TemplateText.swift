package import Primitives

/// A text with expressions in it: `Team {{ headers["x-team"] }}`. One that is an expression and nothing else has that one's value, a number
/// or an object perhaps; any other is a text, in which null is empty.
package struct TemplateText: Sendable, Hashable {
    private enum Part: Sendable, Hashable {
        case text(String)
        case expression(Expression)
    }

    private let parts: [Part]

    /// Bytes of its text.
    package static let maximumBytes = 16_384

    /// - Throws: what is wrong with an expression in it.
    package init(parsing source: String) throws(ExpressionError) {
        guard source.utf8.count <= Self.maximumBytes else { throw ExpressionError(message: "is longer than \(Self.maximumBytes) bytes") }
        var parts: [Part] = []
        var rest = Substring(source)
        while let open = rest.firstRange(of: "{{") {
            if open.lowerBound > rest.startIndex { parts.append(.text(String(rest[..<open.lowerBound]))) }
            let inside = rest[open.upperBound...]
            guard let close = Self.end(of: inside) else { throw ExpressionError(message: "has {{ without }}") }
            parts.append(.expression(try Expression(parsing: String(inside[..<close]))))
            rest = inside[inside.index(close, offsetBy: 2)...]
            guard parts.count <= 64 else { throw ExpressionError(message: "holds more than 32 expressions") }
        }
        if !rest.isEmpty || parts.isEmpty { parts.append(.text(String(rest))) }
        self.parts = parts
    }

    /// Where the expression ends: at the first `}}` that is in no text and closes no object.
    private static func end(of text: Substring) -> Substring.Index? {
        var quote: Character?
        var depth = 0
        var at = text.startIndex
        while at < text.endIndex {
            let character = text[at]
            if let open = quote {
                if character == "\\" {
                    at = text.index(after: at)
                    if at == text.endIndex { return nil }
                } else if character == open {
                    quote = nil
                }
            } else if character == "\"" || character == "'" {
                quote = character
            } else if character == "{" {
                depth += 1
            } else if character == "}" {
                if depth == 0 {
                    let next = text.index(after: at)
                    return next < text.endIndex && text[next] == "}" ? at : nil
                }
                depth -= 1
            }
            at = text.index(after: at)
        }
        return nil
    }

    package var references: Set<ExpressionReference> {
        parts.reduce(into: []) { found, part in
            if case .expression(let expression) = part { found.formUnion(expression.references) }
        }
    }

    /// - Throws: when it would take more than `work` allows.
    package func value(in scope: some ExpressionScope, _ work: inout ExpressionWork) throws(ExpressionOverrun) -> JSONValue {
        if parts.count == 1, case .expression(let expression) = parts[0] { return try expression.value(in: scope, &work) }
        var texts: [String] = []
        for part in parts {
            switch part {
            case .text(let text): texts.append(text)
            case .expression(let expression): texts.append(Self.text(of: try expression.value(in: scope, &work)))
            }
        }
        return .string(try Expression.joined(texts, "", &work))
    }

    /// As it stands within a text: strings as they are, null as nothing, all else as JSON.
    package static func text(of value: JSONValue) -> String {
        switch value {
        case .null: ""
        case .string(let text): text
        default: value.text
        }
    }
}
