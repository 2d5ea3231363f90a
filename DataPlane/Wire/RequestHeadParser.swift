import Primitives

/// Parses the head of an HTTP/1.x request out of bytes that arrive in any pieces (RFC 9112 sections 2 to 6), refusing whatever is
/// ambiguous. One value serves all requests of a connection: `reset` keeps its storage.
///
/// Call `parse` with all bytes since the start of the message each time more have arrived. Offsets (target, fields) count from the first
/// of these bytes. One empty line before the request line is skipped, as section 2.2 asks. Not copyable: a copy would hold on to that storage.
@usableFromInline
package struct RequestHeadParser: ~Copyable, Sendable {
    package let limits: HTTPLimits
    package private(set) var method: HTTPMethod = .other
    /// 0 or 1, of "HTTP/1.x".
    package private(set) var minorVersion: UInt8 = 1
    package private(set) var methodRange: Range<Int> = 0..<0
    package private(set) var target: Range<Int> = 0..<0
    /// The path within the target; empty for an absolute form without one, which means "/".
    package private(set) var path: Range<Int> = 0..<0
    /// What follows the question mark; empty without one. `hasQuery` tells `/a?` from `/a`.
    package private(set) var query: Range<Int> = 0..<0
    package private(set) var hasQuery = false

    @usableFromInline package private(set) var section = FieldSection()
    private var lineDone = false
    private var authority: Range<Int> = 0..<0

    package init(limits: HTTPLimits = HTTPLimits()) {
        self.limits = limits
        section.fields.reserveCapacity(min(limits.maxFields, 32))
    }

    /// All fields in the order received. Copying the array makes the next request allocate a new one.
    @inlinable
    package var fields: [HTTPField] {
        _read { yield section.fields }
    }
    package var contentLength: Int64? { section.contentLength }
    package var isChunked: Bool { section.isChunked }
    package var expectsContinue: Bool { section.expectsContinue && minorVersion == 1 && hasBody }
    package var hasBody: Bool { section.isChunked || (section.contentLength ?? 0) > 0 }
    /// Whether the client wants the connection kept: HTTP/1.1 without "close", HTTP/1.0 with "keep-alive".
    package var keepAlive: Bool { !section.closes && (minorVersion == 1 || section.keepsAlive) }

    /// Whether the field occurs; costs a shift.
    @inlinable
    package func has(_ known: KnownField) -> Bool { known != .other && section.has(known) }

    /// The first field of that kind. `.other` finds nothing.
    package func first(_ known: KnownField) -> HTTPField? {
        guard has(known) else { return nil }
        for index in section.fields.indices where section.fields[index].known == known { return section.fields[index] }
        return nil
    }

    package mutating func reset() {
        section.reset()
        lineDone = false
        method = .other
        minorVersion = 1
        methodRange = 0..<0
        target = 0..<0
        path = 0..<0
        query = 0..<0
        hasQuery = false
        authority = 0..<0
    }

    package mutating func parse(_ bytes: UnsafeRawBufferPointer) -> ParseStep {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return .needMore }
        let limit = min(bytes.count, limits.maxHeadBytes)
        if !lineDone {
            guard section.lineMayBeComplete(base, limit) else { return starved(limit, bytes.count) }
            switch parseRequestLine(base, limit) {
            case .needMore:
                section.scanned = limit
                return starved(limit, bytes.count)
            case .invalid(let violation): return .invalid(violation)
            case .end(let next):
                lineDone = true
                section.lineStart = next
                section.scanned = next
            }
        }
        switch section.parse(base, limit: limit, maxFields: limits.maxFields, isRequest: true) {
        case .needMore: return starved(limit, bytes.count)
        case .invalid(let violation): return .invalid(violation)
        case .end(let end):
            if let violation = checkWhole(base) { return .invalid(violation) }
            return .complete(headBytes: end)
        }
    }

    private func starved(_ limit: Int, _ count: Int) -> ParseStep {
        if !lineDone && limit > limits.maxTargetBytes &+ 64 { return .invalid(.targetTooLong) }
        return limit < count || limit == limits.maxHeadBytes ? .invalid(.headTooLarge) : .needMore
    }

    private mutating func parseRequestLine(_ base: UnsafeRawPointer, _ limit: Int) -> FieldSection.Step {
        var at = section.lineStart
        if at == 0 && base.load(as: UInt8.self) == 0x0D {
            guard limit > 1 else { return .needMore }
            guard ByteScan.byte(base, 1) == 0x0A else { return .invalid(.bareCR) }
            at = 2
        }
        // Method.
        let methodStart = at
        while at < limit, ASCIISet.token.contains(ByteScan.byte(base, at)) { at &+= 1 }
        guard at &- methodStart <= 32 else { return .invalid(.invalidMethod) }
        guard at < limit else { return .needMore }
        guard ByteScan.byte(base, at) == 0x20, at > methodStart else {
            return .invalid(ByteScan.byte(base, at) == 0x0A && at == methodStart ? .bareLF : .invalidMethod)
        }
        methodRange = methodStart..<at
        method = recogniseMethod(base, methodStart, at)

        // Target.
        let targetStart = at &+ 1
        at = targetStart
        var question = -1
        var hasPercent = false
        while at < limit {
            let byte = ByteScan.byte(base, at)
            guard ASCIISet.target.contains(byte) else { break }
            if byte == 0x3F && question < 0 { question = at }
            if byte == 0x25 { hasPercent = true }
            at &+= 1
        }
        guard at &- targetStart <= limits.maxTargetBytes else { return .invalid(.targetTooLong) }
        guard at < limit else { return .needMore }
        switch ByteScan.byte(base, at) {
        case 0x20 where at > targetStart: break
        case 0x20: return .invalid(.malformedRequestLine)
        case 0x23: return .invalid(.fragmentInTarget)
        case 0x0D, 0x0A: return .invalid(at > targetStart ? .http09 : .malformedRequestLine)
        default: return .invalid(.invalidTarget)
        }
        let targetEnd = at

        // Version and line end.
        let version = targetEnd &+ 1
        guard version &+ 10 <= limit else { return unfinishedVersion(base, version, limit) }
        if let violation = readVersion(base, version) { return .invalid(violation) }

        target = targetStart..<targetEnd
        if let violation = splitTarget(base, question, hasPercent) { return .invalid(violation) }
        return .end(version &+ 10)
    }

    /// The few bytes of an unfinished version may still become one; a line feed among them says that they will not.
    private func unfinishedVersion(_ base: UnsafeRawPointer, _ from: Int, _ limit: Int) -> FieldSection.Step {
        guard let lineFeed = ByteScan.find(0x0A, base, from: from, limit: limit) else { return .needMore }
        return .invalid(lineFeed == from &+ 8 ? .bareLF : .malformedVersion)
    }

    private mutating func readVersion(_ base: UnsafeRawPointer, _ at: Int) -> HTTPViolation? {
        let word = UInt64(bigEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        switch word {
        case 0x4854_5450_2F31_2E31: minorVersion = 1
        case 0x4854_5450_2F31_2E30: minorVersion = 0
        default:
            // "HTTP/" DIGIT "." DIGIT is a version we do not speak; anything else is no version.
            guard word &>> 24 == 0x48_5454_502F, word & 0xFF00 == 0x2E00, isDigit(word &>> 16), isDigit(word) else {
                return .malformedVersion
            }
            return word &>> 16 & 0xFF == 0x32 ? .http2Preface : .unsupportedVersion
        }
        switch (ByteScan.byte(base, at &+ 8), ByteScan.byte(base, at &+ 9)) {
        case (0x0D, 0x0A): return nil
        case (0x0D, _): return .bareCR
        case (0x0A, _): return .bareLF
        default: return .malformedRequestLine
        }
    }

    private func isDigit(_ word: UInt64) -> Bool { UInt8(truncatingIfNeeded: word) &- 0x30 < 10 }

    private func recogniseMethod(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> HTTPMethod {
        func matches(_ text: StaticString) -> Bool { ByteScan.equals(base, start, end &- start, text) }
        switch end &- start {
        case 3: return matches("GET") ? .get : matches("PUT") ? .put : .other
        case 4: return matches("POST") ? .post : matches("HEAD") ? .head : .other
        case 5: return matches("PATCH") ? .patch : .other
        case 6: return matches("DELETE") ? .delete : .other
        case 7: return matches("OPTIONS") ? .options : .other
        default: return .other
        }
    }

    /// Finds path and query in the target (RFC 9112 section 3.2): origin form, absolute form, and "*" for OPTIONS.
    private mutating func splitTarget(_ base: UnsafeRawPointer, _ question: Int, _ hasPercent: Bool) -> HTTPViolation? {
        var pathStart = target.lowerBound
        let end = question < 0 ? target.upperBound : question
        switch ByteScan.byte(base, pathStart) {
        case 0x2F: break
        case 0x2A where method == .options && target.count == 1: break
        default:
            // A scheme, an authority without user information, then a path or nothing.
            var schemeEnd = 0
            if ByteScan.equalsIgnoringCase(base, pathStart, min(7, target.count), "http://") { schemeEnd = pathStart &+ 7 }
            if ByteScan.equalsIgnoringCase(base, pathStart, min(8, target.count), "https://") { schemeEnd = pathStart &+ 8 }
            guard schemeEnd > 0, schemeEnd < end else { return .unsupportedTarget }
            pathStart = min(ByteScan.find(0x2F, base, from: schemeEnd, limit: end) ?? end, end)
            guard pathStart > schemeEnd else { return .unsupportedTarget }
            for at in schemeEnd..<pathStart where !ASCIISet.host.contains(ByteScan.byte(base, at)) {
                return .unsupportedTarget
            }
            authority = schemeEnd..<pathStart
        }
        path = pathStart..<end
        if question >= 0 {
            hasQuery = true
            query = (question &+ 1)..<target.upperBound
        }
        return hasPercent ? checkPercentEncoding(base) : nil
    }

    private func checkPercentEncoding(_ base: UnsafeRawPointer) -> HTTPViolation? {
        var at = target.lowerBound
        while let percent = ByteScan.find(0x25, base, from: at, limit: target.upperBound) {
            guard percent &+ 2 < target.upperBound else { return .invalidPercentEncoding }
            let high = ByteScan.byte(base, percent &+ 1)
            let low = ByteScan.byte(base, percent &+ 2)
            guard isHexDigit(high), isHexDigit(low) else { return .invalidPercentEncoding }
            // An encoded NUL ends strings in whatever decodes it.
            if high == 0x30 && low == 0x30 { return .invalidPercentEncoding }
            at = percent &+ 3
        }
        return nil
    }

    /// What only the whole head shows.
    private func checkWhole(_ base: UnsafeRawPointer) -> HTTPViolation? {
        if section.isChunked {
            if section.contentLength != nil { return .lengthAndTransferEncoding }
            if minorVersion == 0 { return .transferEncodingOnHTTP10 }
        }
        if !section.has(.host) { return minorVersion == 1 ? .missingHost : nil }
        if !authority.isEmpty, let host = first(.host)?.value {
            guard host.count == authority.count else { return .hostMismatch }
            for index in 0..<host.count {
                var one = ByteScan.byte(base, host.lowerBound &+ index)
                var other = ByteScan.byte(base, authority.lowerBound &+ index)
                if one &- 0x41 < 26 { one |= 0x20 }
                if other &- 0x41 < 26 { other |= 0x20 }
                if one != other { return .hostMismatch }
            }
        }
        return nil
    }
}
