package import Primitives

/// What a provider said that an answer cost, in tokens. Untrusted: every number is between 0 and `UsageReading.cap`, and what had to be
/// changed to make it so is in the flags.
package struct UsageReading: Sendable, Equatable {
    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt16

        package init(rawValue: UInt16) {
            self.rawValue = rawValue
        }

        /// Our own: the standard library's is generic and runs unspecialised in other modules.
        package init(arrayLiteral flags: Flags...) { rawValue = flags.reduce(0) { $0 | $1.rawValue } }

        /// A number was negative, beyond the cap, not an integer or not a number, or the object was not JSON.
        package static let invalid = Flags(rawValue: 1 << 0)
        /// A number, or the usage itself, was given more than once; the last one counts.
        package static let duplicate = Flags(rawValue: 1 << 1)
        /// The provider said nothing.
        package static let absent = Flags(rawValue: 1 << 2)
        /// The number of input tokens is missing or unusable, and so is zero here: estimate it.
        package static let inputUnknown = Flags(rawValue: 1 << 3)
        /// The same of output tokens.
        package static let outputUnknown = Flags(rawValue: 1 << 4)
        /// A part was larger than its whole (cached than input, reasoning than output) and was lowered to it.
        package static let inconsistent = Flags(rawValue: 1 << 5)
        /// The total is not the sum. Kept apart from `inconsistent`: some providers count reasoning in the total only.
        package static let totalMismatch = Flags(rawValue: 1 << 6)
        /// The usage was larger than what is captured.
        package static let oversize = Flags(rawValue: 1 << 7)
    }

    /// The most tokens one answer is believed to have.
    package static let cap: Int64 = 1_000_000_000

    /// All input tokens, cached ones included.
    package var inputTokens: Int64 = 0
    package var outputTokens: Int64 = 0
    /// The part of the input read from the provider's cache.
    package var cachedInputTokens: Int64 = 0
    /// The part of the input written to the provider's cache.
    package var cacheWriteTokens: Int64 = 0
    /// The part of the output that is reasoning.
    package var reasoningTokens: Int64 = 0
    /// The part of `cacheWriteTokens` that the provider keeps for an hour.
    package var cacheWriteHourTokens: Int64 = 0
    /// Parts of the input and of the output that are no text.
    package var audioInputTokens: Int64 = 0
    package var imageInputTokens: Int64 = 0
    package var audioOutputTokens: Int64 = 0
    package var imageOutputTokens: Int64 = 0
    // Beside tokens: images in an answer, sound that was heard or made, searches that the provider made.
    package var images: Int64 = 0
    package var mediaMilliseconds: Int64 = 0
    package var characters: Int64 = 0
    package var searches: Int64 = 0
    /// In which the provider says that it was served; nil: it does not say.
    package var serviceTier: ServiceTier?
    /// As the provider stated it; zero when it did not.
    package var totalTokens: Int64 = 0
    /// What the answer cost by the provider's own word, nano-dollars; nil: it does not say.
    package var costNano: Int64?
    package var flags: Flags = []

    /// The most that one answer is believed to cost: a million dollars.
    package static let costCap: Int64 = 1_000_000_000_000_000

    package init() {}

    /// The reading of an answer without usage.
    package static var absent: UsageReading {
        var reading = UsageReading()
        reading.flags = [.absent, .inputUnknown, .outputUnknown]
        return reading
    }

    /// Whether the provider gave usage, sound or not.
    package var present: Bool { !flags.contains(.absent) }
    /// Whether it tells of a kind that few answers have.
    package var hasKinds: Bool {
        cacheWriteHourTokens | audioInputTokens | imageInputTokens | audioOutputTokens | imageOutputTokens | images | mediaMilliseconds
            | characters | searches != 0
    }
    /// Whether both counts can be billed as they are.
    package var isComplete: Bool { flags.isDisjoint(with: [.absent, .inputUnknown, .outputUnknown]) }
}
