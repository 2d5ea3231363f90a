import Contract
import Formats
import NIOCore
import Primitives
import Wire

/// One try at one endpoint: the request on its way there, and the answer as far as the caller may have it. Ends exactly once, with an
/// `AttemptOutcome` that its exchange hears of.
///
/// An answer is written to the caller's front from its first byte on, but held there until its first event, or a small body's end, shows
/// that it is one: until then another endpoint can still serve (`Attempt+Answer.swift`).
///
/// `@unchecked Sendable`: confined to its loop, like the exchange it belongs to.
final class Attempt: @unchecked Sendable {
    /// connecting → awaitingHead → (collecting | deciding → passing → leaving) → ended. Any state may go to ended.
    enum State {
        case connecting
        case awaitingHead
        /// The body of an error is being read.
        case collecting
        /// The answer is held: it may still turn out to be none.
        case deciding
        case passing
        /// Given up in mid-stream: what the provider sends until it notices is counted, and goes to nobody (`Attempt+Leaving.swift`).
        case leaving
        case ended
    }

    let admission: Admission
    let candidate: Candidate
    let exchange: Exchange
    /// The exchange's, which does not hold it: held here for as long as an answer may come. A hedge's is one of its own until it answers.
    var sink: any ReplySink
    /// Sent since another attempt had not answered in time, and beside it.
    let isHedge: Bool
    let loop: LoopContext
    /// Monotonic microseconds.
    let startedAt: Int64
    /// Counts it while it runs, where its route chooses by that.
    private(set) var running: TargetMeter.Running?

    var state = State.connecting
    var upstream: UpstreamConnection?
    /// At an endpoint that takes only so many requests, or in line there.
    var place: PlaceTicket?
    /// In line for a connection.
    var connectionWaiter: PoolWaiter?
    /// In line, for the one or the other.
    var isQueued = false
    private var isReused = false
    /// All of the request, or an answer to it has come: it may have been served.
    var isSent = false
    private(set) var providerStatus = 0
    private(set) var headAt: Int64 = 0
    var firstByteAt: Int64 = 0
    /// Monotonic microseconds: the endpoint's bound on the whole attempt.
    private(set) var totalDeadline = Int64.max
    private var retryMilliseconds: Int64?
    /// The answer's head said that nothing is left of a limit.
    private(set) var reachedLimit = false
    /// The client does not keep up: nothing more is read until it does.
    private var isPaused = false
    var responseBytes: Int64 = 0
    var meter = ResponseMeter()
    /// What is known of an answer before its head is written.
    var opening = Opening()
    /// Why it was given up, while what is still on its way is counted.
    var leaving: Interruption?
    /// `responseBytes` when it was.
    var leftFrom: Int64 = 0
    /// What the caller may have of a stream's read, until `endPieces`.
    var gathered: [UInt8] = []
    /// Turns the answer into the caller's dialect; nil where the provider speaks that.
    let translation: AnswerTranslation?
    /// The same for a stream, from its first bytes on.
    var translatedStream: TranslatedStream?

    /// The words of an error are worth waiting for, but not long.
    private static let errorBodyMicroseconds: Int64 = 2_000_000

    init(_ candidate: Candidate, _ admission: Admission, of exchange: Exchange, isHedge: Bool = false) {
        self.candidate = candidate
        self.admission = admission
        self.exchange = exchange
        self.isHedge = isHedge
        sink = isHedge ? HeldReply() : exchange.sink
        loop = exchange.loop
        startedAt = exchange.loop.nowMicroseconds
        translation = candidate.translated?.answers
        if admission.route.state.isObserved { running = TargetMeter.Running(candidate.target.meter) }
    }

    var isConnecting: Bool { state == .connecting }
    /// The caller is being sent server-sent events, and none of them in part.
    var canTellError: Bool { meter.shape == .stream && opening.assembly == nil && !meter.isInsideSentEvent }
    /// The provider's.
    var dialect: Dialect { candidate.dialect }
    /// Events of a stream that the caller has been sent, or was about to be.
    var eventsSent: Int64 { translatedStream?.translation.eventsWritten ?? meter.events }
    /// The caller has been told in its stream that nothing follows, by the translation.
    var hasToldError: Bool { translatedStream?.translation.sawError ?? false }
    private var timeouts: CompiledTimeouts { candidate.endpoint.timeouts }

