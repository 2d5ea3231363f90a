package import Primitives

/// Tokens of one request, in OpenAI's convention: input contains the cached, cache-write, audio and image ones, output the reasoning, audio
/// and image ones.
package struct TokenUsage: Hashable, Sendable {
    package var input: Int64
    package var output: Int64
    package var cachedInput: Int64
    /// Written to the provider's cache, for however long.
    package var cacheWrite: Int64
    package var reasoning: Int64
    /// The part of `cacheWrite` that is kept for an hour.
    package var cacheWriteHour: Int64 = 0
    package var audioInput: Int64 = 0
    package var imageInput: Int64 = 0
    package var audioOutput: Int64 = 0
    package var imageOutput: Int64 = 0
    // Beside tokens: images made, sound or video, characters spoken, searches that the provider made.
    package var images: Int64 = 0
    package var milliseconds: Int64 = 0
    package var characters: Int64 = 0
    package var searches: Int64 = 0
    /// In which it was served. Of several attempts together: the last one's that is not the standard tier.
    package var serviceTier = ServiceTier.standard

    package init(input: Int64 = 0, output: Int64 = 0, cachedInput: Int64 = 0, cacheWrite: Int64 = 0, reasoning: Int64 = 0) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput
        self.cacheWrite = cacheWrite
        self.reasoning = reasoning
    }

    /// Of several attempts together. Each is bounded far below what could overflow.
    package mutating func add(_ other: TokenUsage) {
        input &+= other.input
        output &+= other.output
        cachedInput &+= other.cachedInput
        cacheWrite &+= other.cacheWrite
        reasoning &+= other.reasoning
        guard other.hasKinds else { return }
        cacheWriteHour &+= other.cacheWriteHour
        audioInput &+= other.audioInput
        imageInput &+= other.imageInput
        audioOutput &+= other.audioOutput
        imageOutput &+= other.imageOutput
        images &+= other.images
        milliseconds &+= other.milliseconds
        characters &+= other.characters
        searches &+= other.searches
        if other.serviceTier != .standard { serviceTier = other.serviceTier }
    }

    /// Whether some of it is of a kind that few requests have.
    package var hasKinds: Bool {
        cacheWriteHour | audioInput | imageInput | audioOutput | imageOutput | images | milliseconds | characters | searches
            | Int64(serviceTier.rawValue) != 0
    }

    /// Whether nothing is charged by it.
    package var isNone: Bool { input <= 0 && output <= 0 && images <= 0 && milliseconds <= 0 && characters <= 0 && searches <= 0 }
}

/// Tokens of kinds that few requests have, as whoever counts or reports them names them.
package protocol TokenKinds {
    var cacheWriteHourTokens: Int64 { get }
    var audioInputTokens: Int64 { get }
    var imageInputTokens: Int64 { get }
    var audioOutputTokens: Int64 { get }
    var imageOutputTokens: Int64 { get }
    var images: Int64 { get }
    var mediaMilliseconds: Int64 { get }
    var characters: Int64 { get }
    var searches: Int64 { get }
}

extension Weir_V1_UsageRecord: TokenKinds {}
extension Weir_V1_UsageAttempt: TokenKinds {}

extension Weir_V1_ServiceTier {
    /// A tier that only a newer release knows is taken for the standard one.
    package var tier: ServiceTier { ServiceTier(rawValue: UInt8(clamping: rawValue)) ?? .standard }
}

extension TokenUsage {
    package mutating func takeKinds(of other: some TokenKinds) {
        cacheWriteHour = other.cacheWriteHourTokens
        audioInput = other.audioInputTokens
        imageInput = other.imageInputTokens
        audioOutput = other.audioOutputTokens
        imageOutput = other.imageOutputTokens
        images = other.images
        milliseconds = other.mediaMilliseconds
        characters = other.characters
        searches = other.searches
    }
}

