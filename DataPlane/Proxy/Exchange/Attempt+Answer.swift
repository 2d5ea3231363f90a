import Formats
import NIOCore
import Primitives
import Wire

/// An answer on its way from the provider to the caller.
extension Attempt {
    /// What is known of an answer before it is let go, and of an error before it is read.
    struct Opening {
        var contentType: [UInt8] = []
        /// Words, and no events.
        var isText: Bool { contentType.starts(with: "text/".utf8) && !contentType.starts(with: "text/event-stream".utf8) }
        var length = ReplyHead.Length.unknown
        /// Bytes of the body so far.
        var received = 0
        /// The head stands at the front, and behind it what has come of the body.
        var isWritten = false
        /// First bytes of a body that were not enough to judge it, or the body of an error.
        var bytes: [UInt8] = []
        var isJudged = false
        /// Why this is no answer.
        var problem: AttemptOutcome.Ending?
        /// For what the caller gets when all of it is there: a stream where none was asked for, a document where one was, an answer in another
        /// dialect.
        var assembly: Assembly?
        /// For a body that is compressed although that was not asked for.
        var inflater: Inflater?
        /// What is compressed cannot be read any further.
        var isDamaged = false
        /// Keeps the credential out of what the caller receives.
        var keeper: SecretGuard?
        /// Puts the tenant's own names in the place of the provider's ids; nil where nothing is kept.
        var names: ResponseNames?
        /// Keeps what is of the inside out of it, where the channel's workflow says so.
        var sanitiser: AnswerGuard?
    }

    final class Assembly {
        /// Nil where the answer is one document already.
        var assembler: StreamAssembler?
        var document: [UInt8] = []

        init(_ assembler: StreamAssembler?) { self.assembler = assembler }
    }

    /// Apart from the attempt, which few translations are part of: with its room an attempt would not fit malloc's cache.
    final class TranslatedStream {
        var translation: StreamTranslation

        init(_ translation: StreamTranslation) { self.translation = translation }
    }

    /// Bytes of an answer that are held until it is known to be one.
    private static let heldBytes: Int64 = 65_536
    /// The most memory that is kept for gathering.
    private static let sparedBytes = 262_144
    /// A stream that begins with comments is held no longer than this: they are there to keep the caller waiting. Of two that race none wins by
    /// comments.
    private static let heldMicroseconds: Int64 = 5_000_000
    /// What follows `[DONE]` counts, and is waited for no longer than this.
    private static let farewellMicroseconds: Int64 = 1_000_000

    // MARK: What the connection brings

    func beginAnswer(_ head: UpstreamHead) {
        switch head.framing {
        case .none, .length(0):
            if admission.forward != nil, !admission.describesFile { return answerEmpty() }
            return end(.unusable("status \(head.status) without a body"), .letGo)
        case .length(let length): opening.length = .known(length)
        case .chunked, .untilClose: break
        }
        if let type = head.value(.contentType), !ContentType.isJSON(type) { opening.contentType = Array(type) }
        if !admission.isContent, let level = admission.config.plan(of: admission.caller.channel).sanitiser {
            opening.sanitiser = loop.answerPatterns(of: candidate.endpoint, isStrict: level == .strict).map { AnswerGuard($0) }
        }
        opening.names = admission.names(for: candidate)
        opening.keeper = candidate.credential?.pattern(at: candidate.endpoint).map { SecretGuard($0) }
        state = .deciding
        if decodes(head) { return }
        end(.unusable("a content-encoding that was not asked for and cannot be undone"), .letGo)
    }

    /// Makes ready for a body that is compressed. False when its coding is none that can be undone here.
    func decodes(_ head: UpstreamHead) -> Bool {
        guard let encoding = head.value(.contentEncoding), !encoding.isEmpty, !ContentType.isIdentity(encoding) else { return true }
        guard let coding = Inflater.Coding(encoding) else { return false }
        opening.inflater = Inflater(coding)
        opening.length = .unknown
        return true
    }

