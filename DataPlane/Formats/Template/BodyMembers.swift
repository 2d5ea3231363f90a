import Primitives

/// The members of a request's body, which was checked before: their names and where their values lie.
package struct BodyMembers: Sendable {
    package struct Member: Sendable {
        package let name: String
        /// With its quotes.
        let writtenName: Range<Int>
        package let value: Range<Int>
    }

    package private(set) var members: [Member] = []

    /// Nil where the body is no JSON object, or has more members than any request means.
    package init?(_ body: UnsafeRawBufferPointer) {
        guard let base = body.baseAddress else { return nil }
        var cursor = JSONCursor(base: base, from: 0, limit: body.count, maxDepth: ChatRequestScan.defaultMaxDepth)
        cursor.skipWhitespace()
        var found: [Member] = []
        do throws(JSONViolation) {
            try cursor.members { (name, value, start, cursor) throws(JSONViolation) in
                try cursor.skipValue()
                guard found.count < 4_096 else { throw .malformed(offset: value) }
                let bytes = name.hasEscapes ? JSONText.unescape(body, name.range) ?? [] : Array(body[name.range])
                found.append(
                    Member(
                        name: String(decoding: bytes, as: UTF8.self), writtenName: start..<(name.range.upperBound &+ 1),
                        value: value..<cursor.at))
            }
        } catch {
            return nil
        }
        members = found
    }

    /// Of two members of one name the last one counts, as for nearly all who read JSON (RFC 8259 §4).
    package func value(_ name: String) -> Range<Int>? { members.last { $0.name == name }?.value }
}
