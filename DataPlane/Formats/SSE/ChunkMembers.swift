import Primitives

/// The members of a stream chunk, read in earnest: where they lie, the usages among and within them, and what to change.
struct ChunkMembers {
    enum Name {
        case usage, choices, error, tier
        /// `x_groq` and the like: a vendor's own.
        case vendor
        /// A part of the chunk's shape that an error event keeps.
        case frame
        case other
    }

    private struct Member {
        let name: Name
        /// Offset of the name's opening quote.
        let start: Int
        let value: Range<Int>
        /// Offset of the comma behind the value; nil for the last.
        let comma: Int?
        let isNull: Bool
    }

    private var members: [Member] = []
    /// Usages of parts: in elements of `choices`, and in vendors' members.
    private(set) var partUsages: [Range<Int>] = []
    /// In which tier the request is served, as the chunk says.
    private(set) var serviceTier: ServiceTier?
    /// `choices` is missing, null or an empty array.
    private(set) var hasNoChoices = true

    /// The last usage of the chunk itself that is not null.
    var usage: Range<Int>? { members.last { $0.name == .usage && !$0.isNull }?.value }
    /// How often the chunk states a usage of its own.
    var usageCount: Int { members.count { $0.name == .usage && !$0.isNull } }
    var hasError: Bool { members.contains { $0.name == .error && !$0.isNull } }

    /// Reads the JSON at [start, limit). Nil when it is not an object, not JSON, or deeper than any chunk.
    init?(_ base: UnsafeRawPointer, _ start: Int, _ limit: Int) {
        var cursor = JSONCursor(base: base, from: start, limit: limit, maxDepth: 128)
        do throws(JSONViolation) {
            cursor.skipWhitespace()
            try cursor.members { name, value, nameStart, cursor throws(JSONViolation) in
                let first = cursor.current
                let kind = Self.name(cursor.base, name.range, name.hasEscapes)
                try cursor.skipValue()
                self.note(kind, first, nameStart, value..<cursor.at, &cursor)
            }
            cursor.skipWhitespace()
        } catch {
            return nil
        }
        guard cursor.at == limit else { return nil }
    }

    private mutating func note(_ name: Name, _ first: UInt8, _ nameStart: Int, _ value: Range<Int>, _ cursor: inout JSONCursor) {
        var behind = cursor
        behind.skipWhitespace()
        let comma = behind.current == 0x2C ? behind.at : nil
        members.append(
            Member(
                name: name, start: nameStart, value: value, comma: comma,
                isNull: name == .error ? !ErrorMember.says(cursor.base, value) : first == 0x6E))
        switch name {
        case .choices:
            hasNoChoices = first == 0x6E || first == 0x5B && Self.isEmptyArray(cursor.base, value)
            if first == 0x5B { findUsageInElements(cursor.base, value) }
        case .vendor:
            if first == 0x7B { findUsage(cursor.base, value) }
        case .tier:
            guard first == 0x22 else { break }
            serviceTier = ServiceTier(
                stated: UnsafeRawBufferPointer(start: cursor.base + (value.lowerBound &+ 1), count: value.count &- 2))
        case .usage, .error, .frame, .other: break
        }
    }

    // The values below have been read once: reading them again cannot fail.

    private mutating func findUsageInElements(_ base: UnsafeRawPointer, _ array: Range<Int>) {
        var cursor = JSONCursor(base: base, from: array.lowerBound &+ 1, limit: array.upperBound, maxDepth: 128)
        while true {
            cursor.skipWhitespace()
            let start = cursor.at
            guard (try? cursor.skipValue()) != nil else { return }
            if ByteScan.byte(base, start) == 0x7B { findUsage(base, start..<cursor.at) }
            cursor.skipWhitespace()
            guard cursor.current == 0x2C else { return }
            cursor.at &+= 1
        }
    }

    private mutating func findUsage(_ base: UnsafeRawPointer, _ object: Range<Int>) {
        var cursor = JSONCursor(base: base, from: object.lowerBound, limit: object.upperBound, maxDepth: 128)
        try? cursor.members { name, value, _, cursor throws(JSONViolation) in
            let isObject = cursor.current == 0x7B
            let kind = Self.name(cursor.base, name.range, name.hasEscapes)
            try cursor.skipValue()
            if kind == .usage && isObject { self.partUsages.append(value..<cursor.at) }
        }
    }

