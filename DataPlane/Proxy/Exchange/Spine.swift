import Formats
import NIOCore
import Primitives
import Telemetry
import Wire

/// What the head of a request asks for; its body is awaited.
final class Asked {
    let authentication: Authentication
    /// Read once: a request sees one consistent state from its head to its record.
    let snapshot: RuntimeSnapshot
    let capability: RequestTarget.Capability
    /// Nil for conversations and texts.
    var media: MediaCall?
    /// Files that it names; nil for most.
    var files: FileUse?
    /// Its body may be sent on while it comes.
    var mayUpload = false
    /// The rest of its body, where that is done.
    var upload: Upload?
    /// Header lines of the client's that go to the provider.
    let forwardedLines: [UInt8]
    /// Those that mean something to a provider of the same dialect only.
    let dialectLines: [UInt8]
    let traceID: TraceID
    let purpose: Purpose
    /// Once it is known, with what a grant makes of it.
    var caller: Caller?
    /// What a DID passes on to the caller, as it was presented.
    var grant: String?
    /// Where it comes from; nil where nobody is limited by that.
    var address: LimitSubject?
    /// What it asks of its routing; nil for most.
    var choice: RoutingChoice?
    /// Its fields that templates and workflows read, by lower-case names; none where these read none.
    var headers: [String: String] = [:]

    /// Who answers it.
    enum Purpose {
        /// A provider, by way of a model.
        case generation
        /// A provider, as it came.
        case forward(Forward)
        /// A provider, of a response that it keeps.
        case kept(KeptCall)
        /// A provider, of a file that it keeps.
        case file(FileCall)
        /// Weir, once the caller is known.
        case local((Caller, CompiledConfig) throws(Rejection) -> LocalAnswer)
        /// A DID asks about itself.
        case own(OwnQuestion)
    }

    init(
        _ authentication: Authentication, _ snapshot: RuntimeSnapshot, _ capability: RequestTarget.Capability, forwardedLines: [UInt8],
        dialectLines: [UInt8] = [], traceID: TraceID, for purpose: Purpose = .generation
    ) {
        self.authentication = authentication
        self.snapshot = snapshot
        self.capability = capability
        self.forwardedLines = forwardedLines
        self.dialectLines = dialectLines
        self.traceID = traceID
        self.purpose = purpose
    }
}

/// What the begin of a body leads to.
enum BodyBegin {
    /// More of it is waited for.
    case isHeld
    /// It goes to the provider with what follows, as that comes.
    case isSentOn
    indirect case isRefused(Rejection)
}

/// What the head of a request leads to.
enum HeadDecision {
    /// The body is wanted; `Exchange.run` follows.
    case receiveBody
    /// The answer is known without the body.
    indirect case answer(LocalAnswer)
    indirect case reject(Rejection)
}

