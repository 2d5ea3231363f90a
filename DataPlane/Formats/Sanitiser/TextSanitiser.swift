/// Takes out of a text what a caller has no business to see: keys, addresses, host names, paths, stack traces.
///
/// Works on words. Errs on the side of taking out too much: the operator's log has the original's digest and status, the caller needs to
/// know only what was wrong with the request.
enum TextSanitiser {
    /// The cleaned text of at most `maxBytes` bytes; empty when nothing is left.
    static func clean(_ text: String, maxBytes: Int, hiding hidden: HiddenTexts = .none) -> String {
        var output = String.UnicodeScalarView()
        var word = String.UnicodeScalarView()
        var redactsNext = Redaction.none
        var wordsSinceKey = Int.max
        var bytes = 0
        var wordBytes = 0

        func flush() {
            guard !word.isEmpty else { return }
            let original = String(word)
            word = String.UnicodeScalarView()
            wordBytes = 0
            let cleaned = cleanWord(original, redactsNext)
            // A lone colon or dash between a name and its secret changes nothing.
            if original.unicodeScalars.contains(where: { $0.properties.isAlphabetic || $0.properties.numericType != nil }) {
                wordsSinceKey = isKeyWord(original) ? 0 : wordsSinceKey == .max ? .max : wordsSinceKey + 1
                // "API key provided: x", "key: x".
                let presents = wordsSinceKey <= 2 && original.hasSuffix(":")
                redactsNext = presents ? .whatever : announcesSecret(original) ? .unlessPlain : .none
            }
            output.append(contentsOf: cleaned.unicodeScalars)
            bytes += cleaned.utf8.count
        }

        // Much less than this is kept; a provider's megabyte of text is not worth the time.
        let start = String(decoding: text.utf8.prefix(max(maxBytes * 4, 1_024)), as: UTF8.self)
        for scalar in hidden.hide(in: withoutStackTrace(start)).unicodeScalars {
            if bytes > maxBytes || wordBytes > maxBytes * 4 { break }
            switch scalar.properties.generalCategory {
            case .control, .spaceSeparator, .lineSeparator, .paragraphSeparator:
                flush()
                if output.last != " " && !output.isEmpty { output.append(" ") }
            case .format, .surrogate, .privateUse, .unassigned:
                continue
            default:
                if delimiters.contains(scalar) {
                    flush()
                    output.append(scalar)
                    bytes += 1
                } else {
                    word.append(scalar)
                    wordBytes += UTF8.width(scalar)
                }
            }
        }
        flush()
        return bounded(String(output), maxBytes: maxBytes)
    }

