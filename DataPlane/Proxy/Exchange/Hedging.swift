import Contract
import Formats
import NIOCore
import Primitives

/// A request that goes to a second endpoint while the first one is still silent, and what the two attempts have of each other. There is one
/// only where the route says so (`hedge_after_ms`): other requests pay the comparison of a number with 0 for it.
///
/// Confined to its loop, like the exchange that it belongs to.
final class Hedging {
    /// Runs beside the attempt of the exchange's stage: the hedge; or, once one of the two has answered, the other one, as long as its
    /// end is awaited.
    fileprivate(set) var beside: Attempt?
    /// The request has had its hedge: there is no second one, whatever becomes of it.
    fileprivate(set) var wasSent = false
    fileprivate var timer: Scheduled<Void>?

    /// Nobody hears of it any more.
    func stop() {
        timer?.cancel()
        timer = nil
        beside?.drop()
        beside = nil
    }
}

extension Interruption {
    /// The other one of two attempts decided what the request comes to.
    static let overtaken = Interruption(
        origin: .weir, code: "overtaken", message: "Another endpoint answered first.", isOvertaken: true)
}

extension AttemptOutcome {
    /// Given up since another endpoint answered first: nobody's fault.
    var isOvertaken: Bool { if case .abandoned(let why) = ending { why.isOvertaken } else { false } }
}

extension Admission {
    /// It may be at two endpoints at one time: all of it is held, and nothing of it is bound to one account.
    fileprivate var mayBeHedged: Bool {
        forward == nil && kept == nil && previous == nil && files == nil && upload == nil && capability != .countTokens
            && capability != .files
    }
}

extension Exchange {
    /// Two attempts run, and none has answered.
    var isRacing: Bool { !hasAnswered && hedging?.beside != nil }

    /// The attempt begins; when it has not answered in the time that its route says, another one joins it.
    func hedge(after attempt: Attempt) {
        guard hedging?.wasSent != true, attempt.admission.mayBeHedged else { return }
        let hedging = hedging ?? Hedging()
        self.hedging = hedging
        wait(hedging, for: attempt, milliseconds: attempt.admission.route.hedgeMilliseconds)
    }

