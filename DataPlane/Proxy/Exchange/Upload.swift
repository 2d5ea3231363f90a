import Contract
import Formats
import NIOCore

/// The front that the rest of a body comes through.
protocol UploadSource: AnyObject {
    /// Reads nothing more of the body.
    func pauseUpload()
    /// Reads on. A client that sends nothing for the body's deadline from now on is too slow.
    func resumeUpload()
}

/// A body that is sent on while it comes. Its begin is held, with the admission, as any body is: with that much the request is judged, and may be
/// sent again. What comes behind it goes to the provider as quickly as that takes it, and is held nowhere else: what waits here is what was read
/// before the front was told to stop, one read or one window of HTTP/2.
///
/// Confined to its loop.
final class Upload {
    /// Bytes of a body that are held before anything is sent. A body that is not longer is no upload.
    static let heldBytes = 65_536

    /// Of the whole body, as its head states it.
    let length: Int
    /// Of them, those that are here or have gone on.
    private(set) var arrived: Int
    /// Something has gone on that is not held any more: nothing of it can be sent to another endpoint, nor once more to this one.
    private(set) var hasGone = false
    private var waiting: [ByteBuffer] = []
    /// How long the client may still be waited for, microseconds, with all the pauses that it makes: 16 kB/s take no longer.
    private var patience: Int64
    /// Since when it is.
    private var awaitedSince: Int64?
    private weak var source: (any UploadSource)?
    /// Nil while nothing is connected.
    private var taker: Attempt?

    /// - Parameter pause: that the client may make, microseconds.
    init(length: Int, held: Int, pause: Int64, from source: any UploadSource) {
        self.length = length
        patience = pause &+ Int64(length &- held) &* 62
        arrived = held
        self.source = source
    }

    /// The client is waited for. Returns until when, at the latest `pause` microseconds from now.
    func awaits(pause: Int64, now: Int64) -> Int64 {
        awaitsNoMore(now: now)
        awaitedSince = now
        return now &+ max(0, min(pause, patience))
    }

    func awaitsNoMore(now: Int64) {
        if let since = awaitedSince { patience &-= now &- since }
        awaitedSince = nil
    }

    /// The client has sent all.
    var isWhole: Bool { arrived >= length }
    /// All has gone on.
    var isSent: Bool { isWhole && waiting.isEmpty && hasGone }
    /// It is the client that is waited for.
    var awaitsClient: Bool { !isWhole && waiting.isEmpty }

    /// The next bytes of the body, never more than are left of it.
    func received(_ piece: ByteBuffer) {
        arrived += piece.readableBytes
        waiting.append(piece)
        flow()
    }

    /// The request's head, and what is held of the body, have been sent.
    func begin(to attempt: Attempt) {
        taker = attempt
        flow()
    }

    /// The attempt is over.
    func end(of attempt: Attempt) {
        guard taker === attempt else { return }
        taker = nil
        source?.pauseUpload()
    }

    /// Hands on what is here while the provider takes it, and then asks for more.
    func flow() {
        // Sending may come back here: what is sent is taken out before.
        while !waiting.isEmpty, let taker, taker.takesUpload {
            let piece = waiting.removeFirst()
            guard taker.mayPass(piece) else { return }
            hasGone = true
            taker.sendMore(piece, isLast: isWhole && waiting.isEmpty)
        }
        guard !isWhole else { return }
        if taker?.takesUpload == true { source?.resumeUpload() } else { source?.pauseUpload() }
    }
}

extension Attempt {
    /// It was connected, and not all of its request had been sent.
    var wasUploading: Bool { totalDeadline != .max && admission.upload?.isSent == false }

    /// The provider may be sent more of the request.
    var takesUpload: Bool {
        switch state {
        case .awaitingHead, .deciding, .passing: upstream?.takesMore ?? false
        case .connecting, .collecting, .leaving, .ended: false
        }
    }

    /// Reads what is about to go on. False: it must not, and the attempt is over.
    func mayPass(_ piece: ByteBuffer) -> Bool {
        guard let media = admission.media else { return true }
        do throws(FormScan.Violation) { try media.readOn(piece) } catch {
            exchange.interrupt(.invalidForm(error))
            return false
        }
        guard exchange.coverRead(admission) else {
            exchange.interrupt(.lateFields)
            return false
        }
        return true
    }

    func sendMore(_ piece: ByteBuffer, isLast: Bool) {
        // What is whole may have been served, whatever is heard of it.
        if isLast {
            isSent = true
            admission.isRead()
            exchange.recordWholeRequest(admission)
        }
        upstream?.sendMore(piece, isLast: isLast)
        setUploadDeadline()
    }

    /// The provider takes more of the request again.
    func upstreamTakesMore() {
        guard let upload = admission.upload, !upload.isSent else { return }
        upload.flow()
        setUploadDeadline()
    }

    /// Who is waited for, and how long: the provider, to take what there is, as between two reads of an answer; the client, whose front bounds
    /// that; or the answer, from the end of the request on.
    func setUploadDeadline() {
        guard state == .awaitingHead, let upload = admission.upload else { return }
        if upload.isSent {
            upstream?.setDeadline(min(loop.nowMicroseconds &+ firstByteTimeout &* 1000, totalDeadline))
        } else if upload.awaitsClient, upstream?.takesMore == true {
            upstream?.setDeadline(totalDeadline)
        } else {
            setIdleDeadline()
        }
    }

    /// How an attempt ended whose connection failed before the whole request was sent: nothing of it can have been served.
    func endUpload(_ detail: String, isTimeout: Bool, _ rest: Rest = .done) {
        if isTimeout, upstream?.takesMore == true, admission.upload?.awaitsClient == true {
            return end(.abandoned(.uploadTooSlow), rest)
        }
        end(.unreachable("while the request was sent: \(detail)", isTimeout ? .timeout : .refusal), rest)
    }
}

extension Interruption {
    static func invalidForm(_ violation: FormScan.Violation) -> Interruption {
        Interruption(origin: .client, code: "invalid_form", status: 400, message: violation.reason, param: violation.field)
    }

    /// What was reserved goes by what came before the file.
    static let lateFields = Interruption(
        origin: .client, code: "insufficient_quota", status: 402,
        message:
            "Fields behind the file ask for more than what was reserved for the request, and there is too little left of a budget. Send them before the "
            + "file.", isPermanent: true)
    static let uploadTooSlow = Interruption(
        origin: .client, code: "request_timeout", flags: .cutByLimit, status: 408, message: "The request did not arrive in time.")
    static let uploadCut = Interruption(
        origin: .client, code: "malformed_request", status: 400, message: "The request's body is not as long as its head says.")
}