/// The spine: every stage is called here, in order.
extension Exchange {
    /// Accept and Authenticate, at the end of the head: what is asked for, and by whom. Runs before the body is read, so that nobody
    /// without a key makes the gateway hold a body.
    func receive<Head: RequestHead & ~Copyable>(_ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) -> HeadDecision {
        open()
        do throws(Rejection) {
            let isGet = head.method == .get || head.method == .head
            switch RequestRouter.target(bytes, path: head.path, isPost: head.method == .post, isGet: isGet) {
            case .generate(let capability, let dialect, let channel):
                self.dialect = dialect
                let (authentication, snapshot) = try authenticate(head, bytes, channel)
                try Accept.checkBody(head, loop)
                let (lines, traceID) = Accept.forwarded(head, bytes)
                let asked = Asked(
                    authentication, snapshot, capability, forwardedLines: lines, dialectLines: Accept.dialectLines(dialect, head, bytes),
                    traceID: traceID)
                if head.has(.xWeirGrant) { asked.grant = head.text("x-weir-grant", bytes) }
                asked.choice = try RoutingChoice.read(head, bytes)
                noteHeaders(asked, head, bytes)
                return awaitBody(of: asked, head, bytes)
            case .media(let operation, let channel):
                let (authentication, snapshot) = try authenticate(head, bytes, channel)
                let mayUpload = operation.takesForm && authentication.isComplete && head.contentLength != nil
                try Accept.checkBody(head, loop, maximum: mayUpload ? loop.settings.maxUploadBytes : nil)
                let media = try MediaCall(operation, head, bytes)
                if mayUpload, !media.isForm { try Accept.checkBody(head, loop) }
                let (lines, traceID) = Accept.forwarded(head, bytes)
                let asked = Asked(
                    authentication, snapshot, operation.capability, forwardedLines: lines,
                    dialectLines: Accept.dialectLines(.openAI, head, bytes), traceID: traceID)
                asked.media = media
                asked.mayUpload = mayUpload && media.isForm
                if head.has(.xWeirGrant) { asked.grant = head.text("x-weir-grant", bytes) }
                asked.choice = try RoutingChoice.read(head, bytes)
                noteHeaders(asked, head, bytes)
                return awaitBody(of: asked, head, bytes)
            case .listModels(let channel):
                if head.has(.anthropicVersion) { dialect = .messages }
                let query = String(decoding: bytes[head.query], as: UTF8.self)
                return try answer(head, bytes, channel) { (caller, config) throws(Rejection) in
                    try ModelCatalogue.list(for: caller, config, query: query)
                }
            case .showModel(let channel, let name):
                if head.has(.anthropicVersion) { dialect = .messages }
                let name = Array(bytes[name])
                return try answer(head, bytes, channel) { (caller, config) throws(Rejection) in
                    try ModelCatalogue.show(name, for: caller, config)
                }
            case .file(let rest, let channel):
                let (authentication, snapshot) = try authenticate(head, bytes, channel)
                let file = try FileCall(head, bytes, rest: rest)
                try Accept.checkBody(head, loop, isRequired: false)
                let (lines, traceID) = Accept.forwarded(head, bytes)
                let asked = Asked(authentication, snapshot, .files, forwardedLines: lines, traceID: traceID, for: .file(file))
                if head.has(.xWeirGrant) { asked.grant = head.text("x-weir-grant", bytes) }
                return awaitBody(of: asked, head, bytes)
            case .listFiles(let channel):
                return try answer(head, bytes, channel) { (_, _) throws(Rejection) in throw .filesNotListed() }
            case .forward(let rest):
                let forward = try Forward.read(head, bytes, rest: rest)
                let (authentication, snapshot) = try authenticate(head, bytes, .standard)
                guard case .afterBody = authentication else { throw .needsDID() }
                try Accept.checkBody(head, loop, isRequired: false)
                let (lines, traceID) = Accept.forwarded(head, bytes)
                let asked = Asked(
                    authentication, snapshot, .forward, forwardedLines: lines, traceID: traceID, for: .forward(forward))
                return awaitBody(of: asked, head, bytes)
            case .own(var question):
                if question == .root, !head.isSigned(bytes) {
                    throw .unknownURL(Accept.text(bytes, head.methodRange), Accept.text(bytes, head.path))
                }
                if case .told(let report, _) = question {
                    question = .told(report, query: String(decoding: bytes[head.query], as: UTF8.self))
                }
                let (authentication, snapshot) = try authenticate(head, bytes, .standard)
                guard case .afterBody = authentication else { throw .needsDID() }
                stage = .receiving(
                    Asked(authentication, snapshot, .forward, forwardedLines: [], traceID: .absent, for: .own(question)))
                return .receiveBody
            case .storedResponse(let rest, let channel):
                dialect = .responses
                let call = try KeptCall(head, bytes, rest: rest)
                let (authentication, snapshot) = try authenticate(head, bytes, channel)
                try Accept.checkBody(head, loop, isRequired: false)
                let (lines, traceID) = Accept.forwarded(head, bytes)
                let asked = Asked(
                    authentication, snapshot, .storedResponses, forwardedLines: lines, traceID: traceID, for: .kept(call))
                return awaitBody(of: asked, head, bytes)
            case .live: return .answer(.live)
            case .ready: return .answer(.ready(loop.snapshot?.isServing == true && !loop.isDraining))
            case .wrongMethod(let allowed):
                if head.has(.anthropicVersion) { dialect = .messages }
                throw .methodNotAllowed(Accept.text(bytes, head.methodRange), Accept.text(bytes, head.path), allowed: allowed)
            case .unknown:
                if head.has(.anthropicVersion) { dialect = .messages }
                throw .unknownURL(Accept.text(bytes, head.methodRange), Accept.text(bytes, head.path))
            }
        } catch {
            return .reject(error)
        }
    }

