/// Header fields that the gateway acts on, recognised (in any case) while the head is parsed so that nobody compares names later.
@frozen @usableFromInline
package enum KnownField: UInt8, Sendable, CaseIterable {
    case host, contentLength, transferEncoding, connection, authorization, apiKey, xAPIKey, contentType, accept, userAgent, expect
    case traceparent, tracestate, openAIBeta, openAIOrganization, openAIProject, idempotencyKey, xRequestID, retryAfter
    case contentEncoding, acceptEncoding, cacheControl, keepAlive, te, trailer, upgrade, proxyConnection, proxyAuthorization
    case proxyAuthenticate, date, server, cookie, setCookie, forwarded, xForwardedFor, location
    case xGatewaySecret, xAppID, xUserOID
    case xWeirGrant, xWeirEndpoint, xWeirStrategy
    case anthropicVersion, anthropicBeta
    case other

    /// Whether the field concerns one connection only and is never forwarded (RFC 9110 section 7.6.1).
    @inlinable
    package var isHopByHop: Bool {
        switch self {
        case .connection, .transferEncoding, .keepAlive, .te, .trailer, .upgrade, .proxyConnection, .proxyAuthorization,
            .proxyAuthenticate:
            true
        default: false
        }
    }
}

/// One header field, as offsets into the bytes that were parsed. Valid only beside those bytes.
@frozen @usableFromInline
package struct HTTPField: Sendable, Equatable {
    @usableFromInline package var nameStart: Int32
    @usableFromInline package var nameEnd: Int32
    /// The value without surrounding whitespace.
    @usableFromInline package var valueStart: Int32
    @usableFromInline package var valueEnd: Int32
    @usableFromInline package var known: KnownField
    /// Not to be forwarded: hop-by-hop by nature, or named by the Connection field.
    @usableFromInline package var isHopByHop: Bool

    @inlinable
    package init(nameStart: Int32, nameEnd: Int32, valueStart: Int32, valueEnd: Int32, known: KnownField, isHopByHop: Bool) {
        self.nameStart = nameStart
        self.nameEnd = nameEnd
        self.valueStart = valueStart
        self.valueEnd = valueEnd
        self.known = known
        self.isHopByHop = isHopByHop
    }

    @inlinable package var name: Range<Int> { Range(uncheckedBounds: (Int(nameStart), Int(nameEnd))) }
    @inlinable package var value: Range<Int> { Range(uncheckedBounds: (Int(valueStart), Int(valueEnd))) }
    /// Name, colon, whitespace and value: what is copied when the field is forwarded as it came (without the line's end).
    @inlinable package var line: Range<Int> { Range(uncheckedBounds: (Int(nameStart), Int(valueEnd))) }
}

package enum HTTPMethod: UInt8, Sendable {
    case get, post, put, delete, head, options, patch, other
}

/// Bounds on a message head, in bytes and counts.
package struct HTTPLimits: Sendable, Equatable {
    /// Start line, fields and both line ends together.
    package var maxHeadBytes: Int
    package var maxFields: Int
    package var maxTargetBytes: Int

    package init(maxHeadBytes: Int = 32_768, maxFields: Int = 100, maxTargetBytes: Int = 8_192) {
        // Offsets are stored as Int32; a megabyte of head is beyond any use.
        self.maxHeadBytes = min(max(maxHeadBytes, 64), 1 << 20)
        self.maxFields = min(max(maxFields, 1), 10_000)
        self.maxTargetBytes = min(max(maxTargetBytes, 1), 1 << 20)
    }
}

package enum ParseStep: Sendable, Equatable {
    /// The head is not complete; call again with the same bytes and more behind them.
    case needMore
    /// The head is complete and valid; the body, if any, begins at this offset.
    case complete(headBytes: Int)
    case invalid(HTTPViolation)
}

/// How long the body of a response is (RFC 9112 section 6.3).
package enum BodyFraming: Sendable, Equatable {
    case none
    case length(Int64)
    case chunked
    case untilClose
}
