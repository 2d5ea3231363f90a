import Contract
import Nouns
package import Primitives

/// A list of what models cost, in the form of LiteLLM's `model_prices_and_context_window.json`: one object of entries by the models' names,
/// each with prices in US dollars per token. Members that are not known are passed over, and numbers are read by their digits.
package struct PriceCatalogue: Sendable {
    /// What an entry says of the prices that Weir knows.
    struct Entry: Sendable {
        var content = PriceContent()
        /// Members with prices that are not taken over: for other service tiers, for searches, by the second.
        var leftOut: [String] = []
        /// Members that are no price, or are not exact in nano-dollars per million tokens.
        var remarks: [String] = []
    }

    private let entries: [String: JSONObject]

    package var count: Int { entries.count }

    package init(_ object: JSONObject) {
        entries = Dictionary(
            object.members.compactMap { member in
                // It describes the members in words.
                guard member.name != "sample_spec", let entry = member.value.objectValue else { return nil }
                return (member.name, entry)
            }, uniquingKeysWith: { first, _ in first })
    }

    func contains(_ name: String) -> Bool { entries[name] != nil }

    /// Nil where the entry has no price per token: a model that is paid by the image or the second.
    func entry(_ name: String) -> Entry? {
        guard let object = entries[name] else { return nil }
        var entry = Entry()
        var base = PriceTier()
        var tiers: [Int64: PriceTier] = [:]
        var hasPrice = false
        for member in object.members where member.name.contains("cost") {
            guard let place = Place(member.name) else {
                if Self.isPrice(member.value) { entry.leftOut.append(member.name) }
                continue
            }
            guard let text = Self.number(member.value) else { continue }
            guard let (amount, isExact) = Self.perMillion(text, times: place.isPerRequest ? 0 : 6) else {
                entry.remarks.append("\(member.name) is no price: \(text.prefix(32))")
                continue
            }
            if !isExact { entry.remarks.append("\(member.name) is rounded") }
            switch place {
            case .perRequest: entry.content.perRequest = amount
            case .kind(let path, above: nil):
                base[keyPath: path] = amount
                hasPrice = true
            case .kind(let path, let above?): tiers[above, default: PriceTier()][keyPath: path] = amount
            }
        }
        guard hasPrice || entry.content.perRequest.rawValue > 0 else { return nil }
        entry.content.take(base)
        entry.content.tiers = tiers.sorted { $0.key < $1.key }.prefix(Weir_V1_Price.maximumTiers).map { above, tier in
            var tier = tier
            tier.above = above
            return tier
        }
        return entry
    }

    /// Which price a member is.
    private enum Place {
        case perRequest
        case kind(any WritableKeyPath<PriceTier, NanoDollars?> & Sendable, above: Int64?)

        var isPerRequest: Bool { if case .perRequest = self { true } else { false } }

        private static let kinds: [(String, any WritableKeyPath<PriceTier, NanoDollars?> & Sendable)] = [
            ("input_cost_per_token", \.input), ("output_cost_per_token", \.output), ("cache_read_input_token_cost", \.cachedInput),
            ("cache_creation_input_token_cost", \.cacheWrite), ("cache_creation_input_token_cost_above_1hr", \.cacheWriteHour),
            ("input_cost_per_audio_token", \.audioInput), ("input_cost_per_image_token", \.imageInput),
            ("output_cost_per_reasoning_token", \.reasoning), ("output_cost_per_audio_token", \.audioOutput),
            ("output_cost_per_image_token", \.imageOutput),
        ]

        /// `NAME` or `NAME_above_200k_tokens`; any other suffix is another service tier's.
        init?(_ member: String) {
            if member == "input_cost_per_request" {
                self = .perRequest
                return
            }
            var name = member
            var above: Int64?
            let words = member.split(separator: "_")
            if words.count > 3, words.last == "tokens", words[words.count - 3] == "above", words[words.count - 2].hasSuffix("k") {
                guard let thousands = Int64(words[words.count - 2].dropLast()), (1...1_000_000).contains(thousands) else { return nil }
                above = thousands * 1000
                name = words.dropLast(3).joined(separator: "_")
            }
            guard let path = Self.kinds.first(where: { $0.0 == name })?.1 else { return nil }
            self = .kind(path, above: above)
        }
    }

    private static func isPrice(_ value: JSONValue) -> Bool {
        switch value {
        case .int(let number): number > 0
        case .number: true
        case .object(let object): object.members.contains { isPrice($0.value) }
        default: false
        }
    }

    private static func number(_ value: JSONValue) -> String? {
        switch value {
        case .int(let number): String(number)
        case .number(let text), .string(let text): text
        default: nil
        }
    }

    /// Dollars as a JSON number, times a power of ten, in nano-dollars: by its digits, so that 1.5e-07 a token is 0.15 a million exactly.
    /// - Returns: Nil for what is no number, is negative or too large; whether nothing had to be rounded (half up).
    static func perMillion(_ text: String, times power: Int) -> (NanoDollars, isExact: Bool)? {
        let parts = text.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        guard let mantissa = parts.first, let exponent = parts.count == 1 ? 0 : Int(parts[1]), abs(exponent) < 100 else { return nil }
        var digits: Int128 = 0
        var decimals = 0
        var hasPoint = false
        var count = 0
        for byte in mantissa.utf8 {
            if byte == UInt8(ascii: "."), !hasPoint {
                hasPoint = true
                continue
            }
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), count < 36 else { return nil }
            digits = digits * 10 + Int128(byte - UInt8(ascii: "0"))
            count += 1
            if hasPoint { decimals += 1 }
        }
        guard count > 0 else { return nil }
        var shift = 9 + power + exponent - decimals
        while shift > 0 {
            guard digits <= Int128(Int64.max) else { return nil }
            digits *= 10
            shift -= 1
        }
        // Fewer than one part in ten to the 36 is nothing.
        guard shift > -37 else { return (NanoDollars(0), digits == 0) }
        var divisor: Int128 = 1
        for _ in 0..<(-shift) { divisor *= 10 }
        guard let amount = Int64(exactly: digits / divisor + (digits % divisor * 2 >= divisor && divisor > 1 ? 1 : 0)) else { return nil }
        return (NanoDollars(amount), digits % divisor == 0)
    }
}

extension PriceContent {
    /// What a catalogue's entry says, in place of what is here. What it does not say costs what it is a part of.
    fileprivate mutating func take(_ prices: PriceTier) {
        input = prices.input ?? NanoDollars(0)
        output = prices.output ?? NanoDollars(0)
        cachedInput = prices.cachedInput ?? input
        cacheWrite = prices.cacheWrite ?? input
        cacheWriteHour = prices.cacheWriteHour
        audioInput = prices.audioInput
        imageInput = prices.imageInput
        reasoning = prices.reasoning
        audioOutput = prices.audioOutput
        imageOutput = prices.imageOutput
    }

    /// Whether both charge the same, from whenever on.
    func costs(as other: PriceContent) -> Bool {
        var other = other
        (other.modelID, other.endpointID, other.effectiveFrom) = (modelID, endpointID, effectiveFrom)
        return self == other
    }
}
