import Contract
import Formats
import NIOCore
import Wire

/// A provider's response on its way to the client: forwarded as it arrives, read along by the meter, its end held until the record of
/// the request is written.
extension Exchange {
    // MARK: The head

    func upstreamHead(_ head: UpstreamHead) {
        upstreamStatus = head.status
        if let attempt { loop.recentFailures.endpointAnswered(attempt.target.endpoint.id) }
        switch head.status {
        case 200..<300: startResponse(head)
        case 401: refuse { self.credentialRefused(cooldown: true) }
        case 403: refuse { self.credentialRefused(cooldown: false) }
        case 408, 500...599: refuse { self.tryNext(after: .upstreamError(status: head.status)) }
        case 429:
            let wait = head.value(.retryAfter).flatMap(RetryAfter.seconds)
            refuse { self.tryNext(after: .upstreamRateLimit(retryAfter: wait)) }
        case 400..<500:
            // The caller's own mistake, as the provider sees it: the provider's words are the caller's, once cleaned.
            errorStatus = head.status
            phase = .collectingError
            setIdleDeadline()
        default:
            refuse { self.tryNext(after: .badUpstream("status \(head.status)")) }
        }
    }

    private func refuse(_ next: () -> Void) {
        upstream?.letGo()
        upstream = nil
        next()
    }

    private func startResponse(_ upstream: UpstreamHead) {
        phase = .responding
        firstByteAt = loop.readClock()
        statusSent = upstream.status
        setIdleDeadline()
        let isEventStream = upstream.value(.contentType).map(ContentType.isEventStream) ?? false
        let isEncoded = upstream.value(.contentEncoding).map { !$0.isEmpty && !ContentType.isIdentity($0) } ?? false
        var head = ReplyHead(status: upstream.status, length: length(upstream.framing), requestID: requestID)
        head.configVersion = config?.versionText ?? []
        head.content = .other(upstream.value(.contentType).map { Array($0) } ?? [])
        if isEncoded, let encoding = upstream.value(.contentEncoding) {
            // It was asked not to. It passes as it is, and the record is an estimate.
            meter.reset()
            head.fields.append(.init(name: "content-encoding", value: Array(encoding)))
        } else if isEventStream {
            let strips = isStreaming && !clientWantsUsage
            meter.beginStream(strips ? .strip : .observe)
            // Its end is not known here: usage may be taken out, an error event put in.
            if head.length != .none { head.length = .unknown }
            head.content = .eventStream
        } else {
            meter.beginDocument()
        }
        sink.begin(head)
    }

    private func length(_ framing: BodyFraming) -> ReplyHead.Length {
        switch framing {
        case .none: .none
        case .length(let length): .known(length)
        case .chunked, .untilClose: .unknown
        }
    }

    // MARK: The body

