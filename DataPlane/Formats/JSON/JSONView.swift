import Primitives

/// A value of a JSON document that was checked, as it is written there: numbers keep their digits, strings their escapes, objects the order
/// of their members. For translation between dialects, which copies most of what it reads and looks only a few levels deep: each level is
/// read when it is asked for, so that a schema or a megabyte of an image is never taken apart.
package struct JSONView: Sendable, Equatable {
    /// The value without white space around it.
    package let bytes: ArraySlice<UInt8>

    /// Containers that may be open at once.
    package static let maxDepth = 128
    /// Members or elements that one container may have where it is looked into.
    package static let maxElements = 100_000

    package struct Member: Sendable, Equatable {
        /// As it is written.
        package let name: EscapedText
        package let value: JSONView
    }

    private init(trusted bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    /// Checks a whole document (RFC 8259); white space around it and a byte order mark before it are left out.
    package init(checking document: ArraySlice<UInt8>) throws(JSONViolation) {
        // `withUnsafeBytes` is no typed-throws function: the result carries the error out.
        let result: Result<Range<Int>, JSONViolation> = document.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return .failure(.malformed(offset: 0)) }
            let start = ByteOrderMark.length(base, 0, buffer.count)
            var cursor = JSONCursor(base: base, from: start, limit: buffer.count, maxDepth: Self.maxDepth)
            do throws(JSONViolation) {
                cursor.skipWhitespace()
                let first = cursor.at
                try cursor.skipValue()
                let end = cursor.at
                cursor.skipWhitespace()
                guard cursor.at == buffer.count else { throw .malformed(offset: cursor.at) }
                return .success(first..<end)
            } catch {
                return .failure(error)
            }
        }
        let range = try result.get()
        bytes = document[document.startIndex + range.lowerBound..<document.startIndex + range.upperBound]
    }

    package init(checking document: [UInt8]) throws(JSONViolation) { try self.init(checking: document[...]) }

    package enum Kind: Sendable { case null, bool, number, string, array, object }

    package var kind: Kind {
        switch bytes.first {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): .bool
        case UInt8(ascii: "n"), nil: .null
        default: .number
        }
    }

    package var isNull: Bool { kind == .null }
    package var bool: Bool? { kind == .bool ? bytes.first == UInt8(ascii: "t") : nil }
    package var text: EscapedText? { kind == .string ? EscapedText(escaped: bytes.dropFirst().dropLast()) : nil }

    /// The number as a 64-bit integer; nil for fractions, exponents and what does not fit.
    package var integer: Int64? {
        guard kind == .number else { return nil }
        return Int64(String(decoding: bytes, as: UTF8.self))
    }

    /// The number, for comparisons only: what is written keeps its digits.
    package var double: Double? {
        guard kind == .number, bytes.count <= 64 else { return nil }
        return Double(String(decoding: bytes, as: UTF8.self))
    }

    /// Whether it is written exactly so.
    package func isWritten(_ text: StaticString) -> Bool {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return text.utf8CodeUnitCount == 0 }
            return ByteScan.equals(base, 0, buffer.count, text)
        }
    }

    /// The members in their order; empty for everything that is no object, and nil when there are more than `maxElements`.
    package var members: [Member]? {
        guard kind == .object else { return [] }
        return bytes.withUnsafeBytes { buffer -> [Member]? in
            guard let base = buffer.baseAddress else { return [] }
            var result: [Member] = []
            result.reserveCapacity(8)
            var cursor = JSONCursor(base: base, from: 0, limit: buffer.count, maxDepth: Self.maxDepth)
            do throws(JSONViolation) {
                try cursor.members { (name, value, _, cursor) throws(JSONViolation) in
                    try cursor.skipValue()
                    guard result.count < Self.maxElements else { throw .malformed(offset: value) }
                    result.append(
                        Member(name: EscapedText(escaped: slice(name.range)), value: JSONView(trusted: slice(value..<cursor.at))))
                }
            } catch {
                return nil
            }
            return result
        }
    }

    /// The elements of an array; empty for everything else, and nil when there are more than `maxElements`.
    package var elements: [JSONView]? {
        guard kind == .array else { return [] }
        return bytes.withUnsafeBytes { buffer -> [JSONView]? in
            guard let base = buffer.baseAddress else { return [] }
            var result: [JSONView] = []
            var cursor = JSONCursor(base: base, from: 1, limit: buffer.count, maxDepth: Self.maxDepth)
            cursor.skipWhitespace()
            if cursor.current == UInt8(ascii: "]") { return [] }
            do throws(JSONViolation) {
                while true {
                    cursor.skipWhitespace()
                    let start = cursor.at
                    try cursor.skipValue()
                    guard result.count < Self.maxElements else { return nil }
                    result.append(JSONView(trusted: slice(start..<cursor.at)))
                    cursor.skipWhitespace()
                    guard cursor.current == UInt8(ascii: ",") else { return result }
                    cursor.at &+= 1
                }
            } catch {
                return nil
            }
        }
    }

    /// The last member of that name that is not null; nil for everything that is no object.
    package subscript(name: StaticString) -> JSONView? {
        guard kind == .object else { return nil }
        return bytes.withUnsafeBytes { buffer -> JSONView? in
            guard let base = buffer.baseAddress else { return nil }
            var (found, count): (Range<Int>?, Int) = (nil, 0)
            var cursor = JSONCursor(base: base, from: 0, limit: buffer.count, maxDepth: Self.maxDepth)
            do throws(JSONViolation) {
                try cursor.members { (written, value, _, cursor) throws(JSONViolation) in
                    try cursor.skipValue()
                    count &+= 1
                    guard count <= Self.maxElements else { throw .malformed(offset: value) }
                    guard ByteScan.byte(base, value) != UInt8(ascii: "n") else { return }
                    let isNamed =
                        written.hasEscapes
                        ? EscapedText(escaped: slice(written.range)) == name
                        : ByteScan.equals(base, written.range.lowerBound, written.range.count, name)
                    if isNamed { found = value..<cursor.at }
                }
            } catch {
                return nil
            }
            return found.map { JSONView(trusted: slice($0)) }
        }
    }

    private func slice(_ range: Range<Int>) -> ArraySlice<UInt8> {
        bytes[bytes.startIndex + range.lowerBound..<bytes.startIndex + range.upperBound]
    }
}