/// What is charged beside tokens: nano-dollars for each.
package struct UnitPrices: Hashable, Sendable {
    package var image: Int64 = 0
    package var second: Int64 = 0
    package var character: Int64 = 0
    package var search: Int64 = 0

    package init(image: Int64 = 0, second: Int64 = 0, character: Int64 = 0, search: Int64 = 0) {
        self.image = max(0, image)
        self.second = max(0, second)
        self.character = max(0, character)
        self.search = max(0, search)
    }

    /// In millionths of a nano-dollar. Counts are bounded, so that no sum of them overflows.
    fileprivate func cost(_ usage: TokenUsage) -> Int128 {
        if usage.images | usage.milliseconds | usage.characters | usage.searches == 0 { return 0 }
        func product(_ count: Int64, _ price: Int64, _ scale: Int128) -> Int128 {
            Int128(min(max(0, count), 1 << 40)) * Int128(price) * scale
        }
        return product(usage.images, image, 1_000_000) + product(usage.milliseconds, second, 1000)
            + product(usage.characters, character, 1_000_000) + product(usage.searches, search, 1_000_000)
    }
}

/// Prices of a request: nano-dollars per million tokens of each kind, and per request.
package struct TokenPrices: Hashable, Sendable {
    package var input: Int64
    package var output: Int64
    package var cachedInput: Int64
    package var cacheWrite: Int64
    package var cacheWriteHour: Int64
    package var audioInput: Int64
    package var imageInput: Int64
    package var reasoning: Int64
    package var audioOutput: Int64
    package var imageOutput: Int64
    package var perRequest: Int64

    /// What is left out costs what it is a part of.
    package init(
        input: Int64 = 0, output: Int64 = 0, cachedInput: Int64? = nil, cacheWrite: Int64? = nil, cacheWriteHour: Int64? = nil,
        audioInput: Int64? = nil, imageInput: Int64? = nil, reasoning: Int64? = nil, audioOutput: Int64? = nil, imageOutput: Int64? = nil,
        perRequest: Int64 = 0
    ) {
        self.input = max(0, input)
        self.output = max(0, output)
        self.cachedInput = max(0, cachedInput ?? input)
        self.cacheWrite = max(0, cacheWrite ?? input)
        self.cacheWriteHour = max(0, cacheWriteHour ?? self.cacheWrite)
        self.audioInput = max(0, audioInput ?? input)
        self.imageInput = max(0, imageInput ?? input)
        self.reasoning = max(0, reasoning ?? output)
        self.audioOutput = max(0, audioOutput ?? output)
        self.imageOutput = max(0, imageOutput ?? output)
        self.perRequest = max(0, perRequest)
    }

    /// The dearest kind of input, and of output.
    fileprivate var highestInput: Int64 { max(input, cachedInput, cacheWrite, cacheWriteHour, audioInput, imageInput) }
    fileprivate var highestOutput: Int64 { max(output, reasoning, audioOutput, imageOutput) }
}

/// A price as it applies: some providers charge another price for all tokens of a request whose input is above a size.
package struct RateCard: Hashable, Sendable {
    package struct Tier: Hashable, Sendable {
        /// Applies to requests with more input tokens than this.
        package var above: Int64
        package var prices: TokenPrices
        /// Of requests that were served in this one only.
        package var service = ServiceTier.standard
    }

    package let base: TokenPrices
    /// The highest first.
    package let tiers: [Tier]
    /// Of other service tiers than the standard one, the highest first.
    package let services: [Tier]
    package let units: UnitPrices
    /// What the provider states that an answer cost counts, where it states one.
    package let takesStatedCost: Bool

    package init(
        base: TokenPrices, tiers: [Tier] = [], services: [Tier] = [], units: UnitPrices = UnitPrices(), takesStatedCost: Bool = false
    ) {
        self.base = base
        self.tiers = tiers.sorted { $0.above > $1.above }
        self.services = services.sorted { $0.above > $1.above }
        self.units = units
        self.takesStatedCost = takesStatedCost
    }

    /// What a tier leaves out is as in the price itself; what both leave out costs what it is a part of. Of a service tier what is left out above
    /// a size is as in that service tier below it.
    package init(_ price: Weir_V1_Price) {
        let base = price.rates
        let perRequest = price.perRequest
        let services = price.serviceTiers.compactMap { tier in
            ServiceTier(name: tier.serviceTier).map { service in
                let whole = price.serviceTiers.first { $0.serviceTier == tier.serviceTier && $0.aboveInputTokens == 0 }
                let rates = tier.rates.completed(by: whole.map { $0.rates.completed(by: base) } ?? base)
                return Tier(above: tier.aboveInputTokens, prices: rates.prices(perRequest: perRequest), service: service)
            }
        }
        self.init(
            base: base.prices(perRequest: perRequest),
            tiers: price.tiers.map { tier in
                Tier(above: tier.aboveInputTokens, prices: tier.rates.completed(by: base).prices(perRequest: perRequest))
            }, services: services,
            units: UnitPrices(
                image: price.perImage, second: price.perSecond, character: price.perCharacter, search: price.perSearch),
            takesStatedCost: price.providerCost)
    }

    /// Whether requests that are served in this tier have prices of their own.
    package func prices(_ service: ServiceTier) -> Bool { service == .standard || services.contains { $0.service == service } }

    /// The sizes of a service tier are its own: those of the standard one count where it has no prices at all for the request.
    package func prices(input: Int64, service: ServiceTier = .standard) -> TokenPrices {
        if service != .standard {
            for tier in services where tier.service == service && (tier.above == 0 || input > tier.above) { return tier.prices }
        }
        for tier in tiers where input > tier.above { return tier.prices }
        return base
    }
}

