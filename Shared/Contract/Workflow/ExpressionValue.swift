import Foundation
package import Primitives
import Trust

extension Expression {
    /// - Throws: when it would do more than `work` allows.
    package func value(in scope: some ExpressionScope, _ work: inout ExpressionWork) throws(ExpressionOverrun) -> JSONValue {
        try Self.value(root, scope, &work)
    }

    /// Whether a condition holds: everything but false and null does.
    package static func holds(_ value: JSONValue) -> Bool { value != .null && value != .bool(false) }

    private static func value(
        _ node: Node, _ scope: some ExpressionScope, _ work: inout ExpressionWork
    ) throws(ExpressionOverrun) -> JSONValue {
        try work.spend()
        switch node {
        case .literal(let value): return value
        case .reference(let root, let name): return scope.value(of: root, name)
        case .member(let of, let name):
            let value = try value(of, scope, &work)
            switch (value, try self.value(name, scope, &work)) {
            case (.object(let object), .string(let name)): return object[name] ?? .null
            case (.array(let elements), .int(let index)):
                return index >= 0 && index < elements.count ? elements[Int(index)] : .null
            default: return .null
            }
        case .not(let a): return .bool(!holds(try value(a, scope, &work)))
        case .negative(let a): return arithmetic(.minus, .int(0), try value(a, scope, &work))
        case .binary(.or, let a, let b):
            if holds(try value(a, scope, &work)) { return .bool(true) }
            return .bool(holds(try value(b, scope, &work)))
        case .binary(.and, let a, let b):
            guard holds(try value(a, scope, &work)) else { return .bool(false) }
            return .bool(holds(try value(b, scope, &work)))
        case .binary(let operation, let a, let b):
            let (left, right) = (try value(a, scope, &work), try value(b, scope, &work))
            return try binary(operation, left, right, &work)
        case .choice(let condition, let then, let other):
            return try value(holds(value(condition, scope, &work)) ? then : other, scope, &work)
        case .call(let function, let nodes):
            var arguments: [JSONValue] = []
            for node in nodes {
                let argument = try value(node, scope, &work)
                // What is there need not be looked for elsewhere.
                if function == .default, argument != .null { return argument }
                arguments.append(argument)
            }
            return try call(function, arguments, &work)
        case .list(let nodes):
            var elements: [JSONValue] = []
            for node in nodes { elements.append(try value(node, scope, &work)) }
            return .array(elements)
        case .object(let entries):
            var members: [JSONObject.Member] = []
            for entry in entries { members.append(.init(name: entry.name, value: try value(entry.value, scope, &work))) }
            return .object(JSONObject(members: members))
        }
    }

    private static func binary(
        _ operation: Operator, _ left: JSONValue, _ right: JSONValue, _ work: inout ExpressionWork
    ) throws(ExpressionOverrun) -> JSONValue {
        switch operation {
        case .equal: return .bool(try equal(left, right, &work))
        case .unequal: return .bool(!(try equal(left, right, &work)))
        case .element: return try contains(right, left, &work)
        case .less: return order(left, right).map { .bool($0 < 0) } ?? .null
        case .atMost: return order(left, right).map { .bool($0 <= 0) } ?? .null
        case .greater: return order(left, right).map { .bool($0 > 0) } ?? .null
        case .atLeast: return order(left, right).map { .bool($0 >= 0) } ?? .null
        case .plus:
            if case (.string(let a), .string(let b)) = (left, right) { return .string(try joined([a, b], "", &work)) }
            return arithmetic(operation, left, right)
        case .minus, .times, .over, .remainder: return arithmetic(operation, left, right)
        case .or, .and: return .null
        }
    }

    // MARK: Values beside each other

    private static func double(_ value: JSONValue) -> Double? {
        switch value {
        case .int(let whole): Double(whole)
        case .number(let text): text.utf8.count <= 64 ? Double(text).flatMap { $0.isFinite ? $0 : nil } : nil
        default: nil
        }
    }

    private static func equal(_ left: JSONValue, _ right: JSONValue, _ work: inout ExpressionWork) throws(ExpressionOverrun) -> Bool {
        try work.spend(1 + weight(left))
        if case .int(let a) = left, case .int(let b) = right { return a == b }
        if let a = double(left), let b = double(right) { return a == b }
        return left == right
    }

    /// How much there is to be looked through, in kilobytes, roughly.
    private static func weight(_ value: JSONValue) -> Int {
        switch value {
        case .string(let text), .number(let text): text.utf8.count >> 10
        case .array(let elements): elements.reduce(elements.count) { $0 + weight($1) }
        case .object(let object): object.members.reduce(object.members.count) { $0 + weight($1.value) }
        case .null, .bool, .int: 0
        }
    }

