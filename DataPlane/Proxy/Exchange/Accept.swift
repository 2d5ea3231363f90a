import Formats
import NIOCore
import Primitives
import Telemetry
import Wire

/// The first stage, as far as it is not the front's: what a head has to be before anybody waits for its body.
enum Accept {
    static func checkBody(
        _ head: borrowing some RequestHead & ~Copyable, _ loop: LoopContext, isRequired: Bool = true, maximum: Int? = nil
    ) throws(Rejection) {
        if loop.isDraining { throw .draining() }
        guard head.hasBody else {
            if !isRequired { return }
            throw .badRequest("missing_body", "The request has no body. Send a JSON object with at least \"model\".")
        }
        let maximum = maximum ?? loop.settings.maxBodyBytes
        if let length = head.contentLength, length > Int64(maximum) { throw .bodyTooLarge(maximum: maximum) }
        if head.has(.contentEncoding) {
            var rejection = Rejection.badRequest("unsupported_encoding", "The request body is compressed. Send it as it is.")
            rejection.status = 415
            throw rejection
        }
    }

    /// The few fields of the client's that concern the provider. A list of what goes, not of what stays: a new field never leaks.
    static func forwarded(_ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer) -> ([UInt8], TraceID) {
        guard head.has(.idempotencyKey) || head.has(.traceparent) else { return ([], .absent) }
        let lines = lines(of: [.idempotencyKey, .traceparent, .tracestate], head, bytes)
        let trace = head.first(.traceparent).flatMap { TraceContext(traceparent: UnsafeRawBufferPointer(rebasing: bytes[$0.value])) }
        return (lines, trace?.traceID ?? .absent)
    }

    /// The fields that belong to a dialect: a provider that speaks another one is not sent them.
    static func dialectLines(
        _ dialect: Dialect, _ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer
    ) -> [UInt8] {
        switch dialect {
        case .openAI, .responses: head.has(.openAIBeta) ? lines(of: [.openAIBeta], head, bytes) : []
        case .messages: lines(of: [.anthropicVersion, .anthropicBeta], head, bytes)
        }
    }

    private static func lines(
        of fields: [KnownField], _ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer
    ) -> [UInt8] {
        var lines: [UInt8] = []
        for known in fields {
            guard let name = known.name else { continue }
            head.forEach(known) { field in
                lines.append(contentsOf: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
                lines.append(contentsOf: [UInt8(ascii: ":"), UInt8(ascii: " ")])
                lines.append(contentsOf: bytes[field.value])
                lines.append(contentsOf: [13, 10])
            }
        }
        return lines
    }

    static func text(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> String {
        String(decoding: bytes[range].prefix(200), as: UTF8.self)
    }
}

extension Exchange {
    /// Authenticate, at the end of the head.
    func authenticate(
        _ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer, _ channel: Caller.Channel
    ) throws(Rejection) -> (Authentication, RuntimeSnapshot) {
        guard let snapshot = loop.snapshot else { throw .notConfigured() }
        // Before the key: an empty directory would call every key a wrong one.
        if snapshot.isRevoked { throw .revoked() }
        // Beside a gateway secret no key counts: SDKs always send one, be it made up.
        if channel == .internal || (channel == .standard && head.has(.xGatewaySecret)) {
            func value(_ field: KnownField) -> UnsafeRawBufferPointer? {
                head.first(field).map { UnsafeRawBufferPointer(rebasing: bytes[$0.value]) }
            }
            let asking = AppCall(secret: value(.xGatewaySecret), appID: value(.xAppID), userOID: value(.xUserOID))
            let caller = try Authenticate.caller(
                asking, sharedSecret: loop.gatewaySecret, dialect: dialect, directory: snapshot.directory,
                nowMilliseconds: receivedAt / 1000)
            try checkBans(caller)
            _ = try configuration(snapshot, caller)
            return (.complete(caller), snapshot)
        }
        var isBearer = true
        var field = head.first(.authorization)
        if field == nil {
            isBearer = false
            field = head.first(.xAPIKey) ?? head.first(.apiKey)
        }
        let presented = field.map { UnsafeRawBufferPointer(rebasing: bytes[$0.value]) }
        // SDKs always send a key, be it made up: a signature counts before one that is none of ours.
        if !Authenticate.isKey(presented, isBearer: isBearer), let caller = try signedCaller(head, bytes, channel, snapshot) {
            return (.afterBody(caller), snapshot)
        }
        let authentication = try Authenticate.caller(
            presented: presented, isBearer: isBearer, memory: &presentedKey, channel: channel,
            dialect: dialect, directory: snapshot.directory, nowMilliseconds: receivedAt / 1000)
        if case .complete(let caller) = authentication {
            try checkBans(caller)
            if caller.scopes?.origin != nil { try callerAddress(head, bytes).check(caller.scopes) }
            // Without a configuration no body is worth waiting for.
            _ = try configuration(snapshot, caller)
        }
        return (authentication, snapshot)
    }

    /// Authenticate's end, when the body is whole. What was taken from a principal while it arrived counts.
    func complete(_ asked: Asked, _ body: ByteBuffer) throws(Rejection) -> Caller {
        var caller = try asked.authentication.caller(body)
        if let grant = asked.grant {
            caller = try Authenticate.delegated(
                caller, grant, (loop.snapshot ?? asked.snapshot).directory, nowMilliseconds: loop.clock.nowMilliseconds())
        }
        try checkStanding(caller, asked)
        return caller
    }

    /// What was taken from a principal since its request's head was read counts.
    func checkStanding(_ caller: Caller, _ asked: Asked) throws(Rejection) {
        if let directory = loop.snapshot?.directory, directory.revocations != asked.snapshot.directory.revocations,
            let why = directory.interruption(of: caller.principal)
        {
            throw Rejection(why)
        }
        try checkBans(caller)
    }

    private func checkBans(_ caller: Caller) throws(Rejection) {
        guard !loop.bans.isEmpty else { return }
        if let why = loop.bans.interruption(of: caller.principal, nowMilliseconds: receivedAt / 1000) { throw Rejection(why) }
    }

    /// The configuration in force for a caller at the time of the request.
    func configuration(_ snapshot: RuntimeSnapshot, _ caller: Caller) throws(Rejection) -> CompiledConfig {
        guard let config = snapshot.config(isCandidate: caller.isCandidate, nowMs: receivedAt / 1000) else { throw .notConfigured() }
        configVersion = config.versionText
        return config
    }
}

extension Authentication {
    /// The head has said who calls: nothing of the body is needed for that.
    var isComplete: Bool { if case .complete = self { true } else { false } }

    /// The caller of a request with this body.
    func caller(_ body: ByteBuffer) throws(Rejection) -> Caller {
        switch self {
        case .complete(let caller): caller
        case .afterBody(let pending): try body.withUnsafeReadableBytes { pending.finish($0) }.get()
        }
    }
}