/// Prices as messages carry them: of most kinds there may be none.
private struct StatedRates {
    var input: Int64?
    var output: Int64?
    var cachedInput: Int64?
    var cacheWrite: Int64?
    var cacheWriteHour: Int64?
    var audioInput: Int64?
    var imageInput: Int64?
    var reasoning: Int64?
    var audioOutput: Int64?
    var imageOutput: Int64?

    func completed(by other: StatedRates) -> StatedRates {
        StatedRates(
            input: input ?? other.input, output: output ?? other.output, cachedInput: cachedInput ?? other.cachedInput,
            cacheWrite: cacheWrite ?? other.cacheWrite, cacheWriteHour: cacheWriteHour ?? other.cacheWriteHour,
            audioInput: audioInput ?? other.audioInput, imageInput: imageInput ?? other.imageInput,
            reasoning: reasoning ?? other.reasoning, audioOutput: audioOutput ?? other.audioOutput,
            imageOutput: imageOutput ?? other.imageOutput)
    }

    func prices(perRequest: Int64) -> TokenPrices {
        TokenPrices(
            input: input ?? 0, output: output ?? 0, cachedInput: cachedInput, cacheWrite: cacheWrite, cacheWriteHour: cacheWriteHour,
            audioInput: audioInput, imageInput: imageInput, reasoning: reasoning, audioOutput: audioOutput, imageOutput: imageOutput,
            perRequest: perRequest)
    }
}

extension Weir_V1_Price {
    fileprivate var rates: StatedRates {
        StatedRates(
            input: input, output: output, cachedInput: cachedInput, cacheWrite: cacheWrite,
            cacheWriteHour: hasCacheWriteHour ? cacheWriteHour : nil, audioInput: hasAudioInput ? audioInput : nil,
            imageInput: hasImageInput ? imageInput : nil, reasoning: hasReasoning ? reasoning : nil,
            audioOutput: hasAudioOutput ? audioOutput : nil, imageOutput: hasImageOutput ? imageOutput : nil)
    }
}

extension Weir_V1_Price {
    package static let maximumTiers = 8
    package static let maximumServiceTiers = 24

    /// Those that there may be none of.
    var kinds: [(String, Int64)] {
        [
            ("cache_write_hour", cacheWriteHour), ("audio_input", audioInput), ("image_input", imageInput), ("reasoning", reasoning),
            ("audio_output", audioOutput), ("image_output", imageOutput), ("per_image", perImage), ("per_second", perSecond),
            ("per_character", perCharacter), ("per_search", perSearch),
        ]
    }
}

extension Weir_V1_PriceTier {
    var kinds: [(String, Int64)] {
        [
            ("input", input), ("output", output), ("cached_input", cachedInput), ("cache_write", cacheWrite),
            ("cache_write_hour", cacheWriteHour), ("audio_input", audioInput), ("image_input", imageInput), ("reasoning", reasoning),
            ("audio_output", audioOutput), ("image_output", imageOutput),
        ]
    }

    fileprivate var rates: StatedRates {
        StatedRates(
            input: hasInput ? input : nil, output: hasOutput ? output : nil, cachedInput: hasCachedInput ? cachedInput : nil,
            cacheWrite: hasCacheWrite ? cacheWrite : nil, cacheWriteHour: hasCacheWriteHour ? cacheWriteHour : nil,
            audioInput: hasAudioInput ? audioInput : nil, imageInput: hasImageInput ? imageInput : nil,
            reasoning: hasReasoning ? reasoning : nil, audioOutput: hasAudioOutput ? audioOutput : nil,
            imageOutput: hasImageOutput ? imageOutput : nil)
    }
}

