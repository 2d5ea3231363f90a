import Formats
import NIOCore
import Primitives
import Telemetry
import Wire

/// One request from its head to the end of its answer. Lives as long as its connection and is used for one request after the other:
/// a request allocates nothing for its own bookkeeping.
///
/// The spine is `receive` (at the head) and `run` (at the end of the body): Accept → Authenticate → Admit → Select → Translate →
/// Forward → Meter → Settle, each in its file. What arrives later (a durable intent, a connection, a response) enters through the
/// functions of `Exchange+Forward` and `Exchange+Respond`.
///
/// `@unchecked Sendable`: confined to its loop, like the `LoopContext` it belongs to.
final class Exchange: @unchecked Sendable {
    /// idle → receiving → journaling → connecting → awaitingHead → (connecting again | responding | collectingError) → settling → idle.
    /// A rejection or the client's leaving goes to idle from anywhere.
    enum Phase {
        case idle
        /// The body is arriving.
        case receiving
        /// The intent waits for the journal's write; nothing has been sent.
        case journaling
        case connecting
        case awaitingHead
        /// An error body of the provider's is being read, for the caller's own errors.
        case collectingError
        case responding
        /// Everything is said; the end waits for the journal.
        case settling
    }

    /// Where the record of the request stands.
    enum Settlement {
        /// No intent: rejected before it was admitted.
        case none
        case intent
        /// The completion is in the journal's buffer.
        case buffered
        case durable
    }

    let loop: LoopContext
    unowned let sink: any ReplySink

    /// Raised at each request: late callbacks compare it.
    private(set) var serial: UInt64 = 0
    var phase = Phase.idle
    var settlement = Settlement.none

    // MARK: The request

    var requestID = RequestID(high: 0, low: 0)
    /// Monotonic microseconds at the end of the head.
    var startedAt: Int64 = 0
    /// Unix microseconds at the same moment.
    var receivedAt: Int64 = 0
    /// Unix microseconds at admission.
    var admittedAt: Int64 = 0
    var snapshot: RuntimeSnapshot?
    var caller: Caller?
    var config: CompiledConfig?
    var model: CompiledModel?
    var capability = RequestTarget.Capability.chat
    var isStreaming = false
    var clientWantsUsage = false
    var members: RequestMembers?
    var body = ByteBuffer()
    /// Whole header lines of the client's that go upstream as they came.
    var forwardedLines: [UInt8] = []
    var traceID = TraceID.absent
    var estimatedInputTokens: Int64 = 0

    // MARK: The attempts

    var plan: RoutePlan?
    var attempt: RoutePlan.Attempt?
    var attempts: UInt32 = 0
    var upstream: UpstreamConnection?
    var isReusedConnection = false
    var sentUpstream = false
    var lastFailure: Rejection?

    // MARK: The response

    var upstreamStatus = 0
    var meter = ResponseMeter()
    var errorBody: [UInt8] = []
    var errorStatus = 0
    var endReached = false
    /// The answer stays incomplete.
    var isCut = false
    var responseBytes: Int64 = 0
    var firstByteAt: Int64 = 0
    var lastProgressAt: Int64 = 0
    var upstreamDeadlineTotal = Int64.max
    var statusSent = 0

    init(sink: any ReplySink, loop: LoopContext) {
        self.sink = sink
        self.loop = loop
    }

    var isIdle: Bool { phase == .idle }
    var isAwaitingConnection: Bool { phase == .connecting }

    /// Makes everything ready for the next request; what the last one held is let go.
    func reset() {
        serial &+= 1
        phase = .idle
        settlement = .none
        snapshot = nil
        caller = nil
        config = nil
        model = nil
        members = nil
        body = ByteBuffer()
        if !forwardedLines.isEmpty { forwardedLines.removeAll(keepingCapacity: true) }
        traceID = .absent
        isStreaming = false
        clientWantsUsage = false
        estimatedInputTokens = 0
        plan = nil
        attempt = nil
        attempts = 0
        upstream = nil
        isReusedConnection = false
        sentUpstream = false
        lastFailure = nil
        upstreamStatus = 0
        meter.reset()
        if !errorBody.isEmpty { errorBody = [] }
        errorStatus = 0
        endReached = false
        isCut = false
        responseBytes = 0
        firstByteAt = 0
        lastProgressAt = 0
        upstreamDeadlineTotal = .max
        statusSent = 0
    }
}