    /// What takes the chunk's own usages out, each with one comma.
    func withoutUsage() -> [SpliceEdit] { removing { $0.name == .usage } }

    /// What turns a chunk with an error into one that a caller may see: the error in its new words, and of the rest only what every chunk
    /// has. A provider's other members may name hosts and keys as its message does.
    func withError(_ error: [UInt8], keepsUsage: Bool) -> [SpliceEdit] {
        var edits = removing { $0.name == .other || $0.name == .tier || $0.name == .vendor || ($0.name == .usage && !keepsUsage) }
        for member in members where member.name == .error { edits.append(SpliceEdit(range: member.value, replacement: error)) }
        edits.sort { $0.range.lowerBound < $1.range.lowerBound }
        return edits
    }

    private func removing(_ isRemoved: (Member) -> Bool) -> [SpliceEdit] {
        var edits: [SpliceEdit] = []
        // The comma before the member, once a member before it stays.
        var comma: Int?
        var keepsAny = false
        for member in members {
            if isRemoved(member) {
                if keepsAny, let comma {
                    edits.append(SpliceEdit(range: comma..<member.value.upperBound, replacement: []))
                } else {
                    let end = member.comma.map { $0 &+ 1 } ?? member.value.upperBound
                    edits.append(SpliceEdit(range: member.start..<end, replacement: []))
                }
            } else {
                keepsAny = true
            }
            comma = member.comma
        }
        return edits
    }

    static func name(_ base: UnsafeRawPointer, _ range: Range<Int>, _ hasEscapes: Bool) -> Name {
        let start = range.lowerBound
        let count = range.count
        if hasEscapes {
            guard count <= 108 else { return .other }
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 108) { buffer in
                guard let count = JSONText.unescape(base, start, range.upperBound, into: buffer),
                    let plain = UnsafeRawPointer(buffer.baseAddress)
                else { return .other }
                return name(plain, 0..<count, false)
            }
        }
        func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, start, count, text) }
        switch count {
        case 2: return equals("id") ? .frame : .other
        case 5: return equals("usage") ? .usage : equals("error") ? .error : equals("model") ? .frame : vendorOrOther()
        case 6: return equals("object") ? .frame : vendorOrOther()
        case 7: return equals("choices") ? .choices : equals("created") ? .frame : vendorOrOther()
        case 12: return equals("service_tier") ? .tier : vendorOrOther()
        case 18: return equals("system_fingerprint") ? .frame : vendorOrOther()
        default: return vendorOrOther()
        }

        func vendorOrOther() -> Name { VendorMember.isOne(base, start, count) ? .vendor : .other }
    }

    private static func isEmptyArray(_ base: UnsafeRawPointer, _ value: Range<Int>) -> Bool {
        for at in (value.lowerBound &+ 1)..<max(value.lowerBound &+ 1, value.upperBound &- 1)
        where !isWhitespace(ByteScan.byte(base, at)) { return false }
        return true
    }
}

/// The value of a member `error`. Some providers write one into each of their answers.
enum ErrorMember {
    /// False for null, and for what is as little of an error: `false`, `0`, `""`, `{}`, `[]`, as OpenAI's SDKs have it.
    static func says(_ base: UnsafeRawPointer, _ value: Range<Int>) -> Bool {
        switch ByteScan.byte(base, value.lowerBound) {
        case 0x6E, 0x66: return false
        case 0x30: return value.count > 1
        case 0x22, 0x7B, 0x5B:
            for at in (value.lowerBound &+ 1)..<max(value.lowerBound &+ 1, value.upperBound &- 1)
            where !isWhitespace(ByteScan.byte(base, at)) { return true }
            return false
        default: return true
        }
    }
}

extension JSONView {
    /// As the value of a member `error`: it says nothing.
    var isNoError: Bool {
        bytes.withUnsafeBytes { buffer in buffer.baseAddress.map { !ErrorMember.says($0, 0..<buffer.count) } ?? true }
    }
}

/// A member that a vendor adds to OpenAI's shapes: its name begins with `x_` or `x-`, as `x_groq`. Other members may hold what the caller
/// sent (`metadata`), so a usage in them is not the provider's word.
enum VendorMember {
    static func isOne(_ base: UnsafeRawPointer, _ start: Int, _ count: Int) -> Bool {
        guard count > 2, ByteScan.byte(base, start) == 0x78 else { return false }
        let second = ByteScan.byte(base, start &+ 1)
        return second == 0x5F || second == 0x2D
    }
}
