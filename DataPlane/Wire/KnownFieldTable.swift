import Primitives

extension KnownField {
    /// Recognises a field name, in any case. The bytes are known to be token characters.
    @inline(__always)
    static func recognise(_ base: UnsafeRawPointer, from start: Int, to end: Int) -> KnownField {
        let count = end &- start
        // Names of eight bytes and more are told apart by their first eight bytes, then compared whole.
        if count >= 8 {
            guard count <= 19 else { return .other }
            return recogniseLong(base, start, count, lowercasedWord(base, start))
        }
        switch count {
        case 2: return ByteScan.equalsIgnoringCase(base, start, count, "te") ? .te : .other
        case 4:
            if ByteScan.equalsIgnoringCase(base, start, count, "host") { return .host }
            return ByteScan.equalsIgnoringCase(base, start, count, "date") ? .date : .other
        case 6:
            if ByteScan.equalsIgnoringCase(base, start, count, "accept") { return .accept }
            if ByteScan.equalsIgnoringCase(base, start, count, "expect") { return .expect }
            if ByteScan.equalsIgnoringCase(base, start, count, "server") { return .server }
            return ByteScan.equalsIgnoringCase(base, start, count, "cookie") ? .cookie : .other
        case 7:
            if ByteScan.equalsIgnoringCase(base, start, count, "api-key") { return .apiKey }
            if ByteScan.equalsIgnoringCase(base, start, count, "trailer") { return .trailer }
            return ByteScan.equalsIgnoringCase(base, start, count, "upgrade") ? .upgrade : .other
        default: return .other
        }
    }

    @inline(__always)
    private static func recogniseLong(_ base: UnsafeRawPointer, _ start: Int, _ count: Int, _ head: UInt64) -> KnownField {
        // The last eight bytes overlap the first eight in names shorter than sixteen; sixteen bytes decide every name but the longest.
        let tail = lowercasedWord(base, start &+ count &- 8)
        switch count {
        case 8:
            if head == word("x-app-id") { return .xAppID }
            return head == word("location") ? .location : .other
        case 9:
            if head == word("x-api-ke") && tail == word("-api-key") { return .xAPIKey }
            return head == word("forwarde") && tail == word("orwarded") ? .forwarded : .other
        case 10:
            switch head {
            case word("connecti"): return tail == word("nnection") ? .connection : .other
            case word("user-age"): return tail == word("er-agent") ? .userAgent : .other
            case word("tracesta"): return tail == word("acestate") ? .tracestate : .other
            case word("x-user-o"): return tail == word("user-oid") ? .xUserOID : .other
            case word("keep-ali"): return tail == word("ep-alive") ? .keepAlive : .other
            default: return head == word("set-cook") && tail == word("t-cookie") ? .setCookie : .other
            }
        case 11:
            if head == word("tracepar") && tail == word("ceparent") { return .traceparent }
            if head == word("openai-b") && tail == word("nai-beta") { return .openAIBeta }
            return head == word("retry-af") && tail == word("ry-after") ? .retryAfter : .other
        case 12:
            if head == word("content-") && tail == word("ent-type") { return .contentType }
            if head == word("x-weir-g") && tail == word("ir-grant") { return .xWeirGrant }
            return head == word("x-reques") && tail == word("quest-id") ? .xRequestID : .other
        case 13:
            if head == word("authoriz") && tail == word("rization") { return .authorization }
            return head == word("cache-co") && tail == word("-control") ? .cacheControl : .other
        case 14:
            if head == word("content-") && tail == word("t-length") { return .contentLength }
            if head == word("anthropi") && tail == word("pic-beta") { return .anthropicBeta }
            return head == word("openai-p") && tail == word("-project") ? .openAIProject : .other
        case 15:
            if head == word("x-weir-e") && tail == word("endpoint") { return .xWeirEndpoint }
            if head == word("x-weir-s") && tail == word("strategy") { return .xWeirStrategy }
            if head == word("accept-e") && tail == word("encoding") { return .acceptEncoding }
            if head == word("idempote") && tail == word("ency-key") { return .idempotencyKey }
            return head == word("x-forwar") && tail == word("rded-for") ? .xForwardedFor : .other
        case 16:
            if head == word("content-") && tail == word("encoding") { return .contentEncoding }
            if head == word("x-gatewa") && tail == word("y-secret") { return .xGatewaySecret }
            return head == word("proxy-co") && tail == word("nnection") ? .proxyConnection : .other
        case 17:
            if head == word("anthropi"), tail == word("-version") {
                return ByteScan.byte(base, start &+ 8) | 0x20 == 0x63 ? .anthropicVersion : .other
            }
            guard head == word("transfer") && tail == word("encoding") else { return .other }
            return ByteScan.byte(base, start &+ 8) == 0x2D ? .transferEncoding : .other
        case 18: return ByteScan.equalsIgnoringCase(base, start, count, "proxy-authenticate") ? .proxyAuthenticate : .other
        case 19:
            if ByteScan.equalsIgnoringCase(base, start, count, "openai-organization") { return .openAIOrganization }
            return ByteScan.equalsIgnoringCase(base, start, count, "proxy-authorization") ? .proxyAuthorization : .other
        default: return .other
        }
    }

    /// The name in lower case, nil for `.other`.
    package var name: StaticString? {
        switch self {
        case .host: "host"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .connection: "connection"
        case .authorization: "authorization"
        case .apiKey: "api-key"
        case .xAPIKey: "x-api-key"
        case .contentType: "content-type"
        case .accept: "accept"
        case .userAgent: "user-agent"
        case .expect: "expect"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .openAIBeta: "openai-beta"
        case .openAIOrganization: "openai-organization"
        case .openAIProject: "openai-project"
        case .idempotencyKey: "idempotency-key"
        case .xRequestID: "x-request-id"
        case .retryAfter: "retry-after"
        case .contentEncoding: "content-encoding"
        case .acceptEncoding: "accept-encoding"
        case .cacheControl: "cache-control"
        case .keepAlive: "keep-alive"
        case .te: "te"
        case .trailer: "trailer"
        case .upgrade: "upgrade"
        case .proxyConnection: "proxy-connection"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyAuthenticate: "proxy-authenticate"
        case .date: "date"
        case .server: "server"
        case .cookie: "cookie"
        case .setCookie: "set-cookie"
        case .forwarded: "forwarded"
        case .xForwardedFor: "x-forwarded-for"
        case .location: "location"
        case .xGatewaySecret: "x-gateway-secret"
        case .xAppID: "x-app-id"
        case .xUserOID: "x-user-oid"
        case .xWeirGrant: "x-weir-grant"
        case .anthropicVersion: "anthropic-version"
        case .anthropicBeta: "anthropic-beta"
        case .xWeirEndpoint: "x-weir-endpoint"
        case .xWeirStrategy: "x-weir-strategy"
        case .other: nil
        }
    }
}

/// Eight ASCII bytes as the word a little-endian load gives. Folds to a constant.
@inline(__always)
private func word(_ text: StaticString) -> UInt64 {
    UInt64(littleEndian: UnsafeRawPointer(text.utf8Start).loadUnaligned(as: UInt64.self))
}
