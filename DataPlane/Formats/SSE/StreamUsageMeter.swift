import Primitives

/// Reads along with a stream of server-sent events in OpenAI's shape, in pieces split anywhere, and learns what it cost.
///
/// An event that lies whole in a piece is read where it lies; only the part of an event at a piece's end is copied and kept. Most events
/// are glanced at once; those with a usage or an error are read as JSON.
package struct StreamUsageMeter: Sendable {
    package enum Mode: Sendable {
        /// The caller forwards the bytes as they are.
        case observe
        /// The client did not ask for usage, the gateway did: usage is taken out of what the client sees, all else stays byte for byte.
        case strip
    }

    /// The most bytes of one event that are kept until its end arrives. A larger event passes unread.
    package static let maxEventBytes = 1 << 20

    package let mode: Mode
    /// The last usage of any chunk that was not null; `.absent` without one.
    package private(set) var reading = UsageReading.absent
    /// Events that carried data.
    package private(set) var events: Int64 = 0
    /// Raw bytes of text, tool arguments and reasoning in the deltas, for an estimate.
    package private(set) var contentBytes: Int64 = 0
    package private(set) var sawDone = false
    package private(set) var sawFinishReason = false
    /// A chunk with a top-level error.
    package private(set) var sawError = false
    /// An event was larger than `maxEventBytes` and was not read.
    package private(set) var sawOversize = false
    /// Chunks that seemed to hold usage or an error and were not JSON.
    package private(set) var malformedEvents: Int64 = 0

    private var boundary = EventBoundary()
    /// The part of an event that has arrived so far.
    private var carry: [UInt8] = []
    private var isSkipping = false
    /// The last event did not go out with its own end: a line feed that still belongs to it does not either.
    private var swallowsLineFeed = false
    private var isFirstEvent = true
    /// The last usage stood beside text.
    private var lastUsageRan = false

    package init(mode: Mode) {
        self.mode = mode
    }

    /// Reads a piece whose bytes the caller forwards itself.
    package mutating func observe(_ bytes: UnsafeRawBufferPointer) {
        var nothing: [UInt8] = []
        consume(bytes, strips: false, into: &nothing)
    }

    /// Reads a piece and appends what the client is to see of it, and of what was held back, to `output`. In `.observe` mode that is the
    /// piece itself.
    package mutating func strip(_ bytes: UnsafeRawBufferPointer, into output: inout [UInt8]) {
        guard mode == .strip else {
            output.append(contentsOf: bytes)
            return observe(bytes)
        }
        consume(bytes, strips: true, into: &output)
    }

    /// The stream is over: reads an event that lacks its blank line, and appends what was held back.
    package mutating func finish(into output: inout [UInt8]) {
        guard !carry.isEmpty else { return }
        var last: [UInt8] = []
        swap(&last, &carry)
        let strips = mode == .strip
        last.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let verdict = read(base, 0, bytes.count, strips: strips)
            if strips { emit(verdict, base, 0, bytes.count, into: &output) }
        }
    }

    /// `finish` for `.observe` mode.
    package mutating func finish() {
        var nothing: [UInt8] = []
        finish(into: &nothing)
    }

    private enum Verdict {
        case keep
        case drop
        /// Keep all but this range, in offsets like those of the event.
        case cut(Range<Int>)
        case cuts([Range<Int>])
        /// Send these bytes in the event's place.
        case replace([UInt8])
    }

    @inline(__always)
    private mutating func consume(_ bytes: UnsafeRawBufferPointer, strips: Bool, into output: inout [UInt8]) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        let limit = bytes.count
        let mayHoldCR = ByteScan.find(0x0D, base, from: 0, limit: limit) != nil
        var at = 0
        if carry.isEmpty, !isSkipping, boundary.takeLineFeed(base, at: 0, limit: limit) {
            at = 1
            if strips && !swallowsLineFeed { output.append(0x0A) }
        }
        // Bytes from here on are to be sent and have not been yet.
        var pending = at
        while at < limit {
            let start = at
            guard let end = boundary.endOfEvent(base, from: at, limit: limit, mayHoldCR: mayHoldCR) else {
                if strips && !isSkipping && pending < start { append(base, pending, start, to: &output) }
                keepTail(base, start, limit, strips: strips, into: &output)
                return
            }
            at = end
            if isSkipping {
                isSkipping = false
                swallowsLineFeed = false
                if !strips { pending = end }
            } else if carry.isEmpty {
                let verdict = read(base, start, end, strips: strips)
                guard strips else { continue }
                if case .keep = verdict {
                    swallowsLineFeed = false
                    continue
                }
                append(base, pending, start, to: &output)
                emit(verdict, base, start, end, into: &output)
                pending = end
            } else {
                finishCarried(base, start, end, strips: strips, into: &output)
                pending = end
            }
        }
        if strips && pending < limit { append(base, pending, limit, to: &output) }
    }

    /// The event at the end of a piece is not whole: keeps what there is of it.
    private mutating func keepTail(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int, strips: Bool, into output: inout [UInt8]) {
        if isSkipping {
            if strips { append(base, start, limit, to: &output) }
            return
        }
        if carry.count &+ limit &- start > Self.maxEventBytes {
            sawOversize = true
            isSkipping = true
            if strips {
                output.append(contentsOf: carry)
                append(base, start, limit, to: &output)
            }
            carry.removeAll(keepingCapacity: false)
            return
        }
        carry.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: limit &- start))
    }

    private mutating func finishCarried(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, strips: Bool, into output: inout [UInt8]) {
        var whole: [UInt8] = []
        swap(&whole, &carry)
        whole.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: end &- start))
        whole.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let verdict = read(base, 0, bytes.count, strips: strips)
            if strips { emit(verdict, base, 0, bytes.count, into: &output) }
        }
        // The storage serves the next carried event, unless it has grown beyond what is common.
        if whole.capacity <= 65_536 {
            whole.removeAll(keepingCapacity: true)
            swap(&whole, &carry)
        }
    }

    private mutating func emit(_ verdict: Verdict, _ base: UnsafeRawPointer, _ start: Int, _ end: Int, into output: inout [UInt8]) {
        swallowsLineFeed = false
        switch verdict {
        case .keep: append(base, start, end, to: &output)
        case .drop: swallowsLineFeed = true
        case .replace(let bytes):
            swallowsLineFeed = true
            output.append(contentsOf: bytes)
        case .cut(let range):
            append(base, start, range.lowerBound, to: &output)
            append(base, range.upperBound, end, to: &output)
        case .cuts(let ranges):
            var at = start
            for range in ranges {
                append(base, at, range.lowerBound, to: &output)
                at = range.upperBound
            }
            append(base, at, end, to: &output)
        }
    }

    @inline(__always)
    private func append(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, to output: inout [UInt8]) {
        guard start < end else { return }
        output.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: end &- start))
    }

    /// Reads one whole event.
    @inline(__always)
    private mutating func read(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, strips: Bool) -> Verdict {
        var lines = EventLines(base: base, limit: end, at: start)
        if isFirstEvent {
            isFirstEvent = false
            // A byte order mark may head the stream.
            if end &- start >= 3, ByteScan.byte(base, start) == 0xEF, ByteScan.byte(base, start &+ 1) == 0xBB,
                ByteScan.byte(base, start &+ 2) == 0xBF
            {
                lines.at = start &+ 3
            }
        }
        let first = lines.at
        var data: Range<Int>?
        while let line = lines.next() {
            guard let value = EventLines.dataValue(base, line) else { continue }
            if data != nil { return readManyLines(base, first, end, strips: strips) }
            data = value
        }
        guard let data else { return .keep }
        events &+= 1
        return readData(base, data.lowerBound, data.upperBound, strips: strips)
    }

    @inline(__always)
    private mutating func readData(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, strips: Bool) -> Verdict {
        if end &- start <= 16, isDone(base, start, end) {
            sawDone = true
            return .keep
        }
        let glance = ChunkGlance(base, start, end)
        contentBytes &+= Int64(glance.contentBytes)
        if glance.hasFinishReason { sawFinishReason = true }
        guard glance.hasUsageValue || glance.hasErrorValue || (strips && glance.usageCount > 0) else { return .keep }
        if !glance.hasErrorValue, let range = glance.nullUsage(base, start, end) { return .cut(range) }
        return readMembers(base, start, end, strips: strips)
    }

    private func isDone(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        var end = end
        while end > start, isWhitespace(ByteScan.byte(base, end &- 1)) { end &-= 1 }
        guard end &- start == 6 else { return false }
        let text: StaticString = "[DONE]"
        for index in 0..<6 where ByteScan.byte(base, start &+ index) != text.utf8Start[index] { return false }
        return true
    }

    @inline(never)
    private mutating func readMembers(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, strips: Bool) -> Verdict {
        guard let members = ChunkMembers(base, start, end) else {
            malformedEvents &+= 1
            return .keep
        }
        if members.hasError { sawError = true }
        if let range = members.usage,
            var latest = UsageParser.parse(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
        {
            // In one chunk or in two: whoever states usage twice may have meant either. A count that runs along with the text (vLLM's
            // continuous usage) is one statement that grows.
            let isRunning =
                lastUsageRan && latest.inputTokens == reading.inputTokens && latest.outputTokens >= reading.outputTokens
            if members.usageCount > 1 || (reading.present && !isRunning) || reading.flags.contains(.duplicate) {
                latest.flags.insert(.duplicate)
            }
            reading = latest
            lastUsageRan = !members.hasNoChoices
            if strips && members.hasNoChoices && !members.hasError { return .drop }
        }
        return strips && !members.removals.isEmpty ? .cuts(members.removals) : .keep
    }

    /// An event whose data is spread over several lines, which the receiver joins with line feeds.
    @inline(never)
    private mutating func readManyLines(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, strips: Bool) -> Verdict {
        events &+= 1
        var joined: [UInt8] = []
        var others: [UInt8] = []
        var lines = EventLines(base: base, limit: end, at: start)
        var isFirst = true
        while let line = lines.next() {
            if let value = EventLines.dataValue(base, line) {
                if !isFirst { joined.append(0x0A) }
                isFirst = false
                append(base, value.lowerBound, value.upperBound, to: &joined)
            } else if !line.isEmpty {
                append(base, line.lowerBound, line.upperBound, to: &others)
                others.append(0x0A)
            }
        }
        return joined.withUnsafeBytes { bytes in
            guard let data = bytes.baseAddress else { return .keep }
            switch readData(data, 0, bytes.count, strips: strips) {
            case .keep: return .keep
            case .drop: return .drop
            case .replace(let bytes): return .replace(bytes)
            case .cut(let range): return rewrite(data, bytes.count, without: [range])
            case .cuts(let ranges): return rewrite(data, bytes.count, without: ranges)
            }
        }

        func rewrite(_ data: UnsafeRawPointer, _ count: Int, without ranges: [Range<Int>]) -> Verdict {
            var rest: [UInt8] = []
            var at = 0
            for range in ranges {
                append(data, at, range.lowerBound, to: &rest)
                at = range.upperBound
            }
            append(data, at, count, to: &rest)
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