    // MARK: The way there

    /// - Parameter fresh: not on a connection that has served before.
    func start(fresh: Bool = false) {
        if admission.route.hedgeMilliseconds > 0 { exchange.hedge(after: self) }
        if findPlace() { connect(fresh: fresh) }
    }

    func connect(fresh: Bool = false) {
        // A connection that has served may be gone by now, and an upload that was sent on it could not be sent again.
        let isFresh = fresh || admission.upload != nil
        loop.pool(for: candidate.endpoint).acquire(for: self, connectTimeout: connectTimeout, fresh: isFresh)
    }

    /// Milliseconds.
    var connectTimeout: Int64 {
        timeouts.connectMilliseconds > 0 ? timeouts.connectMilliseconds : Int64(loop.settings.connectTimeout)
    }

    func upstreamReady(_ connection: UpstreamConnection, isReused: Bool) {
        upstream = connection
        self.isReused = isReused
        state = .awaitingHead
        isSent = admission.upload == nil
        let total = timeouts.totalMilliseconds > 0 ? timeouts.totalMilliseconds : Int64(loop.settings.upstreamTotalTimeout)
        totalDeadline = loop.nowMicroseconds &+ total &* 1000
        connection.setDeadline(min(loop.nowMicroseconds &+ firstByteTimeout &* 1000, totalDeadline))
        let request = Translate.request(admission, candidate, loop)
        connection.send(head: request.head, body: request.body, isWhole: isSent)
        // Sending may have ended it.
        guard let upload = admission.upload, state == .awaitingHead else { return }
        upload.begin(to: self)
        setUploadDeadline()
    }

    /// Milliseconds from the end of the request.
    var firstByteTimeout: Int64 {
        timeouts.firstByteMilliseconds > 0 ? timeouts.firstByteMilliseconds : Int64(loop.settings.firstByteTimeout)
    }

    func upstreamUnavailable(_ failure: UpstreamPool.Failure) {
        switch failure {
        case .exhausted: end(.exhausted)
        case .connect(let detail): end(.unreachable(detail, .refusal))
        case .timeout(let detail): end(.unreachable(detail, .timeout))
        case .forbidden(let detail, let refusal): end(.unreachable(detail, .forbidden(refusal)))
        }
    }

    // MARK: The way back

    func upstreamHead(_ head: UpstreamHead) {
        isSent = true
        providerStatus = head.status
        headAt = loop.readClock()
        switch head.status {
        // A part of an answer, which nobody asked for, or none at all: what a caller could take for a whole one is not passed on. What is handed
        // on is its caller's to judge.
        case 205 where admission.capability != .forward, 206 where admission.capability != .forward:
            end(.unusable("status \(head.status)"), .letGo)
        case 200..<300:
            setIdleDeadline()
            if admission.route.hasChoice { noteReachedLimits(head) }
            beginAnswer(head)
        case 400...599:
            retryMilliseconds = RetryAfter.milliseconds(
                retryAfter: head.value(.retryAfter), retryAfterMilliseconds: head.value(named: "retry-after-ms"),
                nowMilliseconds: loop.clock.nowMilliseconds())
            state = .collecting
            _ = decodes(head)
            upstream?.setDeadline(headAt &+ Self.errorBodyMicroseconds)
        default: end(.unusable("status \(head.status)"), .letGo)
        }
    }

    /// What the provider would refuse next is sent elsewhere, where there is an elsewhere.
    private func noteReachedLimits(_ head: UpstreamHead) {
        var limits: RateLimitFields?
        for field in head.fields {
            let name = UnsafeRawBufferPointer(rebasing: head.bytes[field.name])
            guard RateLimitFields.mayBe(name) else { continue }
            if limits == nil { limits = RateLimitFields() }
            limits?.take(name, UnsafeRawBufferPointer(rebasing: head.bytes[field.value]))
        }
        guard let wait = limits?.wait(nowMilliseconds: loop.clock.nowMilliseconds()) else { return }
        reachedLimit = true
        loop.health.noteLimit(candidate, milliseconds: wait, loop)
    }

    func setIdleDeadline() {
        let idle = timeouts.idleMilliseconds > 0 ? timeouts.idleMilliseconds : Int64(loop.settings.upstreamIdleTimeout)
        upstream?.setDeadline(min(loop.nowMicroseconds &+ idle &* 1000, totalDeadline))
    }

