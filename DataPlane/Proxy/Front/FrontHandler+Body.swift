import NIOCore

/// A body that is sent on as it comes.
extension FrontHandler: UploadSource {
    func beginUpload(_ length: Int) {
        let begin = inbound
        inbound = loop.nothing
        let upload = Upload(length: length, held: begin.readableBytes, pause: milliseconds(loop.settings.bodyTimeout), from: self)
        self.upload = upload
        // What comes meanwhile is wanted when there is somebody to take it.
        stream?.pauseReading()
        run(begin, upload)
    }

    func takeUpload(_ buffer: inout ByteBuffer) {
        guard let upload, let piece = buffer.readSlice(length: min(buffer.readableBytes, upload.length - upload.arrived)) else { return }
        if stalledAt == nil { deadline = .max }
        upload.received(piece)
        // The next request of the connection.
        guard self.upload === upload, upload.isWhole, buffer.readableBytes > 0 else { return }
        inbound = buffer
        if inbound.readableBytes > Self.pipelineBytes { stream?.pauseReading() }
    }

    func pauseUpload() {
        guard case .exchanging = state, let upload, !upload.isWhole else { return }
        upload.awaitsNoMore(now: loop.nowMicroseconds)
        if stalledAt == nil { deadline = .max }
        stream?.pauseReading()
    }

    func resumeUpload() {
        guard case .exchanging = state, let upload, !upload.isWhole else { return }
        let deadline = upload.awaits(pause: milliseconds(loop.settings.bodyTimeout), now: loop.nowMicroseconds)
        if stalledAt == nil { self.deadline = deadline }
        stream?.resumeReading()
    }
}

/// What is held of a body.
extension FrontHandler {
    /// Counts the `bytes` of a body that are here. False when there is no room for them: the request is refused then.
    func hold(_ bytes: Int, of length: Int) -> Bool {
        let more = held.missing(of: bytes, length: length, exchange)
        guard more > 0 else { return true }
        guard held.hasRoom(for: more, loop) else {
            refuseBody(.overloaded())
            return false
        }
        // It may be this body that gave way.
        switch state {
        case .lengthBody, .chunkedBody: break
        default: return false
        }
        held.add(more, loop)
        return true
    }

    /// Whether this connection's body is still arriving, and stands in that share.
    func isReceiving(for share: BodyBudget.Share) -> Bool {
        switch state {
        case .lengthBody, .chunkedBody: held.isIn(share)
        default: false
        }
    }

    /// Ends a request whose body is not whole; the rest of it is not wanted.
    func refuseBody(_ rejection: Rejection) {
        terms.keepAlive = false
        chunkedBody = loop.nothing
        inbound = loop.nothing
        release()
        state = .exchanging
        exchange.reject(rejection)
    }

    func release() { held.release(loop) }
}
