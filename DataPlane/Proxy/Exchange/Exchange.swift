import Formats
import NIOCore
import Primitives
import Telemetry
import Wire

/// One request from its head to the end of its answer: owns what each stage made and hands it to the next. Lives as long as its
/// connection or stream and serves one request after the other.
///
/// The spine (`Spine.swift`) calls the stages in order: Accept → Authenticate → Admit → Select → Translate → Forward → Meter → Settle.
///
/// `@unchecked Sendable`: confined to its loop, like the `LoopContext` it belongs to.
final class Exchange: @unchecked Sendable, ListedConnection {
    /// idle → receiving → (asking → receiving →) (limiting →) (reserving →) (queued →) journaling → attempting → (delivering →)
    /// recording → idle. A rejection or the
    /// client's leaving shortens that.
    enum Stage {
        case idle
        /// The head was judged; the body is arriving, or an answer without one is on its way.
        case receiving(Asked?)
        /// The control plane is asked for what the request needs; nothing is admitted.
        indirect case asking(Inquiry)
        /// A service of the operator's is asked about the request; nothing is admitted.
        case lookingUp(PlanRun)
        /// The counters that data planes share are asked; nothing is written, and nothing was sent. With where it has to go, if not chosen.
        indirect case limiting(Admission, Candidate?)
        /// More of a budget was asked for; nothing is written, and nothing was sent.
        indirect case reserving(Admission, Candidate?)
        /// Waits in line for a place at an endpoint; nothing is written, and nothing was sent.
        case queued(Admission, Queueing)
        /// The intent waits for the journal's write; nothing has been sent.
        case journaling(Admission, Attempt)
        case attempting(Admission, Attempt)
        /// The last attempt has ended well; the answer's last part waits until the client's side has taken all before it.
        indirect case delivering(Admission, Attempt, AttemptOutcome, Verdict)
        /// Everything is said; the end of the answer waits for the record.
        case recording(isWhole: Bool)
    }

    let loop: LoopContext
    unowned let sink: any ReplySink
    /// Place among the loop's admitted exchanges.
    var listIndex = -1

    /// Outlives requests.
    var presentedKey = PresentedKey()
    /// Raised at each request: late callbacks compare it.
    private(set) var serial: UInt64 = 0
    var stage = Stage.idle
    var requestID = RequestID(high: 0, low: 0)
    /// Monotonic microseconds at the end of the head.
    var startedAt: Int64 = 0
    /// Unix microseconds at the same moment.
    var receivedAt: Int64 = 0
    /// Of the API that is called, as far as the head has told.
    var dialect = Dialect.openAI
    /// Of the configuration that the request is judged by; for the answer's head.
    var configVersion: [UInt8] = []
    /// What the attempts that have ended came to.
    var sums = AttemptSums()
    /// Attempts that others followed. Empty, and so without storage, for most requests.
    var earlier: [EndedAttempt] = []
    /// Nil where the request's route sends nothing to two endpoints at one time.
    var hedging: Hedging?
    /// A byte of a provider's answer may have reached the caller.
    var hasAnswered = false
    /// Monotonic microseconds.
    var firstByteAt: Int64 = 0
    var lastProgressAt: Int64 = 0
    /// Records of what is likely that were written of this request.
    var progressRecords: UInt64 = 0
    /// How the caller's limits stand, for the answer's head; nil for who has none.
    var standings: RateStandings?
    /// Whose requests count together where nobody says whom they are passed on for: the connection's peer.
    private(set) lazy var peerSubject = sink.peer.flatMap {
        LimitSubject(address: loop.signatures.proxies.client(peer: $0, forwardedFor: []))
    }
    /// What concerned the caller that asked last: on most connections it is the next one, too.
    var lastRules: CallerRules?
    /// Checks that failed and let the request go on with less. Empty, and so without storage, for most requests.
    var degraded: [String] = []

    init(sink: any ReplySink, loop: LoopContext) {
        self.sink = sink
        self.loop = loop
    }

    var isIdle: Bool {
        if case .idle = stage { return true }
        return false
    }

