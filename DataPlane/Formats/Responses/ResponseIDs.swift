import Primitives

/// Identifiers of responses, in documents and events of OpenAI's Responses, and of what a provider keeps beside them.
package enum ResponseIDs {
    /// Where a document says its own identifier and that of the response that it goes on from, between the quotes and in the order of their
    /// places. Empty for what is no object of JSON.
    package static func places(in document: [UInt8]) -> [Range<Int>] {
        guard let members = (try? JSONView(checking: document))?.members else { return [] }
        return members.compactMap { member in
            guard member.name == "id" || member.name == "previous_response_id" else { return nil }
            return member.value.text.map { $0.bytes.startIndex..<$0.bytes.endIndex }
        }
    }

    /// The identifier in the begin of an event whose end has not come, where it holds a `response`.
    static func begun(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let base = bytes.baseAddress, let brace = ByteScan.find(0x7B, base, from: 0, limit: bytes.count) else { return nil }
        var found: Range<Int>?
        var cursor = JSONCursor(base: base, from: brace, limit: bytes.count, maxDepth: 128)
        // It ends in the middle, which is an error, behind what is looked for.
        try? cursor.members { name, _, _, cursor throws(JSONViolation) in
            let isResponse = ByteScan.equals(base, name.range.lowerBound, name.range.count, "response")
            guard isResponse, cursor.current == 0x7B else { return try cursor.skipValue() }
            try cursor.members { name, value, _, cursor throws(JSONViolation) in
                let isString = cursor.current == 0x22
                try cursor.skipValue()
                if isString, found == nil, ByteScan.equals(base, name.range.lowerBound, name.range.count, "id") {
                    found = (value &+ 1)..<(cursor.at &- 1)
                }
            }
        }
        return found.map { Array(bytes[$0]) }
    }

    /// The first item of a request's `input` that stands for one which the provider keeps: it says that it is a reference, or nothing but an id.
    /// - Parameter input: the value, as it is written in the body.
    package static func reference(in input: UnsafeRawBufferPointer) -> Int? {
        guard let base = input.baseAddress, input.count > 0, ByteScan.byte(base, 0) == 0x5B else { return nil }
        var cursor = JSONCursor(base: base, from: 1, limit: input.count, maxDepth: 128)
        var index = 0
        // It has been read once: reading it again cannot fail.
        do throws(JSONViolation) {
            while true {
                cursor.skipWhitespace()
                if cursor.current == 0x7B {
                    if try isReference(&cursor) { return index }
                } else {
                    if cursor.current == 0x5D { return nil }
                    try cursor.skipValue()
                }
                cursor.skipWhitespace()
                guard cursor.current == 0x2C else { return nil }
                cursor.at &+= 1
                index += 1
            }
        } catch {
            return nil
        }
    }

    private static func isReference(_ cursor: inout JSONCursor) throws(JSONViolation) -> Bool {
        let base = cursor.base
        var saysSo = false
        var (hasID, hasType, hasRole) = (false, false, false)
        try cursor.members { name, value, _, cursor throws(JSONViolation) in
            let isNull = cursor.current == 0x6E
            try cursor.skipValue()
            if isNull { return }
            // A name or a word in escapes is read as what it says by a provider.
            func text(_ range: Range<Int>) -> String {
                let bytes = UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
                return String(decoding: JSONText.unescape(bytes, 0..<bytes.count) ?? Array(bytes), as: UTF8.self)
            }
            let isShort = name.range.count <= 4
            guard isShort || name.hasEscapes else { return }
            switch isShort && !name.hasEscapes ? exact(base, name.range) : Name(rawValue: text(name.range)) {
            case .id: hasID = true
            case .role: hasRole = true
            case .type:
                hasType = true
                if cursor.at &- value >= 16 { saysSo = text((value &+ 1)..<(cursor.at &- 1)) == "item_reference" }
            case nil: return
            }
        }
        return saysSo || (hasID && !hasType && !hasRole)
    }

    private enum Name: String { case id, type, role }

    private static func exact(_ base: UnsafeRawPointer, _ range: Range<Int>) -> Name? {
        func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, range.lowerBound, range.count, text) }
        return equals("id") ? .id : equals("type") ? .type : equals("role") ? .role : nil
    }
}
