/// Where the two databases differ. Everything else is one SQL text.
package enum SQLDialect: String, Sendable, Hashable {
    case sqlite
    case postgres

    /// Appended to a SELECT inside a transaction to lock its rows. SQLite's writers already run one at a time.
    package var forUpdate: String {
        switch self {
        case .sqlite: ""
        case .postgres: " FOR UPDATE"
        }
    }

    /// Appended to a SELECT that takes jobs off a queue which others take from, too.
    package var forUpdateSkipLocked: String {
        switch self {
        case .sqlite: ""
        case .postgres: " FOR UPDATE SKIP LOCKED"
        }
    }

    /// The larger of two non-NULL values.
    package func greatest(_ a: String, _ b: String) -> String {
        switch self {
        case .sqlite: "MAX(\(a), \(b))"
        case .postgres: "GREATEST(\(a), \(b))"
        }
    }

    /// Whether the text of an expression is a part of that of a column.
    func contains(_ column: String, _ part: String) -> String {
        switch self {
        case .sqlite: "instr(\(column), \(part)) > 0"
        case .postgres: "strpos(\(column), \(part)) > 0"
        }
    }

    /// A table of the texts in a column that holds a JSON array or nothing: its column `value`.
    func elements(of column: String) -> String {
        let array = "CASE WHEN \(column) = '' THEN '[]' ELSE \(column) END"
        switch self {
        case .sqlite: return "json_each(\(array))"
        case .postgres: return "jsonb_array_elements_text(CAST(\(array) AS JSONB)) AS elements (value)"
        }
    }

    /// The state of a table's index is of interest on Postgres only, where it may be built while others write.
    var buildsIndexesOnline: Bool { self == .postgres }

    /// A statement as this database wants it: SQLite numbers placeholders `?1`; on Postgres the type BLOB is called BYTEA.
    /// Quoted text, quoted names and comments stay as they are.
    package func rewrite(_ sql: String) -> String {
        switch self {
        case .sqlite:
            guard sql.utf8.contains(UInt8(ascii: "$")) else { return sql }
            return SQLText.mapCode(sql) { SQLText.replacePlaceholders(in: $0) }
        case .postgres:
            guard SQLText.mentionsBlob(sql) else { return sql }
            return SQLText.mapCode(sql) { SQLText.replaceWord("BLOB", with: "BYTEA", in: $0) }
        }
    }

    /// A table or column name, quoted.
    package func quoted(_ identifier: String) -> String {
        "\"" + identifier.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

/// Just enough of SQL's lexical rules to tell code from quoted text.
enum SQLText {
    static func mentionsBlob(_ sql: String) -> Bool {
        let needle = Array("blob".utf8)
        var matched = 0
        for byte in sql.utf8 {
            let lower = byte | 0x20
            matched = lower == needle[matched] ? matched + 1 : (lower == needle[0] ? 1 : 0)
            if matched == needle.count { return true }
        }
        return false
    }

    /// Applies `transform` to the stretches outside '…', "…", -- … and /* … */.
    static func mapCode(_ sql: String, _ transform: ([UInt8]) -> [UInt8]) -> String {
        let bytes = Array(sql.utf8)
        var out = [UInt8]()
        out.reserveCapacity(bytes.count + 16)
        var index = 0
        var codeStart = 0
        while index < bytes.count {
            guard let end = endOfQuoted(bytes, at: index) else {
                index += 1
                continue
            }
            out += transform(Array(bytes[codeStart..<index]))
            out += bytes[index..<end]
            index = end
            codeStart = end
        }
        out += transform(Array(bytes[codeStart...]))
        return String(decoding: out, as: UTF8.self)
    }

    static func replacePlaceholders(in code: [UInt8]) -> [UInt8] {
        var out = code
        for index in out.indices where out[index] == UInt8(ascii: "$") && index + 1 < out.count {
            if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(out[index + 1]) { out[index] = UInt8(ascii: "?") }
        }
        return out
    }

    static func replaceWord(_ word: String, with replacement: String, in code: [UInt8]) -> [UInt8] {
        var out = [UInt8]()
        var index = 0
        while index < code.count {
            guard isWord(code[index]) else {
                out.append(code[index])
                index += 1
                continue
            }
            var end = index
            while end < code.count, isWord(code[end]) { end += 1 }
            let text = String(decoding: code[index..<end], as: UTF8.self)
            out += text.uppercased() == word ? Array(replacement.utf8) : Array(code[index..<end])
            index = end
        }
        return out
    }

    /// Where the quoted text or comment that starts at `start` ends, or nil when none starts there.
    private static func endOfQuoted(_ bytes: [UInt8], at start: Int) -> Int? {
        let next = start + 1 < bytes.count ? bytes[start + 1] : 0
        switch bytes[start] {
        case UInt8(ascii: "'"), UInt8(ascii: "\""):
            // A doubled quote ends one stretch and starts the next: the same result.
            let close = bytes[(start + 1)...].firstIndex(of: bytes[start])
            return close.map { $0 + 1 } ?? bytes.count
        case UInt8(ascii: "-") where next == UInt8(ascii: "-"):
            return bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        case UInt8(ascii: "/") where next == UInt8(ascii: "*"):
            var index = start + 2
            while index + 1 < bytes.count {
                if bytes[index] == UInt8(ascii: "*"), bytes[index + 1] == UInt8(ascii: "/") { return index + 2 }
                index += 1
            }
            return bytes.count
        default:
            return nil
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...0xFF:
            true
        default: false
        }
    }
}