    /// The request that is running.
    var admission: Admission? {
        switch stage {
        case .limiting(let admission, _): admission
        case .reserving(let admission, _), .queued(let admission, _), .journaling(let admission, _), .attempting(let admission, _),
            .delivering(let admission, _, _, _):
            admission
        case .idle, .receiving, .asking, .lookingUp, .recording: nil
        }
    }

    /// Whose admitted request is running.
    var principal: Principal? { admission?.caller.principal }

    /// Whose share the body of the request counts in; empty while that is not known.
    var bodyHolder: [UInt8] {
        guard case .receiving(let asked?) = stage, case .complete(let caller) = asked.authentication else { return [] }
        return caller.tenant.idBytes
    }

    /// Begins a request: its id, and one look at each clock. The front has read the monotonic one when the bytes came.
    func open() {
        reset()
        receivedAt = loop.clock.nowMicroseconds()
        startedAt = loop.nowMicroseconds
        requestID = loop.requestIDs.next(milliseconds: receivedAt / 1000)
        stage = .receiving(nil)
    }

    /// Makes everything ready for the next request; what the last one held is let go.
    func reset() {
        serial &+= 1
        if listIndex >= 0 { loop.running.remove(self) }
        switch stage {
        case .asking: loop.asking[ObjectIdentifier(self)] = nil
        case .lookingUp(let run):
            loop.asking[ObjectIdentifier(self)] = nil
            run.call?.cancel()
        default: break
        }
        if case .queued = stage { leaveQueue() }
        stage = .idle
        configVersion = []
        dialect = .openAI
        sums = AttemptSums()
        if !earlier.isEmpty { earlier = [] }
        if let hedging {
            self.hedging = nil
            hedging.stop()
        }
        hasAnswered = false
        firstByteAt = 0
        lastProgressAt = 0
        progressRecords = 0
        standings = nil
        if !degraded.isEmpty { degraded = [] }
    }

    /// The answer is out, or as much of it as there will be.
    func finish(isWhole: Bool) {
        // First this: the front may go on to the next request at once.
        reset()
        if isWhole { sink.end() } else { sink.abort() }
    }

    // MARK: What the front tells

    /// The client has taken what was sent to it.
    func clientIsReady() {
        if case .attempting(_, let attempt) = stage { attempt.clientIsReady() }
    }

    /// The client is gone, or does not read: the provider is told by closing, and what passed is recorded.
    func clientLeft(_ how: Interruption) {
        if case .attempting(_, let attempt) = stage, attempt.state == .leaving {
            if isRacing { hedging?.beside?.clientLeftToo() }
            return attempt.clientLeftToo()
        }
        if principal != nil { loop.metrics.clientDisconnects &+= 1 }
        switch stage {
        case .queued(let admission, let queueing):
            queueing.ticket.giveUp(now: loop.nowMicroseconds)
            releaseBudget(admission)
        case .journaling(let admission, let attempt):
            if loop.journal.abandon(requestID) {
                loop.holdsWritten -= admission.budget?.parts.count ?? 0
                releaseBudget(admission)
            } else {
                settle(admission, attempt, nil, Verdict(how, status: 0))
            }
        case .attempting:
            giveUp(how)
            // The record is written when it is known what the provider has made.
            if case .attempting(_, let attempt) = stage, attempt.state == .leaving { return }
        case .delivering(let admission, let attempt, let outcome, _):
            settle(admission, attempt, outcome, Verdict(how, status: outcome.providerStatus))
        case .idle, .receiving, .asking, .lookingUp, .limiting, .reserving, .recording: break
        }
        reset()
    }

    // MARK: What the loop tells

    /// Ends the request from our side, whatever it is doing: nothing new is sent to a provider, a stream gets an error event.
    func interrupt(_ why: Interruption) {
        switch stage {
        case .queued(let admission, let queueing):
            queueing.ticket.giveUp(now: loop.nowMicroseconds)
            releaseBudget(admission)
            reject(Rejection(why))
        case .reserving, .journaling, .asking, .lookingUp, .limiting: reject(Rejection(why))
        case .attempting: giveUp(why)
        case .delivering(let admission, let attempt, let outcome, _):
            conclude(admission, attempt, outcome, Verdict(why, status: outcome.providerStatus), isWhole: false)
        case .idle, .receiving, .recording: return
        }
    }
}
