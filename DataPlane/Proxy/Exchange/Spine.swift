import Formats
import NIOCore
import Primitives
import Telemetry
import Wire

/// What the head of a request leads to.
enum HeadDecision {
    /// The body is wanted; `Exchange.run` follows.
    case receiveBody
    /// The answer is known without the body.
    case answer(LocalAnswer)
    case reject(Rejection)
}

/// An answer that Weir gives by itself.
struct LocalAnswer {
    var status = 200
    var body: [UInt8]
    var configVersion: [UInt8] = []
}

extension Exchange {
    /// Stage one, at the end of the head: what is asked for, and by whom. Runs before the body is read, so that nobody without a key
    /// makes the gateway hold a body.
    func receive<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) -> HeadDecision {
        if !isIdle { reset() }
        // One look at each clock: the front has read the monotonic one when the bytes came.
        receivedAt = loop.clock.nowMicroseconds()
        startedAt = loop.nowMicroseconds
        requestID = loop.requestIDs.next(milliseconds: receivedAt / 1000)
        phase = .receiving
        let isGet = head.method == .get || head.method == .head
        let target = RequestRouter.target(bytes, path: head.path, isPost: head.method == .post, isGet: isGet)
        do throws(Rejection) {
            switch target {
            case .generate(let capability, let channel):
                self.capability = capability
                try authenticate(head, bytes, channel)
                try checkBody(head)
                collectForwardedLines(head, bytes)
                return .receiveBody
            case .listModels(let channel):
                try authenticate(head, bytes, channel)
                return .answer(try ModelCatalogue.list(for: self))
            case .showModel(let channel, let name):
                try authenticate(head, bytes, channel)
                return .answer(try ModelCatalogue.show(bytes[name], for: self))
            case .live: return .answer(LocalAnswer(body: Array(#"{"status":"ok"}"#.utf8)))
            case .ready:
                let isReady = loop.snapshot?.isServing == true && !loop.isDraining
                return .answer(
                    LocalAnswer(
                        status: isReady ? 200 : 503, body: Array((isReady ? #"{"status":"ok"}"# : #"{"status":"unavailable"}"#).utf8)))
            case .wrongMethod(let allowed):
                throw .methodNotAllowed(text(bytes, head.methodRange), text(bytes, head.path), allowed: allowed)
            case .unknown: throw .unknownURL(text(bytes, head.methodRange), text(bytes, head.path))
            }
        } catch {
            return .reject(error)
        }
    }

    private func authenticate(
        _ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer, _ channel: Caller.Channel
    ) throws(Rejection) {
        guard let snapshot = loop.snapshot else { throw .notConfigured() }
        var isBearer = true
        var field = head.first(.authorization)
        if field == nil {
            isBearer = false
            field = head.first(.xAPIKey) ?? head.first(.apiKey)
        }
        let presented = field.map { UnsafeRawBufferPointer(rebasing: bytes[$0.value]) }
        let now = receivedAt / 1000
        let caller = try Authenticate.caller(
            presented: presented, isBearer: isBearer, channel: channel, directory: snapshot.directory, nowMilliseconds: now)
        guard let config = snapshot.config(for: caller.key, nowMs: now) else { throw .notConfigured() }
        self.snapshot = snapshot
        self.caller = caller
        self.config = config
    }

    private func checkBody(_ head: borrowing some RequestHead & ~Copyable) throws(Rejection) {
        if loop.isDraining { throw .draining() }
        guard head.hasBody else {
            throw .badRequest("missing_body", "The request has no body. Send a JSON object with at least \"model\".")
        }
        if let length = head.contentLength, length > Int64(loop.settings.maxBodyBytes) {
            throw .bodyTooLarge(maximum: loop.settings.maxBodyBytes)
        }
        if head.has(.contentEncoding) {
            var rejection = Rejection.badRequest("unsupported_encoding", "The request body is compressed. Send it as it is.")
            rejection.status = 415
            throw rejection
        }
        if loop.bufferedBytes > loop.settings.maxBufferedBytes { throw .overloaded() }
    }

    /// The few fields of the client's that concern the provider. A list of what goes, not of what stays: a new field never leaks.
    private func collectForwardedLines(_ head: borrowing some RequestHead & ~Copyable, _ bytes: UnsafeRawBufferPointer) {
        guard head.has(.openAIBeta) || head.has(.idempotencyKey) || head.has(.traceparent) else { return }
        for known in [KnownField.openAIBeta, .idempotencyKey, .traceparent, .tracestate] {
            guard let name = known.name else { continue }
            head.forEach(known) { field in
                forwardedLines.append(contentsOf: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
                forwardedLines.append(contentsOf: [58, 32])
                forwardedLines.append(contentsOf: bytes[field.value])
                forwardedLines.append(contentsOf: [13, 10])
            }
        }
        if let field = head.first(.traceparent) {
            traceID = TraceContext(traceparent: UnsafeRawBufferPointer(rebasing: bytes[field.value]))?.traceID ?? .absent
        }
    }

    /// The rest of the spine up to the intent, at the end of the body.
    func run(body: ByteBuffer) throws(Rejection) {
        self.body = body
        guard let caller, let config else { throw .notConfigured() }
        let members = try scan(body)
        let admission = try Admit.request(members, body, capability: capability, caller: caller, config: config, random: requestID.low)
        self.members = members
        model = admission.model
        isStreaming = admission.isStreaming
        clientWantsUsage = admission.clientWantsUsage
        let text = members.messages ?? members.prompt ?? members.input
        estimatedInputTokens = TokenEstimate.input(requestBytes: Int64(text?.count ?? body.readableBytes))
        var plan = RoutePlan(admission)
        guard let attempt = plan.next(self) else { throw lastFailure ?? .noCredential() }
        self.plan = plan
        self.attempt = attempt
        admittedAt = receivedAt &+ (loop.nowMicroseconds &- startedAt)
        try writeIntent()
        phase = .journaling
        loop.metrics.admitted &+= 1
        if isStreaming { loop.metrics.streams &+= 1 }
        loop.sendAfterJournal(self)
    }

    private func scan(_ body: ByteBuffer) throws(Rejection) -> RequestMembers {
        // `withUnsafeReadableBytes` is no typed-throws function: the result carries the error out.
        let result: Result<RequestMembers, JSONViolation> = body.withUnsafeReadableBytes { bytes in
            do throws(JSONViolation) {
                return .success(try ChatRequestScan.scan(bytes, maxDepth: 128))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let members): return members
        case .failure(let violation): throw Admit.rejection(for: violation)
        }
    }

    private func text(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> String {
        String(decoding: bytes[range].prefix(200), as: UTF8.self)
    }
}