    /// Stops reading until the client has taken what was sent to it. The provider is waited for no longer: what passes now is the client's
    /// time, which its front bounds.
    func pause() {
        isPaused = true
        upstream?.pause()
        upstream?.setDeadline(totalDeadline)
    }

    /// The client has taken what was sent to it.
    func clientIsReady() {
        guard isPaused else { return }
        isPaused = false
        upstream?.resume()
        if state == .passing { setIdleDeadline() }
    }

    // MARK: Endings

    /// A response without a length ended with its connection.
    func upstreamEnded() {
        upstream = nil
        switch state {
        case .collecting, .deciding, .passing, .leaving: endPieces(isEnd: true)
        case .connecting, .awaitingHead, .ended: upstreamFailed(.closed, connection: nil)
        }
    }

    func upstreamFailed(_ failure: UpstreamFailure, connection: UpstreamConnection?) {
        upstream = nil
        switch state {
        case .awaitingHead:
            switch failure {
            case .closed where !isSent, .io where !isSent: endUpload(failure.detail, isTimeout: false)
            case .malformed(let reason): end(.unusable(reason))
            case .closed where isReused && connection?.provesUnread == true: end(.notBegun)
            case .closed where connection?.wasRefused == true:
                end(.unreachable("the provider takes no requests on a new connection", .refusal))
            case .closed, .io: end(.lost(failure.detail, isTimeout: false))
            }
        case .collecting: endRefused()
        case .deciding:
            if case .malformed(let reason) = failure { return end(.unusable(reason)) }
            // Nothing that means anything had come: as if the answer had ended there.
            if meter.isEmpty { return end(.unusable("an answer without content: \(failure.detail)")) }
            end(.lost(failure.detail, isTimeout: false))
        case .passing: endBroken(.providerDied)
        case .leaving: left()
        case .connecting, .ended: return
        }
    }

    func upstreamDeadlinePassed() {
        switch state {
        case .deciding where meter.sawDone:
            // Whole, but for a farewell that does not come.
            upstream?.abandon()
            upstreamEnded()
        case .awaitingHead where !isSent: endUpload("it was not taken in time", isTimeout: true, .abandon)
        case .awaitingHead, .deciding: end(.lost("no answer in time", isTimeout: true), .abandon)
        case .collecting: endRefused(.abandon)
        case .passing: endBroken(isPaused ? .clientTooSlow : .providerStalled, .abandon)
        case .leaving: left(.abandon)
        case .connecting, .ended: upstream?.abandon()
        }
    }

    func endRefused(_ rest: Rest = .done) {
        let hidden = loop.hiddenTexts(of: candidate)
        let error = opening.bytes.withUnsafeBytes {
            ProviderError.read(
                status: providerStatus, body: $0, hiding: hidden, addedUsageRequest: candidate.asksForUsage,
                optional: candidate.translated?.optional ?? [])
        }
        end(.refused(error, retryMilliseconds: retryMilliseconds), rest)
    }

    func endBroken(_ why: Interruption, _ rest: Rest = .done) {
        // The stream had said [DONE]: only the connection's farewell is missing.
        end(meter.sawDone ? .answered(hadError: meter.sawError) : .broken(why), rest)
    }

    /// What becomes of the rest of the response.
    enum Rest {
        /// There is none; the connection sees to itself.
        case done
        /// A short one is read and thrown away, so that the connection can be used again.
        case letGo
        case abandon
    }

    func end(_ ending: AttemptOutcome.Ending, _ rest: Rest = .done) {
        guard state != .ended else { return }
        if state == .deciding, opening.isWritten { sink.discard() }
        state = .ended
        switch rest {
        case .done: break
        case .letGo: upstream?.letGo()
        case .abandon: upstream?.abandon()
        }
        upstream = nil
        admission.upload?.end(of: self)
        if isQueued { leaveLine() }
        let outcome = outcome(ending)
        if let running {
            // How long an upload takes is its client's doing, and says nothing of how quickly a model answers.
            if admission.capability != .files, admission.upload == nil {
                running.meter.learn(outcome, isHedge: isHedge, now: loop.nowMicroseconds)
                learn(from: outcome)
            }
            self.running = nil
        }
        exchange.attemptEnded(self, outcome)
        if place != nil { leavePlace() }
    }
}