    /// The text as a short name (an error's type, code or parameter), or nil when it is none or was changed by cleaning.
    static func identifier(_ text: String, maxBytes: Int, hiding hidden: HiddenTexts = .none) -> String? {
        let bytes = text.utf8
        guard !bytes.isEmpty, bytes.count <= maxBytes else { return nil }
        for byte in bytes {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x2D, 0x2E, 0x5B, 0x5D: continue
            default: return nil
            }
        }
        return clean(text, maxBytes: maxBytes, hiding: hidden) == text ? text : nil
    }

    private static let delimiters = Set<Unicode.Scalar>("\"'`(),;<>{}|=!?".unicodeScalars)

    /// What stands at the head of a stack trace in the languages that providers are written in.
    private static let traceMarkers: [[UInt8]] = [
        "Traceback (most recent", "\n    at ", "\n\tat ", "\n  at ", "\n  File \"", "goroutine ", "Stack trace", "stack trace",
        "stacktrace",
        "panic: ",
    ].map { Array($0.utf8) }

    private static func withoutStackTrace(_ text: String) -> String {
        let bytes = Array(text.utf8)
        for at in bytes.indices {
            for marker in traceMarkers where bytes[at] == marker[0] && bytes[at...].starts(with: marker) {
                return String(decoding: bytes[..<at], as: UTF8.self)
            }
        }
        return text
    }

    private static func bounded(_ text: String, maxBytes: Int) -> String {
        var text = text
        while let last = text.unicodeScalars.last, last == " " { text.unicodeScalars.removeLast() }
        guard text.utf8.count > maxBytes else { return text }
        var end = text.startIndex
        var count = 0
        while end < text.endIndex {
            let size = text[end].utf8.count
            if count + size > max(0, maxBytes - 3) { break }
            count += size
            end = text.index(after: end)
        }
        return text[..<end] + "…"
    }

    /// What becomes of the next word, by what was said before it.
    private enum Redaction {
        case none
        /// Taken out unless it is a short word of letters.
        case unlessPlain
        case whatever
    }

    private static func isKeyWord(_ word: String) -> Bool {
        let lower = word.lowercased().filter { $0 != ":" }
        return ["key", "keys", "password", "secret", "credential", "credentials", "apikey", "api_key", "api-key"].contains(lower)
    }

    private static func announcesSecret(_ word: String) -> Bool {
        let lower = word.lowercased()
        if lower == "bearer" || lower == "basic" { return true }
        // A number of them, which callers go by: "208310 tokens > 200000 maximum", "max_tokens: 99999".
        if lower.hasSuffix("tokens") || lower.hasSuffix("tokens:") { return false }
        return ["api_key", "apikey", "api-key", "secret", "password", "authorization", "token", "credential"].contains {
            lower.contains($0)
        }
    }

    private static func cleanWord(_ word: String, _ redaction: Redaction) -> String {
        // Punctuation that ends a sentence stays outside.
        let end = word.lastIndex { $0 != "." && $0 != ":" }.map { word.index(after: $0) } ?? word.startIndex
        let core = word[..<end]
        let tail = word[end...]
        guard !core.isEmpty else { return word }
        let text = String(core)
        if text == "[redacted]" { return word }
        if text.contains("://") { return "[url]" + tail }
        switch redaction {
        case .whatever: return "[redacted]" + tail
        case .unlessPlain where text.utf8.count >= 12 || text.utf8.contains { $0 >= 0x30 && $0 <= 0x39 }: return "[redacted]" + tail
        case .unlessPlain, .none: break
        }
        // A key of which the middle is masked.
        if text.contains("***") { return "[redacted]" + tail }
        if looksLikeKey(text) { return "[redacted]" + tail }
        if looksLikeAddress(text) { return "[address]" + tail }
        if looksLikeHost(text) { return "[host]" + tail }
        if looksLikePath(text) { return "[path]" + tail }
        return word
    }

    private static let keyPrefixes = [
        "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "key-", "api-", "akia", "asia", "aiza", "ghp_", "gho_", "ghs_", "xox", "hf_", "gsk_",
        "xai-", "r8_", "nvapi-",
        "weir_", "wadm_", "wads_", "wenr_", "eyj", "org-", "proj_", "user-",
    ]

    private static func looksLikeKey(_ text: String) -> Bool {
        // A key may stand behind a name and a colon without a space.
        for part in text.split(whereSeparator: { $0 == ":" || $0 == "@" || $0 == "&" || $0 == "#" }) {
            let lower = part.lowercased()
            if keyPrefixes.contains(where: { lower.hasPrefix($0) && lower.utf8.count >= $0.utf8.count + 6 }) { return true }
            if isUUID(lower) { return true }
            for segment in part.split(whereSeparator: { $0 == "-" || $0 == "/" || $0 == "." || $0 == "+" || $0 == "~" || $0 == "%" }) {
                if looksRandom(segment) { return true }
            }
            // Base64 with its own separators: judge the whole as well.
            if part.utf8.count >= 40 && looksRandom(part) { return true }
        }
        return false
    }

    /// Long and mixed: hexadecimal from 16 characters, letters and digits from 20, anything from 48.
    private static func looksRandom(_ text: Substring) -> Bool {
        var digits = 0
        var letters = 0
        var hexadecimal = 0
        var count = 0
        for byte in text.utf8 {
            count += 1
            switch byte {
            case 0x30...0x39:
                digits += 1
                hexadecimal += 1
            case 0x41...0x46, 0x61...0x66:
                letters += 1
                hexadecimal += 1
            case 0x47...0x5A, 0x67...0x7A: letters += 1
            default: break
            }
        }
        if count >= 16 && hexadecimal == count && digits > 0 { return true }
        if count >= 20 && digits > 0 && letters > 0 { return true }
        return count >= 48
    }

    private static func isUUID(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.utf8.count) == [8, 4, 4, 4, 12] && parts.allSatisfy { $0.utf8.allSatisfy(isHex) }
    }

    private static func isHex(_ byte: UInt8) -> Bool { hexValue(byte) < 16 }

    private static func looksLikeAddress(_ text: String) -> Bool {
        let bare = text.filter { $0 != "[" && $0 != "]" }
        // IPv6: two colons or more, hexadecimal otherwise (a zone or an IPv4 tail may follow).
        let colons = bare.utf8.count { $0 == 0x3A }
        if colons >= 2 && bare.utf8.allSatisfy({ isHex($0) || $0 == 0x3A || $0 == 0x2E || $0 == 0x25 }) { return true }
        // host:port.
        if colons == 1, let colon = bare.lastIndex(of: ":") {
            let port = bare[bare.index(after: colon)...]
            let host = bare[..<colon]
            if (2...5).contains(port.utf8.count), port.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), !host.isEmpty,
                host.utf8.allSatisfy({ isHostByte($0) || $0 == 0x2E })
            {
                return true
            }
        }
        let address = bare.prefix { $0 != ":" && $0 != "/" }
        let parts = address.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == 0x2D || byte == 0x5F
    }

    private static let hostSuffixes: Set<String> = [
        "com", "net", "org", "io", "ai", "dev", "cloud", "app", "info", "biz", "tech", "run", "site", "online", "xyz", "gov", "edu", "mil",
        "int",
        "local", "internal", "localhost", "localdomain", "lan", "corp", "home", "intra", "intranet", "private", "svc", "cluster", "consul",
        "test", "example",
        "invalid", "arpa", "host", "network", "systems", "services", "azure", "amazonaws",
    ]

    private static func looksLikeHost(_ text: String) -> Bool {
        let host = text.prefix { $0 != ":" && $0 != "/" }.lowercased()
        if host == "localhost" { return true }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.count >= 2, let last = labels.last, labels.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isHostByte) }) else {
            // user@host
            return text.contains("@") && text.contains(".")
        }
        let isCountry = last.utf8.count == 2 && last.utf8.allSatisfy { $0 &- 0x61 < 26 }
        return isCountry || hostSuffixes.contains(String(last))
    }

    private static func looksLikePath(_ text: String) -> Bool {
        if text.contains("\\") || text.hasPrefix("~/") || text.hasPrefix("file:") { return true }
        let slashes = text.utf8.count { $0 == 0x2F }
        return slashes >= 2 && text.hasPrefix("/") && !text.hasPrefix("/v1/")
    }
}