package enum Pricing {
    /// The one function that turns tokens into money, on both planes. Exact: 128-bit sums, one rounding (half up) at the end, saturating
    /// at the ends of Int64. Negative counts are taken as zero. Each token has one kind: of the input, cached ones are counted first, then
    /// those written to the cache, audio and images, of the output reasoning, audio and images; parts count no further than what is left of
    /// the whole, and the rest is plain.
    package static func rate(_ usage: TokenUsage, _ prices: TokenPrices, _ units: UnitPrices = UnitPrices()) -> NanoDollars {
        var input = max(0, usage.input)
        var output = max(0, usage.output)
        var total: Int128 = 0
        total += take(usage.cachedInput, of: &input, at: prices.cachedInput)
        total += take(min(usage.cacheWriteHour, usage.cacheWrite), of: &input, at: prices.cacheWriteHour)
        total += take(usage.cacheWrite &- min(max(0, usage.cacheWriteHour), max(0, usage.cacheWrite)), of: &input, at: prices.cacheWrite)
        total += take(usage.audioInput, of: &input, at: prices.audioInput)
        total += take(usage.imageInput, of: &input, at: prices.imageInput)
        total += Int128(input) * Int128(prices.input)
        total += take(usage.reasoning, of: &output, at: prices.reasoning)
        total += take(usage.audioOutput, of: &output, at: prices.audioOutput)
        total += take(usage.imageOutput, of: &output, at: prices.imageOutput)
        total += Int128(output) * Int128(prices.output)
        let (sum, overflow) = (total + 500_000).addingReportingOverflow(units.cost(usage))
        let rounded = overflow ? Int128(Int64.max) : sum / 1_000_000 + Int128(prices.perRequest)
        return NanoDollars(Int64(clamping: rounded))
    }

    /// What so many tokens of a kind cost, which are taken out of the whole.
    @inline(__always)
    private static func take(_ part: Int64, of whole: inout Int64, at price: Int64) -> Int128 {
        if part <= 0 { return 0 }
        let count = min(part, whole)
        whole -= count
        return Int128(count) * Int128(price)
    }

    package static func rate(_ usage: TokenUsage, _ card: RateCard) -> NanoDollars {
        rate(usage, card.prices(input: usage.input, service: usage.serviceTier), card.units)
    }

    package static func rate(_ usage: TokenUsage, _ price: Weir_V1_Price) -> NanoDollars { rate(usage, RateCard(price)) }

    /// No request of at most so many tokens costs more, whatever kinds its tokens are of and whichever tier it falls into. Rounded up.
    /// - Parameters:
    ///   - beside: The most of what is charged beside tokens, and the service tier that is asked for: it may be served in that one or in the
    ///     standard one.
    package static func worstCase(input: Int64, output: Int64, beside: TokenUsage = TokenUsage(), _ card: RateCard) -> NanoDollars {
        var highestInput = card.base.highestInput
        var highestOutput = card.base.highestOutput
        for tier in card.tiers where input > tier.above {
            highestInput = max(highestInput, tier.prices.highestInput)
            highestOutput = max(highestOutput, tier.prices.highestOutput)
        }
        if beside.serviceTier != .standard {
            for tier in card.services where tier.service == beside.serviceTier && (tier.above == 0 || input > tier.above) {
                highestInput = max(highestInput, tier.prices.highestInput)
                highestOutput = max(highestOutput, tier.prices.highestOutput)
            }
        }
        let total = Int128(max(0, input)) * Int128(highestInput) + Int128(max(0, output)) * Int128(highestOutput)
        let (sum, overflow) = (total + 999_999).addingReportingOverflow(card.units.cost(beside))
        return NanoDollars(Int64(clamping: overflow ? Int128(Int64.max) : sum / 1_000_000 + Int128(card.base.perRequest)))
    }

    /// What the provider states that an answer cost, where the price takes its word for it: no more than this usage could cost by the price,
    /// so that what was reserved for it covers it.
    package static func stated(_ nano: Int64, _ usage: TokenUsage, _ card: RateCard) -> NanoDollars {
        min(NanoDollars(max(0, nano)), worstCase(input: usage.input, output: usage.output, beside: usage, card))
    }

    /// The price of a model at an endpoint at a time: the latest `effective_from` not after it; among equals the one that names the
    /// endpoint, then the greater id. A price that names the endpoint goes before one that does not, whatever their dates.
    package static func priceInForce(
        _ prices: some Sequence<Weir_V1_Price>, modelID: String, endpointID: String, atMilliseconds: Int64
    ) -> Weir_V1_Price? {
        prices.lazy
            .filter {
                $0.modelID == modelID && ($0.endpointID.isEmpty || $0.endpointID == endpointID) && $0.effectiveFromMs <= atMilliseconds
            }
            .max { a, b in (a.endpointID.isEmpty ? 0 : 1, a.effectiveFromMs, a.id) < (b.endpointID.isEmpty ? 0 : 1, b.effectiveFromMs, b.id)
            }
    }
}

