import Primitives

/// One pass over the body of a request that is a form (multipart/form-data, RFC 7578), in pieces that may end at any byte: its parts are found, and of
/// those that are no files the few that decide routing, cost and framing. Of what has been read a part's header and the value of such a field are kept,
/// and nothing of a file.
///
/// A form that two readers could read as two requests is refused: a known field given twice, as a file, or in another case; names with escapes;
/// anything before the first boundary or behind the last one.
package struct FormScan: Sendable {
    package struct Violation: Error, Sendable {
        package let reason: String
        package let field: String?

        fileprivate init(_ reason: String, _ field: String? = nil) {
            self.reason = reason
            self.field = field
        }
    }

    /// `model`, `n`, `stream` and `prompt`; offsets into the form.
    package private(set) var members = RequestMembers()
    /// Parts that are files, one that has only begun included, and their bytes so far.
    package private(set) var files: Int64 = 0
    package private(set) var fileBytes: Int64 = 0
    /// The whole part that is the model's name, from its boundary to the next.
    package private(set) var modelPart: Range<Int>?
    /// Bytes that were read.
    package private(set) var position = 0

    private enum State {
        /// Before the first boundary, and in it.
        case begin
        /// Behind a boundary: its line ends, or the form.
        case boundary
        case header
        case content
        /// Behind the last boundary.
        case end
        /// Of how a form begins no more is wanted.
        case file
    }

    private struct Part {
        var name = ""
        var isFile = false
        /// Of its boundary, and of what is behind its header.
        var start = 0
        var content = 0
    }

    private let boundary: [UInt8]
    private let delimiter: [UInt8]
    private var state = State.begin
    /// Bytes of the delimiter, or of the two behind it, that were read last.
    private var matched: Int
    /// How the header of a part, or the value of a known field, begins.
    private var kept: [UInt8] = []
    private var part = Part()
    private var parts = 0
    private var seen: [String] = []

    private static let maximumParts = 256
    /// Of a part's header lines.
    private static let maximumHeaderBytes = 8192
    /// Of a field's value, what is looked at.
    private static let maximumValueBytes = 256
    private static let known = ["model", "n", "stream", "prompt", "response_format"]

    /// The boundary of a `Content-Type: multipart/form-data; boundary=…` (RFC 2046 §5.1.1); nil for another type, and for a boundary that is none.
    package static func boundary(of contentType: String) -> [UInt8]? {
        let parts = contentType.split(separator: ";", omittingEmptySubsequences: false)
        guard let type = parts.first, trimmed(type).lowercased() == "multipart/form-data" else { return nil }
        var found: [UInt8]?
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, trimmed(pair[0]).lowercased() == "boundary" else { continue }
            var value = trimmed(pair[1])
            if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") { value = value.dropFirst().dropLast() }
            let bytes = Array(value.utf8)
            let allowed = Array("'()+_,-./:=?".utf8)
            let isSound =
                (1...70).contains(bytes.count)
                && bytes.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || allowed.contains(byte)
                }
            guard isSound, found == nil else { return nil }
            found = bytes
        }
        return found
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        let start = text.drop(while: isSpace)
        guard let last = start.lastIndex(where: { !isSpace($0) }) else { return start }
        return start[...last]
    }

    package init(boundary: [UInt8]) {
        self.boundary = boundary
        delimiter = Array("\r\n--".utf8) + boundary
        // The first boundary has no line before it that could end.
        matched = 2
    }

    /// - Parameter isBegin: `body` is how a form begins: it is read to its first file, or as far as it goes.
    package init(_ body: UnsafeRawBufferPointer, boundary: [UInt8], isBegin: Bool = false) throws(Violation) {
        self.init(boundary: boundary)
        try read(body, toFile: isBegin)
        if !isBegin { try finish() }
    }

    /// The next bytes of the form.
    /// - Parameter toFile: nothing is read from the content of its first file on.
    package mutating func read(_ bytes: UnsafeRawBufferPointer, toFile: Bool = false) throws(Violation) {
        guard let base = bytes.baseAddress else { return }
        var at = 0
        while at < bytes.count {
            let byte = ByteScan.byte(base, at)
            switch state {
            case .begin:
                guard byte == delimiter[matched] else { throw Violation("The form does not begin with its boundary.") }
                at += 1
                matched += 1
                if matched == delimiter.count { beginPart(at: position + at - delimiter.count + 2) }
            case .boundary:
                // Two dashes end the form, a line's end begins a part. `matched` says which of them has begun.
                at += 1
                switch (matched, byte) {
                case (0, 0x2D), (0, 0x0D): matched = Int(byte)
                case (0x2D, 0x2D): (state, matched) = (.end, 0)
                case (0x0D, 0x0A):
                    parts += 1
                    guard parts <= Self.maximumParts else { throw Violation("The form has more than \(Self.maximumParts) parts.") }
                    (state, matched) = (.header, 0)
                default: throw Violation("A boundary of the form does not end its line.")
                }
            case .header:
                let line = ByteScan.find(0x0A, base, from: at, limit: bytes.count).map { $0 + 1 } ?? bytes.count
                guard kept.count + line - at <= Self.maximumHeaderBytes else {
                    throw Violation("A part of the form has no end of its header.")
                }
                kept.append(contentsOf: bytes[at..<line])
                at = line
                if kept.suffix(4) == [0x0D, 0x0A, 0x0D, 0x0A] || kept == [0x0D, 0x0A] { try beginContent(at: position + at) }
                if state == .content, part.isFile, toFile { (state, at) = (.file, bytes.count) }
            case .content:
                let start = at
                let end = findDelimiter(base, &at, bytes.count)
                // Of a field that is looked at, as much as could be one.
                if !part.isFile, kept.count <= Self.maximumValueBytes, Self.known.contains(part.name) {
                    kept.append(contentsOf: bytes[start..<at].prefix(Self.maximumValueBytes + 1 - kept.count))
                }
                if part.isFile { fileBytes += Int64(at - start) }
                if end { try endPart(at: position + at) }
            case .end:
                // The line of the last boundary may end.
                guard matched < 2, byte == (matched == 0 ? 0x0D : 0x0A) else {
                    throw Violation("Something follows the form's last boundary.")
                }
                at += 1
                matched += 1
            case .file: at = bytes.count
            }
        }
        position += at
    }

    /// Nothing follows.
    package mutating func finish() throws(Violation) {
        switch state {
        case .begin: throw Violation(position == 0 ? "The form is empty." : "The form does not begin with its boundary.")
        case .boundary: throw Violation("A boundary of the form does not end its line.")
        case .header: throw Violation("A part of the form has no end of its header.")
        case .content, .file: throw Violation("A part of the form has no end.", part.name)
        case .end: if matched == 1 { throw Violation("Something follows the form's last boundary.") }
        }
        members.isEmpty = parts == 0
    }

    private mutating func beginPart(at start: Int) {
        (state, matched) = (.boundary, 0)
        part.start = start
        kept.removeAll(keepingCapacity: true)
    }

    private mutating func beginContent(at content: Int) throws(Violation) {
        let start = part.start
        part = try kept.withUnsafeBytes { bytes in Result { () throws(Violation) in try Self.disposition(bytes) } }.get()
        (part.start, part.content) = (start, content)
        let name = part.name
        if Self.known.contains(name) {
            guard !part.isFile else { throw Violation("\(name) is sent as a file. Send it as a field.", name) }
            guard !seen.contains(name) else { throw Violation("\(name) is given twice.", name) }
            seen.append(name)
        } else if Self.known.contains(name.lowercased()) {
            throw Violation("A field is called like another one but for its case.", name)
        }
        if part.isFile { files += 1 }
        kept.removeAll(keepingCapacity: true)
        state = .content
        matched = 0
    }

    /// Goes on to behind the next delimiter. That has one CR, its first byte, so what does not go on as one can only begin anew.
    private mutating func findDelimiter(_ base: UnsafeRawPointer, _ at: inout Int, _ limit: Int) -> Bool {
        while at < limit {
            if matched == 0 {
                guard let found = ByteScan.find(0x0D, base, from: at, limit: limit) else {
                    at = limit
                    return false
                }
                at = found + 1
                matched = 1
                continue
            }
            let byte = ByteScan.byte(base, at)
            if byte == delimiter[matched] {
                at += 1
                matched += 1
                if matched == delimiter.count { return true }
            } else {
                matched = 0
            }
        }
        return false
    }

    /// - Parameter end: behind the delimiter that ended it.
    private mutating func endPart(at end: Int) throws(Violation) {
        let range = part.content..<end - delimiter.count
        if part.isFile { fileBytes -= Int64(delimiter.count) } else { try take(range) }
        if part.name == "model" { modelPart = part.start..<range.upperBound + 2 }
        beginPart(at: range.upperBound + 2)
    }

    /// A field to stand at the form's begin.
    package func field(_ name: String, _ value: [UInt8]) -> [UInt8] {
        Array("--".utf8) + boundary + Array("\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n".utf8) + value + [13, 10]
    }

    private mutating func take(_ range: Range<Int>) throws(Violation) {
        let name = part.name
        let value = kept.prefix(range.count)
        switch name {
        case "model":
            guard (1...Self.maximumValueBytes).contains(range.count), value.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
                throw Violation("model is no name of a model.", name)
            }
            members.model = .init(value: range, content: range, hasEscapes: false)
        case "n":
            guard range.count <= 20, let number = Int64(String(decoding: value, as: UTF8.self)), number >= 0 else {
                throw Violation("n is no whole number.", name)
            }
            members.n = .init(value: number, range: range)
        case "stream":
            let word = String(decoding: value.prefix(8), as: UTF8.self).lowercased()
            members.stream = .init(value: word == "true" || word == "1", range: range)
        case "prompt": members.prompt = range
        default: break
        }
    }

    /// The name of a part and whether it is a file, of its header lines.
    private static func disposition(_ lines: UnsafeRawBufferPointer) throws(Violation) -> Part {
        var found: Part?
        for line in String(decoding: lines, as: UTF8.self).split(separator: "\r\n") {
            let pair = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { throw Violation("A part of the form has a line that is none of a header's.") }
            guard trimmed(pair[0]).lowercased() == "content-disposition" else {
                if trimmed(pair[0]).lowercased() == "content-transfer-encoding" {
                    throw Violation("A part of the form is encoded. Send it as it is.")
                }
                continue
            }
            guard found == nil else { throw Violation("A part of the form has two dispositions.") }
            found = try parameters(pair[1])
        }
        guard let found else { throw Violation("A part of the form does not say its name.") }
        return found
    }

    private static func parameters(_ text: Substring) throws(Violation) -> Part {
        var rest = trimmed(text)
        let type = rest.prefix { $0 != ";" }
        guard trimmed(type).lowercased() == "form-data" else { throw Violation("A part of the form is no form-data.") }
        rest = rest.dropFirst(type.count)
        var name: String?
        var isFile = false
        while rest.first == ";" {
            rest = trimmed(rest.dropFirst())
            let key = rest.prefix { $0 != "=" && $0 != ";" }
            rest = rest.dropFirst(key.count)
            guard rest.first == "=" else { throw Violation("A part of the form has a parameter without a value.") }
            rest = rest.dropFirst()
            var value: Substring
            if rest.first == "\"" {
                rest = rest.dropFirst()
                value = rest.prefix { $0 != "\"" }
                guard rest.count > value.count else { throw Violation("A part of the form has a quote without an end.") }
                rest = trimmed(rest.dropFirst(value.count + 1))
            } else {
                value = rest.prefix { $0 != ";" }
                rest = rest.dropFirst(value.count)
                value = trimmed(value)
            }
            switch trimmed(key).lowercased() {
            case "name":
                guard name == nil, !value.contains("\\"), !value.isEmpty, value.utf8.count <= 256 else {
                    throw Violation("A part of the form has no plain name.")
                }
                name = String(value)
            case "filename", "filename*": isFile = true
            default: throw Violation("A part of the form has a parameter that forms do not have.")
            }
        }
        guard rest.isEmpty, let name else { throw Violation("A part of the form does not say its name.") }
        return Part(name: name, isFile: isFile)
    }
}
