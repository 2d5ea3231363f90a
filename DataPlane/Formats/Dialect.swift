/// An API that callers speak, and that providers are asked in.
package enum Dialect: UInt8, Sendable, Hashable, CaseIterable {
    /// OpenAI's chat completions, completions and embeddings.
    case openAI
    /// OpenAI's Responses.
    case responses
    /// Anthropic's Messages.
    case messages

    /// Of its conversations, in messages to people.
    package var name: StaticString {
        switch self {
        case .openAI: "chat completions"
        case .responses: "Responses"
        case .messages: "Messages"
        }
    }
}