    /// Below, equal or above zero; nil for what has no order.
    private static func order(_ left: JSONValue, _ right: JSONValue) -> Int? {
        switch (left, right) {
        case (.int(let a), .int(let b)): a < b ? -1 : a == b ? 0 : 1
        case (.string(let a), .string(let b)):
            a == b ? 0 : a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars) ? -1 : 1
        default:
            if let a = double(left), let b = double(right) { a < b ? -1 : a == b ? 0 : 1 } else { nil }
        }
    }

    private static func arithmetic(_ operation: Operator, _ left: JSONValue, _ right: JSONValue) -> JSONValue {
        if case (.int(let a), .int(let b)) = (left, right) {
            let result: (partialValue: Int64, overflow: Bool)
            switch operation {
            case .plus: result = a.addingReportingOverflow(b)
            case .minus: result = a.subtractingReportingOverflow(b)
            case .times: result = a.multipliedReportingOverflow(by: b)
            case .remainder: result = a.remainderReportingOverflow(dividingBy: b)
            case .over where b != 0 && !(a == .min && b == -1) && a % b == 0: return .int(a / b)
            default: return b == 0 ? .null : number(Double(a) / Double(b))
            }
            return result.overflow ? .null : .int(result.partialValue)
        }
        guard let a = double(left), let b = double(right) else { return .null }
        switch operation {
        case .plus: return number(a + b)
        case .minus: return number(a - b)
        case .times: return number(a * b)
        case .over: return b == 0 ? .null : number(a / b)
        case .remainder: return b == 0 ? .null : number(a.truncatingRemainder(dividingBy: b))
        default: return .null
        }
    }

    private static func number(_ value: Double) -> JSONValue {
        guard value.isFinite else { return .null }
        if value == value.rounded(), abs(value) < 9e15 { return .int(Int64(value)) }
        return .number("\(value)")
    }

    // MARK: Functions

    private static func call(
        _ function: Function, _ arguments: [JSONValue], _ work: inout ExpressionWork
    ) throws(ExpressionOverrun) -> JSONValue {
        let first = arguments.first ?? .null
        let text = first.stringValue
        for argument in arguments { try work.spend(weight(argument)) }
        switch function {
        case .default: return .null
        case .lower: return text.map { .string($0.lowercased()) } ?? .null
        case .upper: return text.map { .string($0.uppercased()) } ?? .null
        case .trim: return text.map { .string($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? .null
        case .length:
            switch first {
            case .string(let text): return .int(Int64(text.unicodeScalars.count))
            case .array(let elements): return .int(Int64(elements.count))
            case .object(let object): return .int(Int64(object.members.count))
            default: return .null
            }
        case .contains: return try contains(first, arguments[1], &work)
        case .startsWith: return pair(arguments) { $0.utf8.starts(with: $1.utf8) }
        case .endsWith: return pair(arguments) { $0.utf8.reversed().starts(with: $1.utf8.reversed()) }
        case .replace:
            guard let text, let old = arguments[1].stringValue, let new = arguments[2].stringValue, !old.isEmpty else { return .null }
            let pieces = text.components(separatedBy: old)
            try work.spend(pieces.count)
            return .string(try joined(pieces, new, &work))
        case .join:
            guard case .array(let elements) = first, let separator = arguments[1].stringValue else { return .null }
            return .string(try joined(elements.map { TemplateText.text(of: $0) }, separator, &work))
        case .string: return first == .null ? .null : .string(TemplateText.text(of: first))
        case .number:
            if double(first) != nil { return first }
            guard let text, text.utf8.count <= 32 else { return .null }
            if let whole = Int64(text) { return .int(whole) }
            return Double(text).map { number($0) } ?? .null
        case .min: return extreme(arguments) { $0 < 0 }
        case .max: return extreme(arguments) { $0 > 0 }
        case .sha256: return text.map { .string(Hex.encode(SHA256Digest.of(Array($0.utf8)))) } ?? .null
        }
    }

    private static func pair(_ arguments: [JSONValue], _ test: (String, String) -> Bool) -> JSONValue {
        guard let a = arguments[0].stringValue, let b = arguments[1].stringValue else { return .null }
        return .bool(test(a, b))
    }

    private static func extreme(_ arguments: [JSONValue], _ better: (Int) -> Bool) -> JSONValue {
        var best = arguments[0]
        guard order(best, best) != nil else { return .null }
        for other in arguments.dropFirst() {
            guard let order = order(other, best) else { return .null }
            if better(order) { best = other }
        }
        return best
    }

    /// A part of a text, an element of a list, the name of a member.
    private static func contains(_ whole: JSONValue, _ part: JSONValue, _ work: inout ExpressionWork) throws(ExpressionOverrun) -> JSONValue
    {
        switch (whole, part) {
        case (.string(let text), .string(let part)):
            try work.spend(1 + text.utf8.count >> 10)
            return .bool(part.isEmpty || text.contains(part))
        case (.array(let elements), _):
            for element in elements where try equal(element, part, &work) { return .bool(true) }
            return .bool(false)
        case (.object(let object), .string(let name)):
            try work.spend(1 + object.members.count)
            return .bool(object[name] != nil)
        default: return .null
        }
    }

    static func joined(_ texts: [String], _ separator: String, _ work: inout ExpressionWork) throws(ExpressionOverrun) -> String {
        var length = separator.utf8.count.multipliedReportingOverflow(by: max(0, texts.count - 1)).partialValue
        for text in texts { length += text.utf8.count }
        guard length >= 0, length <= ExpressionWork.maximumBytes else { throw ExpressionOverrun() }
        try work.spend(1 + length >> 10)
        return texts.joined(separator: separator)
    }
}
