import Primitives

/// Reads an expression by recursive descent, a level of binding a function, with a bound on depth.
struct ExpressionParser {
    private enum Token: Hashable {
        case name(String)
        case text(String)
        case number(JSONValue)
        case symbol(String)
        case end
    }

    private let source: [Unicode.Scalar]
    private var at = 0
    private var depth = 0
    private var token = Token.end
    /// Where `token` begins.
    private var start = 0
    private var failure: ExpressionError?

    init(_ text: String) {
        source = Array(text.unicodeScalars)
        if text.utf8.count > Expression.maximumBytes {
            failure = ExpressionError(message: "is longer than \(Expression.maximumBytes) bytes")
        }
    }

    mutating func whole() throws(ExpressionError) -> Expression.Node {
        if let failure { throw failure }
        try advance()
        let node = try choice()
        guard token == .end else { throw unexpected() }
        return node
    }

    // MARK: Levels of binding, the loosest first

    private mutating func choice() throws(ExpressionError) -> Expression.Node {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Expression.maximumDepth else { throw error("is nested too deep") }
        let condition = try binary(level: 0)
        guard try accept("?") else { return condition }
        let then = try choice()
        try expect(":")
        return .choice(condition, then, try choice())
    }

    private static let levels: [[String]] = [["||"], ["&&"], ["==", "!=", "<", "<=", ">", ">=", "in"], ["+", "-"], ["*", "/", "%"]]

    private mutating func binary(level: Int) throws(ExpressionError) -> Expression.Node {
        guard level < Self.levels.count else { return try unary() }
        var left = try binary(level: level + 1)
        var count = 0
        while let word = operatorWord, Self.levels[level].contains(word), let operation = Expression.Operator(rawValue: word) {
            // Chains are read into a tree that leans to the left: their length is a depth, too.
            count += 1
            guard count <= Expression.maximumDepth else { throw error("chains more than \(Expression.maximumDepth) operators") }
            try advance()
            left = .binary(operation, left, try binary(level: level + 1))
        }
        return left
    }

    private var operatorWord: String? {
        switch token {
        case .symbol(let symbol): symbol
        case .name("in"): "in"
        default: nil
        }
    }

    private mutating func unary() throws(ExpressionError) -> Expression.Node {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Expression.maximumDepth * 2 else { throw error("is nested too deep") }
        if try accept("!") { return .not(try unary()) }
        if try accept("-") { return .negative(try unary()) }
        return try postfix()
    }

    private mutating func postfix() throws(ExpressionError) -> Expression.Node {
        var node: Expression.Node
        if case .name(let name) = token, let root = ExpressionRoot(rawValue: name) {
            try advance()
            node = try reference(root)
        } else {
            node = try primary()
        }
        var count = 0
        while true {
            count += 1
            guard count <= Expression.maximumDepth else { throw error("looks too deep into a value") }
            if try accept(".") {
                guard case .name(let name) = token else { throw error("has no member's name behind a dot") }
                try advance()
                node = .member(node, .literal(.string(name)))
            } else if try accept("[") {
                let index = try choice()
                try expect("]")
                node = .member(node, index)
            } else {
                return node
            }
        }
    }

    /// What is named of a request is known before there is one.
    private mutating func reference(_ root: ExpressionRoot) throws(ExpressionError) -> Expression.Node {
        let name: String
        if try accept(".") {
            guard case .name(let member) = token else { throw error("has no member's name behind \(root.rawValue)") }
            name = member
            try advance()
        } else if try accept("[") {
            guard case .text(let member) = token else { throw error("has to name a member of \(root.rawValue) in quotes") }
            name = member
            try advance()
            try expect("]")
        } else {
            throw error("has to name a member of \(root.rawValue)")
        }
        if let members = root.members, !members.contains(name) {
            throw ExpressionError(
                message: "names \(root.rawValue).\(name), which there is not: \(members.sorted().joined(separator: ", "))")
        }
        return .reference(root, root == .headers ? name.lowercased() : name)
    }

    private mutating func primary() throws(ExpressionError) -> Expression.Node {
        switch token {
        case .text(let text):
            try advance()
            return .literal(.string(text))
        case .number(let number):
            try advance()
            return .literal(number)
        case .name(let name):
            switch name {
            case "true", "false", "null":
                try advance()
                return .literal(name == "null" ? .null : .bool(name == "true"))
            default: return try call(name)
            }
        case .symbol("("):
            try advance()
            let node = try choice()
            try expect(")")
            return node
        case .symbol("["):
            try advance()
            return .list(try elements(until: "]"))
        case .symbol("{"):
            try advance()
            return .object(try entries())
        case .symbol, .end: throw unexpected()
        }
    }