    private func awaitBody<Head: RequestHead & ~Copyable>(
        of asked: Asked, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer
    ) -> HeadDecision {
        noteAddress(asked, head, bytes)
        stage = .receiving(asked)
        return .receiveBody
    }

    /// What Weir answers by itself: at once, or for a DID that nobody knows yet once it is known.
    private func answer<Head: RequestHead & ~Copyable>(
        _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer, _ channel: Caller.Channel,
        _ local: @escaping (Caller, CompiledConfig) throws(Rejection) -> LocalAnswer
    ) throws(Rejection) -> HeadDecision {
        let (authentication, snapshot) = try authenticate(head, bytes, channel)
        guard case .afterBody(let pending) = authentication, pending.newcomer != nil else {
            let caller = try authentication.caller(ByteBuffer())
            return .answer(try local(caller, try configuration(snapshot, caller)))
        }
        stage = .receiving(Asked(authentication, snapshot, .chat, forwardedLines: [], traceID: .absent, for: .local(local)))
        return .receiveBody
    }

    /// Keeps what templates and workflows read of the head.
    @inline(__always)
    private func noteHeaders<Head: RequestHead & ~Copyable>(_ asked: Asked, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) {
        for name in asked.snapshot.readHeaders { if let value = head.text(name, bytes) { asked.headers[name] = value } }
    }

    @inline(__always)
    private func noteAddress<Head: RequestHead & ~Copyable>(_ asked: Asked, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer) {
        guard asked.snapshot.directory.limits.needsAddress else { return }
        asked.address = head.has(.xForwardedFor) ? callerAddress(head, bytes).address.flatMap { LimitSubject(address: $0) } : peerSubject
    }

    /// The body that is awaited may be sent on while it comes.
    var mayUpload: Bool {
        guard case .receiving(let asked?) = stage else { return false }
        return asked.mayUpload
    }

    /// A body is larger than what may be held.
    func bodyTooLarge(statesLength: Bool) -> Rejection {
        let maximum = loop.settings.maxBodyBytes
        guard !statesLength, case .receiving(let asked?) = stage, asked.media?.isForm == true else {
            return .bodyTooLarge(maximum: maximum)
        }
        return .unstatedLength(maximum: maximum)
    }

    /// What becomes of a body, of which so much has come, and not all.
    /// - Parameter length: of the whole, as its head states it.
    func judge(begin: ByteBuffer, of length: Int) -> BodyBegin {
        guard begin.readableBytes >= Upload.heldBytes, case .receiving(let asked?) = stage, asked.mayUpload, let media = asked.media else {
            return .isHeld
        }
        let begun = media.begin(begin)
        if begun == .decided { return .isSentOn }
        let maximum = loop.settings.maxBodyBytes
        if length <= maximum {
            // Whole, it may be sent to another endpoint where the first one fails.
            if begun == .fileFirst { asked.mayUpload = false }
        } else if begin.readableBytes > maximum {
            return .isRefused(begun == .fileFirst ? .modelBehindFile(maximum: maximum) : .bodyTooLarge(maximum: maximum))
        }
        return .isHeld
    }

