/// What the simulator needs of a request's JSON body, read by a validating scanner of its own: a provider refuses a body that is not
/// JSON, so this is also the check on what a gateway spliced into it. It shares no code with the gateway's scanner on purpose.
struct RequestBody {
    /// The bytes between the quotes; nil when missing, not a string, or written with escapes.
    var model: Range<Int>?
    var stream = false
    var includesUsage = false
    var maximumTokens: Int64?
    var wantsBase64 = false
    /// Inputs of an embeddings request.
    var inputs = 1
    /// Words in the prompt's texts.
    var words: Int64 = 0

    /// Nil when the bytes are not one JSON object (RFC 8259) of at most 64 levels.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var scanner = Scanner(bytes: bytes)
        guard scanner.document(&self) else { return nil }
    }
}

private struct Scanner {
    let bytes: UnsafeRawBufferPointer
    var at = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The members that mean something, by the place they stand in.
    private enum Place { case root, streamOptions, prompt, elsewhere }

    /// Zero at the end: no byte of JSON's grammar.
    private var next: UInt8 { at < bytes.count ? bytes[at] : 0 }

    mutating func document(_ body: inout RequestBody) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: "{"), object(.root, 0, &body) else { return false }
        skipSpace()
        return at == bytes.count
    }

    private mutating func skipSpace() {
        while at < bytes.count, bytes[at] == 32 || bytes[at] == 10 || bytes[at] == 13 || bytes[at] == 9 { at += 1 }
    }

    private mutating func object(_ place: Place, _ depth: Int, _ body: inout RequestBody) -> Bool {
        guard depth < 64 else { return false }
        at += 1
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            return true
        }
        while true {
            skipSpace()
            guard let key = string() else { return false }
            skipSpace()
            guard next == UInt8(ascii: ":") else { return false }
            at += 1
            skipSpace()
            guard member(key, place, depth, &body) else { return false }
            skipSpace()
            if next == UInt8(ascii: ",") {
                at += 1
            } else if next == UInt8(ascii: "}") {
                at += 1
                return true
            } else {
                return false
            }
        }
    }

    private mutating func member(_ key: Range<Int>, _ place: Place, _ depth: Int, _ body: inout RequestBody) -> Bool {
        let start = at
        switch place {
        case .root:
            if equals(key, "messages") || equals(key, "prompt") { return value(.prompt, depth, &body) }
            if equals(key, "input") { return input(depth, &body) }
            if equals(key, "stream_options") { return value(.streamOptions, depth, &body) }
            guard value(.elsewhere, depth, &body) else { return false }
            let text = start..<at
            if equals(key, "model") {
                let inner = text.dropFirst().dropLast()
                let isPlain = text.count >= 2 && bytes[start] == UInt8(ascii: "\"") && !inner.contains { bytes[$0] == UInt8(ascii: "\\") }
                body.model = isPlain ? start + 1..<at - 1 : nil
            } else if equals(key, "stream") {
                body.stream = equals(text, "true")
            } else if equals(key, "max_tokens") || equals(key, "max_completion_tokens") {
                body.maximumTokens = integer(text)
            } else if equals(key, "encoding_format") {
                body.wantsBase64 = equals(text, "\"base64\"")
            }
            return true
        case .streamOptions:
            guard value(.elsewhere, depth, &body) else { return false }
            if equals(key, "include_usage") { body.includesUsage = equals(start..<at, "true") }
            return true
        case .prompt:
            let carriesText = equals(key, "content") || equals(key, "text")
            return value(carriesText ? .prompt : .elsewhere, depth, &body)
        case .elsewhere: return value(.elsewhere, depth, &body)
        }
    }

    /// The member "input": a text, texts, token numbers, or lists of those.
    private mutating func input(_ depth: Int, _ body: inout RequestBody) -> Bool {
        guard next == UInt8(ascii: "[") else { return value(.prompt, depth, &body) }
        let start = at
        guard let elements = array(.prompt, depth, &body) else { return false }
        var first = start + 1
        while first < at, bytes[first] <= 32 { first += 1 }
        let isTokens = first < at && bytes[first] != UInt8(ascii: "\"") && bytes[first] != UInt8(ascii: "[")
        body.inputs = isTokens ? 1 : max(1, elements)
        return true
    }

    private mutating func value(_ place: Place, _ depth: Int, _ body: inout RequestBody) -> Bool {
        switch next {
        case UInt8(ascii: "\""):
            guard let text = string() else { return false }
            if case .prompt = place { body.words += words(in: text) }
            return true
        case UInt8(ascii: "{"): return object(place, depth + 1, &body)
        case UInt8(ascii: "["): return array(place, depth, &body) != nil
        case UInt8(ascii: "t"): return literal("true")
        case UInt8(ascii: "f"): return literal("false")
        case UInt8(ascii: "n"): return literal("null")
        default: return number()
        }
    }

    /// The number of elements.
    private mutating func array(_ place: Place, _ depth: Int, _ body: inout RequestBody) -> Int? {
        guard depth < 64 else { return nil }
        at += 1
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            return 0
        }
        var count = 0
        while true {
            skipSpace()
            guard value(place, depth + 1, &body) else { return nil }
            count += 1
            skipSpace()
            if next == UInt8(ascii: ",") {
                at += 1
            } else if next == UInt8(ascii: "]") {
                at += 1
                return count
            } else {
                return nil
            }
        }
    }

    /// The range between the quotes.
    private mutating func string() -> Range<Int>? {
        guard next == UInt8(ascii: "\"") else { return nil }
        at += 1
        let start = at
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "\""):
                at += 1
                return start..<at - 1
            case UInt8(ascii: "\\"):
                at += 1
                switch next {
                case UInt8(ascii: "u"):
                    guard at + 4 < bytes.count else { return nil }
                    for offset in 1...4 where !isHexDigit(bytes[at + offset]) { return nil }
                    at += 5
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
                    UInt8(ascii: "r"), UInt8(ascii: "t"):
                    at += 1
                default: return nil
                }
            case 0..<32: return nil
            default: at += 1
            }
        }
        return nil
    }

    private func isHexDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte) }

    private mutating func literal(_ text: StaticString) -> Bool {
        let end = at + text.utf8CodeUnitCount
        guard end <= bytes.count, equals(at..<end, text) else { return false }
        at = end
        return true
    }

    private mutating func digits() -> Bool {
        let start = at
        while (48...57).contains(next) { at += 1 }
        return at > start
    }

    private mutating func number() -> Bool {
        if next == UInt8(ascii: "-") { at += 1 }
        if next == UInt8(ascii: "0") {
            at += 1
        } else if !digits() {
            return false
        }
        if next == UInt8(ascii: ".") {
            at += 1
            guard digits() else { return false }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            guard digits() else { return false }
        }
        return true
    }

    private func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        let start = text.utf8Start
        for offset in 0..<range.count where bytes[range.lowerBound + offset] != start[offset] { return false }
        return true
    }

    /// Nil for what is not a plain integer of at most 18 digits.
    private func integer(_ range: Range<Int>) -> Int64? {
        guard !range.isEmpty, range.count <= 18 else { return nil }
        var value: Int64 = 0
        for index in range {
            guard (48...57).contains(bytes[index]) else { return nil }
            value = value * 10 + Int64(bytes[index] - 48)
        }
        return value
    }

    /// Runs of what is not white space; `\n`, `\r` and `\t` are white space too.
    private func words(in range: Range<Int>) -> Int64 {
        var count: Int64 = 0
        var inWord = false
        var index = range.lowerBound
        while index < range.upperBound {
            var isSpace = bytes[index] == 32
            if bytes[index] == UInt8(ascii: "\\"), index + 1 < range.upperBound {
                index += 1
                isSpace = bytes[index] == UInt8(ascii: "n") || bytes[index] == UInt8(ascii: "r") || bytes[index] == UInt8(ascii: "t")
            }
            if !isSpace && !inWord { count += 1 }
            inWord = !isSpace
            index += 1
        }
        return count
    }
}
