import Primitives

/// The usage of a Messages answer (Anthropic), which a stream states bit by bit: the input at its begin, the output, counted up, in
/// `message_delta`, where the input's counts may stand once more. Of each count the last one that is not null is believed.
package struct MeteredMessagesUsage: Sendable {
    private var fields = UsageParser.Fields()
    private var isPresent = false
    private var isComplete = false

    package init() { fields.isMerged = true }

    /// - Parameters:
    ///   - usage: The object.
    ///   - isLast: It is the whole answer's: its output is not the count of a begin.
    package mutating func read(_ usage: UnsafeRawBufferPointer, isLast: Bool) {
        isPresent = true
        if isLast { isComplete = true }
        let before = fields
        UsageParser.read(usage, into: &fields)
        if fields.hasNoInput, !before.hasNoInput { fields.takeInput(of: before) }
    }

    /// - Parameter contentBytes: Of text in the answer. One with text had input and output: a provider that says zero does not know.
    package func reading(contentBytes: Int64 = 0) -> UsageReading {
        guard isPresent else { return .absent }
        var reading = fields.messagesReading()
        if !isComplete { reading.flags.insert(.outputUnknown) }
        guard contentBytes > 0 else { return reading }
        if reading.inputTokens == 0 { reading.flags.insert(.inputUnknown) }
        if reading.outputTokens == 0 { reading.flags.insert(.outputUnknown) }
        return reading
    }
}

extension UsageParser {
    /// The usage of one whole Messages document.
    package static func parseMessages(_ usage: UnsafeRawBufferPointer) -> UsageReading? {
        guard let first = usage.first(where: { !isWhitespace($0) }), first != 0x6E else { return nil }
        var statement = MeteredMessagesUsage()
        statement.read(usage, isLast: true)
        return statement.reading()
    }

    /// Reads one more statement of the same usage.
    fileprivate static func read(_ usage: UnsafeRawBufferPointer, into fields: inout Fields) {
        guard let base = usage.baseAddress else { return }
        fields.seen = 0
        var cursor = JSONCursor(base: base, from: 0, limit: usage.count, maxDepth: 32)
        cursor.skipWhitespace()
        do throws(JSONViolation) {
            try readMembers(&cursor, into: &fields, scope: .top)
        } catch {
            fields.flags.insert(.invalid)
        }
    }
}

extension UsageParser.Fields {
    fileprivate var hasNoInput: Bool { (input ?? 0) | cacheRead | cacheCreated == 0 }

    /// A later statement repeats the input's counts in earnest, or not at all: zeros say that it has none to give.
    fileprivate mutating func takeInput(of other: UsageParser.Fields) {
        input = other.input
        cacheRead = other.cacheRead
        cacheCreated = other.cacheCreated
        cacheWriteFive = other.cacheWriteFive
        cacheWriteHour = other.cacheWriteHour
    }

    /// As Anthropic counts: what the cache gave and took stands beside the rest of the input.
    func messagesReading() -> UsageReading {
        var result = UsageReading()
        result.flags = flags
        let written = max(cacheCreated, min(cacheWriteFive &+ cacheWriteHour, UsageReading.cap))
        if input == nil || isUnusable(.input) { result.flags.insert(.inputUnknown) }
        if output == nil || isUnusable(.output) { result.flags.insert(.outputUnknown) }
        result.inputTokens = min((input ?? 0) &+ written &+ cacheRead, UsageReading.cap)
        result.outputTokens = output ?? 0
        result.cachedInputTokens = min(cacheRead, result.inputTokens)
        result.cacheWriteTokens = min(written, result.inputTokens &- result.cachedInputTokens)
        result.cacheWriteHourTokens = min(cacheWriteHour, result.cacheWriteTokens)
        result.reasoningTokens = lower(reasoning, to: result.outputTokens, &result.flags)
        result.costNano = cost
        takeUnits(&result)
        return result
    }
}
