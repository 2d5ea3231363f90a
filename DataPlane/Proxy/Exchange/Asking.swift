import Contract
import Formats
import NIOCore
import Primitives
import Trust

/// A request that waits for the control plane's word: the one way in which a request waits for it, and with a deadline.
final class Inquiry {
    let body: ByteBuffer
    /// Monotonic microseconds.
    let deadline: Int64
    /// What the request goes on with, once that is there.
    let ready: (RuntimeSnapshot) throws(Rejection) -> Asked?
    /// What the answer's own bytes are for; nil: what follows of it comes as documents and secrets.
    let told: (([UInt8]) -> LocalAnswer)?
    /// Told to a caller who has waited long enough.
    let late: StaticString

    init(
        body: ByteBuffer, deadline: Int64, late: StaticString, told: (([UInt8]) -> LocalAnswer)? = nil,
        ready: @escaping (RuntimeSnapshot) throws(Rejection) -> Asked? = { (_) throws(Rejection) -> Asked? in nil }
    ) {
        self.body = body
        self.deadline = deadline
        self.late = late
        self.told = told
        self.ready = ready
    }
}

extension Exchange {
    /// A DID that nobody knows: verified here first, within bounds, then told to the control plane. The request goes on when the directory
    /// knows it, and is judged then like any other.
    func introduce(_ newcomer: Newcomer, _ asked: Asked, _ body: ByteBuffer) throws(Rejection) {
        // Another request of it may have been first.
        if let snapshot = loop.snapshot, let pending = try newcomer.known(by: snapshot) {
            stage = .receiving(Asked(.afterBody(pending), snapshot, like: asked))
            return try run(body: body)
        }
        if let wait = loop.signatures.newcomers.refusal(newcomer.context.address.address, nowMilliseconds: receivedAt / 1000) {
            throw .tooManyNewDIDs(retryMilliseconds: wait)
        }
        let result: Result<Weir_V1_Newcomer, Rejection> = body.withUnsafeReadableBytes { bytes in
            do throws(Rejection) { return .success(try newcomer.proved(bytes)) } catch { return .failure(error) }
        }
        let question = try result.get()
        let inquiry = Inquiry(
            body: body, deadline: questionDeadline, late: "did_not_ready",
            ready: { (snapshot) throws(Rejection) -> Asked? in
                guard let pending = try newcomer.known(by: snapshot) else { return nil }
                return Asked(.afterBody(pending), snapshot, like: asked)
            })
        ask(.newcomer(newcomer.caller.fingerprint), .newcomer(question), inquiry)
    }

    var questionDeadline: Int64 { loop.nowMicroseconds &+ Int64(loop.settings.questionTimeout) &* 1000 }

    func ask(_ key: ControlQuestions.Key, _ question: Weir_V1_Question.OneOf_Question, _ inquiry: Inquiry) {
        stage = .asking(inquiry)
        loop.asking[ObjectIdentifier(self)] = self
        let serial = serial
        loop.questions.ask(key, question) { answer in
            self.loop.eventLoop.execute {
                if self.serial == serial { self.answered(answer) }
            }
        }
    }

    private func answered(_ answer: Weir_V1_Answer?) {
        guard case .asking(let inquiry) = stage else { return }
        guard let answer else { return reject(.controlPlaneUnavailable("control_plane_unavailable")) }
        guard answer.code.isEmpty else { return reject(Rejection(answer)) }
        if let told = inquiry.told { return self.answer(told(Array(answer.body))) }
        // What follows of it may have been quicker.
        lookAgain()
    }

    /// Something new is in force: perhaps what the request waits for.
    func lookAgain() {
        guard case .asking(let inquiry) = stage, let snapshot = loop.snapshot else { return }
        do throws(Rejection) {
            if snapshot.isRevoked { throw .revoked() }
            guard let asked = try inquiry.ready(snapshot) else { return }
            loop.asking[ObjectIdentifier(self)] = nil
            stage = .receiving(asked)
            try run(body: inquiry.body)
        } catch {
            reject(error)
        }
    }

    func questionDeadline(_ now: Int64) {
        guard case .asking(let inquiry) = stage, inquiry.deadline <= now else { return lookupDeadline(now) }
        reject(.controlPlaneUnavailable(inquiry.late, "no answer in time"))
    }
}

extension Asked {
    /// The same request, now that its caller is known.
    convenience init(_ authentication: Authentication, _ snapshot: RuntimeSnapshot, like asked: Asked) {
        self.init(
            authentication, snapshot, asked.capability, forwardedLines: asked.forwardedLines, dialectLines: asked.dialectLines,
            traceID: asked.traceID, for: asked.purpose)
        grant = asked.grant
        address = asked.address
        choice = asked.choice
        media = asked.media
        files = asked.files
        headers = asked.headers
    }
}
