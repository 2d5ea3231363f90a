import Primitives

/// One event of a Messages or Responses stream: what it is by its `type`, and where what the meter needs of it lies. Offsets are into the
/// bytes that it was read from.
struct TypedEvent {
    enum Kind {
        /// Says nothing of whether there will be an answer: `message_start`, `ping`, `response.created`, `response.in_progress`, …
        case opening
        /// A part of the answer.
        case content
        /// The last usage of a Messages stream: `message_delta`.
        case closing
        /// The answer is whole: `message_stop`, `response.completed`, `response.incomplete`.
        case end
        /// `error`.
        case error
        /// `response.failed`: its error stands inside of the response.
        case failed
    }

    private(set) var kind = Kind.content
    /// A usage that is an object: in the event, or in its `message` or `response`.
    private(set) var usage: Range<Int>?
    /// Value of the `error` of a failed response.
    private(set) var responseError: Range<Int>?
    /// Of a response: its `id`, between the quotes.
    private(set) var responseID: Range<Int>?
    /// Raw bytes of generated text.
    private(set) var textBytes = 0
    /// The provider has searched for the answer.
    private(set) var isSearch = false
    /// In which tier a whole response was served.
    private(set) var serviceTier: ServiceTier?

    /// Reads the JSON at [start, limit). Nil when it is not an object, not JSON, or deeper than any event.
    init?(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) {
        var cursor = JSONCursor(base: base, from: start, limit: limit, maxDepth: 128)
        var type: Range<Int>?
        var delta: Range<Int>?
        var whole: Range<Int>?
        do throws(JSONViolation) {
            cursor.skipWhitespace()
            try cursor.members { name, value, _, cursor throws(JSONViolation) in
                let first = cursor.current
                try cursor.skipValue()
                let range = value..<cursor.at
                switch Self.name(cursor.base, name.range) {
                case .type: if first == 0x22 { type = (value &+ 1)..<(cursor.at &- 1) }
                case .delta: delta = range
                case .usage: if first == 0x7B { self.usage = range }
                case .whole: if first == 0x7B { whole = range }
                case .error, .text, .tier, .id, nil: break
                }
            }
            cursor.skipWhitespace()
        } catch {
            return nil
        }
        guard cursor.at == limit else { return nil }
        if let type {
            kind = Self.kind(base, type)
            isSearch = type.count == 34 && ByteScan.equals(base, type.lowerBound, 34, "response.web_search_call.completed")
        }
        if kind == .content, let delta { textBytes = Self.text(base, delta) }
        if let whole, kind != .content { readWhole(base, whole) }
    }

    private mutating func readWhole(_ base: UnsafeRawPointer, _ object: Range<Int>) {
        var cursor = JSONCursor(base: base, from: object.lowerBound, limit: object.upperBound, maxDepth: 128)
        // It has been read once: reading it again cannot fail.
        try? cursor.members { name, value, _, cursor throws(JSONViolation) in
            let first = cursor.current
            try cursor.skipValue()
            switch Self.name(cursor.base, name.range) {
            case .usage: if first == 0x7B { self.usage = value..<cursor.at }
            case .error: if first != 0x6E { self.responseError = value..<cursor.at }
            case .id: if first == 0x22 { self.responseID = (value &+ 1)..<(cursor.at &- 1) }
            case .tier:
                guard first == 0x22 else { break }
                let text = UnsafeRawBufferPointer(start: cursor.base + (value &+ 1), count: cursor.at &- value &- 2)
                self.serviceTier = ServiceTier(stated: text)
            case .type, .delta, .whole, .text, nil: break
            }
        }
    }

    /// Of a delta: itself where it is a string (Responses), else the texts in it.
    private static func text(_ base: UnsafeRawPointer, _ delta: Range<Int>) -> Int {
        guard ByteScan.byte(base, delta.lowerBound) == 0x7B else {
            return ByteScan.byte(base, delta.lowerBound) == 0x22 ? delta.count &- 2 : 0
        }
        var bytes = 0
        var cursor = JSONCursor(base: base, from: delta.lowerBound, limit: delta.upperBound, maxDepth: 128)
        try? cursor.members { name, value, _, cursor throws(JSONViolation) in
            let isString = cursor.current == 0x22
            try cursor.skipValue()
            if isString, Self.name(cursor.base, name.range) == .text { bytes &+= cursor.at &- value &- 2 }
        }
        return bytes
    }

    private enum Name { case type, delta, usage, whole, error, text, tier, id }

    private static func name(_ base: UnsafeRawPointer, _ range: Range<Int>) -> Name? {
        func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, range.lowerBound, range.count, text) }
        switch range.count {
        case 2: return equals("id") ? .id : nil
        case 4: return equals("type") ? .type : equals("text") ? .text : nil
        case 5: return equals("delta") ? .delta : equals("usage") ? .usage : equals("error") ? .error : nil
        case 7: return equals("message") ? .whole : nil
        case 8: return equals("response") ? .whole : equals("thinking") ? .text : nil
        case 12: return equals("partial_json") ? .text : equals("service_tier") ? .tier : nil
        default: return nil
        }
    }

    private static func kind(_ base: UnsafeRawPointer, _ type: Range<Int>) -> Kind {
        func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, type.lowerBound, type.count, text) }
        switch type.count {
        case 4: return equals("ping") ? .opening : .content
        case 5: return equals("error") ? .error : .content
        case 12: return equals("message_stop") ? .end : .content
        case 13: return equals("message_start") ? .opening : equals("message_delta") ? .closing : .content
        case 15: return equals("response.failed") ? .failed : equals("response.queued") ? .opening : .content
        case 16: return equals("response.created") ? .opening : .content
        case 18: return equals("response.completed") ? .end : .content
        case 19: return equals("response.incomplete") ? .end : .content
        case 20: return equals("response.in_progress") ? .opening : .content
        default: return .content
        }
    }
}