    /// `count` bytes at the front of `buffer` are the body's next ones. A large piece of a body that nothing is taken out of goes on
    /// without being copied.
    func upstreamPiece(_ buffer: inout ByteBuffer, _ count: Int, isEnd: Bool) {
        if phase == .responding, !meter.strips, count >= 16_384, let piece = buffer.readSlice(length: count) {
            piece.withUnsafeReadableBytes { observe($0) }
            sink.write(piece)
        } else {
            buffer.withUnsafeReadableBytes { take(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            buffer.moveReaderIndex(forwardBy: count)
        }
        endPieces(isEnd: isEnd)
    }

    /// A part of what one read of the provider's connection brings; `endPieces` comes after the last of them.
    func take(_ bytes: UnsafeRawBufferPointer) {
        switch phase {
        case .collectingError:
            if errorBody.count + bytes.count <= 65_536 { errorBody.append(contentsOf: bytes) }
        case .responding, .settling:
            if meter.strips {
                loop.scratch.removeAll(keepingCapacity: true)
                meter.strip(bytes, into: &loop.scratch)
                loop.scratch.withUnsafeBytes { sink.write($0) }
                responseBytes &+= Int64(bytes.count)
            } else {
                observe(bytes)
                sink.write(bytes)
            }
        default: return
        }
    }

    private func observe(_ bytes: UnsafeRawBufferPointer) {
        responseBytes &+= Int64(bytes.count)
        meter.observe(bytes)
    }

    func endPieces(isEnd: Bool) {
        switch phase {
        case .collectingError:
            if isEnd { answerCollectedError() }
            return
        case .responding, .settling: break
        default: return
        }
        if isEnd { finishMeter() }
        guard checkSize() else { return }
        setIdleDeadline()
        deliver(isEnd: isEnd)
    }

    /// Tells the meter that nothing follows; what it still holds back of an event that never ended goes out.
    private func finishMeter() {
        loop.scratch.removeAll(keepingCapacity: true)
        meter.finish(into: &loop.scratch)
        if !loop.scratch.isEmpty { loop.scratch.withUnsafeBytes { sink.write($0) } }
    }

    private func checkSize() -> Bool {
        guard responseBytes > Int64(loop.settings.maxResponseBytes) else { return true }
        upstream?.abandon()
        upstream = nil
        cut(
            Outcome(isFailure: true, origin: .provider, code: "response_too_large", flags: .cutByLimit),
            "The response is larger than allowed.")
        return false
    }

    private func setIdleDeadline() {
        guard let upstream, let attempt else { return }
        let own = attempt.target.endpoint.timeouts.idleMilliseconds
        let idle = own > 0 ? own : Int64(loop.settings.upstreamIdleTimeout)
        upstream.setDeadline(min(loop.nowMicroseconds &+ idle &* 1000, upstreamDeadlineTotal))
    }

    // MARK: To the client

    private func deliver(isEnd: Bool) {
        if isEnd { upstream = nil }
        switch settlement {
        case .intent:
            guard isEnd || meter.sawDone else {
                if !sink.flush() { upstream?.pause() }
                return
            }
            endReached = isEnd
            phase = .settling
            settle(success())
            loop.endAfterJournal(self)
        case .buffered: endReached = endReached || isEnd
        case .durable:
            if isEnd {
                sink.end()
            } else if !sink.flush() {
                upstream?.pause()
            }
        case .none: return
        }
    }

    /// The client has taken what was sent to it.
    func clientIsReady() { upstream?.resume() }

    private func success() -> Outcome {
        guard meter.sawError else { return Outcome(isFailure: false) }
        return Outcome(isFailure: true, origin: .provider, code: "provider_error_in_body")
    }

    /// The journal has the completion: what was held goes out.
    func completionIsDurable() {
        guard settlement == .buffered else { return }
        settlement = .durable
        if !endReached {
            _ = sink.flush()
        } else if isCut {
            sink.abort()
        } else {
            sink.end()
        }
    }

    /// A response without a length ended with its connection.
    func upstreamEnded() {
        upstream = nil
        switch phase {
        case .responding, .settling:
            endPieces(isEnd: true)
        case .collectingError: answerCollectedError()
        default: upstreamFailed(.closed, connection: nil)
        }
    }

    // MARK: Failures

    func upstreamFailed(_ failure: UpstreamFailure, connection: UpstreamConnection?) {
        upstream = nil
        switch phase {
        case .awaitingHead:
            if isReusedConnection, connection?.hasReceived == false, case .closed = failure {
                retryOnFreshConnection()
                return
            }
            switch failure {
            case .closed: tryNext(after: .upstreamClosed(failure.detail))
            case .malformed: tryNext(after: .badUpstream(failure.detail))
            case .io: tryNext(after: .unreachable(failure.detail))
            }
        case .collectingError: tryNext(after: .badUpstream(failure.detail))
        case .responding:
            loop.metrics.upstreamDeaths &+= 1
            cut(
                Outcome(isFailure: true, origin: .provider, code: "provider_died", flags: .upstreamDied),
                "The provider's answer broke off. What has arrived is incomplete.")
        case .settling:
            // The stream had said [DONE]: only the connection's farewell is missing.
            if !endReached { endWithoutUpstream() }
        default: return
        }
    }

    func upstreamDeadlinePassed() {
        upstream?.abandon()
        upstream = nil
        switch phase {
        case .awaitingHead, .collectingError: tryNext(after: .upstreamTimeout("no response head in time"))
        case .responding:
            cut(
                Outcome(isFailure: true, origin: .provider, code: "provider_timeout", flags: [.upstreamDied, .cutByLimit]),
                "The provider stopped in the middle of its answer.")
        case .settling: if !endReached { endWithoutUpstream() }
        default: return
        }
    }

    private func endWithoutUpstream() { deliver(isEnd: true) }

    /// The answer cannot be finished. A stream gets an error event, which the SDKs raise; anything else is broken off, so that nobody takes
    /// a part for the whole.
    func cut(_ outcome: Outcome, _ message: String) {
        if meter.kind == .stream {
            let event = OpenAIErrors.event(message: message, type: "upstream_error", code: "\(outcome.code)")
            event.withUnsafeBytes { sink.write($0) }
        } else {
            isCut = true
        }
        endReached = true
        phase = .settling
        settle(outcome)
        loop.endAfterJournal(self)
    }

    /// The client is gone: the provider is told by closing, and what passed is recorded.
    func clientGone() {
        upstream?.abandon()
        upstream = nil
        switch settlement {
        case .intent:
            if phase == .journaling, loop.journal.abandon(requestID) {
                settlement = .none
            } else {
                loop.metrics.clientDisconnects &+= 1
                settle(Outcome(isFailure: true, origin: .client, code: "client_disconnected", flags: .clientDisconnected))
            }
        case .none, .buffered, .durable: break
        }
        reset()
    }

    /// The client did not take what was sent to it.
    func clientStalled() {
        upstream?.abandon()
        upstream = nil
        settle(Outcome(isFailure: true, origin: .client, code: "client_stalled", flags: [.clientDisconnected, .cutByLimit]))
        reset()
    }

    // MARK: The caller's errors, as the provider saw them

    private func answerCollectedError() {
        upstream = nil
        let status = errorStatus
        let sanitised = errorBody.withUnsafeBytes { ProviderErrorSanitiser.sanitise($0) }
        var rejection = Rejection(
            status: status, fault: .client, kind: .invalidRequest, code: "provider_rejected",
            message: "The provider refused the request (status \(status)).")
        if let sanitised {
            rejection.message = sanitised.message
            rejection.param = sanitised.param
            rejection.providerCode = sanitised.code
        }
        reject(rejection)
    }
}

enum ContentType {
    /// `text/event-stream`, with or without parameters, in any case.
    static func isEventStream(_ value: UnsafeRawBufferPointer) -> Bool { hasPrefix(value, "text/event-stream") }

    static func isIdentity(_ value: UnsafeRawBufferPointer) -> Bool { hasPrefix(value, "identity") }

    private static func hasPrefix(_ value: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard value.count >= text.utf8CodeUnitCount else { return false }
        for index in 0..<text.utf8CodeUnitCount where value[index] | 0x20 != text.utf8Start[index] | 0x20 { return false }
        return value.count == text.utf8CodeUnitCount || [UInt8(ascii: ";"), UInt8(ascii: " ")].contains(value[text.utf8CodeUnitCount])
    }
}

enum RetryAfter {
    /// Whole seconds (RFC 9110 §10.2.3), at most an hour; a date is not worth parsing for a hint.
    static func seconds(_ value: UnsafeRawBufferPointer) -> Int? {
        guard !value.isEmpty, value.count <= 9 else { return nil }
        var seconds = 0
        for byte in value {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            seconds = seconds * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return min(seconds, 3600)
    }
}
