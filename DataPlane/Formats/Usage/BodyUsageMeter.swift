import Primitives

/// Reads along with the JSON body of an answer, in pieces split anywhere, and finds its usage in constant memory: at the top, in an element
/// of `choices`, or in a vendor's member (`x_groq`).
///
/// It does not check the JSON: a body that is none is scanned to its end all the same, and at worst has no usage. Strings are passed over
/// sixteen bytes at a time.
package struct BodyUsageMeter: Sendable {
    /// The most bytes of a usage value that are kept; a larger one is flagged and not read.
    package static let maxUsageBytes = 16_384

    package private(set) var totalBytes: Int64 = 0
    /// Raw bytes of the strings named `content`, `text`, `arguments` and the like, for an estimate.
    package private(set) var contentBytes: Int64 = 0
    /// There is an `error` that says something, at the top or in an element of `choices`.
    package private(set) var sawError = false
    /// The root value is there to its closing bracket. False at the end of a body says that it is no JSON, or only a part of one.
    package var hasEnded: Bool { state == .ended }
    /// Objects in the top-level `data`: images, embeddings.
    package private(set) var elements: Int64 = 0
    /// The one usage of all that are stated; `.absent` without any.
    package var reading: UsageReading {
        var reading = tally.reading(contentBytes: contentBytes)
        if let serviceTier { reading.serviceTier = serviceTier }
        if searches > 0 { reading.searches = max(reading.searches, searches) }
        return reading
    }

    private enum State: UInt8 {
        /// Looking for the next bracket or quote.
        case between
        case string
        /// Behind a string: a colon makes it a name.
        case afterString
        /// Behind a name and its colon.
        case beforeValue
        /// In a number or word that is the usage's value.
        case usageWord
        /// The root value has ended.
        case ended
    }

    private enum Name: UInt8 { case other, usage, partUsage, choices, data, vendor, error, text, tier }

    private var state = State.between
    private var depth = 0
    private var rootIsObject = false
    /// The next byte of the string is escaped.
    private var isEscaped = false
    private var isText = false
    private var isUsageString = false
    private var isTier = false
    private var isErrorText = false
    /// Where the value of an `error` begins that holds nothing so far.
    private var errorDepth: Int?
    private var serviceTier: ServiceTier?
    /// Of a response: items of its output that are searches.
    private var searches: Int64 = 0
    private var name = Name.other
    /// What the member is whose value comes next, if that value may hold a usage: `choices` or a vendor's.
    private var opened = Name.other
    /// The member of the root that is being read, of those two.
    private var part = Name.other
    /// The element of `choices` being read is an object.
    private var isChoice = false
    /// The content of the current string as far as it lay in earlier pieces, if it may still be a name.
    private var stringHead: [UInt8] = []
    private var stringBytes = 0
    private var tally = UsageTally()
    /// Capturing the value of `usage`: a container ends when the depth falls to where it began.
    private var isCapturing = false
    private var captureDepth = 1
    private var captured: [UInt8] = []
    private var capturedTooMuch = false
    private var usageCount = 0

    private let dialect: Dialect
    /// Several documents may follow each other, with anything but brackets and quotes between them.
    package let isSequence: Bool

    /// - Parameters:
    ///   - dialect: of the answer.
    ///   - isSequence: It is made of several documents, as a stream of events is that may be of any size.
    package init(_ dialect: Dialect = .openAI, isSequence: Bool = false) {
        self.dialect = dialect
        self.isSequence = isSequence
    }

    package mutating func consume(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        totalBytes &+= Int64(bytes.count)
        let limit = bytes.count
        var at = 0
        // Where the part of a captured value that lies in this piece begins.
        var captureStart = 0
        while at < limit {
            switch state {
            case .between:
                at = Self.findStructure(base, from: at, limit: limit)
                guard at < limit else { break }
                structure(ByteScan.byte(base, at), base, at, captureStart)
                at &+= 1
            case .string:
                at = string(base, at, limit, captureStart)
            case .afterString:
                let byte = ByteScan.byte(base, at)
                if isWhitespace(byte) {
                    at &+= 1
                } else if byte == 0x3A {
                    state = .beforeValue
                    at &+= 1
                } else {
                    name = .other
                    state = .between
                }
            case .beforeValue:
                let byte = ByteScan.byte(base, at)
                if isWhitespace(byte) {
                    at &+= 1
                } else {
                    beginValue(byte, at, &captureStart)
                }
            case .usageWord:
                while at < limit, !Self.endsWord(ByteScan.byte(base, at)) { at &+= 1 }
                if at < limit {
                    finishUsage(base, captureStart, at)
                    state = .between
                }
            case .ended:
                at = limit
            }
        }
        if isCapturing { capture(base, captureStart, limit) }
    }

    /// The body is over: closes a usage that was cut off.
    package mutating func finish() {
        guard isCapturing else { return }
        finishCaptured(wasCutOff: true)
    }

    /// A bracket or a quote between values.
    @inline(__always)
    private mutating func structure(_ byte: UInt8, _ base: UnsafeRawPointer, _ at: Int, _ captureStart: Int) {
        if let begin = errorDepth { lookIntoError(byte, begin) }
        switch byte {
        case 0x22:
            state = .string
            stringBytes = 0
            stringHead.removeAll(keepingCapacity: true)
        case 0x7B, 0x5B:
            if depth == 0 { rootIsObject = byte == 0x7B }
            if depth == 1 {
                let isExpected = (opened == .choices || opened == .data) && byte == 0x5B || opened == .vendor && byte == 0x7B
                part = isExpected ? opened : .other
                opened = .other
            } else if depth == 2 {
                isChoice = part == .choices && byte == 0x7B
                if part == .data, byte == 0x7B { elements &+= 1 }
            }
            depth &+= 1
        case 0x7D, 0x5D:
            if depth > 0 { depth &-= 1 }
            if depth == 2 { isChoice = false }
            if depth <= 1 { part = .other }
            if isCapturing && depth <= captureDepth { finishUsage(base, captureStart, depth == captureDepth ? at &+ 1 : at) }
            if depth == 0 { state = isSequence ? .between : .ended }
        default:
            break
        }
    }

    /// The first byte of a member's value.
    @inline(__always)
    private mutating func beginValue(_ byte: UInt8, _ at: Int, _ captureStart: inout Int) {
        state = .between
        opened = .other
        switch name {
        case .other: break
        case .choices, .data, .vendor: opened = name
        case .tier: isTier = byte == 0x22
        case .partUsage:
            // In a part only an object is taken for usage.
            guard byte == 0x7B else { break }
            beginCapture(at, &captureStart)
        case .text: isText = byte == 0x22
        case .error: errorBegins(byte)
        case .usage:
            usageCount &+= 1
            beginCapture(at, &captureStart)
            switch byte {
            case 0x7B, 0x5B: break
            case 0x22: isUsageString = true
            default: state = .usageWord
            }
        }
        name = .other
    }

    /// The first bracket is the value's own; what comes behind it fills or closes it.
    @inline(never)
    private mutating func lookIntoError(_ byte: UInt8, _ begin: Int) {
        if depth == begin { return }
        errorDepth = nil
        if byte == 0x22 || byte == 0x7B || byte == 0x5B { sawError = true }
    }

    /// What says nothing is none (`ErrorMember`): whether a text, an object or a list does is known with the next quote or bracket.
    private mutating func errorBegins(_ byte: UInt8) {
        switch byte {
        case 0x6E, 0x66, 0x30: break
        case 0x22: isErrorText = true
        case 0x7B, 0x5B: errorDepth = depth
        default: sawError = true
        }
    }

    private mutating func beginCapture(_ at: Int, _ captureStart: inout Int) {
        captured.removeAll(keepingCapacity: true)
        capturedTooMuch = false
        isCapturing = true
        captureDepth = depth
        captureStart = at
    }

    /// The content of a string from `start` on; returns the offset behind its closing quote, or the limit.
    @inline(__always)
    private mutating func string(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int, _ captureStart: Int) -> Int {
        var from = start
        if isEscaped {
            isEscaped = false
            from &+= 1
        }
        let end = endOfString(base, from: from, limit: limit)
        let length = (end ?? limit) &- start
        stringBytes &+= length
        if isText { contentBytes &+= Int64(length) }
        guard let end else {
            // The string goes on in the next piece. An odd number of backslashes at the end leaves one open.
            var last = limit &- 1
            while last >= from, ByteScan.byte(base, last) == 0x5C { last &-= 1 }
            isEscaped = (limit &- 1 &- last) & 1 == 1
            if stringBytes <= Self.longestName, !isText, !isCapturing {
                stringHead.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: length))
            }
            return limit
        }
        endString(base, start, end, limit, captureStart)
        return end &+ 1
    }

    @inline(__always)
    private mutating func endString(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ limit: Int, _ captureStart: Int) {
        state = .between
        if isText {
            isText = false
        } else if isErrorText {
            isErrorText = false
            if stringBytes > 0 { sawError = true }
        } else if isUsageString {
            isUsageString = false
            finishUsage(base, captureStart, end &+ 1)
        } else if isTier {
            isTier = false
            takeTier(base, start, end)
        } else if stringBytes <= Self.longestName, !isCapturing {
            if dialect == .responses, depth == 3, stringBytes == 15 { noteItem(base, start, end) }
            if end &+ 1 < limit {
                // Most strings are values, as what follows them says at once.
                let next = ByteScan.byte(base, end &+ 1)
                if next != 0x3A, !isWhitespace(next) { return }
            }
            state = .afterString
            guard !stringHead.isEmpty else {
                name = recognise(base, start, end)
                return
            }
            stringHead.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: end &- start))
            name = stringHead.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return .other }
                return recognise(base, 0, bytes.count)
            }
        }
    }

    @inline(never)
    private mutating func takeTier(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) {
        guard stringBytes <= Self.longestName else { return }
        let rest = UnsafeRawBufferPointer(start: base + start, count: end &- start)
        if stringHead.isEmpty {
            serviceTier = ServiceTier(stated: rest)
        } else {
            stringHead.append(contentsOf: rest)
            serviceTier = stringHead.withUnsafeBytes { ServiceTier(stated: $0) }
        }
    }

    /// The type of an item in a response's output.
    private mutating func noteItem(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) {
        let isSearch =
            if stringHead.isEmpty {
                ByteScan.equals(base, start, end &- start, "web_search_call")
            } else {
                (stringHead + UnsafeRawBufferPointer(start: base + start, count: end &- start)).elementsEqual("web_search_call".utf8)
            }
        if isSearch { searches &+= 1 }
    }

    private mutating func capture(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) {
        guard start < end, !capturedTooMuch else { return }
        guard captured.count &+ end &- start <= Self.maxUsageBytes else {
            capturedTooMuch = true
            captured.removeAll(keepingCapacity: true)
            return
        }
        captured.append(contentsOf: UnsafeRawBufferPointer(start: base + start, count: end &- start))
    }

    /// The usage ends at `end`: reads it where it lies, or from the copy when it began in an earlier piece.
    private mutating func finishUsage(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) {
        if captured.isEmpty && !capturedTooMuch && end &- start <= Self.maxUsageBytes {
            isCapturing = false
            note(parse(UnsafeRawBufferPointer(start: base + start, count: max(0, end &- start))))
        } else {
            capture(base, start, end)
            finishCaptured()
        }
    }

    private mutating func finishCaptured(wasCutOff: Bool = false) {
        isCapturing = false
        var stated: UsageReading?
        if capturedTooMuch {
            var oversize = UsageReading()
            oversize.flags = [.oversize, .invalid, .inputUnknown, .outputUnknown]
            stated = oversize
        } else {
            stated = captured.withUnsafeBytes { parse($0) }
        }
        if wasCutOff { stated?.flags.insert(.invalid) }
        note(stated)
    }

    private func parse(_ usage: UnsafeRawBufferPointer) -> UsageReading? {
        dialect == .messages ? UsageParser.parseMessages(usage) : UsageParser.parse(usage)
    }

    private mutating func note(_ stated: UsageReading?) {
        guard let stated else { return }
        let isTop = captureDepth <= 1
        tally.note(stated, at: isTop ? .top : .part, besideText: false, isRepeated: isTop && usageCount > 1)
    }

    /// The most bytes in which a name of interest can be written, every letter escaped.
    private static let longestName = 17 * 6

    /// A name counts where it means something: `usage` and `error` at the top, texts anywhere.
    private func recognise(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Name {
        let count = end &- start
        if ByteScan.find(0x5C, base, from: start, limit: end) != nil {
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.longestName) { buffer in
                guard count <= Self.longestName, let plainCount = JSONText.unescape(base, start, end, into: buffer),
                    let plain = UnsafeRawPointer(buffer.baseAddress)
                else { return .other }
                return plainName(plain, 0, plainCount)
            }
        }
        return plainName(base, start, count)
    }

    @inline(__always)
    private func plainName(_ base: UnsafeRawPointer, _ start: Int, _ count: Int) -> Name {
        func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, start, count, text) }
        let isTop = depth == 1 && rootIsObject
        switch count {
        case 4:
            if equals("text") { return .text }
            if isTop && equals("data") { return .data }
        case 12 where isTop && equals("service_tier"): return .tier
        case 5:
            if equals("usage") { return isTop ? .usage : isInPart ? .partUsage : .other }
            if isTop || depth == 3 && isChoice, equals("error") { return .error }
        case 7:
            if equals("content") || equals("refusal") { return .text }
            if isTop && equals("choices") { return .choices }
        case 8 where dialect == .messages && equals("thinking"): return .text
        case 9 where equals("arguments") || equals("reasoning"): return .text
        case 17 where equals("reasoning_content"): return .text
        default: break
        }
        return isTop && VendorMember.isOne(base, start, count) ? .vendor : .other
    }

    /// Whether a member here is one of a vendor's member or of an element of `choices`.
    private var isInPart: Bool { depth == 2 && part == .vendor || depth == 3 && isChoice }

    /// The next bracket, brace or quote; bytes that only resemble one are let through and ignored.
    @inline(__always)
    private static func findStructure(_ base: UnsafeRawPointer, from start: Int, limit: Int) -> Int {
        var at = start
        while at &+ 16 <= limit {
            let lane = ByteScan.lane(base, at)
            // The four brackets become 0x7F when these bits are set.
            let brackets = (lane | ByteScan.Lane(repeating: 0x26)) .== ByteScan.Lane(repeating: 0x7F)
            let hit = ByteScan.first(brackets .| (lane .== ByteScan.Lane(repeating: 0x22)))
            if hit < 16 { return at &+ hit }
            at &+= 16
        }
        while at < limit {
            let byte = ByteScan.byte(base, at)
            if byte == 0x22 || byte | 0x26 == 0x7F { return at }
            at &+= 1
        }
        return limit
    }

    @inline(__always)
    private static func endsWord(_ byte: UInt8) -> Bool {
        byte == 0x2C || byte == 0x7D || byte == 0x5D || isWhitespace(byte)
    }
}
