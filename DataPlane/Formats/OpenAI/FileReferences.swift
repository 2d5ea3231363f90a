import Primitives

/// Names of a provider's files in a request's JSON: values of `file_id` and elements of `file_ids`, wherever a provider reads them.
///
/// What a caller's own tools, schemas and notes hold is not looked into (`skipped`), nor what a provider wrote into its answers: of these no provider
/// reads a file.
package struct FileReferences {
    package struct Found: Sendable, Equatable {
        /// Of the text in the body, between its quotes.
        package let range: Range<Int>
        /// What is written there, without escapes.
        package let id: [UInt8]
    }

    /// Whether it is worth to look: the name stands there, whatever its case, or an escape that might be a part of it.
    package static func mayBe(in body: UnsafeRawBufferPointer) -> Bool {
        guard let base = body.baseAddress else { return false }
        var at = 0
        while let hit = ByteScan.find(0x5F, base, from: at, limit: body.count) {
            if hit >= 4, hit &+ 3 <= body.count, ByteScan.equalsIgnoringCase(base, hit &- 4, 7, "file_id") { return true }
            at = hit &+ 1
        }
        at = 0
        while let hit = ByteScan.find(0x5C, base, from: at, limit: body.count) {
            // `\u005f` to `\u007a`: letters of the name, written as nobody writes them.
            if hit &+ 5 < body.count, ByteScan.equals(base, hit &+ 1, 3, "u00"), (0x35...0x37).contains(ByteScan.byte(base, hit &+ 4)) {
                return true
            }
            at = hit &+ 2
        }
        return false
    }

    /// In the order of their places; nil where the body is no JSON, or nested deeper than anything that is asked for.
    package static func find(in body: UnsafeRawBufferPointer) -> [Found]? {
        guard let base = body.baseAddress, mayBe(in: body) else { return [] }
        var search = FileReferences(body: body)
        var cursor = JSONCursor(base: base, from: ByteOrderMark.length(base, 0, body.count), limit: body.count, maxDepth: 128)
        cursor.skipWhitespace()
        do throws(JSONViolation) { try search.value(&cursor, depth: 0, named: .other) } catch { return nil }
        return search.found
    }

    private enum Name { case file, files, skipped, other }

    private let body: UnsafeRawBufferPointer
    private var found: [Found] = []

    private init(body: UnsafeRawBufferPointer) { self.body = body }

    /// Of a tool: its schema, its examples, what it was called with and what came of it; of a provider's answer: where it found something.
    private static let skipped = [
        "parameters", "input_schema", "schema", "input_examples", "arguments", "annotations", "results", "outputs",
    ]

    private mutating func value(_ cursor: inout JSONCursor, depth: Int, named name: Name) throws(JSONViolation) {
        switch cursor.current {
        case UInt8(ascii: "{") where name != .skipped:
            guard depth < 128 else { throw .tooDeep(offset: cursor.at) }
            try cursor.members { (written, _, _, cursor) throws(JSONViolation) in
                try value(&cursor, depth: depth + 1, named: self.name(written, depth: depth))
            }
        case UInt8(ascii: "[") where name != .skipped:
            guard depth < 128 else { throw .tooDeep(offset: cursor.at) }
            try elements(&cursor, depth: depth + 1, named: name == .files ? .file : .other)
        case UInt8(ascii: "\"") where name == .file:
            let start = cursor.at + 1
            let hasEscapes = try cursor.skipString()
            let range = start..<cursor.at - 1
            found.append(Found(range: range, id: hasEscapes ? JSONText.unescape(body, range) ?? [] : Array(body[range])))
        default: try cursor.skipValue()
        }
    }

    private mutating func elements(_ cursor: inout JSONCursor, depth: Int, named name: Name) throws(JSONViolation) {
        try cursor.expect(UInt8(ascii: "["))
        cursor.skipWhitespace()
        if cursor.current == UInt8(ascii: "]") {
            cursor.at += 1
            return
        }
        while true {
            try value(&cursor, depth: depth, named: name)
            cursor.skipWhitespace()
            if cursor.current != UInt8(ascii: ",") { break }
            cursor.at += 1
            cursor.skipWhitespace()
        }
        try cursor.expect(UInt8(ascii: "]"))
    }

    private func name(_ written: JSONCursor.WrittenName, depth: Int) -> Name {
        let bytes = written.hasEscapes ? JSONText.unescape(body, written.range) ?? [] : Array(body[written.range])
        // Go's `encoding/json` and others like it take any case, and U+017F for an "s".
        let isFile = bytes.withUnsafeBytes { bytes in
            bytes.baseAddress.map { bytes.count >= 7 && ByteScan.equalsIgnoringCase($0, 0, 7, "file_id") } ?? false
        }
        if isFile, bytes.count == 7 { return .file }
        if isFile, [[0x73], [0x53], [0xC5, 0xBF]].contains(Array(bytes[7...])) { return .files }
        // What a tool is called with in Anthropic's API; at the top it is what Responses calls its messages.
        if depth > 0, bytes.elementsEqual("input".utf8) { return .skipped }
        if depth == 0, bytes.elementsEqual("metadata".utf8) { return .skipped }
        return Self.skipped.contains { bytes.elementsEqual($0.utf8) } ? .skipped : .other
    }
}