    private mutating func call(_ name: String) throws(ExpressionError) -> Expression.Node {
        guard let function = Expression.Function(rawValue: name) else {
            throw error(
                "names \(name), which is neither a function nor one of \(ExpressionRoot.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        try advance()
        try expect("(")
        let arguments = try elements(until: ")")
        guard function.arguments.contains(arguments.count) else {
            let count = function.arguments
            let wanted = count.lowerBound == count.upperBound ? "\(count.lowerBound)" : "\(count.lowerBound) to \(count.upperBound)"
            throw ExpressionError(message: "gives \(name) \(arguments.count) arguments: it takes \(wanted)")
        }
        return .call(function, arguments)
    }

    private mutating func elements(until close: String) throws(ExpressionError) -> [Expression.Node] {
        var nodes: [Expression.Node] = []
        if try accept(close) { return nodes }
        while true {
            nodes.append(try choice())
            if try accept(close) { return nodes }
            try expect(",")
        }
    }

    private mutating func entries() throws(ExpressionError) -> [Expression.Entry] {
        var entries: [Expression.Entry] = []
        if try accept("}") { return entries }
        while true {
            let name: String
            switch token {
            case .text(let text), .name(let text): name = text
            default: throw error("has no name for a member")
            }
            try advance()
            try expect(":")
            guard !entries.contains(where: { $0.name == name }) else { throw ExpressionError(message: "names the member \(name) twice") }
            entries.append(.init(name: name, value: try choice()))
            if try accept("}") { return entries }
            try expect(",")
        }
    }

    // MARK: Tokens

    private mutating func accept(_ symbol: String) throws(ExpressionError) -> Bool {
        guard token == .symbol(symbol) else { return false }
        try advance()
        return true
    }

    private mutating func expect(_ symbol: String) throws(ExpressionError) {
        guard try accept(symbol) else { throw error("lacks \"\(symbol)\"") }
    }

    private func unexpected() -> ExpressionError {
        token == .end ? error("ends too early") : error("has something that does not belong there")
    }
    private func error(_ words: String) -> ExpressionError { ExpressionError(message: "\(words) (at character \(start + 1))") }

    private mutating func advance() throws(ExpressionError) {
        while at < source.count, source[at].properties.isWhitespace { at += 1 }
        start = at
        guard at < source.count else {
            token = .end
            return
        }
        let first = source[at]
        if first == "\"" || first == "'" {
            token = .text(try text(first))
        } else if Self.isDigit(first) {
            token = try number()
        } else if Self.begins(first) {
            let begin = at
            while at < source.count, Self.begins(source[at]) || Self.isDigit(source[at]) { at += 1 }
            token = .name(string(begin, at))
        } else {
            for length in [2, 1] where at + length <= source.count {
                let symbol = string(at, at + length)
                guard Self.symbols.contains(symbol) else { continue }
                at += length
                token = .symbol(symbol)
                return
            }
            throw error("has a character that means nothing here")
        }
    }

    private static let symbols: Set = [
        "||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")", "[", "]", "{", "}", ",", ".",
    ]
    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
    private static func begins(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || scalar == "_"
    }

    private func string(_ from: Int, _ to: Int) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: source[from..<to])
        return String(view)
    }

    private mutating func text(_ quote: Unicode.Scalar) throws(ExpressionError) -> String {
        var view = String.UnicodeScalarView()
        at += 1
        while at < source.count, source[at] != quote {
            var scalar = source[at]
            if scalar == "\\" {
                at += 1
                guard at < source.count else { break }
                switch source[at] {
                case "n": scalar = "\n"
                case "t": scalar = "\t"
                case "\\", "\"", "'": scalar = source[at]
                default: throw error("has an escape that is not known: use \\n, \\t, \\\\, \\\" or \\'")
                }
            }
            view.append(scalar)
            at += 1
        }
        guard at < source.count else { throw error("has a text that does not end") }
        at += 1
        return String(view)
    }

    private mutating func number() throws(ExpressionError) -> Token {
        let begin = at
        while at < source.count, Self.isDigit(source[at]) { at += 1 }
        if at + 1 < source.count, source[at] == ".", Self.isDigit(source[at + 1]) {
            at += 1
            while at < source.count, Self.isDigit(source[at]) { at += 1 }
        }
        let digits = string(begin, at)
        if digits.count > 1, digits.hasPrefix("0"), !digits.hasPrefix("0.") { throw error("has a number with a leading zero") }
        if let whole = Int64(digits) { return .number(.int(whole)) }
        guard digits.utf8.count <= 32, let value = Double(digits), value.isFinite else { throw error("has a number that is too long") }
        return .number(.number(digits))
    }
}
