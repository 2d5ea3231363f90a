/// Identifiers and names that the other side may refuse, replaced alike wherever they occur: the same one gives the same one, in this
/// request and the next.
enum PortableName {
    /// Anthropic takes letters, digits, `_` and `-` in the id of a call.
    static func callID(forMessages id: EscapedText) -> EscapedText {
        isPlain(id.bytes) && (1...64).contains(id.bytes.count) ? id : replaced(id, prefix: "toolu_")
    }

    /// OpenAI takes 40 bytes in the id of a call.
    static func callID(forChat id: EscapedText) -> EscapedText {
        (1...40).contains(id.bytes.count) && isPlain(id.bytes) ? id : replaced(id, prefix: "call_")
    }

    /// A name of a tool of at most `limit` bytes; longer ones keep their beginning.
    static func tool(_ name: EscapedText, limit: Int) -> EscapedText {
        guard name.bytes.count > limit, isPlain(name.bytes) else { return name }
        var short = EscapedText(escaped: name.bytes.prefix(limit - 17))
        short.append("_")
        short.append(EscapedText(digest(name.bytes, count: 16)))
        return short
    }

    /// A user's id within `limit` bytes: providers want it to tell users apart, nothing more.
    static func user(_ id: EscapedText, limit: Int) -> EscapedText {
        id.plainCount <= limit ? id : replaced(id, prefix: "user_")
    }

    private static func replaced(_ id: EscapedText, prefix: String) -> EscapedText {
        EscapedText(prefix + digest(id.bytes, count: 32))
    }

    private static func isPlain(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.allSatisfy { $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26 || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
    }

    /// FNV-1a of 128 bits, as `count` hexadecimal digits: stable and far apart, not secret. Whoever makes two of them meet confuses only
    /// his own request.
    static func digest(_ bytes: some Sequence<UInt8>, count: Int) -> String {
        var hash: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
        for byte in bytes { hash = (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013b }
        let text = String(hash, radix: 16)
        return String((String(repeating: "0", count: max(0, 32 - text.count)) + text).suffix(count))
    }
}