    /// Admit and Select, at the end of the body; the request leaves once its intent is written.
    /// - Parameter upload: what follows of the body behind this begin of it.
    func run(body: ByteBuffer, upload: Upload? = nil) throws(Rejection) {
        guard case .receiving(let asked?) = stage else { throw .notConfigured() }
        asked.upload = upload
        if loop.isStopping { throw Rejection(.stopped) }
        if loop.snapshot?.isRevoked == true { throw .revoked() }
        if case .afterBody(let pending) = asked.authentication, let newcomer = pending.newcomer {
            return try introduce(newcomer, asked, body)
        }
        let caller = try complete(asked, body)
        asked.caller = caller
        if case .own(let question) = asked.purpose { return try answer(question, asked, caller) }
        let config = try configuration(asked.snapshot, caller)
        if case .local(let local) = asked.purpose { return answer(try local(caller, config)) }
        if case .forward(let forward) = asked.purpose { return try self.forward(forward, asked, caller, config, body) }
        if case .kept(let call) = asked.purpose { return try kept(call, asked, caller, config) }
        if case .file(let file) = asked.purpose { return try self.file(file, asked, caller, config) }
        try admit(asked, caller, config, asked.snapshot.credentials.resourceIDs == nil ? body : try withFiles(body, asked, caller))
    }

    /// Select, once its limits have let it in.
    /// - Parameter candidate: where it has to go; nil: that is to be chosen.
    func proceed(_ admission: Admission, _ candidate: Candidate?) throws(Rejection) {
        if let candidate { return try launch(admission, candidate) }
        if admission.capability == .countTokens, let count = try ownCount(admission) { return answer(count) }
        admission.route.state.countRequest(loop: loop.index)
        // Where an endpoint may be full, the choice is made when the request could go.
        if admission.route.isBounded { return try launch(admission, nil) }
        loop.health.refresh()
        try launch(admission, try firstCandidate(admission))
    }

    /// The request leaves once its intent is written.
    /// - Parameter candidate: nil: of a route with endpoints that may be full.
    func launch(_ admission: Admission, _ candidate: Candidate?) throws(Rejection) {
        guard try reserveBudget(admission) else {
            stage = .reserving(admission, candidate)
            if listIndex < 0 { loop.running.add(self) }
            return loop.park(self)
        }
        try setOut(admission, candidate)
    }

    /// What the request may cost is reserved.
    func setOut(_ admission: Admission, _ candidate: Candidate?) throws(Rejection) {
        guard let candidate, candidate.endpoint.maxConcurrent == 0 else { return try seekPlace(admission, candidate) }
        try begin(admission, Attempt(candidate, admission, of: self))
    }

    /// Everything that the request needs is there.
    func begin(_ admission: Admission, _ attempt: Attempt) throws(Rejection) {
        do throws(Rejection) { try writeIntent(admission, attempt) } catch {
            releaseBudget(admission)
            throw error
        }
        stage = .journaling(admission, attempt)
        if listIndex < 0 { loop.running.add(self) }
        loop.metrics.admitted &+= 1
        if admission.isStreaming {
            loop.metrics.streams &+= 1
            if admission.budget != nil { loop.mayHoldStreams = true }
        }
        loop.sendAfterJournal(self)
    }

    /// Forward: the journal has the intent.
    func intentIsDurable() {
        guard case .journaling(let admission, let attempt) = stage else { return }
        stage = .attempting(admission, attempt)
        attempt.start()
    }

    /// The journal could not keep the intent and has forgotten it.
    func intentFailed(_ refusal: JournalRefusal) {
        guard case .journaling(let admission, _) = stage else { return }
        releaseBudget(admission)
        stage = .receiving(nil)
        reject(.usageNotStorable(refusal.code))
    }

    /// The attempt's answer begins to pass: nothing is sent again.
    func attemptAnswers(_ attempt: Attempt) {
        guard case .attempting(let admission, let running) = stage, running === attempt || attempt === hedging?.beside else { return }
        hasAnswered = true
        if hedging != nil { decide(for: attempt, admission, running) }
        firstByteAt = loop.nowMicroseconds
        if admission.capability != .forward { loop.health.noteAnswer(attempt, now: firstByteAt) }
        admission.releaseBody(loop.nothing)
        sink.requestIsDone()
    }

