/// What is known of the endpoint that answered and must not be read in its errors, whatever it looks like: the credential that was sent to
/// it, also a very short one, and the names of its hosts. Made once an endpoint and credential, not once a request.
package struct HiddenTexts: Sendable, Equatable {
    package static let none = HiddenTexts()

    private struct Text: Equatable {
        let bytes: [UInt8]
        let replacement: String
        /// Only where no letter or digit stands beside it: a short text is part of many words.
        let isWholeWord: Bool
    }

    private let texts: [Text]

    /// - Parameter hosts: Names as in the endpoint's URL, without the port. A name like a plain word (no dot, dash or digit) is left to the
    ///   general rules: hiding `model` would spoil every message.
    package init(secrets: [String] = [], hosts: [String] = []) {
        var texts: [Text] = []
        for secret in secrets where !secret.isEmpty {
            texts.append(Text(bytes: Array(secret.utf8), replacement: "[redacted]", isWholeWord: secret.utf8.count < 8))
        }
        for host in hosts where host.utf8.contains(where: { $0 == 0x2E || $0 == 0x2D || $0 &- 0x30 < 10 }) {
            texts.append(Text(bytes: Array(host.lowercased().utf8), replacement: "[host]", isWholeWord: true))
        }
        self.texts = texts
    }

    /// The text with each of them replaced.
    func hide(in text: String) -> String {
        guard !texts.isEmpty else { return text }
        var bytes = Array(text.utf8)
        for hidden in texts { bytes = Self.replace(hidden, in: bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func replace(_ hidden: Text, in bytes: [UInt8]) -> [UInt8] {
        let count = hidden.bytes.count
        var result: [UInt8] = []
        var at = 0
        while at < bytes.count {
            guard at + count <= bytes.count, matches(hidden, bytes, at),
                !hidden.isWholeWord || (!isWordByte(bytes, at - 1) && !isWordByte(bytes, at + count))
            else {
                result.append(bytes[at])
                at += 1
                continue
            }
            result += hidden.replacement.utf8
            at += count
        }
        return result
    }

    /// Hosts in any case; a secret as it is, which is a case of it.
    private static func matches(_ hidden: Text, _ bytes: [UInt8], _ at: Int) -> Bool {
        for index in hidden.bytes.indices {
            let byte = bytes[at + index]
            let expected = hidden.bytes[index]
            if byte != expected, !(byte &- 0x41 < 26 && byte | 0x20 == expected) { return false }
        }
        return true
    }

    private static func isWordByte(_ bytes: [UInt8], _ at: Int) -> Bool {
        guard bytes.indices.contains(at) else { return false }
        let byte = bytes[at]
        return byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte >= 0x80
    }
}
