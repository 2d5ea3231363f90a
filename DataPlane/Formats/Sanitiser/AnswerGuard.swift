import Primitives

/// What is kept out of an endpoint's answers beside the credential (``SecretGuard``). Made once an endpoint and level.
package struct AnswerPatterns: Sendable, Equatable {
    /// The endpoint's host in lower case, where it is a name or an address of the inside.
    let host: [UInt8]?
    /// Also whatever looks like a secret or a place of a machine, whoever wrote it.
    let isStrict: Bool

    /// Nil where there is nothing to look for: an endpoint on the Internet tells nothing by its name.
    package init?(host: String, isStrict: Bool) {
        let bytes = Array(host.lowercased().utf8)
        self.host = bytes.withUnsafeBytes { InnerNames.isInner($0) } ? bytes : nil
        self.isStrict = isStrict
        if !isStrict, self.host == nil { return nil }
    }
}

/// Masks words of an answer as it passes, cut at any byte, each by as many stars, so that lengths and JSON stay what they were: names of the
/// endpoint's that are of the inside; at the strict level also keys, tokens, private addresses, names under private domains, and source files
/// of stack traces. Words are judged one by one; what a model says in pieces over several events is the model's.
package struct AnswerGuard: Sendable {
    private let patterns: AnswerPatterns
    /// The word that has begun and not ended.
    private var word: [UInt8] = []
    /// The word is longer than any that is judged, and passes.
    private var isLong = false
    /// Bytes that still belong to an escape within a JSON string.
    private var escape = Escape.none
    private var escaped = 0
    package private(set) var hasMasked = false

    /// Longer words are none that are looked for.
    static let maximumWord = 512

    private enum Escape {
        case none
        case begun
        case digits
    }

    package init(_ patterns: AnswerPatterns) { self.patterns = patterns }

    /// - Returns: what can be passed on of the piece and what was held back before it.
    package mutating func pass(_ piece: UnsafeRawBufferPointer) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(piece.count + word.count)
        for byte in piece {
            switch escape {
            case .begun:
                // The letter of an escape is no part of the word behind it.
                out.append(byte)
                escape = byte == UInt8(ascii: "u") ? .digits : .none
                escaped = 4
                continue
            case .digits:
                if Self.isWordByte(byte) {
                    out.append(byte)
                    escaped -= 1
                    if escaped == 0 { escape = .none }
                    continue
                }
                escape = .none
            case .none: break
            }
            if Self.isWordByte(byte) {
                if isLong {
                    out.append(byte)
                } else {
                    word.append(byte)
                    if word.count > Self.maximumWord { release(&out) }
                }
                continue
            }
            endWord(&out)
            out.append(byte)
            if byte == UInt8(ascii: "\\") { escape = .begun }
        }
        return out
    }

    /// Nothing follows.
    package mutating func finish() -> [UInt8] {
        var out: [UInt8] = []
        endWord(&out)
        return out
    }

    private mutating func release(_ out: inout [UInt8]) {
        out += word
        word.removeAll(keepingCapacity: true)
        isLong = true
    }

    private mutating func endWord(_ out: inout [UInt8]) {
        isLong = false
        if word.isEmpty { return }
        if mask() { hasMasked = true }
        out += word
        word.removeAll(keepingCapacity: true)
    }

    /// What may stand in a key, a host or a path.
    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"),
            UInt8(ascii: ":"):
            true
        default: false
        }
    }

    // MARK: Judging

    private mutating func mask() -> Bool {
        if patterns.isStrict, word.withUnsafeBytes({ InnerNames.isSourceFile($0) }) {
            for index in word.indices { word[index] = UInt8(ascii: "*") }
            return true
        }
        var masked = false
        var start = 0
        for index in 0...word.count where index == word.count || word[index] == UInt8(ascii: "/") || word[index] == UInt8(ascii: ":") {
            // A full stop at the end is a sentence's.
            var end = index
            while end > start, word[end - 1] == UInt8(ascii: ".") { end -= 1 }
            if end > start, isHidden(start..<end) {
                for at in start..<end { word[at] = UInt8(ascii: "*") }
                masked = true
            }
            start = index + 1
        }
        return masked
    }

    private func isHidden(_ range: Range<Int>) -> Bool {
        word.withUnsafeBytes { bytes in
            let part = UnsafeRawBufferPointer(rebasing: bytes[range])
            if let host = patterns.host, part.count == host.count, zip(part, host).allSatisfy({ InnerNames.lower($0) == $1 }) {
                return true
            }
            return patterns.isStrict && (InnerNames.isKey(part) || InnerNames.isInner(part))
        }
    }
}