    /// The one end of every attempt: health, metrics and the record hear of it here. Then Settle, or Forward again.
    func attemptEnded(_ attempt: Attempt, _ outcome: AttemptOutcome) {
        guard case .attempting(let admission, let running) = stage, running === attempt || attempt === hedging?.beside else { return }
        // What is handed on says nothing of the endpoint for others: its caller chooses what is asked, and under which name.
        if admission.tells(outcome) {
            loop.health.note(attempt, outcome, loop)
            loop.attemptEnded(AttemptEnd(attempt, outcome))
        } else if admission.capability == .forward {
            tellRefusal(of: admission, attempt, outcome)
        }
        loop.metrics.note(outcome)
        sums.add(outcome)
        if outcome.isUnknown(of: admission) { sums.noteUnknown(outcome) }
        if hedging != nil, otherGoesOn(admission, running, than: attempt, outcome) { return }
        switch outcome.ending {
        case .answered(let hadError):
            deliver(admission, attempt, outcome, .answered(status: outcome.providerStatus, hadError: hadError))
        case .broken(let why): breakOff(admission, attempt, outcome, why)
        case .abandoned(let why) where why.isClientGone:
            settle(admission, attempt, outcome, Verdict(why, status: sentStatus(outcome)))
            reset()
        case .abandoned(let why) where hasAnswered: breakOff(admission, attempt, outcome, why)
        // The same endpoint gets it on a connection of its own (RFC 9112 §9.3.1).
        case .notBegun where admission.canBeSentAgain: forward(to: attempt.candidate, admission, after: attempt, outcome, fresh: true)
        case .abandoned, .refused, .unusable, .unreachable, .exhausted, .lost, .notBegun:
            if !admission.canBeSentAgain {
                reject(rejection(outcome, of: admission), after: outcome)
            } else if let same = withOtherBound(attempt, admission, outcome) {
                forward(to: same, admission, after: attempt, outcome)
            } else if let same = withoutRefused(attempt, admission, outcome) {
                forward(to: same, admission, after: attempt, outcome)
            } else if let change = withoutChange(attempt, admission, outcome) {
                switch change {
                case .success(let same): forward(to: same, admission, after: attempt, outcome)
                case .failure(let rejection): reject(rejection, after: outcome)
                }
                // What goes with the caller's own key goes with no other.
            } else if admission.forward == nil, outcome.allowsAnother(on: admission.route),
                let next = select(after: attempt, admission, outcome), coverAnother(admission, after: outcome)
            {
                forward(to: next.candidate, admission, after: attempt, outcome, pause: next.pause)
            } else if !admission.fallbacks.isEmpty, outcome.allowsFallback(on: admission.route),
                let next = fallBack(admission, after: outcome)
            {
                forward(to: next, admission, after: attempt, outcome)
            } else {
                reject(rejection(outcome, of: admission), after: outcome)
            }
        }
    }

    /// Select, after an attempt that another one may make good.
    /// - Returns: with the milliseconds to wait before.
    private func select(after attempt: Attempt, _ admission: Admission, _ outcome: AttemptOutcome) -> (candidate: Candidate, pause: Int64)?
    {
        loop.health.refresh()
        if case .refused(let error, _) = outcome.ending, error.concern == .addedMember {
            // The caller's own bytes once more.
            var same = attempt.candidate
            same.asksForUsage = false
            return (try? translated(same, admission)).map { ($0, 0) }
        }
        guard let found = another(after: attempt, admission, outcome) else { return nil }
        // Providers that are in trouble are not asked twice for each request: then the caller hears at once what went wrong.
        guard admission.route.state.takeRetry(now: loop.nowMicroseconds, loop.settings.retryBudget) else {
            loop.metrics.retriesDenied &+= 1
            return nil
        }
        return found
    }