/// The content of a JSON string as it is written between its quotes: it goes into another document as it stands.
package struct EscapedText: Sendable, Equatable, Hashable {
    package var bytes: ArraySlice<UInt8>

    package init() { bytes = [] }
    init(escaped bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    package init(_ plain: String) { self.init(plain: Array(plain.utf8)) }

    package init(plain: some Collection<UInt8>) {
        var output: [UInt8] = []
        output.reserveCapacity(plain.count)
        Array(plain).withUnsafeBytes { JSONText.appendEscaped($0, to: &output) }
        bytes = output[...]
    }

    package var isEmpty: Bool { bytes.isEmpty }

    /// What the escapes stand for; nil when it holds half of a surrogate pair, which no UTF-8 can say.
    package var plain: [UInt8]? {
        guard hasEscapes else { return Array(bytes) }
        return bytes.withUnsafeBytes { JSONText.unescape($0, 0..<$0.count) }
    }

    /// The same for comparisons: with half of a surrogate pair it stays escaped.
    package var string: String {
        guard hasEscapes, let plain else { return String(decoding: bytes, as: UTF8.self) }
        return String(decoding: plain, as: UTF8.self)
    }

    private var hasEscapes: Bool {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return false }
            return ByteScan.find(UInt8(ascii: "\\"), base, from: 0, limit: buffer.count) != nil
        }
    }

    /// How many bytes of UTF-8 it stands for.
    package var plainCount: Int { plain?.count ?? bytes.count }

    package mutating func append(_ other: EscapedText) { bytes.append(contentsOf: other.bytes) }
    package mutating func append(_ plain: StaticString) { append(EscapedText("\(plain)")) }

    package static func == (text: EscapedText, other: StaticString) -> Bool {
        text.bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return other.utf8CodeUnitCount == 0 }
            return ByteScan.equals(base, 0, buffer.count, other)
            // A name with escapes is longer than what it spells.
        } || (text.bytes.count > other.utf8CodeUnitCount && text.hasEscapes && text.string == "\(other)")
    }

    /// Whether there is nothing but white space in it.
    package var isBlank: Bool {
        var isEscape = false
        for byte in bytes {
            if isEscape {
                guard byte == UInt8(ascii: "n") || byte == UInt8(ascii: "r") || byte == UInt8(ascii: "t") else { return false }
                isEscape = false
            } else if byte == UInt8(ascii: "\\") {
                isEscape = true
            } else if byte != 0x20 {
                return false
            }
        }
        return true
    }
}
