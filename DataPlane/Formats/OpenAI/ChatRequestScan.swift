import Primitives

/// One pass over the body of a request in any of the dialects: all of it is checked to be JSON (RFC 8259, UTF-8), and the top-level
/// members that decide routing, cost and framing are found. Nothing is decoded or copied.
///
/// A body that two readers could read as two requests is refused: a known member given twice, also with its name in escapes, and a name
/// that upstreams which ignore case would take for a known one.
package enum ChatRequestScan {
    /// Containers that may be open at once; deeper bodies are refused. At most 128.
    package static let defaultMaxDepth = 128

    package static func scan(
        _ body: UnsafeRawBufferPointer, maxDepth: Int = defaultMaxDepth
    ) throws(JSONViolation) -> RequestMembers {
        guard let base = body.baseAddress, body.count > 0 else { throw .malformed(offset: 0) }
        // The object itself is one level.
        var cursor = JSONCursor(base: base, from: 0, limit: body.count, maxDepth: min(maxDepth, 128) &- 1)
        cursor.skipWhitespace()
        guard cursor.current == 0x7B else {
            try cursor.skipValue()
            cursor.skipWhitespace()
            throw cursor.at == cursor.limit ? .notAnObject : cursor.malformed()
        }
        cursor.at &+= 1
        var members = RequestMembers()
        members.insertion = cursor.at
        cursor.skipWhitespace()
        if cursor.current == 0x7D {
            cursor.at &+= 1
        } else {
            members.isEmpty = false
            var seen: UInt32 = 0
            while true {
                let nameStart = cursor.at &+ 1
                let hasEscapes = try cursor.skipString()
                let nameEnd = cursor.at &- 1
                cursor.skipWhitespace()
                try cursor.expect(0x3A)
                cursor.skipWhitespace()
                if let member = try MemberName.recognise(base, nameStart, nameEnd, hasEscapes, nested: false) {
                    let bit: UInt32 = 1 &<< UInt32(member.rawValue)
                    if seen & bit != 0 { throw .duplicate(member) }
                    seen |= bit
                    try read(member, &cursor, &members)
                } else {
                    try cursor.skipValue()
                }
                cursor.skipWhitespace()
                if cursor.current == 0x2C {
                    cursor.at &+= 1
                    cursor.skipWhitespace()
                    continue
                }
                try cursor.expect(0x7D)
                break
            }
        }
        cursor.skipWhitespace()
        guard cursor.at == cursor.limit else { throw cursor.malformed() }
        return members
    }

    private static func read(
        _ member: RequestMember, _ cursor: inout JSONCursor, _ members: inout RequestMembers
    ) throws(JSONViolation) {
        let start = cursor.at
        switch member {
        case .model:
            guard cursor.current == 0x22 else {
                try cursor.skipValue()
                throw .wrongType(.model)
            }
            let hasEscapes = try cursor.skipString()
            members.model = .init(value: start..<cursor.at, content: (start &+ 1)..<(cursor.at &- 1), hasEscapes: hasEscapes)
        case .stream: members.stream = try boolean(.stream, &cursor)
        case .streamOptions: members.streamOptions = try streamOptions(&cursor)
        case .maxTokens:
            members.maxTokens = try integer(.maxTokens, &cursor)
            if members.maxTokens == nil { members.maxTokensNull = start..<cursor.at }
        case .maxCompletionTokens:
            members.maxCompletionTokens = try integer(.maxCompletionTokens, &cursor)
            if members.maxCompletionTokens == nil { members.maxCompletionTokensNull = start..<cursor.at }
        case .n: members.n = try integer(.n, &cursor)
        case .bestOf: members.bestOf = try integer(.bestOf, &cursor)
        case .messages:
            try cursor.skipValue()
            members.messages = start..<cursor.at
        case .input:
            try cursor.skipValue()
            members.input = start..<cursor.at
        case .prompt:
            try cursor.skipValue()
            members.prompt = start..<cursor.at
        case .serviceTier:
            guard cursor.current == 0x22 else { return try cursor.skipValue() }
            let hasEscapes = try cursor.skipString()
            members.serviceTier = .init(value: start..<cursor.at, content: (start &+ 1)..<(cursor.at &- 1), hasEscapes: hasEscapes)
        case .tools:
            try cursor.skipValue()
            members.tools = start..<cursor.at
        case .system, .instructions:
            try cursor.skipValue()
            members.instructions = start..<cursor.at
        case .maxOutputTokens:
            members.maxOutputTokens = try integer(.maxOutputTokens, &cursor)
            if members.maxOutputTokens == nil { members.maxOutputTokensNull = start..<cursor.at }
        case .previousResponseID:
            let isString = cursor.current == 0x22
            try cursor.skipValue()
            if isString { members.previousResponseID = (start &+ 1)..<(cursor.at &- 1) }
        case .conversation:
            members.namesConversation = cursor.current != 0x6E
            try cursor.skipValue()
        case .store, .background:
            let first = cursor.current
            try cursor.skipValue()
            guard first == 0x74 || first == 0x66 else { break }
            let given = RequestMembers.Given(value: first == 0x74, range: start..<cursor.at)
            if member == .store { members.store = given } else { members.background = given }
        case .includeUsage, .user:
            try cursor.skipValue()
        }
    }

    private static func boolean(
        _ member: RequestMember, _ cursor: inout JSONCursor
    ) throws(JSONViolation) -> RequestMembers.Given<Bool>? {
        let start = cursor.at
        let first = cursor.current
        try cursor.skipValue()
        switch first {
        case 0x74: return .init(value: true, range: start..<cursor.at)
        case 0x66: return .init(value: false, range: start..<cursor.at)
        case 0x6E: return nil
        default: throw .wrongType(member)
        }
    }

    private static func integer(
        _ member: RequestMember, _ cursor: inout JSONCursor
    ) throws(JSONViolation) -> RequestMembers.Given<Int64>? {
        let start = cursor.at
        let first = cursor.current
        if first == 0x6E {
            try cursor.skipValue()
            return nil
        }
        guard first == 0x2D || first &- 0x30 < 10 else {
            try cursor.skipValue()
            throw .wrongType(member)
        }
        guard try cursor.skipNumber() else { throw .wrongType(member) }
        guard let value = cursor.integer(start, cursor.at) else { throw .outOfRange(member) }
        return .init(value: value, range: start..<cursor.at)
    }

    private static func streamOptions(_ cursor: inout JSONCursor) throws(JSONViolation) -> RequestMembers.StreamOptions {
        let start = cursor.at
        guard cursor.current == 0x7B else {
            let isNull = cursor.current == 0x6E
            try cursor.skipValue()
            guard isNull else { throw .wrongType(.streamOptions) }
            return .init(range: start..<cursor.at)
        }
        cursor.at &+= 1
        var options = RequestMembers.StreamOptions(range: start..<start)
        options.insertion = cursor.at
        // One level more is open here than `skipValue` counts.
        let outer = cursor
        cursor = JSONCursor(base: outer.base, from: outer.at, limit: outer.limit, maxDepth: outer.maxDepth &- 1)
        defer {
            let end = cursor.at
            cursor = outer
            cursor.at = end
        }
        cursor.skipWhitespace()
        if cursor.current == 0x7D {
            cursor.at &+= 1
        } else {
            options.isEmpty = false
            while true {
                let nameStart = cursor.at &+ 1
                let hasEscapes = try cursor.skipString()
                let nameEnd = cursor.at &- 1
                cursor.skipWhitespace()
                try cursor.expect(0x3A)
                cursor.skipWhitespace()
                let valueStart = cursor.at
                if try MemberName.recognise(cursor.base, nameStart, nameEnd, hasEscapes, nested: true) == .includeUsage {
                    if options.includeUsageRange != nil { throw .duplicate(.includeUsage) }
                    options.includeUsage = try boolean(.includeUsage, &cursor)
                    options.includeUsageRange = valueStart..<cursor.at
                } else {
                    try cursor.skipValue()
                }
                cursor.skipWhitespace()
                if cursor.current == 0x2C {
                    cursor.at &+= 1
                    cursor.skipWhitespace()
                    continue
                }
                try cursor.expect(0x7D)
                break
            }
        }
        options.range = start..<cursor.at
        return options
    }
}