    private func another(after attempt: Attempt, _ admission: Admission, _ outcome: AttemptOutcome) -> (candidate: Candidate, pause: Int64)?
    {
        if case .refused(let error, _) = outcome.ending {
            if error.concern.isOfCredential || error.concern == .rateLimit,
                let other = admission.plan.another(than: attempt.candidate, loop.health, admission, now: loop.nowMicroseconds)
            {
                return (try? translated(other, admission)).map { ($0, 0) }
            }
        }
        if let next = nextAttempt(admission) { return (next, 0) }
        guard let pause = RetryPause.milliseconds(after: outcome, round: earlier.count, longest: Int64(loop.settings.retryPause)),
            let same = admission.plan.again(loop.health, admission, now: loop.nowMicroseconds),
            let ready = try? translated(same, admission)
        else { return nil }
        return (ready, pause)
    }

    /// Select, for the first time.
    private func firstCandidate(_ admission: Admission) throws(Rejection) -> Candidate {
        let (candidate, refusal) = nextCandidate(admission)
        if let candidate { return candidate }
        if refusal == nil, let candidate = fallBack(admission, after: nil) { return candidate }
        throw nowhereToSend(admission, refusal)
    }

    /// - Parameter refusal: what of it no endpoint could be asked.
    func nowhereToSend(_ admission: Admission, _ refusal: TranslationRefusal?) -> Rejection {
        if let refusal { return .untranslatable(refusal) }
        let (dialect, capability) = (admission.caller.dialect, admission.capability)
        guard admission.route.targets.contains(where: { $0.endpoint.dialect(for: dialect, capability) != nil }) else {
            return .unsupportedDialect(admission.model.name, dialect, capability)
        }
        return .noCredential(ofKey: admission.caller.scopes?.credentials != nil)
    }

    /// The next endpoint that the request can be sent to, and what of it the last of those that were passed over could not be asked.
    /// - Parameter full: see `RoutePlan.next`.
    func nextCandidate(_ admission: Admission, full: UInt64 = 0) -> (candidate: Candidate?, refusal: TranslationRefusal?) {
        var refusal: TranslationRefusal?
        while let candidate = admission.plan.next(loop.health, admission, now: loop.nowMicroseconds, full: full) {
            do throws(TranslationRefusal) { return (try translated(candidate, admission), nil) } catch { refusal = error }
            admission.plan.giveBack()
        }
        return (nil, refusal)
    }

    /// Translate, where the endpoint is asked in another dialect than the caller's.
    func translated(_ candidate: Candidate, _ admission: Admission) throws(TranslationRefusal) -> Candidate {
        candidate.dialect == admission.caller.dialect ? candidate : try Translate.into(candidate, admission, loop)
    }

    /// The provider knows the bound that was added to the request by another name, or by none: what Weir adds breaks nothing.
    private func withOtherBound(_ attempt: Attempt, _ admission: Admission, _ outcome: AttemptOutcome) -> Candidate? {
        // Messages have one name for it, and demand it.
        guard case .refused(let error, _) = outcome.ending, error.status == 400 || error.status == 422,
            attempt.candidate.dialect != .messages, attempt.candidate.boundName != nil,
            admission.writtenOutputBound != nil || attempt.candidate.translated != nil, let shown = error.shown
        else { return nil }
        let words = (shown.param ?? "") + " " + shown.message
        guard words.contains("max_tokens") || words.contains("max_completion_tokens") || words.contains("max_output_tokens") else {
            return nil
        }
        // The bound was understood, and is too small: without it the answer would have none.
        guard !["was reached", "below", "at least", "greater than"].contains(where: words.contains) else { return nil }
        var same = attempt.candidate
        same.refusedBounds += 1
        return try? translated(same, admission)
    }

