/// Words that both planes and everybody's requests use.
package enum Vocabulary {
    /// What a model can do.
    package static let capabilities = ["chat", "completions", "embeddings"]
    /// Whose API a provider speaks.
    package static let providerKinds = ["openai", "anthropic", "azure", "openrouter"]
    /// APIs in which a provider can be asked for an answer: OpenAI's chat completions (with completions and embeddings), OpenAI's Responses,
    /// Anthropic's Messages.
    package static let providerAPIs = ["chat", "responses", "messages"]
    /// The ways into a data plane that a key may be limited to: `/v1/…` is the default one, `/external/v1/…` the external one.
    package static let channels = ["default", "external", "internal"]
    /// Through self-service a key reads its own usage. `project:read`: its project's as well; `tenant:read`: its whole tenant's.
    package static let keyRights = ["project:read", "tenant:read"]
}
