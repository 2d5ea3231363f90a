import Wire

/// What a parser made of a head.
enum Outcome: Equatable, CustomStringConvertible {
    case needMore
    case complete(Int)
    case invalid(HTTPViolation)

    init(_ step: ParseStep) {
        switch step {
        case .needMore: self = .needMore
        case .complete(let bytes): self = .complete(bytes)
        case .invalid(let violation): self = .invalid(violation)
        }
    }

    var description: String {
        switch self {
        case .needMore: "needMore"
        case .complete(let bytes): "complete(\(bytes))"
        case .invalid(let violation): "invalid(\(violation))"
        }
    }
}

/// Parses heads delivered in pieces: calls with growing prefixes until there is a result.
func deliver(_ bytes: [UInt8], pieceEnds: [Int], parse: (UnsafeRawBufferPointer) -> ParseStep) -> Outcome {
    for end in pieceEnds + [bytes.count] {
        // A copy of exactly these bytes, so that reading beyond them is caught by the allocator's tools.
        let step = Array(bytes[..<end]).withUnsafeBytes { parse($0) }
        if step != .needMore { return Outcome(step) }
    }
    return .needMore
}

func text(_ bytes: [UInt8], _ range: Range<Int>) -> String {
    guard range.lowerBound >= 0, range.upperBound <= bytes.count else { return "<out of range>" }
    return String(decoding: bytes[range], as: UTF8.self)
}

/// "\r\n" after every line, and the empty line at the end.
func head(_ lines: String...) -> [UInt8] {
    Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
}
