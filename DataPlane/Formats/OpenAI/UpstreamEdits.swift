import Primitives

/// The edits that turn a client's request into the one sent upstream. Built in any order, sorted by position when taken.
package struct UpstreamEdits: Sendable {
    private let members: RequestMembers
    private var edits: [SpliceEdit] = []
    /// Members to put behind the opening brace; one edit holds them all.
    private var inserted: [UInt8] = []

    package init(_ members: RequestMembers) {
        self.members = members
    }

    /// Names another model. Does nothing when the request has none.
    package mutating func setModel(_ name: String) {
        var quoted: [UInt8] = []
        JSONText.appendQuoted(name, to: &quoted)
        guard let model = members.model else {
            insert(#""model":"# + String(decoding: quoted, as: UTF8.self))
            return
        }
        edits.append(SpliceEdit(range: model.value, replacement: quoted))
    }

    /// Goes on from another response. Does nothing when the request goes on from none.
    package mutating func setPreviousResponse(_ id: [UInt8]) {
        if let range = members.previousResponseID { edits.append(SpliceEdit(range: range, replacement: id)) }
    }

    /// Asks for usage in the stream. Returns whether the client had not, so that the usage is to be removed from what it sees.
    package mutating func askForUsage() -> Bool {
        if members.includesUsage { return false }
        guard let options = members.streamOptions else {
            insert(#""stream_options":{"include_usage":true}"#)
            return true
        }
        if let range = options.includeUsageRange {
            edits.append(SpliceEdit(range: range, replacement: Array("true".utf8)))
        } else if let insertion = options.insertion {
            let member = options.isEmpty ? #""include_usage":true"# : #""include_usage":true,"#
            edits.append(SpliceEdit(range: insertion..<insertion, replacement: Array(member.utf8)))
        } else {
            edits.append(SpliceEdit(range: options.range, replacement: Array(#"{"include_usage":true}"#.utf8)))
        }
        return true
    }

    /// Bounds the tokens of the answer: lowers what the request asks for where that is more, or says it where the request says nothing.
    /// A request that uses both names is bounded in both.
    /// - Parameter name: of the member where the request has neither.
    package mutating func limitOutput(to tokens: Int64, as name: StaticString = "max_tokens") {
        let value = Array(String(max(tokens, 0)).utf8)
        let given = [members.maxCompletionTokens, members.maxTokens, members.maxOutputTokens].compactMap { $0 }
        for member in given where member.value > tokens {
            edits.append(SpliceEdit(range: member.range, replacement: value))
        }
        guard given.isEmpty else { return }
        if let range = members.maxCompletionTokensNull ?? members.maxTokensNull ?? members.maxOutputTokensNull {
            edits.append(SpliceEdit(range: range, replacement: value))
        } else {
            insert("\"\(name)\":\(max(tokens, 0))")
        }
    }

    /// All edits in order of position, ready for `Splice`.
    package func sorted() -> [SpliceEdit] {
        var result = edits
        if !inserted.isEmpty {
            var text = inserted
            // Behind the last inserted member stands a comma unless nothing follows.
            if members.isEmpty { text.removeLast() }
            result.append(SpliceEdit(range: members.insertion..<members.insertion, replacement: text))
        }
        result.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
        return result
    }

    private mutating func insert(_ member: String) {
        inserted.append(contentsOf: member.utf8)
        inserted.append(0x2C)
    }
}