    private func wait(_ hedging: Hedging, for attempt: Attempt, milliseconds: Int64) {
        hedging.timer?.cancel()
        let serial = serial
        hedging.timer = loop.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(milliseconds)) {
            if self.serial == serial { self.sendHedge(beside: attempt) }
        }
    }

    private func sendHedge(beside first: Attempt) {
        guard case .attempting(let admission, let running) = stage, running === first, let hedging, !hedging.wasSent,
            first.awaitsAnswer, !loop.isStopping
        else { return }
        loop.readClock()
        loop.health.refresh()
        let before = admission.plan
        guard let candidate = hedgeCandidate(admission, than: first.candidate) else { return }
        let held = admission.budget
        guard coverBoth(admission) else {
            admission.plan = before
            // More was asked for; it may be there before an answer is.
            return wait(hedging, for: first, milliseconds: max(admission.route.hedgeMilliseconds, Self.moneyMilliseconds))
        }
        // A provider that is slow is not made slower by being asked twice for each request.
        guard admission.route.state.takeRetry(now: loop.nowMicroseconds, loop.settings.retryBudget) else {
            admission.plan = before
            coverOne(admission, as: held)
            loop.metrics.hedgesDenied &+= 1
            return
        }
        loop.metrics.hedges &+= 1
        let hedge = Attempt(candidate, admission, of: self, isHedge: true)
        hedging.wasSent = true
        hedging.beside = hedge
        recordBoth(first, hedge, admission)
        hedge.start()
    }

    /// Until it is looked again whether budgets have lent more.
    private static let moneyMilliseconds: Int64 = 100

    /// The next endpoint of the route, as far as it is in good standing and has room: a hedge is worth neither a probe of what failed nor a
    /// wait in line. What was passed over for it may still follow a failure.
    private func hedgeCandidate(_ admission: Admission, than first: Candidate) -> Candidate? {
        guard admission.names(for: first) == nil else { return nil }
        let before = admission.plan
        let full = admission.route.isBounded ? fullTargets(admission) : 0
        var found: Candidate?
        while found == nil,
            let candidate = admission.plan.next(loop.health, admission, now: loop.nowMicroseconds, full: full, onlyWell: true)
        {
            let isSame = candidate.endpoint.id == first.endpoint.id && candidate.credential?.id == first.credential?.id
            if !isSame, admission.names(for: candidate) == nil { found = try? translated(candidate, admission) }
        }
        admission.plan = before
        guard let found, let index = admission.route.targets.firstIndex(where: { $0 === found.target }) else { return nil }
        admission.plan.take(index)
        return found
    }

    /// The attempt's answer begins to pass: of two the other one is given up.
    func decide(for attempt: Attempt, _ admission: Admission, _ running: Attempt) {
        guard let hedging else { return }
        hedging.timer?.cancel()
        hedging.timer = nil
        if attempt.isHedge { loop.metrics.hedgesWon &+= 1 }
        if let beside = hedging.beside {
            let other = attempt === running ? beside : running
            stage = .attempting(admission, attempt)
            hedging.beside = other
            other.abandon(.overtaken)
        }
        // What the other one had written is taken back by now.
        attempt.takeFront()
    }

    /// One of two attempts has ended.
    /// - Returns: true where the other one decides what the request comes to; false where this one does, and the other one has ended, too.
    func otherGoesOn(_ admission: Admission, _ running: Attempt, than attempt: Attempt, _ outcome: AttemptOutcome) -> Bool {
        guard let hedging, let beside = hedging.beside else { return false }
        let other = attempt === running ? beside : running
        hedging.beside = nil
        let decides =
            switch outcome.ending {
            case .answered, .broken: true
            case .abandoned: hasAnswered && attempt === running
            // Whoever is asked would say so.
            case .refused(let error, _): error.concern.isOfRequest
            case .unusable, .unreachable, .exhausted, .notBegun, .lost: false
            }
        if decides {
            stage = .attempting(admission, attempt)
            hedging.beside = other
            other.drop()
            return false
        }
        earlier.append(EndedAttempt(attempt, outcome))
        // After an answer the record says it all.
        if !hasAnswered, !outcome.isOvertaken {
            stage = .attempting(admission, other)
            recordSums(before: other, admission)
        }
        return true
    }

    /// Ends what is under way from our side.
    func giveUp(_ why: Interruption) {
        if isRacing { hedging?.beside?.abandon(why) }
        if case .attempting(_, let attempt) = stage { attempt.abandon(why) }
    }
}

extension Attempt {
    /// Nothing of an answer has come. What keeps a stream alive is none, nor is what it says ahead of its first content.
    fileprivate var awaitsAnswer: Bool {
        switch state {
        case .connecting, .awaitingHead: true
        case .deciding: meter.shape != .document && !opening.isJudged
        case .collecting, .passing, .leaving, .ended: false
        }
    }

    /// Given up, and not waited for.
    func drop() {
        abandon(.overtaken)
        if state == .leaving { abandon(.overtaken) }
    }

    /// What it has written goes to the caller.
    fileprivate func takeFront() {
        guard let held = sink as? HeldReply else { return }
        sink = exchange.sink
        held.handOver(to: sink)
    }
}

/// What an attempt has written of its answer while another one may still be first: the front takes one answer at a time. Bounded like what is
/// held at the front.
final class HeldReply: ReplySink {
    private var head: ReplyHead?
    private var body = ByteBuffer()

    var peer: String? { nil }
    /// Nothing leaves from here.
    var isTaken: Bool { false }

    func begin(_ head: ReplyHead) { self.head = head }
    func write(_ bytes: UnsafeRawBufferPointer) { body.writeBytes(bytes) }
    func write(_ piece: ByteBuffer) { body.writeImmutableBuffer(piece) }
    func requestIsDone() {}
    func flush() -> Bool { true }
    func whenTaken(_ done: @escaping () -> Void) {}
    func end() {}
    func abort() {}

    func discard() {
        head = nil
        body.clear()
    }

    fileprivate func handOver(to front: any ReplySink) {
        guard let head else { return }
        front.begin(head)
        body.withUnsafeReadableBytes { if !$0.isEmpty { front.write($0) } }
        discard()
    }
}
