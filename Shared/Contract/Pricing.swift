package import Primitives

/// Tokens of one request, in OpenAI's convention: input contains the cached and cache-write ones, output the reasoning ones.
package struct TokenUsage: Hashable, Sendable {
    package var input: Int64
    package var output: Int64
    package var cachedInput: Int64
    package var cacheWrite: Int64
    package var reasoning: Int64

    package init(input: Int64 = 0, output: Int64 = 0, cachedInput: Int64 = 0, cacheWrite: Int64 = 0, reasoning: Int64 = 0) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput
        self.cacheWrite = cacheWrite
        self.reasoning = reasoning
    }
}

/// Prices in force for a request: nano-dollars per million tokens, and per request.
package struct TokenPrices: Hashable, Sendable {
    package var input: Int64
    package var output: Int64
    package var cachedInput: Int64
    package var cacheWrite: Int64
    package var perRequest: Int64

    package init(input: Int64 = 0, output: Int64 = 0, cachedInput: Int64 = 0, cacheWrite: Int64 = 0, perRequest: Int64 = 0) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput
        self.cacheWrite = cacheWrite
        self.perRequest = perRequest
    }

    package init(_ price: Weir_V1_Price) {
        self.init(
            input: price.input, output: price.output, cachedInput: price.cachedInput, cacheWrite: price.cacheWrite,
            perRequest: price.perRequest)
    }
}

package enum Pricing {
    /// The one function that turns tokens into money, on both planes. Exact: 128-bit sums, one rounding (half up) at the end, saturating
    /// at the ends of Int64. Negative counts are taken as zero; cached and cache-write tokens count no further than the input.
    package static func rate(_ usage: TokenUsage, _ prices: TokenPrices) -> NanoDollars {
        let input = max(0, usage.input)
        let cached = min(max(0, usage.cachedInput), input)
        let written = min(max(0, usage.cacheWrite), input - cached)
        let fresh = input - cached - written
        var total = Int128(fresh) * Int128(max(0, prices.input))
        total += Int128(cached) * Int128(max(0, prices.cachedInput))
        total += Int128(written) * Int128(max(0, prices.cacheWrite))
        total += Int128(max(0, usage.output)) * Int128(max(0, prices.output))
        let rounded = (total + 500_000) / 1_000_000 + Int128(max(0, prices.perRequest))
        return NanoDollars(Int64(clamping: rounded))
    }

    package static func rate(_ usage: TokenUsage, _ price: Weir_V1_Price) -> NanoDollars { rate(usage, TokenPrices(price)) }

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

    package static let names: [(UsageFlags, String)] = [
        (.estimated, "estimated"), (.interrupted, "interrupted"), (.invalidUsage, "invalid_usage"), (.duplicateUsage, "duplicate_usage"),
        (.clientDisconnected, "client_disconnected"), (.upstreamDied, "upstream_died"), (.usageAbsent, "usage_absent"),
        (.costMismatch, "cost_mismatch"), (.priceMissing, "price_missing"), (.cutByLimit, "cut_by_limit"),
        (.clampedAtIntake, "clamped_at_intake"),
    ]

    package var words: [String] { Self.names.filter { contains($0.0) }.map(\.1) }
}
