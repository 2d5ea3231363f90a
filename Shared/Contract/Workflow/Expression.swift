package import Primitives

/// A small language in which operators say what templates write and what workflows ask: operators, a dozen functions, no loops and no
/// definitions. Every expression has a value, whatever it meets: what does not fit (a word plus a list, a member that is not there) is null.
/// Its work is bounded by its own length and by `ExpressionWork`. docs/workflows.md describes it.
package struct Expression: Sendable, Hashable {
    /// Bytes of its text.
    package static let maximumBytes = 4_096
    /// How deep parentheses and calls may be nested.
    package static let maximumDepth = 32

    package let source: String
    let root: Node

    package indirect enum Node: Sendable, Hashable {
        case literal(JSONValue)
        /// What a request brings: `caller.user`, `request.temperature`, `headers["x-team"]`, `steps.plan`.
        case reference(ExpressionRoot, String)
        case member(Node, Node)
        case not(Node)
        case negative(Node)
        case binary(Operator, Node, Node)
        case choice(Node, Node, Node)
        case call(Function, [Node])
        case list([Node])
        case object([Entry])
    }

    package struct Entry: Sendable, Hashable {
        let name: String
        let value: Node
    }

    package enum Operator: String, Sendable {
        case or = "||"
        case and = "&&"
        case equal = "=="
        case unequal = "!="
        case less = "<"
        case atMost = "<="
        case greater = ">"
        case atLeast = ">="
        case element = "in"
        case plus = "+"
        case minus = "-"
        case times = "*"
        case over = "/"
        case remainder = "%"
    }

    /// With the number of arguments that each takes.
    package enum Function: String, Sendable, CaseIterable {
        case `default`, lower, upper, trim, length, contains, startsWith = "starts_with", endsWith = "ends_with", replace, join, string,
            number,
            min, max, sha256

        var arguments: ClosedRange<Int> {
            switch self {
            case .lower, .upper, .trim, .length, .string, .number, .sha256: 1...1
            case .contains, .startsWith, .endsWith, .join: 2...2
            case .replace: 3...3
            case .default, .min, .max: 2...8
            }
        }
    }

    /// - Throws: what is wrong with the text, and where.
    package init(parsing source: String) throws(ExpressionError) {
        self.source = source
        var parser = ExpressionParser(source)
        root = try parser.whole()
    }

    /// What of a request it looks at.
    package var references: Set<ExpressionReference> {
        var found: Set<ExpressionReference> = []
        Self.collect(root, &found)
        return found
    }

    private static func collect(_ node: Node, _ found: inout Set<ExpressionReference>) {
        switch node {
        case .literal: break
        case .reference(let root, let name): found.insert(ExpressionReference(root: root, name: name))
        case .not(let a), .negative(let a): collect(a, &found)
        case .member(let a, let b), .binary(_, let a, let b):
            collect(a, &found)
            collect(b, &found)
        case .choice(let a, let b, let c): for node in [a, b, c] { collect(node, &found) }
        case .call(_, let nodes), .list(let nodes): for node in nodes { collect(node, &found) }
        case .object(let entries): for entry in entries { collect(entry.value, &found) }
        }
    }
}

/// What expressions can name.
package enum ExpressionRoot: String, Sendable, CaseIterable {
    case caller, model, request, headers, steps

    /// The members that it has; nil: any.
    package var members: Set<String>? {
        switch self {
        case .caller: ["kind", "channel", "api", "tenant_id", "project_id", "key_id", "app_id", "user_id", "did_id", "tags"]
        case .model: ["name", "context_window", "max_output_tokens"]
        case .request, .headers, .steps: nil
        }
    }
}

package struct ExpressionReference: Sendable, Hashable {
    package let root: ExpressionRoot
    package let name: String
}

/// What is wrong with an expression's text.
package struct ExpressionError: Error, Hashable, Sendable {
    /// As in "a closing parenthesis is missing at character 12".
    package let message: String
}

/// What an evaluation may still do. One is made for each request and step.
package struct ExpressionWork: Sendable {
    /// Evaluations of a part, and kilobytes looked through.
    package private(set) var left: Int
    /// Bytes that a text may have on the way.
    package static let maximumBytes = 65_536
    package static let whole = 10_000

    package init(_ amount: Int = whole) { left = amount }

    mutating func spend(_ amount: Int = 1) throws(ExpressionOverrun) {
        guard left >= amount else { throw ExpressionOverrun() }
        left -= amount
    }
}

/// More work, or a longer text, than an expression may make.
package struct ExpressionOverrun: Error, Hashable, Sendable {}

/// Where the values of references come from.
package protocol ExpressionScope {
    /// Null for what is not there.
    func value(of root: ExpressionRoot, _ name: String) -> JSONValue
}
