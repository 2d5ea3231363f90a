import Primitives

/// Tells the names of known request members, however they are written.
enum MemberName {
    /// The longest known name, and the most bytes that can spell it: `\uXXXX` a letter.
    private static let longest = 21
    private static let longestSpelling = longest &* 6

    /// The member named by the bytes of a checked string, or nil for one that the gateway does not read.
    ///
    /// Throws `.ambiguous` for a name that is not a known one but that Go's `encoding/json` and others like it would match with one:
    /// these ignore case, and fold U+017F to "s" and U+212A to "k". Throws `.nulInName` for a name with an escaped NUL.
    @inline(__always)
    static func recognise(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ hasEscapes: Bool, nested: Bool
    ) throws(JSONViolation) -> RequestMember? {
        let count = end &- start
        if count <= longest && !hasEscapes, let member = exact(base, start, count, nested) { return member }
        if hasEscapes, holdsNUL(base, start, end) { throw .nulInName(offset: start) }
        guard count <= longestSpelling, hasEscapes || mayFold(base, start, end) else { return nil }
        return try unusual(base, start, end, nested)
    }

    @inline(__always)
    private static func exact(_ base: UnsafeRawPointer, _ start: Int, _ count: Int, _ nested: Bool) -> RequestMember? {
        if nested { return ByteScan.equals(base, start, count, "include_usage") ? .includeUsage : nil }
        switch count {
        case 1: return ByteScan.equals(base, start, count, "n") ? .n : nil
        case 4: return ByteScan.equals(base, start, count, "user") ? .user : nil
        case 5:
            if ByteScan.equals(base, start, count, "model") { return .model }
            if ByteScan.equals(base, start, count, "input") { return .input }
            if ByteScan.equals(base, start, count, "store") { return .store }
            return ByteScan.equals(base, start, count, "tools") ? .tools : nil
        case 6:
            if ByteScan.equals(base, start, count, "stream") { return .stream }
            if ByteScan.equals(base, start, count, "system") { return .system }
            return ByteScan.equals(base, start, count, "prompt") ? .prompt : nil
        case 7: return ByteScan.equals(base, start, count, "best_of") ? .bestOf : nil
        case 8: return ByteScan.equals(base, start, count, "messages") ? .messages : nil
        case 10:
            if ByteScan.equals(base, start, count, "max_tokens") { return .maxTokens }
            return ByteScan.equals(base, start, count, "background") ? .background : nil
        case 12:
            if ByteScan.equals(base, start, count, "service_tier") { return .serviceTier }
            if ByteScan.equals(base, start, count, "conversation") { return .conversation }
            return ByteScan.equals(base, start, count, "instructions") ? .instructions : nil
        case 14: return ByteScan.equals(base, start, count, "stream_options") ? .streamOptions : nil
        case 17: return ByteScan.equals(base, start, count, "max_output_tokens") ? .maxOutputTokens : nil
        case 20: return ByteScan.equals(base, start, count, "previous_response_id") ? .previousResponseID : nil
        case 21: return ByteScan.equals(base, start, count, "max_completion_tokens") ? .maxCompletionTokens : nil
        default: return nil
        }
    }

    private static func holdsNUL(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        var at = start
        while let backslash = ByteScan.find(0x5C, base, from: at, limit: end), backslash &+ 1 < end {
            if backslash &+ 6 <= end, ByteScan.equals(base, backslash, 6, #"\u0000"#) { return true }
            at = backslash &+ 2
        }
        return false
    }

    /// Whether the name holds anything that folding would change.
    private static func mayFold(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
        for at in start..<max(start, end) {
            let byte = ByteScan.byte(base, at)
            if byte &- 0x41 < 26 || byte >= 0x80 { return true }
        }
        return false
    }

    @inline(never)
    private static func unusual(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ nested: Bool) throws(JSONViolation) -> RequestMember?
    {
        // Never more than `longestSpelling` bytes, so on the stack.
        let (plain, folded) = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: longestSpelling) { buffer in
            guard let count = JSONText.unescape(base, start, end, into: buffer), let name = UnsafeRawPointer(buffer.baseAddress) else {
                return (RequestMember?.none, RequestMember?.none)
            }
            if let member = exact(name, 0, count, nested) { return (member, nil) }
            let foldedCount = fold(buffer, count)
            return (nil, exact(name, 0, foldedCount, nested))
        }
        if let folded { throw .ambiguous(folded) }
        return plain
    }

    /// Lower case in place; returns the new length, which is never more.
    private static func fold(_ buffer: UnsafeMutableBufferPointer<UInt8>, _ count: Int) -> Int {
        var from = 0
        var to = 0
        while from < count {
            let byte = buffer[from]
            if byte == 0xC5, from &+ 1 < count, buffer[from &+ 1] == 0xBF {
                buffer[to] = 0x73
                from &+= 2
            } else if byte == 0xE2, from &+ 2 < count, buffer[from &+ 1] == 0x84, buffer[from &+ 2] == 0xAA {
                buffer[to] = 0x6B
                from &+= 3
            } else {
                buffer[to] = byte &- 0x41 < 26 ? byte | 0x20 : byte
                from &+= 1
            }
            to &+= 1
        }
        return to
    }
}
