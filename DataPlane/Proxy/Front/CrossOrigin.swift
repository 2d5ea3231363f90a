import Wire

/// What browsers may do with answers (Fetch Standard, "CORS protocol"): pages of the origins in a list may call this data plane. Off unless
/// the operator names origins. No credentials are allowed: keys travel in a field that the page sets, not in cookies.
struct CrossOrigin {
    private let allowsAll: Bool
    private let origins: Set<[UInt8]>

    /// Nil when no origin is named: nothing about origins is said then.
    /// - Parameter origins: as browsers send them, `https://app.example`; `*` for every one.
    init?(origins: [String]) {
        let named = origins.map { $0.utf8.map(Self.lowercased) }.filter { !$0.isEmpty }
        if named.isEmpty { return nil }
        allowsAll = named.contains([UInt8(ascii: "*")])
        self.origins = Set(named)
    }

    /// What the origin of a request leads to.
    /// - Returns: whole lines for its answer, and that answer where it is given here: to preflights, and to pages that may not call.
    func judge(_ head: borrowing RequestHeadParser, _ bytes: UnsafeRawBufferPointer) -> (lines: [UInt8], decision: HeadDecision?) {
        guard let origin = Self.value("origin", head, bytes) else { return (Self.vary, nil) }
        let lines = lines(origin)
        guard head.method == .options, Self.value("access-control-request-method", head, bytes) != nil,
            RequestRouter.target(bytes, path: head.path, isPost: true, isGet: true) != .unknown
        else { return (lines ?? Self.vary, nil) }
        guard let lines else {
            return (
                Self.vary, .reject(.forbidden("origin_not_allowed", "This gateway does not let pages of this origin call it."))
            )
        }
        let fields = Self.value("access-control-request-headers", head, bytes)
        return (lines + preflightLines(fields: fields), .answer(LocalAnswer(status: 204, body: [])))
    }

    /// Whole lines for the answer to a request with this origin; nil for an origin that may not call.
    private func lines(_ origin: UnsafeRawBufferPointer) -> [UInt8]? {
        guard allowsAll || origins.contains(origin.map(Self.lowercased)) else { return nil }
        var out = Array("access-control-allow-origin: ".utf8)
        if allowsAll { out.append(UInt8(ascii: "*")) } else { out.append(contentsOf: origin) }
        out.append(contentsOf: Self.exposed)
        if !allowsAll { out.append(contentsOf: Self.vary) }
        return out
    }

    /// What the vendors' own SDKs read of an answer.
    private static let exposed = Array(
        ("\r\naccess-control-expose-headers: x-request-id, request-id, x-weir-config-version, retry-after, retry-after-ms, x-should-retry, "
            + ["limit", "remaining", "reset"].flatMap { ["x-ratelimit-\($0)-requests", "x-ratelimit-\($0)-tokens"] }.joined(separator: ", ")
            + "\r\n").utf8)

    /// The answer depends on the origin, also where there is none or another: caches have to know.
    private static let vary = Array("vary: Origin\r\n".utf8)

    /// What a preflight is told beside `lines`.
    /// - Parameters:
    ///   - fields: what the page wants to send. All are allowed: the ones that mean nothing here go no further anyway.
    private func preflightLines(fields: UnsafeRawBufferPointer?) -> [UInt8] {
        var out = Array("access-control-allow-methods: GET, HEAD, POST, DELETE\r\naccess-control-max-age: 600\r\n".utf8)
        if let fields, !fields.isEmpty, fields.count <= 4096 {
            out.append(contentsOf: "access-control-allow-headers: ".utf8)
            out.append(contentsOf: fields)
            out.append(contentsOf: "\r\n".utf8)
        }
        return out
    }

    /// The value of a field that the parser has no number for.
    private static func value(_ name: StaticString, _ head: borrowing RequestHeadParser, _ bytes: UnsafeRawBufferPointer)
        -> UnsafeRawBufferPointer?
    {
        for field in head.fields where field.known == .other && field.name.count == name.utf8CodeUnitCount {
            let isSame = zip(bytes[field.name], UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
                .allSatisfy { lowercased($0) == $1 }
            if isSame { return UnsafeRawBufferPointer(rebasing: bytes[field.value]) }
        }
        return nil
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