    /// The model does not take what a translation has written and the answer can do without.
    private func withoutRefused(_ attempt: Attempt, _ admission: Admission, _ outcome: AttemptOutcome) -> Candidate? {
        guard case .refused(let error, _) = outcome.ending, !error.refusedMembers.isEmpty else { return nil }
        var same = attempt.candidate
        same.refusedMembers.formUnion(error.refusedMembers)
        return try? translated(same, admission)
    }

    /// The provider refuses a member that the route's template has put there: the request goes without it, unless the template says that it must
    /// not; then nobody blames the caller.
    /// - Returns: nil where it is about something else.
    private func withoutChange(_ attempt: Attempt, _ admission: Admission, _ outcome: AttemptOutcome) -> Result<Candidate, Rejection>? {
        guard !admission.changes.isEmpty, case .refused(let error, _) = outcome.ending, error.status == 400 || error.status == 422,
            let shown = error.shown, let refused = admission.refusedChange(param: shown.param, message: shown.message)
        else { return nil }
        if let kept = refused.kept { return .failure(.templateRefused(kept)) }
        do throws(Rejection) { try admission.leave(refused.left) } catch { return .failure(error) }
        loop.metrics.templateMembersLeft &+= 1
        return (try? translated(attempt.candidate, admission)).map { .success($0) }
    }

    private func forward(
        to candidate: Candidate, _ admission: Admission, after attempt: Attempt, _ outcome: AttemptOutcome, fresh: Bool = false,
        pause: Int64 = 0
    ) {
        earlier.append(EndedAttempt(attempt, outcome))
        loop.metrics.retries &+= 1
        let next = Attempt(candidate, admission, of: self)
        // At the same endpoint it goes on in its place.
        if attempt.candidate.target === candidate.target { swap(&next.place, &attempt.place) }
        recordSums(before: next, admission)
        stage = .attempting(admission, next)
        guard pause > 0 else { return next.start(fresh: fresh) }
        // Whoever leaves meanwhile ends the attempt before it has begun.
        loop.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(pause)) { if next.isConnecting { next.start() } }
    }

    /// The answer cannot be finished. A stream gets an error event, which the SDKs raise; anything else is broken off, so that nobody takes
    /// a part for the whole.
    private func breakOff(_ admission: Admission, _ attempt: Attempt, _ outcome: AttemptOutcome, _ why: Interruption) {
        if attempt.canTellError, !attempt.hasToldError {
            dialect.errorEvent(Rejection(why), requestID, after: attempt.eventsSent).withUnsafeBytes { sink.write($0) }
        }
        conclude(admission, attempt, outcome, Verdict(why, status: sentStatus(outcome)), isWhole: attempt.canTellError)
    }

    /// What the caller was sent of an answer that has begun to pass.
    private func sentStatus(_ outcome: AttemptOutcome) -> Int { hasAnswered ? outcome.providerStatus : 0 }

    /// The record says what became of the answer, and is written before the answer's end leaves. So the last part is held until the client's
    /// side has taken all before it: a client that goes away or stalls until then is recorded as one that did, and only whether the last
    /// part arrived stays open.
    private func deliver(_ admission: Admission, _ attempt: Attempt, _ outcome: AttemptOutcome, _ verdict: Verdict) {
        guard !sink.isTaken else { return conclude(admission, attempt, outcome, verdict, isWhole: true) }
        stage = .delivering(admission, attempt, outcome, verdict)
        let serial = serial
        sink.whenTaken {
            guard self.serial == serial, case .delivering = self.stage else { return }
            self.conclude(admission, attempt, outcome, verdict, isWhole: true)
        }
    }

    /// Settle: the end of the answer leaves once the completion is written.
    func conclude(_ admission: Admission, _ attempt: Attempt, _ outcome: AttemptOutcome?, _ verdict: Verdict, isWhole: Bool) {
        stage = .recording(isWhole: isWhole)
        settle(admission, attempt, outcome, verdict)
        loop.endAfterJournal(self)
    }

    /// The journal has the completion.
    func completionIsDurable() {
        guard case .recording(let isWhole) = stage else { return }
        finish(isWhole: isWhole)
    }
}
