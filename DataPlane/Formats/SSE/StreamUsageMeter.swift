import Primitives

/// Reads along with a stream of server-sent events in one of the dialects, in pieces split anywhere, and learns what it cost.
///
/// An event that lies whole in a piece is read where it lies; only the part of an event at a piece's end is copied and kept. Most events
/// are glanced at once; those with a usage or an error are read as JSON.
package struct StreamUsageMeter: Sendable {
    package enum Mode: Sendable {
        /// The client sees what the provider sent.
        case observe
        /// The client did not ask for usage, the gateway did: usage is taken out of what the client sees, all else stays byte for byte.
        case strip
    }

    /// The most bytes of one event that are kept until its end arrives. A larger event passes unread.
    package static let maxEventBytes = 1 << 20

    package let mode: Mode
    package let dialect: Dialect
    /// Events that carried data.
    package private(set) var events: Int64 = 0
    /// Raw bytes of text, tool arguments and reasoning in the deltas, for an estimate.
    package private(set) var contentBytes: Int64 = 0
    /// Events that held some of it.
    package private(set) var contentEvents: Int64 = 0
    /// The stream said that it is over: `[DONE]`, `message_stop`, a response's last event, or an error where nothing follows one. Events
    /// behind it are read and counted like those before it.
    package private(set) var sawDone = false
    package private(set) var sawFinishReason = false
    /// A chunk with a top-level error.
    package private(set) var sawError = false
    /// An event was larger than `maxEventBytes` and was not read.
    package private(set) var sawOversize = false

    /// Who keeps responses for tenants has to know the response's own identifier: it is looked for in the opening events.
    package let learnsID: Bool
    /// As the provider says it, still escaped; nil until an event has said it.
    package private(set) var responseID: [UInt8]?

    private var tally = UsageTally()
    /// Beside the usage: the tier that served it, and how often the provider searched for it.
    private var serviceTier: ServiceTier?
    private var searches: Int64 = 0
    /// Of a Messages stream, which states its usage bit by bit.
    private var messagesUsage = MeteredMessagesUsage()
    /// An event that shows what the stream is: the first one of chat completions, the first behind the opening ones of others.
    package private(set) var isTelling = false
    /// What must not stand in an error that the client sees.
    private let hidden: HiddenTexts
    private var boundary = EventBoundary()
    /// The part of an event that has arrived so far.
    private var carry: [UInt8] = []
    private var isSkipping = false
    /// The last event did not go out with its own end: a line feed that still belongs to it does not either.
    private var swallowsLineFeed = false
    private var isFirstEvent = true
    /// What the client sees goes through here: the bytes held back are ours to send.
    private var relays = false

    /// Takes a stretch of what the client is to see; it is valid during the call only.
    package typealias Emit = (UnsafeRawBufferPointer) -> Void

    /// - Parameter mode: `.strip` is for chat completions alone.
    package init(_ dialect: Dialect = .openAI, mode: Mode, hidden: HiddenTexts = .none, learnsID: Bool = false) {
        self.learnsID = learnsID
        self.dialect = dialect
        self.mode = mode
        self.hidden = hidden
    }

    /// The one usage of all that the chunks state; `.absent` without any.
    package var reading: UsageReading {
        if dialect == .messages { return messagesUsage.reading(contentBytes: contentBytes) }
        var reading = tally.reading(contentBytes: contentBytes)
        if let serviceTier { reading.serviceTier = serviceTier }
        if searches > 0 { reading.searches = max(reading.searches, searches) }
        return reading
    }

    /// The stream has not said that its answer is whole.
    package var lacksEnd: Bool { !sawDone && !sawError && (dialect != .openAI || !sawFinishReason) }

    /// Nothing in it looks like an end: neither `[DONE]` nor a reason, nor usage, which comes last. Some providers leave out one or the other.
    package var isCutShort: Bool { lacksEnd && !sawOversize && (dialect != .openAI || !tally.reading.present) }

    /// Bytes at the end of what was given to `relay` that are held back because their event is not whole yet. A stream that is cut off is
    /// left there: the error event that says so then is one of its own.
    package var heldBytes: Int { carry.count }

    /// Part of an event that is too large to be held has gone out: whatever is to be an event of its own needs a blank line before it.
    package var isInsideSentEvent: Bool { isSkipping }

    /// Reads a piece whose bytes the caller forwards itself.
    package mutating func observe(_ bytes: UnsafeRawBufferPointer) {
        consume(bytes, emits: false) { _ in }
    }

    /// Reads a piece and hands on what the client is to see of it and of what was held back: whole events, errors in words that a caller
    /// may see, and in `.strip` mode no usage. All else is passed byte for byte, without being copied.
    package mutating func relay(_ bytes: UnsafeRawBufferPointer, emit: Emit) {
        relays = true
        consume(bytes, emits: true, emit: emit)
    }

    /// The stream came to its end: reads an event that lacks its blank line, and hands on what `relay` held back, with that line: receivers
    /// throw away an event without it (WHATWG HTML §9.2.6). A piece of an event is none and stays here.
    package mutating func finish(emit: Emit) {
        guard !carry.isEmpty else { return }
        var last: [UInt8] = []
        swap(&last, &carry)
        last.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, isWhole(base, bytes.count) else { return }
            let verdict = read(base, 0, bytes.count, emits: relays)
            guard relays else { return }
            self.emit(verdict, base, 0, bytes.count, to: emit)
            switch verdict {
            case .drop, .replace: break
            case .keep, .cut, .edit:
                let endsLine = bytes.last == 0x0A || bytes.last == 0x0D
                Array((endsLine ? "\n" : "\n\n").utf8).withUnsafeBytes(emit)
            }
        }
    }

    /// Whether the data of an event is all there: the end of it may be missing with its blank line.
    private func isWhole(_ base: UnsafeRawPointer, _ end: Int) -> Bool {
        var lines = EventLines(base: base, limit: end, at: isFirstEvent ? ByteOrderMark.length(base, 0, end) : 0)
        var data: [UInt8] = []
        while let line = lines.next() {
            guard let value = EventLines.dataValue(base, line) else { continue }
            if !data.isEmpty { data.append(0x0A) }
            data.append(contentsOf: UnsafeRawBufferPointer(start: base + value.lowerBound, count: value.count))
        }
        return data.withUnsafeBytes { data in
            guard let start = data.baseAddress, data.count > 0 else { return false }
            return EventLines.isDone(start, 0, data.count) || (try? JSONView(checking: Array(data))) != nil
        }
    }

    private enum Verdict {
        case keep
        case drop
        /// Keep all but this range, in offsets like those of the event.
        case cut(Range<Int>)
        /// In order of position.
        case edit([SpliceEdit])
        /// Send these bytes in the event's place.
        case replace([UInt8])
    }

    @inline(__always)
    private mutating func consume(_ bytes: UnsafeRawBufferPointer, emits: Bool, emit: Emit) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        let limit = bytes.count
        let mayHoldCR = ByteScan.find(0x0D, base, from: 0, limit: limit) != nil
        var at = 0
        // Bytes from here on are to be sent and have not been yet.
        var pending = 0
        if carry.isEmpty, !isSkipping, boundary.takeLineFeed(base, at: 0, limit: limit) {
            at = 1
            if swallowsLineFeed { pending = 1 }
        }
        while at < limit {
            let start = at
            guard let end = boundary.endOfEvent(base, from: at, limit: limit, mayHoldCR: mayHoldCR) else {
                if emits && pending < start { Self.send(base, pending, start, to: emit) }
                keepTail(base, start, limit, emits: emits, emit: emit)
                return
            }
            at = end
            if isSkipping {
                isSkipping = false
                swallowsLineFeed = false
            } else if carry.isEmpty {
                let verdict = read(base, start, end, emits: emits)
                guard emits else { continue }
                if case .keep = verdict {
                    swallowsLineFeed = false
                    continue
                }
                Self.send(base, pending, start, to: emit)
                self.emit(verdict, base, start, end, to: emit)
                pending = end
            } else {
                finishCarried(base, start, end, emits: emits, emit: emit)
                pending = end
            }
        }
        if emits && pending < limit { Self.send(base, pending, limit, to: emit) }
    }

    /// The event at the end of a piece is not whole: keeps what there is of it.
    private mutating func keepTail(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int, emits: Bool, emit: Emit) {
        if isSkipping {
            if emits { Self.send(base, start, limit, to: emit) }
            return
        }
        if carry.count &+ limit &- start > Self.maxEventBytes {
            sawOversize = true
            isSkipping = true
            if learnsID, responseID == nil {
                responseID =
                    carry.isEmpty
                    ? ResponseIDs.begun(UnsafeRawBufferPointer(start: base + start, count: limit &- start))
                    : carry.withUnsafeBytes { ResponseIDs.begun($0) }
            }
            if emits {
                carry.withUnsafeBytes(emit)
                Self.send(base, start, limit, to: emit)
            }
            carry.removeAll(keepingCapacity: false)
            return
        }
        carry.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: limit &- start))
    }

    private mutating func finishCarried(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, emits: Bool, emit: Emit) {
        var whole: [UInt8] = []
        swap(&whole, &carry)
        whole.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: end &- start))
        whole.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let verdict = read(base, 0, bytes.count, emits: emits)
            if emits { self.emit(verdict, base, 0, bytes.count, to: emit) }
        }
        // The storage serves the next carried event, unless it has grown beyond what is common.
        if whole.capacity <= 65_536 {
            whole.removeAll(keepingCapacity: true)
            swap(&whole, &carry)
        }
    }

    private mutating func emit(_ verdict: Verdict, _ base: UnsafeRawPointer, _ start: Int, _ end: Int, to emit: Emit) {
        swallowsLineFeed = false
        switch verdict {
        case .keep: Self.send(base, start, end, to: emit)
        case .drop: swallowsLineFeed = true
        case .replace(let bytes):
            swallowsLineFeed = true
            bytes.withUnsafeBytes(emit)
        case .cut(let range):
            Self.send(base, start, range.lowerBound, to: emit)
            Self.send(base, range.upperBound, end, to: emit)
        case .edit(let edits):
            var at = start
            for edit in edits {
                Self.send(base, at, edit.range.lowerBound, to: emit)
                if !edit.replacement.isEmpty { edit.replacement.withUnsafeBytes(emit) }
                at = edit.range.upperBound
            }
            Self.send(base, at, end, to: emit)
        }
    }

    @inline(__always)
    private static func send(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, to emit: Emit) {
        guard start < end else { return }
        emit(UnsafeRawBufferPointer(start: base + start, count: end &- start))
    }

    /// Reads one whole event.
    @inline(__always)
    private mutating func read(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, emits: Bool) -> Verdict {
        var lines = EventLines(base: base, limit: end, at: start)
        if isFirstEvent {
            isFirstEvent = false
            // A byte order mark may head the stream.
            lines.at = start &+ ByteOrderMark.length(base, start, end)
        }
        let first = lines.at
        var data: Range<Int>?
        var isNamedError = false
        while let line = lines.next() {
            guard let value = EventLines.dataValue(base, line) else {
                if line.count >= 11, EventLines.isNamedError(base, line) { isNamedError = true }
                continue
            }
            if data != nil { return readManyLines(base, first, end, emits: emits) }
            data = value
        }
        guard let data else { return .keep }
        events &+= 1
        if isNamedError, dialect == .openAI { return readNamedError(base, data, emits: emits) }
        return readData(base, data.lowerBound, data.upperBound, emits: emits)
    }

    @inline(__always)
    private mutating func readData(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, emits: Bool) -> Verdict {
        if end &- start <= 16, EventLines.isDone(base, start, end) {
            sawDone = true
            isTelling = true
            return .keep
        }
        if dialect != .openAI { return readTyped(base, start, end, emits: emits) }
        isTelling = true
        let strips = emits && mode == .strip
        let glance = ChunkGlance(base, start, end)
        contentBytes &+= Int64(glance.contentBytes)
        if glance.contentBytes > 0 { contentEvents &+= 1 }
        if glance.hasFinishReason { sawFinishReason = true }
        guard glance.hasUsageValue || glance.hasErrorValue || (strips && glance.usageCount > 0) else { return .keep }
        if !glance.hasErrorValue, let range = glance.nullUsage(base, start, end) { return .cut(range) }
        return readMembers(base, start, end, emits: emits, textBytes: glance.contentBytes)
    }

    /// An event that is an error by its name: OpenAI's clients look for a member `error`, and take it for a chunk where there is none.
    @inline(never)
    private mutating func readNamedError(_ base: UnsafeRawPointer, _ data: Range<Int>, emits: Bool) -> Verdict {
        if let members = ChunkMembers(base, data.lowerBound, data.upperBound), members.hasError {
            return readData(base, data.lowerBound, data.upperBound, emits: emits)
        }
        isTelling = true
        sawError = true
        guard emits else { return .keep }
        let words = OpenAIErrors.inStream(UnsafeRawBufferPointer(start: base + data.lowerBound, count: data.count), hidden)
        return .edit([SpliceEdit(range: data, replacement: Array(#"{"error":"#.utf8) + words + Array("}".utf8))])
    }

    /// An event of Messages or Responses.
    @inline(never)
    private mutating func readTyped(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, emits: Bool) -> Verdict {
        guard let event = TypedEvent(base, start, end) else {
            isTelling = true
            return .keep
        }
        contentBytes &+= Int64(event.textBytes)
        if event.textBytes > 0 { contentEvents &+= 1 }
        if event.kind != .opening { isTelling = true }
        if event.isSearch { searches &+= 1 }
        if learnsID, responseID == nil, let range = event.responseID {
            responseID = Array(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
        }
        if let tier = event.serviceTier { serviceTier = tier }
        if let usage = event.usage {
            let stated = UnsafeRawBufferPointer(start: base + usage.lowerBound, count: usage.count)
            if dialect == .messages {
                messagesUsage.read(stated, isLast: event.kind == .closing)
            } else if let reading = UsageParser.parse(stated) {
                tally.note(reading, at: .top, besideText: false, isRepeated: false)
            }
        }
        switch event.kind {
        case .opening, .content, .closing: return .keep
        case .end:
            sawDone = true
            return .keep
        case .error:
            sawError = true
            sawDone = true
            guard emits else { return .keep }
            let data = UnsafeRawBufferPointer(start: base + start, count: end &- start)
            let shown =
                dialect == .messages
                ? MessagesErrors.inStream(data, hidden) : ResponsesErrors.inStream(data, sequence: events &- 1, hidden)
            return .edit([SpliceEdit(range: start..<end, replacement: shown)])
        case .failed:
            sawError = true
            sawDone = true
            guard emits, let range = event.responseError else { return .keep }
            let error = UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
            return .edit([SpliceEdit(range: range, replacement: ResponsesErrors.inResponse(error, hidden))])
        }
    }

    @inline(never)
    private mutating func readMembers(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, emits: Bool, textBytes: Int) -> Verdict {
        guard let members = ChunkMembers(base, start, end) else { return .keep }
        let strips = mode == .strip
        var statesUsage = false
        func parse(_ range: Range<Int>) -> UsageReading? {
            UsageParser.parse(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
        }
        for range in members.partUsages {
            guard let stated = parse(range) else { continue }
            statesUsage = true
            tally.note(stated, at: .part, besideText: !members.hasNoChoices, isRepeated: false)
        }
        if let range = members.usage, let stated = parse(range) {
            statesUsage = true
            tally.note(stated, at: .top, besideText: !members.hasNoChoices, isRepeated: members.usageCount > 1)
        }
        if let tier = members.serviceTier { serviceTier = tier }
        if members.hasError {
            sawError = true
            guard emits else { return .keep }
            let chunk = UnsafeRawBufferPointer(start: base + start, count: end &- start)
            return .edit(members.withError(OpenAIErrors.inStream(chunk, hidden), keepsUsage: !strips))
        }
        guard strips else { return .keep }
        if statesUsage && members.hasNoChoices { return .drop }
        let edits = members.withoutUsage()
        return edits.isEmpty ? .keep : .edit(edits)
    }

    /// An event whose data is spread over several lines, which the receiver joins with line feeds.
    @inline(never)
    private mutating func readManyLines(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, emits: Bool) -> Verdict {
        events &+= 1
        var joined: [UInt8] = []
        var others: [UInt8] = []
        var lines = EventLines(base: base, limit: end, at: start)
        var isFirst = true
        while let line = lines.next() {
            let text = UnsafeRawBufferPointer(start: base, count: end)
            if let value = EventLines.dataValue(base, line) {
                if !isFirst { joined.append(0x0A) }
                isFirst = false
                joined.append(contentsOf: text[value])
            } else if !line.isEmpty {
                others.append(contentsOf: text[line])
                others.append(0x0A)
            }
        }
        return joined.withUnsafeBytes { bytes in
            guard let data = bytes.baseAddress else { return .keep }
            switch readData(data, 0, bytes.count, emits: emits) {
            case .keep: return .keep
            case .drop: return .drop
            case .replace(let bytes): return .replace(bytes)
            case .cut(let range): return rewrite(bytes, [SpliceEdit(range: range, replacement: [])])
            case .edit(let edits): return rewrite(bytes, edits)
            }
        }

        func rewrite(_ data: UnsafeRawBufferPointer, _ edits: [SpliceEdit]) -> Verdict {
            var rest: [UInt8] = []
            guard Splice.append(edits, to: data, into: &rest) else { return .keep }
            for line in rest.split(separator: 0x0A, omittingEmptySubsequences: false) {
                others.append(contentsOf: "data: ".utf8)
                others.append(contentsOf: line)
                others.append(0x0A)
            }
            others.append(0x0A)
            return .replace(others)
        }
    }
}