/// How names and addresses of the inside, keys and source files look.
enum InnerNames {
    static func lower(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// Domains that nobody has on the Internet (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal, and what clusters and offices use).
    private static let suffixes = [
        ".internal", ".local", ".localdomain", ".lan", ".corp", ".home.arpa", ".intranet", ".intra", ".svc", ".consul", ".private",
    ].map { Array($0.utf8) }

    /// A private address (RFC 1918, RFC 3927, RFC 6598, RFC 4193 as far as it stands alone), or a name under a private domain.
    static func isInner(_ text: UnsafeRawBufferPointer) -> Bool {
        if let (a, b) = ipv4(text) {
            switch (a, b) {
            case (10, _), (192, 168), (169, 254), (172, 16...31), (100, 64...127): return true
            default: return false
            }
        }
        return suffixes.contains { suffix in
            text.count > suffix.count && zip(text.suffix(suffix.count), suffix).allSatisfy { lower($0) == $1 }
        }
    }

    /// The first two numbers of an address of four.
    private static func ipv4(_ text: UnsafeRawBufferPointer) -> (Int, Int)? {
        guard (7...15).contains(text.count) else { return nil }
        var numbers: [Int] = []
        var number = -1
        for byte in text {
            if byte &- 0x30 < 10 {
                number = max(0, number) * 10 + Int(byte &- 0x30)
                if number > 255 { return nil }
            } else if byte == UInt8(ascii: "."), number >= 0 {
                numbers.append(number)
                number = -1
            } else {
                return nil
            }
        }
        guard numbers.count == 3, number >= 0 else { return nil }
        return (numbers[0], numbers[1])
    }

    /// Beginnings of keys that vendors give out, with the bytes that such a key has at least.
    private static let keys: [(prefix: [UInt8], least: Int)] = [
        ("sk-", 24), ("sk_live_", 24), ("sk_test_", 24), ("rk_live_", 24), ("ghp_", 36), ("gho_", 36), ("ghs_", 36), ("github_pat_", 40),
        ("xoxb-", 24), ("xoxp-", 24), ("hf_", 30), ("gsk_", 30), ("xai-", 30), ("r8_", 30), ("nvapi-", 30), ("weir_", 40), ("wadm_", 30),
        ("wads_", 30), ("wsig_", 30), ("whsec_", 30), ("glpat-", 24),
    ].map { (Array($0.0.utf8), $0.1) }

    static func isKey(_ text: UnsafeRawBufferPointer) -> Bool {
        if text.count < 20 { return false }
        for key in keys where text.count >= key.least && text.starts(with: key.prefix) {
            // A name of words, as in sk-learn-contrib-examples, has no digits.
            if text.contains(where: { $0 &- 0x30 < 10 }) { return true }
        }
        if text.count == 20, text.starts(with: "AKIA".utf8) || text.starts(with: "ASIA".utf8) {
            return text.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x41 < 26 }
        }
        if text.count == 39, text.starts(with: "AIza".utf8) { return true }
        // A JSON Web Token: three parts, of which the first two are objects in base64.
        if text.starts(with: "eyJ".utf8) {
            let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            return parts.count == 3 && parts[1].starts(with: "eyJ".utf8)
        }
        return false
    }

    private static let extensions: Set<String> = [
        "py", "js", "mjs", "ts", "java", "kt", "go", "rs", "rb", "php", "cs", "cpp", "cc", "c", "swift", "scala", "ex",
    ]

    /// An absolute path to a source file, with its line perhaps: what a frame of a stack trace names.
    static func isSourceFile(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.first == UInt8(ascii: "/"), text.count > 4, text.dropFirst().contains(UInt8(ascii: "/")) else { return false }
        let path = text.prefix { $0 != UInt8(ascii: ":") }
        guard let dot = path.lastIndex(of: UInt8(ascii: ".")), let slash = path.lastIndex(of: UInt8(ascii: "/")), dot > slash else {
            return false
        }
        let ending = String(decoding: path[(dot + 1)...], as: UTF8.self)
        return extensions.contains(ending)
    }
}
