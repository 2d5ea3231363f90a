/// What the gateway needs to know of a request body, as offsets into it. Valid only beside that body.
package struct RequestMembers: Sendable, Equatable {
    /// A range of the body in half the room: these members are copied and kept with each request. Bodies are `ByteBuffer`s, which end below
    /// 4 GiB.
    @propertyWrapper
    package struct Stretch: Sendable, Equatable {
        private var lower: UInt32
        private var upper: UInt32

        package init(wrappedValue: Range<Int>) {
            lower = UInt32(clamping: wrappedValue.lowerBound)
            upper = UInt32(clamping: wrappedValue.upperBound)
        }

        package var wrappedValue: Range<Int> {
            @inline(__always) get { Int(lower)..<Int(upper) }
            @inline(__always) set { self = Stretch(wrappedValue: newValue) }
        }
    }

    /// The same of what may be missing: nothing ends before it begins.
    @propertyWrapper
    package struct OptionalStretch: Sendable, Equatable {
        private var lower: UInt32
        private var upper: UInt32

        package init(wrappedValue: Range<Int>?) {
            lower = wrappedValue.map { UInt32(clamping: $0.lowerBound) } ?? 1
            upper = wrappedValue.map { UInt32(clamping: $0.upperBound) } ?? 0
        }

        package var wrappedValue: Range<Int>? {
            @inline(__always) get { lower > upper ? nil : Int(lower)..<Int(upper) }
            @inline(__always) set { self = OptionalStretch(wrappedValue: newValue) }
        }
    }

    package struct Text: Sendable, Equatable {
        /// With the quotes: what is replaced when the value changes.
        @Stretch package var value: Range<Int>
        /// Between the quotes, still escaped when `hasEscapes`; see `JSONText.unescape`.
        @Stretch package var content: Range<Int>
        package var hasEscapes: Bool

        package init(value: Range<Int>, content: Range<Int>, hasEscapes: Bool) {
            self.value = value
            self.content = content
            self.hasEscapes = hasEscapes
        }
    }

    /// A member whose value was given and is not null.
    package struct Given<Value: Sendable & Equatable>: Sendable, Equatable {
        package var value: Value
        @Stretch package var range: Range<Int>

        package init(value: Value, range: Range<Int>) {
            self.value = value
            self.range = range
        }
    }

    package struct StreamOptions: Sendable, Equatable {
        /// The whole value, `null` or an object.
        @Stretch package var range: Range<Int>
        /// Offset behind the opening brace, where a member can be spliced in; nil when the value is null.
        package var insertion: Int?
        package var isEmpty = true
        package var includeUsage: Given<Bool>?
        /// The value of `include_usage`, null included.
        @OptionalStretch package var includeUsageRange: Range<Int>? = nil

        package init(range: Range<Int>) {
            self.range = range
        }
    }

    /// Offset behind the opening brace of the body, where a member can be spliced in.
    package var insertion = 0
    package var isEmpty = true

    package var model: Text?
    package var stream: Given<Bool>?
    package var streamOptions: StreamOptions?
    package var maxTokens: Given<Int64>?
    package var maxCompletionTokens: Given<Int64>?
    package var n: Given<Int64>?
    package var bestOf: Given<Int64>?
    package var serviceTier: Text?
    /// Values of the members that hold the request's text, whatever their type.
    @OptionalStretch package var messages: Range<Int>? = nil
    @OptionalStretch package var input: Range<Int>? = nil
    @OptionalStretch package var prompt: Range<Int>? = nil
    @OptionalStretch package var tools: Range<Int>? = nil
    /// `system` of Messages, `instructions` of Responses.
    @OptionalStretch package var instructions: Range<Int>? = nil
    /// Of Responses.
    package var maxOutputTokens: Given<Int64>?
    @OptionalStretch package var maxOutputTokensNull: Range<Int>? = nil
    /// Between the quotes.
    @OptionalStretch package var previousResponseID: Range<Int>? = nil
    /// Some conversation of the provider's is named, in whichever form.
    package var namesConversation = false
    package var store: Given<Bool>?
    package var background: Given<Bool>?
    /// Where the value of `max_tokens` and `max_completion_tokens` lies when it is null.
    @OptionalStretch package var maxTokensNull: Range<Int>? = nil
    @OptionalStretch package var maxCompletionTokensNull: Range<Int>? = nil

    package init() {}

    /// What the caller bounds the answer's tokens to, by whichever names.
    package var outputBounds: [Int64] {
        [maxTokens?.value, maxCompletionTokens?.value, maxOutputTokens?.value].compactMap { $0 }
    }

    package var isStreaming: Bool { stream?.value ?? false }
    package var includesUsage: Bool { streamOptions?.includeUsage?.value ?? false }
}
