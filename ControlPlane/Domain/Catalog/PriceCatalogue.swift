import Contract
import Nouns
package import Primitives

/// A list of what models cost, in the form of LiteLLM's `model_prices_and_context_window.json`: one object of entries by the models' names,
/// each with prices in US dollars per token. Members that are not known are passed over, and numbers are read by their digits.
package struct PriceCatalogue: Sendable {
    /// What an entry says of the prices that Weir knows.
    struct Entry: Sendable {
        var content = PriceContent()
        /// Members with prices that are not taken over: by the pixel, by the page, of tiers that Weir does not know.
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

    /// Nil where the entry has no price that Weir charges by.
    func entry(_ name: String) -> Entry? {
        guard let object = entries[name] else { return nil }
        var entry = Entry()
        var tiers: [TierName: PriceTier] = [:]
        var hasPrice = false
        let mode = object["mode"]?.stringValue ?? ""
        for member in object.members where member.name.contains("cost") {
            guard let place = Place(member.name, mode) else {
                if Self.isPrice(member.value) { entry.leftOut.append(member.name) }
                continue
            }
            guard let text = Self.number(place.isSearch ? Self.dearest(member, &entry.remarks) : member.value) else { continue }
            guard let (amount, isExact) = Self.perMillion(text, times: place.power) else {
                entry.remarks.append("\(member.name) is no price: \(text.prefix(32))")
                continue
            }
            if !isExact { entry.remarks.append("\(member.name) is rounded") }
            switch place {
            // Where two members say what one thing costs, the dearer one counts: they are the same price told twice.
            case .unit(let path, _):
                entry.content[keyPath: path] = max(entry.content[keyPath: path], amount)
                hasPrice = hasPrice || amount.rawValue > 0
            case .kind(let path, let tier):
                tiers[tier, default: PriceTier()][keyPath: path] = amount
                hasPrice = hasPrice || tier == TierName()
            }
        }
        guard hasPrice else { return nil }
        entry.content.take(tiers[TierName()] ?? PriceTier())
        func named(_ isIncluded: (TierName) -> Bool) -> [PriceTier] {
            tiers.keys.filter(isIncluded).sorted().map { name in
                var tier = tiers[name] ?? PriceTier()
                (tier.serviceTier, tier.above) = (name.service, name.above)
                return tier
            }
        }
        entry.content.tiers = Array(named { $0.service == nil && $0.above > 0 }.prefix(Weir_V1_Price.maximumTiers))
        entry.content.serviceTiers = Array(named { $0.service != nil }.prefix(Weir_V1_Price.maximumServiceTiers))
        return entry
    }

    /// Of which requests a price is.
    private struct TierName: Hashable, Comparable {
        var service: String?
        var above: Int64 = 0

        static func < (a: Self, b: Self) -> Bool { (a.service ?? "", a.above) < (b.service ?? "", b.above) }
    }

    /// What a search costs may depend on how much of what it finds is read.
    private static func dearest(_ member: JSONObject.Member, _ remarks: inout [String]) -> JSONValue {
        guard let sizes = member.value.objectValue?.members, let first = sizes.first else { return member.value }
        let dearest = sizes.max { (amount($0.value) ?? NanoDollars(0)) < (amount($1.value) ?? NanoDollars(0)) } ?? first
        if sizes.contains(where: { amount($0.value) != amount(dearest.value) }) {
            remarks.append("\(member.name) depends on the size: the dearest is taken")
        }
        return dearest.value
    }

    private static func amount(_ value: JSONValue) -> NanoDollars? { number(value).flatMap { perMillion($0, times: 0)?.0 } }

    /// Which price a member is.
    private enum Place {
        /// For each of something that is no token.
        case unit(any WritableKeyPath<PriceContent, NanoDollars> & Sendable, isSearch: Bool = false)
        case kind(any WritableKeyPath<PriceTier, NanoDollars?> & Sendable, TierName)

        /// Whether it may be an object of prices.
        var isSearch: Bool { if case .unit(_, true) = self { true } else { false } }
        /// Of ten: from what it is the price of to what Weir's is.
        var power: Int { if case .unit = self { 0 } else { 6 } }

        private static let kinds: [(String, any WritableKeyPath<PriceTier, NanoDollars?> & Sendable)] = [
            ("input_cost_per_token", \.input), ("output_cost_per_token", \.output), ("cache_read_input_token_cost", \.cachedInput),
            ("cache_creation_input_token_cost", \.cacheWrite), ("cache_creation_input_token_cost_above_1hr", \.cacheWriteHour),
            ("input_cost_per_audio_token", \.audioInput), ("input_cost_per_image_token", \.imageInput),
            ("output_cost_per_reasoning_token", \.reasoning), ("output_cost_per_audio_token", \.audioOutput),
            ("output_cost_per_image_token", \.imageOutput),
        ]

        private static let services = [("_batches", "batch"), ("_priority", "priority"), ("_flex", "flex")]

        /// What is charged beside tokens depends on what the model does: an image is in the input of one that writes, and the answer of one that
        /// draws; of sound either the one that is heard or the one that is made is paid for.
        private init?(unit member: String, _ mode: String) {
            switch (member, mode) {
            case ("input_cost_per_request", _), ("input_cost_per_query", _): self = .unit(\.perRequest)
            case ("output_cost_per_image", "image_generation"), ("output_cost_per_image", "image_edit"),
                ("input_cost_per_image", "image_generation"), ("input_cost_per_image", "image_edit"):
                self = .unit(\.perImage)
            case ("input_cost_per_second", "audio_transcription"), ("output_cost_per_second", "audio_transcription"),
                ("output_cost_per_second", "audio_speech"), ("output_cost_per_second", "video_generation"):
                self = .unit(\.perSecond)
            case ("input_cost_per_character", "audio_speech"): self = .unit(\.perCharacter)
            case ("search_context_cost_per_query", _): self = .unit(\.perSearch, isSearch: true)
            default: return nil
            }
        }

        /// `NAME`, `NAME_above_200k_tokens`, and either with `_batches`, `_priority` or `_flex` behind it; any other suffix is another tier's.
        init?(_ member: String, _ mode: String) {
            if let unit = Place(unit: member, mode) {
                self = unit
                return
            }
            var name = member
            var tier = TierName()
            if let (suffix, service) = Self.services.first(where: { name.hasSuffix($0.0) }) {
                tier.service = service
                name.removeLast(suffix.count)
            }
            let words = name.split(separator: "_")
            if words.count > 3, words.last == "tokens", words[words.count - 3] == "above", words[words.count - 2].hasSuffix("k") {
                guard let thousands = Int64(words[words.count - 2].dropLast()), (1...1_000_000).contains(thousands) else { return nil }
                tier.above = thousands * 1000
                name = words.dropLast(3).joined(separator: "_")
            }
            guard let path = Self.kinds.first(where: { $0.0 == name })?.1 else { return nil }
            self = .kind(path, tier)
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
