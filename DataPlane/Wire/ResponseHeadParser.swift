import Primitives

/// Parses the head of an HTTP/1.x response of an upstream, as strictly as a request: a provider, or who sits between, is not trusted
/// with the framing of our connections either.
///
/// Interim responses (1xx) are reported like others; the caller skips `headBytes`, calls `reset` and parses on. 101 is a violation: the
/// gateway never asks for another protocol.
@usableFromInline
package struct ResponseHeadParser: Sendable {
    package let limits: HTTPLimits
    package private(set) var status = 0
    package private(set) var minorVersion: UInt8 = 1
    package private(set) var reasonPhrase: Range<Int> = 0..<0
    /// How the body ends. `.none` for an answer to HEAD, 1xx, 204 and 304.
    package private(set) var framing: BodyFraming = .none
    /// Whether the connection may serve another request once the body is read.
    package private(set) var keepAlive = false

    @usableFromInline package private(set) var section = FieldSection()
    private var lineDone = false
    private var requestMethod: HTTPMethod = .other

    package init(limits: HTTPLimits = HTTPLimits()) {
        self.limits = limits
        section.fields.reserveCapacity(min(limits.maxFields, 48))
    }

    @inlinable
    package var fields: [HTTPField] {
        _read { yield section.fields }
    }
    package var contentLength: Int64? { section.contentLength }
    package var isInformational: Bool { status < 200 }

    @inlinable
    package func has(_ known: KnownField) -> Bool { known != .other && section.has(known) }

    package func first(_ known: KnownField) -> HTTPField? {
        guard has(known) else { return nil }
        for index in section.fields.indices where section.fields[index].known == known { return section.fields[index] }
        return nil
    }

    /// Prepares for the answer to a request with that method, which decides whether there is a body.
    package mutating func reset(requestMethod: HTTPMethod) {
        section.reset()
        self.requestMethod = requestMethod
        lineDone = false
        status = 0
        minorVersion = 1
        reasonPhrase = 0..<0
        framing = .none
        keepAlive = false
    }

    package mutating func parse(_ bytes: UnsafeRawBufferPointer) -> ParseStep {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return .needMore }
        let limit = min(bytes.count, limits.maxHeadBytes)
        if !lineDone {
            guard section.lineMayBeComplete(base, limit) else { return starved(limit, bytes.count) }
            switch parseStatusLine(base, limit) {
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
        switch section.parse(base, limit: limit, maxFields: limits.maxFields, isRequest: false) {
        case .needMore: return starved(limit, bytes.count)
        case .invalid(let violation): return .invalid(violation)
        case .end(let end):
            if let violation = frame() { return .invalid(violation) }
            return .complete(headBytes: end)
        }
    }

    private func starved(_ limit: Int, _ count: Int) -> ParseStep {
        limit < count || limit == limits.maxHeadBytes ? .invalid(.headTooLarge) : .needMore
    }

    /// "HTTP/1." DIGIT SP 3DIGIT, then SP and a phrase, or nothing: servers that leave out the last space are common and unambiguous.
    private mutating func parseStatusLine(_ base: UnsafeRawPointer, _ limit: Int) -> FieldSection.Step {
        guard limit >= 14 else {
            guard let lineFeed = ByteScan.find(0x0A, base, from: 0, limit: limit) else { return .needMore }
            return .invalid(lineFeed == 12 ? .bareLF : .malformedStatusLine)
        }
        let version = UInt64(bigEndian: base.loadUnaligned(as: UInt64.self))
        switch version {
        case 0x4854_5450_2F31_2E31: minorVersion = 1
        case 0x4854_5450_2F31_2E30: minorVersion = 0
        default: return .invalid(version &>> 24 == 0x48_5454_502F ? .unsupportedVersion : .malformedStatusLine)
        }
        let digits = (
            ByteScan.byte(base, 9) &- 0x30, ByteScan.byte(base, 10) &- 0x30,
            ByteScan.byte(base, 11) &- 0x30
        )
        guard ByteScan.byte(base, 8) == 0x20, digits.0 >= 1, digits.0 <= 5, digits.1 < 10, digits.2 < 10 else {
            return .invalid(.malformedStatusLine)
        }
        status = Int(digits.0) &* 100 &+ Int(digits.1) &* 10 &+ Int(digits.2)
        let after = ByteScan.byte(base, 12)
        guard after == 0x20 || after == 0x0D else { return .invalid(after == 0x0A ? .bareLF : .malformedStatusLine) }
        let phrase = after == 0x20 ? 13 : 12
        var end = findControl(base, from: phrase, limit: limit)
        while end < limit, ByteScan.byte(base, end) == 0x09 {
            end = findControl(base, from: end &+ 1, limit: limit)
        }
        guard end < limit else { return .needMore }
        switch ByteScan.byte(base, end) {
        case 0x0D: break
        case 0x0A: return .invalid(.bareLF)
        default: return .invalid(.malformedStatusLine)
        }
        guard end &+ 1 < limit else { return .needMore }
        guard ByteScan.byte(base, end &+ 1) == 0x0A else { return .invalid(.bareCR) }
        reasonPhrase = phrase..<end
        return .end(end &+ 2)
    }

    /// RFC 9112 section 6.3, in its order.
    private mutating func frame() -> HTTPViolation? {
        if section.isChunked {
            if section.contentLength != nil { return .lengthAndTransferEncoding }
            if minorVersion == 0 { return .transferEncodingOnHTTP10 }
        }
        if status == 101 { return .unexpectedUpgrade }
        keepAlive = !section.closes && (minorVersion == 1 || section.keepsAlive)
        if status < 200 || status == 204 || status == 304 || requestMethod == .head {
            framing = .none
            // These never have a body, but one that announces some may well send it: such a connection is not used again.
            let announcesBody = section.isChunked || (section.contentLength ?? 0) > 0
            if announcesBody && status != 304 && requestMethod != .head { keepAlive = false }
        } else if section.isChunked {
            framing = .chunked
        } else if let length = section.contentLength {
            framing = .length(length)
        } else {
            framing = .untilClose
            keepAlive = false
        }
        return nil
    }
}
