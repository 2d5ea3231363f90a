/// What the gateway needs to know of a request body, as offsets into it. Valid only beside that body.
package struct RequestMembers: Sendable, Equatable {
    package struct Text: Sendable, Equatable {
        /// With the quotes: what is replaced when the value changes.
        package var value: Range<Int>
        /// Between the quotes, still escaped when `hasEscapes`; see `JSONText.unescape`.
        package var content: Range<Int>
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
        package var range: Range<Int>

        package init(value: Value, range: Range<Int>) {
            self.value = value
            self.range = range
        }
    }

    package struct StreamOptions: Sendable, Equatable {
        /// The whole value, `null` or an object.
        package var range: Range<Int>
        /// Offset behind the opening brace, where a member can be spliced in; nil when the value is null.
        package var insertion: Int?
        package var isEmpty = true
        package var includeUsage: Given<Bool>?
        /// The value of `include_usage`, null included.
        package var includeUsageRange: Range<Int>?

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
    package var messages: Range<Int>?
    package var input: Range<Int>?
    package var prompt: Range<Int>?
    package var tools: Range<Int>?
    /// `system` of Messages, `instructions` of Responses.
    package var instructions: Range<Int>?
    /// Of Responses.
    package var maxOutputTokens: Given<Int64>?
    package var maxOutputTokensNull: Range<Int>?
    /// Between the quotes.
    package var previousResponseID: Range<Int>?
    /// Some conversation of the provider's is named, in whichever form.
    package var namesConversation = false
    package var store: Given<Bool>?
    package var background: Given<Bool>?
    /// Where the value of `max_tokens` and `max_completion_tokens` lies when it is null.
    package var maxTokensNull: Range<Int>?
    package var maxCompletionTokensNull: Range<Int>?

    package init() {}

    /// What the caller bounds the answer's tokens to, by whichever names.
    package var outputBounds: [Int64] {
        [maxTokens?.value, maxCompletionTokens?.value, maxOutputTokens?.value].compactMap { $0 }
    }

    package var isStreaming: Bool { stream?.value ?? false }
    package var includesUsage: Bool { streamOptions?.includeUsage?.value ?? false }
}
