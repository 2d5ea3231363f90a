package import Primitives

/// A share of the virtual keys in basis points: 0...10000, written as a percentage with at most two decimals.
package struct Percentage: Sendable, Hashable {
    package static let all = Percentage(basisPoints: 10_000)

    package let basisPoints: Int64

    private init(basisPoints: Int64) { self.basisPoints = basisPoints }

    package init?(checking basisPoints: Int64) {
        guard (0...10_000).contains(basisPoints) else { return nil }
        self.basisPoints = basisPoints
    }

    /// Reads 5, 12.5, 0.25 or the same as a string; by its digits, never as floating point.
    package init?(_ json: JSONValue) {
        let text: String
        switch json {
        case .int(let whole): text = String(whole)
        case .number(let number), .string(let number): text = number
        default: return nil
        }
        // Two decimals of a percent are seven of a dollar less: the money reader does all the checking.
        guard let value = NanoDollars(decimal: text)?.rawValue, value % 10_000_000 == 0 else { return nil }
        self.init(checking: value / 10_000_000)
    }

    package var json: JSONValue {
        basisPoints % 100 == 0 ? .int(basisPoints / 100) : .number(text)
    }

    /// "12.5", "100"
    package var text: String {
        let (whole, rest) = basisPoints.quotientAndRemainder(dividingBy: 100)
        if rest == 0 { return String(whole) }
        return rest % 10 == 0 ? "\(whole).\(rest / 10)" : "\(whole).\(rest < 10 ? "0" : "")\(rest)"
    }
}

extension Percentage: FieldValue {
    package static var kind: FieldKind? { .percentage }
    package static func read(_ json: JSONValue, as kind: FieldKind) -> Percentage? { Percentage(json) }
    package func json(as kind: FieldKind) -> JSONValue { json }
    package static func read(_ column: ColumnValue) -> Percentage? { Int64.read(column).flatMap(Percentage.init(checking:)) }
    package var column: ColumnValue { .int(basisPoints) }
}