    /// `count` bytes at the front of `buffer` are the body's next ones. A large piece of a body that nothing is taken out of goes on
    /// without being copied.
    func upstreamPiece(_ buffer: inout ByteBuffer, _ count: Int, isEnd: Bool) {
        if state == .passing, meter.shape != .stream, opening.inflater == nil, count >= 16_384,
            buffer.withUnsafeReadableBytes({ isClean(UnsafeRawBufferPointer(rebasing: $0[..<count])) }),
            let piece = buffer.readSlice(length: count)
        {
            responseBytes &+= Int64(count)
            piece.withUnsafeReadableBytes { meter.observe($0) }
            sink.write(piece)
        } else {
            buffer.withUnsafeReadableBytes { take(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            buffer.moveReaderIndex(forwardBy: count)
        }
        endPieces(isEnd: isEnd)
    }

    /// A part of what one read of the provider's connection brings; `endPieces` comes after the last of them.
    func take(_ bytes: UnsafeRawBufferPointer) {
        guard let inflater = opening.inflater else { return takePlain(bytes) }
        if opening.isDamaged { return }
        do throws(Inflater.Failure) {
            try inflater.inflate(bytes) { takePlain($0) }
        } catch {
            damaged(error)
        }
    }

    private func damaged(_ failure: Inflater.Failure) {
        opening.isDamaged = true
        if state == .deciding { opening.problem = .unusable("a compressed body: \(failure)") }
    }

    private func takePlain(_ bytes: UnsafeRawBufferPointer) {
        switch state {
        case .collecting: keep(bytes)
        case .passing: forward(bytes)
        case .deciding: hold(bytes)
        case .leaving: count(bytes)
        case .connecting, .awaitingHead, .ended: return
        }
    }

    func endPieces(isEnd: Bool) {
        if isEnd, !opening.isDamaged, let inflater = opening.inflater {
            do throws(Inflater.Failure) { try inflater.finish() } catch { damaged(error) }
        }
        handOn()
        switch state {
        case .collecting: if isEnd { endRefused() }
        case .deciding:
            decide(isEnd: isEnd)
            if state == .passing { pass(isEnd: isEnd) }
        case .passing:
            if opening.isDamaged { return endBroken(.providerDied, isEnd ? .done : .abandon) }
            if isEnd { finishSending() }
            pass(isEnd: isEnd)
        case .leaving: if isEnd || meter.sawDone || opening.isDamaged { left(isEnd ? .done : .abandon) }
        case .connecting, .awaitingHead, .ended: return
        }
    }

    // MARK: Holding

    /// What shows by itself what it is, as most answers do in one piece, is not copied.
    private func hold(_ bytes: UnsafeRawBufferPointer) {
        if opening.problem != nil || bytes.isEmpty { return }
        if opening.isJudged { return forward(bytes) }
        let isFirst = opening.received == 0
        opening.received += bytes.count
        if isFirst {
            consider(bytes, new: bytes)
            if !opening.isJudged, opening.problem == nil { keep(bytes) }
        } else {
            keep(bytes)
            let held = opening.bytes
            held.withUnsafeBytes { consider($0, new: bytes) }
        }
    }

    /// - Parameter all: the body from its first byte on.
    private func consider(_ all: UnsafeRawBufferPointer, new bytes: UnsafeRawBufferPointer) {
        if opening.assembly != nil {
            assemble(bytes)
        } else if opening.isWritten {
            forward(bytes)
            judge(all)
        } else if admission.isContent {
            // Whatever is in it is the caller's own.
            write(.none)
            forward(all)
            opening.isJudged = true
        } else if admission.describesFile, BodyKind.sniff(all) == .json {
            // Kept whole: its id becomes one that is its tenant's alone.
            opening.assembly = Assembly(nil)
            meter.beginDocument(dialect)
            assemble(all)
        } else if let media = admission.media, media.passes(BodyKind.sniff(all), isText: opening.isText) {
            // A sound, a text or a stream of pictures says what it is by being none of an error's.
            write(BodyKind.sniff(all) == .eventStream ? .stream : .none)
            forward(all)
            opening.isJudged = true
        } else if admission.capability == .forward {
            // It is the caller's to judge; it is read along where there is something to be read.
            switch BodyKind.sniff(all) {
            case .eventStream: write(.stream)
            case .json: write(.document)
            case .other, .needMore: write(.none)
            }
            forward(all)
            opening.isJudged = true
        } else {
            // Labels are wrong too often: the body says what it is.
            switch BodyKind.sniff(all) {
            case .needMore: if all.count >= AnswerOpening.maxHeldBytes { opening.problem = .unusable("the body says nothing") }
            case .other: opening.problem = .unusable("the body is neither JSON nor an event stream")
            case .eventStream where !admission.isStreaming:
                opening.assembly = Assembly(StreamAssembler(dialect, hiding: loop.hiddenTexts(of: candidate)))
                meter.beginStream(dialect, .observe, .none)
                assemble(all)
            case .eventStream:
                write(.stream)
                forward(all)
                judge(all)
            case .json where translation != nil || opening.names != nil || becomesStream:
                opening.assembly = Assembly(nil)
                meter.beginDocument(dialect)
                assemble(all)
            case .json:
                write(.document)
                forward(all)
                judge(all)
            }
        }
    }

    /// An answer of a head alone, to what is handed on.
    private func answerEmpty() {
        var head = ReplyHead(status: providerStatus, length: .none, requestID: admission.requestID)
        head.configVersion = admission.config.versionText
        state = .passing
        opening.isWritten = true
        sink.begin(head)
        firstByteAt = loop.nowMicroseconds
        exchange.attemptAnswers(self)
        end(.answered(hadError: false), .letGo)
    }

    private func write(_ shape: ResponseMeter.Shape) {
        var head = ReplyHead(status: providerStatus, length: opening.length, requestID: admission.requestID)
        head.configVersion = admission.config.versionText
        head.fields = exchange.answerFields(self)
        head.standings = exchange.standings
        if !opening.contentType.isEmpty { head.content = .other(opening.contentType) }
        if shape == .stream {
            // Its end is not known here: usage may be taken out, an error event put in.
            head.length = .unknown
            head.content = .eventStream
        }
        switch shape {
        case .none: break
        // An event of it is as large as a picture, and so is no event held.
        case .stream where admission.media != nil: meter.beginDocument(dialect, isSequence: true)
        case .document: meter.beginDocument(dialect)
        case .stream:
            // Usage that the caller did not ask for is taken out again; a translation needs all of it.
            let strips = dialect == .openAI && admission.isStreaming && !admission.clientWantsUsage && translation == nil
            translatedStream = translation.map { TranslatedStream($0.stream()) }
            meter.beginStream(
                dialect, strips ? .strip : .observe, loop.hiddenTexts(of: candidate), learnsID: opening.names != nil)
        }
        opening.isWritten = true
        sink.begin(head)
    }

    private func forward(_ bytes: UnsafeRawBufferPointer) {
        responseBytes &+= Int64(bytes.count)
        if meter.shape == .stream {
            // Events often come in many small chunks at once: they are looked through, and handed on, together.
            if gathered.capacity == 0 { swap(&gathered, &loop.spareBytes) }
            if translatedStream == nil {
                meter.relay(bytes) { gathered.append(contentsOf: $0) }
                if let names = opening.names, !names.hasLearnt, let id = meter.responseID { names.learn(id) }
            } else {
                meter.relay(bytes) { gathered.append(contentsOf: translatedStream?.translation.consume($0) ?? []) }
            }
        } else {
            meter.observe(bytes)
            send(bytes)
        }
    }

    /// Hands on what was gathered from one read. The memory, emptied, serves the next stream that brings something.
    private func handOn() {
        if gathered.capacity == 0 { return }
        if !gathered.isEmpty { gathered.withUnsafeBytes { send($0) } }
        gathered.removeAll(keepingCapacity: gathered.capacity <= Self.sparedBytes)
        swap(&gathered, &loop.spareBytes)
    }

    /// Nothing follows: hands on what was held back.
    private func finishSending() {
        if translatedStream == nil {
            meter.finish { gathered.append(contentsOf: $0) }
        } else {
            meter.finish { gathered.append(contentsOf: translatedStream?.translation.consume($0) ?? []) }
            if !lacksEnd { gathered.append(contentsOf: translatedStream?.translation.finish() ?? []) }
        }
        handOn()
        finishGuards()
    }

    private func finishGuards() {
        if let rest = opening.names?.finish(), !rest.isEmpty { rest.withUnsafeBytes { sendNamed($0) } }
        if let rest = opening.sanitiser?.finish(), !rest.isEmpty { rest.withUnsafeBytes { sendSanitised($0) } }
        if opening.sanitiser?.hasMasked == true { loop.metrics.sanitised &+= 1 }
        opening.keeper?.finish { sink.write($0) }
    }

    private func isClean(_ bytes: UnsafeRawBufferPointer) -> Bool { opening.sanitiser == nil && isWithoutSecret(bytes) }

    private func isWithoutSecret(_ bytes: UnsafeRawBufferPointer) -> Bool { opening.keeper?.isClean(bytes) ?? true }

    private func send(_ bytes: UnsafeRawBufferPointer) {
        guard let named = opening.names?.pass(bytes) else { return sendNamed(bytes) }
        if !named.isEmpty { named.withUnsafeBytes { sendNamed($0) } }
    }

    private func sendNamed(_ bytes: UnsafeRawBufferPointer) {
        guard let passed = opening.sanitiser?.pass(bytes) else { return sendSanitised(bytes) }
        if !passed.isEmpty { passed.withUnsafeBytes { sendSanitised($0) } }
    }

    private func sendSanitised(_ bytes: UnsafeRawBufferPointer) {
        if isWithoutSecret(bytes) { return sink.write(bytes) }
        opening.keeper?.pass(bytes) { sink.write($0) }
        if opening.keeper?.hasMasked == true { loop.noteLeak(of: candidate) }
    }

    /// A stream, where its caller asked for one document, is put together to one; a document in another dialect is kept until it is whole.
    private func assemble(_ bytes: UnsafeRawBufferPointer) {
        responseBytes &+= Int64(bytes.count)
        meter.observe(bytes)
        guard let assembly = opening.assembly else { return }
        if assembly.assembler == nil {
            guard assembly.document.count + bytes.count <= StreamAssembler.maxBytes else {
                opening.problem = .unusable("an answer that is too large to be translated")
                return
            }
            return assembly.document.append(contentsOf: bytes)
        }
        do throws(StreamAssembler.Failure) {
            try assembly.assembler?.append(bytes)
        } catch {
            opening.problem = Self.problem(error)
        }
    }

    private static func problem(_ failure: StreamAssembler.Failure) -> AttemptOutcome.Ending {
        switch failure {
        case .failed(let error): .refused(error, retryMilliseconds: nil)
        case .tooLarge, .unreadable, .incomplete: .unusable("a stream that was not asked for: \(failure)")
        }
    }

    /// Keeps bytes that are not enough to tell, or all of an error's, as far as anybody would read them.
    private func keep(_ bytes: UnsafeRawBufferPointer) {
        let room = AnswerOpening.maxHeldBytes - opening.bytes.count
        if room > 0 { opening.bytes.append(contentsOf: bytes.prefix(room)) }
    }

    /// Looks at what has come, once that is enough: a whole document, or the first event of a stream.
    private func judge(_ all: UnsafeRawBufferPointer) {
        switch meter.shape {
        case .none: return
        case .document:
            if meter.isTelling, !meter.sawError, meter.contentBytes > 0 || meter.reading.present {
                // With text or usage in it and no error it is an answer, and need not be read once more.
                opening.isJudged = true
            } else if meter.isTelling || isLarge {
                settle(AnswerOpening.read(all, isEnd: meter.isTelling, in: dialect, hiding: loop.hiddenTexts(of: candidate)))
            }
        case .stream:
            if meter.isTelling { settle(AnswerOpening.read(all, isEnd: false, in: dialect, hiding: loop.hiddenTexts(of: candidate))) }
        }
    }

    /// The end of a large document is not waited for; its begin is looked at once.
    private var isLarge: Bool {
        if case .known(let length) = opening.length { length > Self.heldBytes && Int64(opening.received) == responseBytes } else { false }
    }

    private func settle(_ verdict: AnswerOpening) {
        switch verdict {
        case .needMore: return
        case .answer: break
        case .error(let error): opening.problem = .refused(error, retryMilliseconds: nil)
        case .empty: opening.problem = .unusable("an answer without content")
        case .unreadable: opening.problem = .unusable("the body cannot be read")
        }
        opening.isJudged = true
    }

    /// At the end of what one read brought: whether what is held is an answer.
    private func decide(isEnd: Bool) {
        if opening.assembly != nil, opening.problem == nil {
            guard isEnd else { return waitForMore() }
            writeAssembled()
        } else if isEnd {
            if opening.isWritten { finishSending() }
            if !opening.isJudged, opening.problem == nil { judgeEnd() }
        }
        if let problem = opening.problem { return end(problem, isEnd ? .done : .abandon) }
        let isLongHeld =
            meter.shape == .stream && opening.received > 0 && loop.nowMicroseconds &- headAt > Self.heldMicroseconds && !exchange.isRacing
        guard opening.isJudged || (opening.isWritten && (responseBytes > Self.heldBytes || isLongHeld)) else { return waitForMore() }
        state = .passing
        opening.bytes = []
    }

    private func judgeEnd() {
        if meter.shape == .document, !meter.isTelling {
            opening.problem = .unusable("the body is not whole JSON")
        } else {
            let held = opening.bytes
            settle(held.withUnsafeBytes { AnswerOpening.read($0, isEnd: true, in: dialect, hiding: loop.hiddenTexts(of: candidate)) })
            if !opening.isJudged || !opening.isWritten, opening.problem == nil { opening.problem = .unusable("an answer without content") }
        }
    }

    private func writeAssembled() {
        guard let assembly = opening.assembly else { return }
        do throws(StreamAssembler.Failure) {
            var body = try assembly.assembler?.finish() ?? assembly.document
            meter.finish { _ in }
            if assembly.assembler == nil, !isAnswer(body) { return }
            if let names = opening.names { body = names.document(body) }
            if admission.describesFile {
                guard let own = admission.withOwnID(body, candidate) else {
                    opening.problem = .unusable("a file without an id that can be used")
                    return
                }
                body = own
            }
            do throws(StreamError) {
                if becomesStream {
                    let seconds = loop.clock.nowMilliseconds() / 1000
                    let own = AnswerTranslation(in: dialect, wantsUsage: admission.clientWantsUsage, createdSeconds: seconds)
                    body = try (translation ?? own).streamed(body)
                } else if let translation {
                    body = try translation.document(body)
                }
            } catch {
                opening.problem = .unusable("an answer that cannot be translated (\(error.kind))")
                return
            }
            var head = ReplyHead(status: providerStatus, length: .known(Int64(body.count)), requestID: admission.requestID)
            head.configVersion = admission.config.versionText
            head.fields = exchange.answerFields(self)
            head.standings = exchange.standings
            if becomesStream { head.content = .eventStream }
            sink.begin(head)
            body.withUnsafeBytes { send($0) }
            finishGuards()
            opening.isWritten = true
            opening.isJudged = true
        } catch {
            opening.problem = Self.problem(error)
        }
    }

    /// Where a document comes although a stream was asked for: clients of streams would find nothing in it.
    private var becomesStream: Bool {
        admission.isStreaming && admission.capability.generates && admission.forward == nil && admission.media == nil
            && admission.kept == nil && opening.assembly?.assembler == nil
    }

    /// Whether a document that was kept whole is an answer; else what it is instead is the attempt's problem.
    private func isAnswer(_ body: [UInt8]) -> Bool {
        guard meter.isTelling else {
            opening.problem = .unusable("the body is not whole JSON")
            return false
        }
        // A response that is kept may hold nothing, or the error that it ended with; of a file it is its id that is looked for.
        if admission.kept != nil || admission.describesFile { return true }
        body.withUnsafeBytes { settle(AnswerOpening.read($0, isEnd: true, in: dialect, hiding: loop.hiddenTexts(of: candidate))) }
        return opening.problem == nil
    }

    private func waitForMore() {
        if meter.sawDone { waitForFarewell() } else { setIdleDeadline() }
    }

    private func waitForFarewell() {
        upstream?.setDeadline(min(loop.nowMicroseconds &+ Self.farewellMicroseconds, totalDeadline))
    }

    /// A stream that ended and had not said that it is whole: nobody takes a part for the whole. Of chat completions that pass as they are,
    /// some of what says so may be missing, as some providers have it.
    private var lacksEnd: Bool {
        guard meter.shape == .stream else { return false }
        if dialect == .openAI, translation == nil { return admission.forward == nil && meter.isCutShort }
        return meter.lacksEnd
    }

    // MARK: Passing

    /// Hands on what was written. The end, and what comes after `[DONE]`, wait for the record.
    private func pass(isEnd: Bool) {
        if firstByteAt == 0 {
            firstByteAt = loop.nowMicroseconds
            exchange.attemptAnswers(self)
        }
        guard responseBytes <= Int64(loop.settings.maxResponseBytes) else { return end(.broken(.tooLarge), .abandon) }
        if isEnd, lacksEnd { return endBroken(.providerDied) }
        // What cannot be read cannot be translated: the caller has been told.
        if hasToldError, !meter.sawError { return end(.broken(.providerDied), .abandon) }
        if isEnd { return end(.answered(hadError: meter.sawError), .done) }
        if meter.sawDone { return waitForFarewell() }
        setIdleDeadline()
        // The client may turn out to be gone with that.
        if !sink.flush(), state == .passing { pause() }
    }
}

enum ContentType {
    /// `application/json` alone: with parameters it passes as it is.
    static func isJSON(_ value: UnsafeRawBufferPointer) -> Bool { value.count == 16 && hasPrefix(value, "application/json") }

    static func isIdentity(_ value: UnsafeRawBufferPointer) -> Bool { hasPrefix(value, "identity") }

    private static func hasPrefix(_ value: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard ByteScan.beginsIgnoringCase(value, with: text) else { return false }
        return value.count == text.utf8CodeUnitCount || value[text.utf8CodeUnitCount] == UInt8(ascii: ";")
            || value[text.utf8CodeUnitCount] == UInt8(ascii: " ")
    }
}
