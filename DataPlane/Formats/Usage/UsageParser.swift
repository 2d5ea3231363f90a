import Primitives

/// Reads the `usage` object of an OpenAI-style answer, believing nothing of it.
///
/// Accepts the names of chat and completions (`prompt_tokens`, `completion_tokens`), of embeddings (prompt and total only), of the
/// Responses API (`input_tokens`, `output_tokens`), and the places where vendors state what the provider's cache gave: in the details
/// (OpenAI), as `prompt_cache_hit_tokens` and `prompt_cache_miss_tokens`, which make up the prompt (DeepSeek), or as `cached_tokens` beside
/// the counts (Moonshot). What was written to the cache stands in the details, or beside the counts as `cache_creation_input_tokens` with
/// `cache_creation` telling for how long (gateways in front of Anthropic).
///
/// Reasoning stands inside the completion's count (OpenAI) or beside it (xAI). The total tells: where it is the sum of prompt, completion
/// and reasoning, reasoning is output on top of the completion.
package enum UsageParser {
    /// Nil for `null` and for nothing: no usage was given. Never nil otherwise; what cannot be read is flagged.
    package static func parse(_ usage: UnsafeRawBufferPointer) -> UsageReading? {
        guard let base = usage.baseAddress else { return nil }
        var cursor = JSONCursor(base: base, from: 0, limit: usage.count, maxDepth: 32)
        cursor.skipWhitespace()
        guard cursor.at < cursor.limit else { return nil }
        if cursor.current == 0x6E { return nil }
        var fields = Fields()
        do throws(JSONViolation) {
            try readMembers(&cursor, into: &fields, scope: .top)
        } catch {
            fields.flags.insert(.invalid)
        }
        return fields.reading()
    }

    enum Scope { case top, inputDetails, outputDetails, cacheCreation, serverTools }

    enum Name: UInt8 {
        case input, output, total, inputDetails, outputDetails, cached, cacheWrite, reasoning
        /// Input read from the cache as stated beside the counts, and input that was not.
        case cacheHit, cacheMiss
        case audioInput, imageInput, audioOutput, imageOutput
        /// Input written to the cache as stated beside the counts; how much of it for five minutes and for an hour.
        case cacheCreated, cacheCreation, cacheWriteHour
        /// Dollars.
        case cost
        /// Anthropic's: input read from the cache, which stands beside the other; what was written to it for five minutes.
        case cacheRead, cacheWriteFive
        /// Tools that the provider uses by itself, and how often it searched.
        case serverTools, searches
        /// Of sound, with a fraction; and in which tier the request was served.
        case seconds, serviceTier
    }

    /// Numbers as given, before they are compared with each other. Nil is "not given"; unusable ones are remembered in the mask.
    struct Fields: Sendable {
        var input: Int64?
        var output: Int64?
        var total: Int64?
        var cached: Int64 = 0
        var cacheWrite: Int64 = 0
        var reasoning: Int64 = 0
        var cacheHit: Int64?
        var cacheMiss: Int64?
        var audioInput: Int64 = 0
        var imageInput: Int64 = 0
        var audioOutput: Int64 = 0
        var imageOutput: Int64 = 0
        var cacheCreated: Int64 = 0
        var cacheWriteHour: Int64 = 0
        var cost: Int64?
        var cacheRead: Int64 = 0
        var cacheWriteFive: Int64 = 0
        var searches: Int64 = 0
        var milliseconds: Int64?
        var serviceTier: ServiceTier?
        /// Several statements make up one usage: what one of them does not say, one before it has said.
        var isMerged = false
        var unusable: UInt32 = 0
        var seen: UInt32 = 0
        var flags: UsageReading.Flags = []

        func isUnusable(_ name: Name) -> Bool { unusable & 1 &<< UInt32(name.rawValue) != 0 }

        mutating func note(_ name: Name) {
            let bit: UInt32 = 1 &<< UInt32(name.rawValue)
            if seen & bit != 0 { flags.insert(.duplicate) }
            seen |= bit
            unusable &= ~bit
        }

        mutating func set(_ name: Name, _ value: Int64?) {
            if value == nil, isMerged { return }
            switch name {
            case .input: input = value
            case .output: output = value
            case .total: total = value
            case .cached: cached = value ?? 0
            case .cacheWrite: cacheWrite = value ?? 0
            case .reasoning: reasoning = value ?? 0
            case .cacheHit: cacheHit = value
            case .cacheMiss: cacheMiss = value
            case .audioInput: audioInput = value ?? 0
            case .imageInput: imageInput = value ?? 0
            case .audioOutput: audioOutput = value ?? 0
            case .imageOutput: imageOutput = value ?? 0
            case .cacheCreated: cacheCreated = value ?? 0
            case .cacheWriteHour: cacheWriteHour = value ?? 0
            case .cost: cost = value
            case .cacheRead: cacheRead = value ?? 0
            case .cacheWriteFive: cacheWriteFive = value ?? 0
            case .searches: searches = value ?? 0
            case .seconds: milliseconds = value
            case .inputDetails, .outputDetails, .cacheCreation, .serverTools, .serviceTier: break
            }
        }

        mutating func markUnusable(_ name: Name) {
            flags.insert(.invalid)
            unusable |= 1 &<< UInt32(name.rawValue)
        }

        func reading() -> UsageReading {
            var result = UsageReading()
            result.flags = flags
            result.totalTokens = total ?? 0
            result.costNano = cost
            takeUnits(&result)
            let totalIsSound = total != nil && !isUnusable(.total)
            if let input, !isUnusable(.input) {
                result.inputTokens = input
            } else if input == nil, let cacheHit, let cacheMiss, !isUnusable(.cacheHit), !isUnusable(.cacheMiss) {
                result.inputTokens = min(cacheHit &+ cacheMiss, UsageReading.cap)
            } else if input == nil, let output, totalIsSound, !isUnusable(.output) {
                result.inputTokens = max(0, result.totalTokens &- output)
            } else {
                result.inputTokens = input ?? 0
                result.flags.insert(.inputUnknown)
            }
            if let output, !isUnusable(.output) {
                result.outputTokens = output
            } else if output == nil, totalIsSound, input != nil, !isUnusable(.input) {
                // Embeddings: there is no output, and the total says so.
                result.outputTokens = max(0, result.totalTokens &- result.inputTokens)
            } else {
                result.outputTokens = output ?? 0
                result.flags.insert(.outputUnknown)
            }
            let sum = result.inputTokens &+ result.outputTokens
            if totalIsSound, result.totalTokens != sum {
                if reasoning > 0, !isUnusable(.reasoning), result.isComplete, result.totalTokens == sum &+ reasoning {
                    result.outputTokens = min(result.outputTokens &+ reasoning, UsageReading.cap)
                } else {
                    result.flags.insert(.totalMismatch)
                }
            }
            result.cachedInputTokens = lower(statedCached(&result.flags), to: result.inputTokens, &result.flags)
            result.cacheWriteTokens = lower(
                max(cacheWrite, cacheCreated, cacheWriteHour), to: result.inputTokens &- result.cachedInputTokens, &result.flags)
            result.reasoningTokens = lower(reasoning, to: result.outputTokens, &result.flags)
            if cacheWriteHour | audioInput | imageInput | audioOutput | imageOutput != 0 {
                result.cacheWriteHourTokens = min(cacheWriteHour, result.cacheWriteTokens)
                result.audioInputTokens = lower(audioInput, to: result.inputTokens, &result.flags)
                result.imageInputTokens = lower(imageInput, to: result.inputTokens &- result.audioInputTokens, &result.flags)
                result.audioOutputTokens = lower(audioOutput, to: result.outputTokens, &result.flags)
                result.imageOutputTokens = lower(imageOutput, to: result.outputTokens &- result.audioOutputTokens, &result.flags)
            }
            return result
        }

        /// What is stated beside tokens. Sound that is counted by its length has no tokens.
        func takeUnits(_ result: inout UsageReading) {
            result.searches = searches
            result.serviceTier = serviceTier
            guard let milliseconds, input == nil, output == nil else { return }
            result.mediaMilliseconds = milliseconds
        }

        /// Both places are one statement: a provider that fills in both repeats itself, and zero in one says that it uses the other.
        private func statedCached(_ flags: inout UsageReading.Flags) -> Int64 {
            guard let cacheHit, cacheHit > 0 else { return cached }
            if cached > 0 && cached != cacheHit { flags.insert(.inconsistent) }
            return max(cached, cacheHit)
        }

        func lower(_ part: Int64, to whole: Int64, _ flags: inout UsageReading.Flags) -> Int64 {
            if part > whole {
                flags.insert(.inconsistent)
                return whole
            }
            return part
        }
    }

    /// Reads the object at the cursor. Its details are objects within it, so this goes one level deep and no further.
    static func readMembers(_ cursor: inout JSONCursor, into fields: inout Fields, scope: Scope) throws(JSONViolation) {
        guard cursor.current == 0x7B else {
            fields.flags.insert(.invalid)
            try cursor.skipValue()
            return
        }
        cursor.at &+= 1
        cursor.skipWhitespace()
        if cursor.current == 0x7D {
            cursor.at &+= 1
            return
        }
        while true {
            let nameStart = cursor.at &+ 1
            _ = try cursor.skipString()
            let name = recognise(cursor.base, nameStart, cursor.at &- 1, scope)
            cursor.skipWhitespace()
            try cursor.expect(0x3A)
            cursor.skipWhitespace()
            switch name {
            case nil:
                try cursor.skipValue()
            case .inputDetails, .outputDetails, .cacheCreation, .serverTools:
                if let name { fields.note(name) }
                if cursor.current == 0x6E {
                    try cursor.skipValue()
                } else {
                    let inner: Scope =
                        switch name {
                        case .inputDetails: .inputDetails
                        case .outputDetails: .outputDetails
                        case .serverTools: .serverTools
                        default: .cacheCreation
                        }
                    try readMembers(&cursor, into: &fields, scope: inner)
                }
            case .seconds:
                fields.note(.seconds)
                try readSeconds(&cursor, into: &fields)
            case .serviceTier:
                let start = cursor.at
                let isString = cursor.current == 0x22
                try cursor.skipValue()
                guard isString else { break }
                let text = UnsafeRawBufferPointer(start: cursor.base + (start &+ 1), count: cursor.at &- start &- 2)
                fields.serviceTier = ServiceTier(stated: text)
            case .cost:
                fields.note(.cost)
                try readCost(&cursor, into: &fields)
            case .some(let number):
                fields.note(number)
                try readNumber(number, &cursor, into: &fields)
            }
            cursor.skipWhitespace()
            if cursor.current == 0x2C {
                cursor.at &+= 1
                cursor.skipWhitespace()
                continue
            }
            try cursor.expect(0x7D)
            return
        }
    }

    private static func readNumber(_ name: Name, _ cursor: inout JSONCursor, into fields: inout Fields) throws(JSONViolation) {
        let start = cursor.at
        let first = cursor.current
        guard first == 0x2D || first &- 0x30 < 10 else {
            try cursor.skipValue()
            // Null counts say "not given", and details are often null; anything else is not a number.
            if first == 0x6E {
                fields.set(name, nil)
            } else if first == 0x22, let value = digits(cursor, start &+ 1, cursor.at &- 1), value <= UsageReading.cap {
                // Protobuf's JSON writes 64-bit integers as strings.
                fields.set(name, value)
            } else {
                fields.markUnusable(name)
                fields.set(name, 0)
            }
            return
        }
        let isInteger = try cursor.skipNumber()
        if isInteger, let value = cursor.integer(start, cursor.at), value >= 0, value <= UsageReading.cap {
            fields.set(name, value)
            return
        }
        if !isInteger, let value = wholeNumber(UnsafeRawBufferPointer(start: cursor.base + start, count: cursor.at &- start)) {
            fields.set(name, value)
            return
        }
        fields.markUnusable(name)
        // Beyond all belief is no count, as less than nothing is none: it is estimated.
        fields.set(name, first == 0x2D || isInteger ? 0 : integerPart(cursor, start))
    }

    /// OpenRouter's `cost`, in dollars; what is none is not taken for nothing.
    private static func readCost(_ cursor: inout JSONCursor, into fields: inout Fields) throws(JSONViolation) {
        let start = cursor.at
        let first = cursor.current
        guard first == 0x2D || first &- 0x30 < 10 else {
            try cursor.skipValue()
            if first != 0x6E { fields.flags.insert(.invalid) }
            return fields.set(.cost, nil)
        }
        _ = try cursor.skipNumber()
        let cost = nanoDollars(UnsafeRawBufferPointer(start: cursor.base + start, count: cursor.at &- start))
        let isBelieved = cost.map { $0 <= UsageReading.costCap } ?? false
        if !isBelieved { fields.flags.insert(.invalid) }
        fields.set(.cost, isBelieved ? cost : nil)
    }

    /// Of sound, in seconds with a fraction, kept as milliseconds.
    private static func readSeconds(_ cursor: inout JSONCursor, into fields: inout Fields) throws(JSONViolation) {
        let start = cursor.at
        let first = cursor.current
        guard first == 0x2D || first &- 0x30 < 10 else {
            try cursor.skipValue()
            if first != 0x6E { fields.flags.insert(.invalid) }
            return
        }
        _ = try cursor.skipNumber()
        guard let nano = nanoDollars(UnsafeRawBufferPointer(start: cursor.base + start, count: cursor.at &- start)) else {
            fields.flags.insert(.invalid)
            return
        }
        let milliseconds = nano / 1_000_000 + (nano % 1_000_000 > 0 ? 1 : 0)
        if milliseconds > UsageReading.cap { fields.flags.insert(.invalid) }
        fields.set(.seconds, min(milliseconds, UsageReading.cap))
    }

    /// A JSON number of dollars in nano-dollars, rounded up: `0.00014`, `1.4e-05`.
    /// - Returns: nil for less than nothing; `Int64.max` for more than fits.
    static func nanoDollars(_ text: UnsafeRawBufferPointer) -> Int64? {
        var digits: Int64 = 0
        var scale = 9
        var sawPoint = false
        var isRounded = false
        var index = 0
        guard text.first != UInt8(ascii: "-") else { return text.allSatisfy { !(0x31...0x39).contains($0) } ? 0 : nil }
        while index < text.count, text[index] | 0x20 != UInt8(ascii: "e") {
            defer { index += 1 }
            if text[index] == UInt8(ascii: ".") {
                sawPoint = true
                continue
            }
            let digit = Int64(text[index] &- 0x30)
            guard (0...9).contains(digit) else { return nil }
            // Eighteen digits are kept; those after them only say that there is more.
            if digits < 100_000_000_000_000_000 {
                digits = digits * 10 + digit
                if sawPoint { scale -= 1 }
            } else {
                if digit != 0 { isRounded = true }
                if !sawPoint { scale += 1 }
            }
        }
        if index < text.count {
            var exponent = 0
            var isNegative = false
            for byte in text[(index + 1)...] {
                if byte == UInt8(ascii: "-") { isNegative = true }
                if (0x30...0x39).contains(byte) { exponent = min(exponent * 10 + Int(byte &- 0x30), 10_000) }
            }
            scale += isNegative ? -exponent : exponent
        }
        guard digits > 0 else { return 0 }
        while scale > 0 {
            let (product, overflow) = digits.multipliedReportingOverflow(by: 10)
            if overflow { return .max }
            digits = product
            scale -= 1
        }
        while scale < 0, digits > 0 {
            if digits % 10 != 0 { isRounded = true }
            digits /= 10
            scale += 1
        }
        return isRounded ? digits &+ 1 : digits
    }

    /// What a JSON number with a fraction or an exponent says where that is a whole number within the cap: `100.0`, `1e3`.
    private static func wholeNumber(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard let nano = nanoDollars(text), nano % 1_000_000_000 == 0, nano / 1_000_000_000 <= UsageReading.cap else { return nil }
        return nano / 1_000_000_000
    }

    /// Nothing but digits, and at least one.
    private static func digits(_ cursor: JSONCursor, _ start: Int, _ end: Int) -> Int64? {
        guard start < end else { return nil }
        for at in start..<end where ByteScan.byte(cursor.base, at) &- 0x30 > 9 { return nil }
        return cursor.integer(start, end)
    }

    /// The digits before a fraction; beyond the cap none.
    private static func integerPart(_ cursor: JSONCursor, _ start: Int) -> Int64 {
        var end = start
        while end < cursor.at, ByteScan.byte(cursor.base, end) &- 0x30 < 10 { end &+= 1 }
        return cursor.integer(start, end).flatMap { $0 <= UsageReading.cap ? $0 : nil } ?? 0
    }

    private static func recognise(_ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ scope: Scope) -> Name? {
        let count = end &- start
        func equals(_ text: StaticString) -> Bool { ByteScan.equals(base, start, count, text) }
        switch (scope, count) {
        case (.top, 13):
            return equals("prompt_tokens") ? .input : equals("output_tokens") ? .output : equals("cached_tokens") ? .cacheHit : nil
        case (.top, 4): return equals("cost") ? .cost : nil
        // Some state it beside the counts (Perplexity).
        case (.top, 16): return equals("reasoning_tokens") ? .reasoning : nil
        case (.top, 23):
            if equals("server_tool_use_details") { return .serverTools }
            return equals("prompt_cache_hit_tokens") ? .cacheHit : equals("cache_read_input_tokens") ? .cacheRead : nil
        case (.top, 24): return equals("prompt_cache_miss_tokens") ? .cacheMiss : nil
        case (.top, 12):
            return equals("input_tokens") ? .input : equals("total_tokens") ? .total : equals("service_tier") ? .serviceTier : nil
        case (.top, 7): return equals("seconds") ? .seconds : nil
        case (.top, 15): return equals("server_tool_use") ? .serverTools : nil
        // Of transcriptions.
        case (.top, 19): return equals("input_token_details") ? .inputDetails : nil
        case (.serverTools, 19): return equals("web_search_requests") ? .searches : nil
        case (.top, 17): return equals("completion_tokens") ? .output : nil
        case (.top, 20): return equals("input_tokens_details") ? .inputDetails : nil
        case (.top, 21): return equals("prompt_tokens_details") ? .inputDetails : equals("output_tokens_details") ? .outputDetails : nil
        case (.top, 14): return equals("cache_creation") ? .cacheCreation : nil
        case (.top, 27): return equals("cache_creation_input_tokens") ? .cacheCreated : nil
        case (.top, 25): return equals("completion_tokens_details") ? .outputDetails : nil
        case (.inputDetails, 13): return equals("cached_tokens") ? .cached : nil
        case (.inputDetails, 18): return equals("cache_write_tokens") ? .cacheWrite : nil
        case (.inputDetails, 12): return equals("audio_tokens") ? .audioInput : equals("image_tokens") ? .imageInput : nil
        case (.outputDetails, 12): return equals("audio_tokens") ? .audioOutput : equals("image_tokens") ? .imageOutput : nil
        case (.cacheCreation, 25):
            return equals("ephemeral_1h_input_tokens") ? .cacheWriteHour : equals("ephemeral_5m_input_tokens") ? .cacheWriteFive : nil
        case (.outputDetails, 15): return equals("thinking_tokens") ? .reasoning : nil
        case (.outputDetails, 16): return equals("reasoning_tokens") ? .reasoning : nil
        default: return nil
        }
    }
}
