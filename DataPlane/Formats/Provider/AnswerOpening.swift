import Primitives

/// What the beginning of a 2xx answer's body tells, before a byte of it has gone to the caller: whether it is the answer, or an error, or
/// nothing, for which another endpoint can still be asked.
package enum AnswerOpening: Sendable, Equatable {
    /// Hold these bytes and ask again with more.
    case needMore
    /// This is the answer: it may go on its way, and be metered as this kind.
    case answer(BodyKind)
    /// The provider reports an error with a status of success.
    case error(ProviderError)
    /// The body ended and held no event, or not a byte.
    case empty
    /// Neither JSON nor an event stream with JSON in it.
    case unreadable

    /// The most bytes that are held for this. What is not decided by then is taken for the answer if it has the form of one.
    package static let maxHeldBytes = 65_536

    /// - Parameters:
    ///   - bytes: The body from its first byte on, as far as it has come.
    ///   - isEnd: Nothing follows.
    ///   - dialect: In which the provider answers.
    ///   - hidden: What no error may show.
    package static func read(
        _ bytes: UnsafeRawBufferPointer, isEnd: Bool, in dialect: Dialect = .openAI, hiding hidden: HiddenTexts = .none
    ) -> AnswerOpening {
        let isFull = bytes.count >= maxHeldBytes
        switch BodyKind.sniff(bytes, isEnd: isEnd) {
        case .needMore: return isFull ? .unreadable : .needMore
        case .other: return bytes.allSatisfy(isWhitespace) ? .empty : .unreadable
        case .json: return document(bytes, isEnd: isEnd, isFull: isFull, hidden)
        case .eventStream: return stream(bytes, isEnd: isEnd, isFull: isFull, dialect, hidden)
        }
    }

    // MARK: Streams

    private static func stream(
        _ bytes: UnsafeRawBufferPointer, isEnd: Bool, isFull: Bool, _ dialect: Dialect, _ hidden: HiddenTexts
    ) -> AnswerOpening {
        guard let base = bytes.baseAddress else { return isEnd ? .empty : .needMore }
        let limit = bytes.count
        var boundary = EventBoundary()
        let mayHoldCR = ByteScan.find(0x0D, base, from: 0, limit: limit) != nil
        var at = ByteOrderMark.length(base, 0, limit)
        while at < limit {
            let start = at
            guard let end = boundary.endOfEvent(base, from: at, limit: limit, mayHoldCR: mayHoldCR) else {
                if isEnd { return event(bytes, start..<limit, dialect, hidden) ?? .empty }
                return isFull ? .answer(.eventStream) : .needMore
            }
            at = end
            if let verdict = event(bytes, start..<end, dialect, hidden) { return verdict }
        }
        return isEnd ? .empty : isFull ? .answer(.eventStream) : .needMore
    }

    /// Nil for an event that says nothing: comments, events without data, and what a Messages or Responses stream opens with, behind which an
    /// error may follow as well as an answer.
    private static func event(
        _ bytes: UnsafeRawBufferPointer, _ event: Range<Int>, _ dialect: Dialect, _ hidden: HiddenTexts
    ) -> AnswerOpening? {
        guard let base = bytes.baseAddress else { return nil }
        var lines = EventLines(base: base, limit: event.upperBound, at: event.lowerBound)
        var data: [UInt8] = []
        var hasData = false
        var isNamedError = false
        while let line = lines.next() {
            if let value = EventLines.dataValue(base, line) {
                if hasData { data.append(0x0A) }
                hasData = true
                data.append(contentsOf: bytes[value])
            } else if EventLines.isNamedError(base, line) {
                isNamedError = true
            }
        }
        guard hasData else { return nil }
        return data.withUnsafeBytes { data in
            guard let start = data.baseAddress else { return nil }
            // A stream that begins with its end has no answer in it.
            if EventLines.isDone(start, 0, data.count) { return .empty }
            if isNamedError { return .error(.inAnswer(data, hiding: hidden)) }
            if dialect != .openAI, let event = TypedEvent(start, 0, data.count) {
                switch event.kind {
                case .opening: return nil
                case .error: return .error(.inAnswer(data, hiding: hidden))
                case .failed:
                    let error = event.responseError.map { UnsafeRawBufferPointer(rebasing: data[$0]) } ?? data
                    return .error(.inAnswer(error, hiding: hidden))
                case .content, .closing, .end: return .answer(.eventStream)
                }
            }
            guard let members = ChunkMembers(start, 0, data.count) else { return .unreadable }
            return members.hasError ? .error(.inAnswer(data, hiding: hidden)) : .answer(.eventStream)
        }
    }

    // MARK: Documents

    /// What a member of the root says of the whole.
    fileprivate enum Sign { case answer, error, perhapsError }

    private static func document(_ bytes: UnsafeRawBufferPointer, isEnd: Bool, isFull: Bool, _ hidden: HiddenTexts) -> AnswerOpening {
        guard let base = bytes.baseAddress else { return .needMore }
        var cursor = JSONCursor(base: base, from: ByteOrderMark.length(base, 0, bytes.count), limit: bytes.count, maxDepth: 128)
        cursor.skipWhitespace()
        var strongest: Sign?
        // Where the error stands.
        var failed: Range<Int>?
        do throws(JSONViolation) {
            if cursor.current == 0x5B {
                strongest = .perhapsError
                try cursor.skipValue()
            } else {
                strongest = try readSigns(&cursor, &failed)
            }
        } catch {
            // A part of a document looks like a malformed one whose fault is at its end.
            guard !isEnd, isAtEnd(error, bytes.count) else { return .unreadable }
            return isFull ? .answer(.json) : .needMore
        }
        switch strongest {
        case .answer: return .answer(.json)
        // `{}`, `[]`, `{"code":1001,"msg":"…"}`: nothing that any answer has.
        case nil: return .unreadable
        case .error: return .error(.inAnswer(UnsafeRawBufferPointer(rebasing: bytes[failed ?? 0..<cursor.at]), hiding: hidden))
        case .perhapsError:
            let whole = UnsafeRawBufferPointer(rebasing: bytes[..<cursor.at])
            return ErrorBody(whole)?.message == nil ? .unreadable : .error(.inAnswer(whole, hiding: hidden))
        }
    }

    /// Reads the object's members until one of them shows that this is an answer, or to the object's end.
    /// - Parameter failed: the element of `choices` that failed, where one did.
    private static func readSigns(_ cursor: inout JSONCursor, _ failed: inout Range<Int>?) throws(JSONViolation) -> Sign? {
        var strongest: Sign?
        try cursor.expect(0x7B)
        cursor.skipWhitespace()
        if cursor.current == 0x7D {
            cursor.at &+= 1
            return nil
        }
        while true {
            let start = cursor.at &+ 1
            _ = try cursor.skipString()
            let end = cursor.at &- 1
            cursor.skipWhitespace()
            try cursor.expect(0x3A)
            cursor.skipWhitespace()
            let value = cursor.at
            let name = Sign.Name(cursor.base, start, end &- start)
            if cursor.current == 0x5B, ByteScan.equals(cursor.base, start, end &- start, "choices") {
                failed = try failedChoice(cursor)
                if failed != nil { return .error }
            }
            // Providers that report errors of their own form with a 200 leave the members of an answer empty.
            if name == .answer, strongest != .error, cursor.at < cursor.limit, cursor.current != 0x6E { return .answer }
            try cursor.skipValue()
            switch name {
            case .error where ErrorMember.says(cursor.base, value..<cursor.at): strongest = .error
            case .kind:
                func equals(_ word: StaticString) -> Bool { ByteScan.equals(cursor.base, value, cursor.at &- value, word) }
                if equals("\"error\"") {
                    strongest = .error
                } else if equals("\"response\"") || equals("\"chat.completion\"") {
                    // One that failed has an error, which stands ahead of its output, or in its choice.
                    strongest = strongest ?? .answer
                } else if strongest == nil, ByteScan.byte(cursor.base, value) == 0x22 {
                    return .answer
                }
            case .words: if strongest == nil { strongest = .perhapsError }
            case .answer, .error, nil: break
            }
            cursor.skipWhitespace()
            if cursor.current == 0x2C {
                cursor.at &+= 1
                cursor.skipWhitespace()
                continue
            }
            try cursor.expect(0x7D)
            return strongest
        }
    }

    /// The first choice, at whose array the cursor is, where it ended for an error (OpenRouter).
    private static func failedChoice(_ array: JSONCursor) throws(JSONViolation) -> Range<Int>? {
        var cursor = array
        cursor.at &+= 1
        cursor.skipWhitespace()
        guard cursor.at < cursor.limit else { throw .malformed(offset: cursor.at) }
        guard cursor.current == 0x7B else { return nil }
        let start = cursor.at
        var hasError = false
        var endsForIt = false
        try cursor.members { name, value, _, cursor throws(JSONViolation) in
            try cursor.skipValue()
            let length = name.range.count
            if ByteScan.equals(cursor.base, name.range.lowerBound, length, "error") {
                hasError = ErrorMember.says(cursor.base, value..<cursor.at)
            } else if ByteScan.equals(cursor.base, name.range.lowerBound, length, "finish_reason") {
                endsForIt = ByteScan.equals(cursor.base, value, cursor.at &- value, "\"error\"")
            }
        }
        return hasError && endsForIt ? start..<cursor.at : nil
    }

    private static func isAtEnd(_ violation: JSONViolation, _ count: Int) -> Bool {
        switch violation {
        // Half a word (`nul`) or half a character is complained of where it begins.
        case .malformed(let offset), .invalidUTF8(let offset): offset &+ 5 >= count
        default: false
        }
    }
}

extension AnswerOpening.Sign {
    fileprivate enum Name {
        /// Only an answer has it.
        case answer
        case error
        /// `object` or `type`, whose value tells.
        case kind
        /// Only an error has it, unless the rest is an answer's.
        case words

        init?(_ base: UnsafeRawPointer, _ start: Int, _ count: Int) {
            func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, start, count, text) }
            switch count {
            case 4 where equals("data") || equals("text"): self = .answer
            case 4 where equals("type"): self = .kind
            case 5 where equals("error"): self = .error
            case 5 where equals("usage"): self = .answer
            case 6 where equals("object"): self = .kind
            case 6 where equals("output") || equals("result"): self = .answer
            case 6 where equals("detail"): self = .words
            case 7 where equals("choices") || equals("content") || equals("results"): self = .answer
            case 12 where equals("input_tokens"): self = .answer
            case 7 where equals("message"): self = .words
            default: return nil
            }
        }
    }
}
