/// An API that callers speak, and that providers are asked in.
package enum Dialect: UInt8, Sendable, Hashable, CaseIterable {
    /// OpenAI's chat completions, completions and embeddings.
    case openAI
    /// OpenAI's Responses.
    case responses
    /// Anthropic's Messages.
    case messages
}
