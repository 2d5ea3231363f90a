import Primitives

/// The field lines of a message head: what the request and the response parser share. Parses line by line and can stop after any byte.
///
/// A line that is not complete is not looked at again before its line feed has arrived, so that a head delivered a byte at a time costs
/// as much as one delivered at once, times a constant.
@usableFromInline
package struct FieldSection: Sendable {
    @usableFromInline package internal(set) var fields: [HTTPField] = []
    var contentLength: Int64?
    var isChunked = false
    var closes = false
    var keepsAlive = false
    var expectsContinue = false
    /// One bit a known field that has occurred.
    @usableFromInline package internal(set) var seen: UInt64 = 0
    /// Where the line being read begins, and up to where it is known to hold no line feed.
    var lineStart = 0
    var scanned = 0
    private var connectionNamesOthers = false

    enum Step {
        case needMore
        case end(Int)
        case invalid(HTTPViolation)
    }

    mutating func reset() {
        fields.removeAll(keepingCapacity: true)
        contentLength = nil
        isChunked = false
        closes = false
        keepsAlive = false
        expectsContinue = false
        seen = 0
        lineStart = 0
        scanned = 0
        connectionNamesOthers = false
    }

    @inlinable
    package func has(_ known: KnownField) -> Bool {
        seen &>> UInt64(known.rawValue) & 1 != 0
    }

    /// Whether the line at `lineStart` is worth parsing: false when an earlier call found it incomplete and still no line feed came.
    @inline(__always)
    mutating func lineMayBeComplete(_ base: UnsafeRawPointer, _ limit: Int) -> Bool {
        guard scanned > lineStart else { return true }
        if ByteScan.find(0x0A, base, from: scanned, limit: limit) != nil { return true }
        scanned = limit
        return false
    }

    /// Parses lines from `lineStart` to the empty line. `limit` bounds what may be read.
    mutating func parse(_ base: UnsafeRawPointer, limit: Int, maxFields: Int, isRequest: Bool) -> Step {
        guard lineMayBeComplete(base, limit) else { return .needMore }
        while true {
            let start = lineStart
            guard start < limit else { return incomplete(base, limit) }
            if ByteScan.byte(base, start) == 0x0D {
                guard start &+ 1 < limit else { return incomplete(base, limit) }
                guard ByteScan.byte(base, start &+ 1) == 0x0A else { return .invalid(.bareCR) }
                if connectionNamesOthers, let violation = markFieldsNamedByConnection(base) { return .invalid(violation) }
                return .end(start &+ 2)
            }

            // Name.
            let nameEnd = endOfName(base, start, limit)
            guard nameEnd < limit else { return incomplete(base, limit) }
            let delimiter = ByteScan.byte(base, nameEnd)
            if delimiter != 0x3A || nameEnd == start { return .invalid(nameViolation(base, start, nameEnd)) }

            // Value.
            var valueStart = nameEnd &+ 1
            while valueStart < limit, isBlank(ByteScan.byte(base, valueStart)) { valueStart &+= 1 }
            var end = findControl(base, from: valueStart, limit: limit)
            while end < limit, ByteScan.byte(base, end) == 0x09 {
                end = findControl(base, from: end &+ 1, limit: limit)
            }
            guard end < limit else { return incomplete(base, limit) }
            switch ByteScan.byte(base, end) {
            case 0x0D: break
            case 0x0A: return .invalid(.bareLF)
            default: return .invalid(.controlInFieldValue)
            }
            guard end &+ 1 < limit else { return incomplete(base, limit) }
            guard ByteScan.byte(base, end &+ 1) == 0x0A else { return .invalid(.bareCR) }
            var valueEnd = end
            while valueEnd > valueStart, isBlank(ByteScan.byte(base, valueEnd &- 1)) { valueEnd &-= 1 }

            guard fields.count < maxFields else { return .invalid(.tooManyFields) }
            let known = KnownField.recognise(base, from: start, to: nameEnd)
            if known != .other {
                if let violation = interpret(known, base, valueStart, valueEnd, isRequest) { return .invalid(violation) }
                seen |= 1 &<< UInt64(known.rawValue)
            }
            fields.append(
                HTTPField(
                    nameStart: Int32(truncatingIfNeeded: start), nameEnd: Int32(truncatingIfNeeded: nameEnd),
                    valueStart: Int32(truncatingIfNeeded: valueStart), valueEnd: Int32(truncatingIfNeeded: valueEnd),
                    known: known, isHopByHop: known.isHopByHop))
            lineStart = end &+ 2
            scanned = lineStart
        }
    }

    /// Remembers that there is no complete line yet.
    private mutating func incomplete(_ base: UnsafeRawPointer, _ limit: Int) -> Step {
        scanned = limit
        return .needMore
    }

    /// Offset of the first byte at or after `start` that is not a token character.
    @inline(__always)
    private func endOfName(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) -> Int {
        var at = start
        // Letters, digits and hyphens, sixteen at a time; names with other marks fall through to the table.
        if at &+ 16 <= limit {
            let lane = ByteScan.lane(base, at)
            let letters = ((lane | ByteScan.Lane(repeating: 0x20)) &- ByteScan.Lane(repeating: 0x61)) .< ByteScan.Lane(repeating: 26)
            let digits = (lane &- ByteScan.Lane(repeating: 0x30)) .< ByteScan.Lane(repeating: 10)
            at &+= ByteScan.first(.!(letters .| digits .| (lane .== ByteScan.Lane(repeating: 0x2D))))
        }
        while at < limit, ASCIISet.token.contains(ByteScan.byte(base, at)) { at &+= 1 }
        return at
    }

    @inline(never)
    private func nameViolation(_ base: UnsafeRawPointer, _ start: Int, _ nameEnd: Int) -> HTTPViolation {
        let byte = ByteScan.byte(base, nameEnd)
        if nameEnd == start {
            switch byte {
            case 0x3A: return .emptyFieldName
            case 0x20, 0x09: return fields.isEmpty ? .leadingWhitespace : .obsoleteFolding
            case 0x0A: return .bareLF
            default: return .invalidFieldName
            }
        }
        switch byte {
        case 0x20, 0x09: return .spaceBeforeColon
        case 0x0D, 0x0A: return .missingColon
        default: return .invalidFieldName
        }
    }

    /// Reads the fields that frame the message or may occur once.
    private mutating func interpret(
        _ known: KnownField, _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ isRequest: Bool
    ) -> HTTPViolation? {
        switch known {
        case .contentLength:
            if has(.contentLength) { return .repeatedContentLength }
            return readContentLength(base, start, end)
        case .transferEncoding:
            if has(.transferEncoding) { return .repeatedTransferEncoding }
            guard ByteScan.equalsIgnoringCase(base, start, end &- start, "chunked") else { return .unsupportedTransferEncoding }
            isChunked = true
            return nil
        case .connection:
            return readConnection(base, start, end)
        case .host where isRequest:
            if has(.host) { return .repeatedHost }
            guard start < end else { return .invalidHost }
            for at in start..<end where !ASCIISet.host.contains(ByteScan.byte(base, at)) { return .invalidHost }
            return nil
        case .expect where isRequest:
            if has(.expect) { return .repeatedField }
            guard ByteScan.equalsIgnoringCase(base, start, end &- start, "100-continue") else { return .unknownExpectation }
            expectsContinue = true
            return nil
        case .authorization where isRequest, .apiKey where isRequest, .xAPIKey where isRequest, .contentType where isRequest,
            .contentEncoding where isRequest, .idempotencyKey where isRequest, .xGatewaySecret where isRequest, .xAppID where isRequest,
            .xUserOID where isRequest, .xWeirGrant where isRequest, .xWeirEndpoint where isRequest, .xWeirStrategy where isRequest:
            return has(known) ? .repeatedField : nil
        default:
            return nil
        }
    }

    private mutating func readContentLength(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> HTTPViolation? {
        guard start < end else { return .invalidContentLength }
        var value: Int64 = 0
        var overflows = end &- start > 19
        for at in start..<end {
            let digit = ByteScan.byte(base, at) &- 0x30
            guard digit < 10 else { return .invalidContentLength }
            let (product, productOverflows) = value.multipliedReportingOverflow(by: 10)
            let (sum, sumOverflows) = product.addingReportingOverflow(Int64(digit))
            overflows = overflows || productOverflows || sumOverflows
            value = sum
        }
        if overflows { return .contentLengthOverflow }
        contentLength = value
        return nil
    }

    private mutating func readConnection(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> HTTPViolation? {
        var at = start
        var options = 0
        while let (from, to) = nextOption(base, &at, end) {
            guard from < to else { continue }
            options &+= 1
            guard options <= 32 else { return .invalidConnection }
            for index in from..<to where !ASCIISet.token.contains(ByteScan.byte(base, index)) {
                return .invalidConnection
            }
            switch to &- from {
            case 5 where ByteScan.equalsIgnoringCase(base, from, 5, "close"): closes = true
            case 10 where ByteScan.equalsIgnoringCase(base, from, 10, "keep-alive"): keepsAlive = true
            default: connectionNamesOthers = true
            }
        }
        return nil
    }

    /// The next element of a comma-separated list, without its whitespace; may be empty.
    private func nextOption(_ base: UnsafeRawPointer, _ at: inout Int, _ end: Int) -> (Int, Int)? {
        guard at < end else { return nil }
        var from = at
        let comma = ByteScan.find(0x2C, base, from: at, limit: end) ?? end
        at = comma &+ 1
        while from < comma, isBlank(ByteScan.byte(base, from)) { from &+= 1 }
        var to = comma
        while to > from, isBlank(ByteScan.byte(base, to &- 1)) { to &-= 1 }
        return (from, to)
    }

    /// RFC 9110 section 7.6.1: fields named by Connection end here. A name of a field that is for every recipient would let a client
    /// take fields out of its own request on the way, so it is refused.
    @inline(never)
    private mutating func markFieldsNamedByConnection(_ base: UnsafeRawPointer) -> HTTPViolation? {
        var options = 0
        for connection in fields where connection.known == .connection {
            var at = connection.value.lowerBound
            while let (from, to) = nextOption(base, &at, connection.value.upperBound) {
                guard from < to else { continue }
                options &+= 1
                guard options <= 32 else { return .invalidConnection }
                let known = to &- from >= 2 ? KnownField.recognise(base, from: from, to: to) : .other
                if known != .other {
                    if !known.isHopByHop { return .connectionNamesEndToEndField }
                    continue
                }
                for index in fields.indices where fields[index].known == .other {
                    let name = fields[index].name
                    if name.count == to &- from, sameName(base, name.lowerBound, from, to &- from) { fields[index].isHopByHop = true }
                }
            }
        }
        return nil
    }

    private func sameName(_ base: UnsafeRawPointer, _ left: Int, _ right: Int, _ count: Int) -> Bool {
        for index in 0..<count {
            var one = ByteScan.byte(base, left &+ index)
            var other = ByteScan.byte(base, right &+ index)
            if one &- 0x41 < 26 { one |= 0x20 }
            if other &- 0x41 < 26 { other |= 0x20 }
            if one != other { return false }
        }
        return true
    }
}

@inline(__always)
func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09
}