/// What is unusual about a usage record. The bits cross the link and rest in databases: never renumber.
///
/// What the hot path does with them is declared here: the standard library's is generic, runs unspecialised in other modules, and was a
/// fortieth of a request's time.
@frozen @usableFromInline
package struct UsageFlags: OptionSet, Hashable, Sendable {
    @usableFromInline package let rawValue: UInt32
    @inlinable package init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable package init() { rawValue = 0 }
    @inlinable package init(arrayLiteral flags: UsageFlags...) { rawValue = flags.reduce(0) { $0 | $1.rawValue } }
    @inlinable package mutating func formUnion(_ other: UsageFlags) { self = UsageFlags(rawValue: rawValue | other.rawValue) }
    @inlinable package func contains(_ other: UsageFlags) -> Bool { rawValue & other.rawValue == other.rawValue }

    /// Some of the token numbers are Weir's estimate.
    package static let estimated = UsageFlags(rawValue: 1 << 0)
    /// The data plane stopped before the request ended: closed at its next boot.
    package static let interrupted = UsageFlags(rawValue: 1 << 1)
    /// The provider's numbers were negative, absurd or no numbers; they were clamped.
    package static let invalidUsage = UsageFlags(rawValue: 1 << 2)
    /// The provider stated its usage more than once.
    package static let duplicateUsage = UsageFlags(rawValue: 1 << 3)
    package static let clientDisconnected = UsageFlags(rawValue: 1 << 4)
    package static let upstreamDied = UsageFlags(rawValue: 1 << 5)
    /// The provider stated none.
    package static let usageAbsent = UsageFlags(rawValue: 1 << 6)
    /// The control plane's own rating differs from the data plane's.
    package static let costMismatch = UsageFlags(rawValue: 1 << 7)
    /// No price was in force.
    package static let priceMissing = UsageFlags(rawValue: 1 << 8)
    /// Cut off by a deadline or a size limit of Weir's.
    package static let cutByLimit = UsageFlags(rawValue: 1 << 9)
    /// The control plane brought something in the record into range: a number, a time, a text or the request's id.
    package static let clampedAtIntake = UsageFlags(rawValue: 1 << 10)
    /// The cost is the provider's own word, and no price of ours was used.
    package static let providerStatedCost = UsageFlags(rawValue: 1 << 12)

    /// A limit or budget that only observes would have refused the request.
    package static let wouldHaveRefused = UsageFlags(rawValue: 1 << 11)

    /// A check of its workflow failed, and it went on with less.
    package static let degraded = UsageFlags(rawValue: 1 << 13)

    package static let names: [(UsageFlags, String)] = [
        (.estimated, "estimated"), (.interrupted, "interrupted"), (.invalidUsage, "invalid_usage"), (.duplicateUsage, "duplicate_usage"),
        (.clientDisconnected, "client_disconnected"), (.upstreamDied, "upstream_died"), (.usageAbsent, "usage_absent"),
        (.costMismatch, "cost_mismatch"), (.priceMissing, "price_missing"), (.cutByLimit, "cut_by_limit"),
        (.clampedAtIntake, "clamped_at_intake"), (.wouldHaveRefused, "would_have_refused"),
        (.providerStatedCost, "provider_stated_cost"), (.degraded, "degraded"),
    ]

    package var words: [String] { Self.names.filter { contains($0.0) }.map(\.1) }
}
