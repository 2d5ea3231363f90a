import Primitives

/// One pass over the body of a request that is a form (multipart/form-data, RFC 7578): its parts are found, and of those that are no files the few
/// that decide routing, cost and framing. Nothing is decoded or copied.
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
    package private(set) var files: Int64 = 0
    package private(set) var fileBytes: Int64 = 0
    /// The whole part that is the model's name, from its boundary to the next.
    package private(set) var modelPart: Range<Int>?
    private let boundary: [UInt8]

    private static let maximumParts = 256
    /// Of a part's header lines.
    private static let maximumHeaderBytes = 8192
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

    /// - Parameter isBegin: `body` is how a form begins: it is read to its first file, or as far as it goes.
    package init(_ body: UnsafeRawBufferPointer, boundary: [UInt8], isBegin: Bool = false) throws(Violation) {
        self.boundary = boundary
        guard let base = body.baseAddress else { throw Violation("The form is empty.") }
        let delimiter = Array("--".utf8) + boundary
        guard Self.begins(base, 0, body.count, delimiter) else { throw Violation("The form does not begin with its boundary.") }
        var at = delimiter.count
        var seen = Set<String>()
        var parts = 0
        while true {
            // Behind a delimiter: the end of the form, or of the line.
            if Self.begins(base, at, body.count, [0x2D, 0x2D]) {
                at += 2
                guard at == body.count || (Self.begins(base, at, body.count, [0x0D, 0x0A]) && at + 2 == body.count) else {
                    throw Violation("Something follows the form's last boundary.")
                }
                break
            }
            if isBegin, at + 2 > body.count { return }
            guard Self.begins(base, at, body.count, [0x0D, 0x0A]) else { throw Violation("A boundary of the form does not end its line.") }
            parts += 1
            guard parts <= Self.maximumParts else { throw Violation("The form has more than \(Self.maximumParts) parts.") }
            let lines = at + 2
            guard let head = Self.find([0x0D, 0x0A, 0x0D, 0x0A], base, from: at, limit: min(body.count, lines + Self.maximumHeaderBytes))
            else {
                if isBegin, body.count < lines + Self.maximumHeaderBytes { return }
                throw Violation("A part of the form has no end of its header.")
            }
            let disposition = try Self.disposition(UnsafeRawBufferPointer(rebasing: body[lines..<max(lines, head)]))
            let start = head + 4
            if isBegin, disposition.isFile { return }
            guard let end = Self.find([0x0D, 0x0A] + delimiter, base, from: start, limit: body.count) else {
                if isBegin { return }
                throw Violation("A part of the form has no end.", disposition.name)
            }
            try take(disposition, start..<end, body, &seen)
            if disposition.name == "model" { modelPart = at - delimiter.count..<end + 2 }
            at = end + 2 + delimiter.count
        }
        members.isEmpty = parts == 0
    }

    /// A field to stand at the form's begin.
    package func field(_ name: String, _ value: [UInt8]) -> [UInt8] {
        Array("--".utf8) + boundary + Array("\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n".utf8) + value + [13, 10]
    }

    private mutating func take(
        _ part: (name: String, isFile: Bool), _ range: Range<Int>, _ body: UnsafeRawBufferPointer, _ seen: inout Set<String>
    ) throws(Violation) {
        let name = part.name
        guard Self.known.contains(name) else {
            if Self.known.contains(name.lowercased()) { throw Violation("A field is called like another one but for its case.", name) }
            if part.isFile {
                files += 1
                fileBytes += Int64(range.count)
            }
            return
        }
        guard !part.isFile else { throw Violation("\(name) is sent as a file. Send it as a field.", name) }
        guard seen.insert(name).inserted else { throw Violation("\(name) is given twice.", name) }
        let value = UnsafeRawBufferPointer(rebasing: body[range])
        switch name {
        case "model":
            guard (1...256).contains(range.count), value.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
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
    private static func disposition(_ lines: UnsafeRawBufferPointer) throws(Violation) -> (name: String, isFile: Bool) {
        var found: (name: String, isFile: Bool)?
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

    private static func parameters(_ text: Substring) throws(Violation) -> (name: String, isFile: Bool) {
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
        return (name, isFile)
    }

    private static func begins(_ base: UnsafeRawPointer, _ at: Int, _ limit: Int, _ text: [UInt8]) -> Bool {
        guard at + text.count <= limit else { return false }
        for index in text.indices where ByteScan.byte(base, at + index) != text[index] { return false }
        return true
    }

    private static func find(_ text: [UInt8], _ base: UnsafeRawPointer, from start: Int, limit: Int) -> Int? {
        guard let first = text.first else { return nil }
        var at = start
        while let found = ByteScan.find(first, base, from: at, limit: limit), found + text.count <= limit {
            if begins(base, found, limit, text) { return found }
            at = found + 1
        }
        return nil
    }
}
