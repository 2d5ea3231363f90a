/// Words that both planes and everybody's requests use.
package enum Vocabulary {
    /// What a model can do.
    package static let capabilities = ["chat", "completions", "embeddings", "images", "audio", "moderations", "files"]
    /// Whose API a provider speaks.
    package static let providerKinds = ["openai", "anthropic", "azure", "openrouter"]
    /// APIs in which a provider can be asked for an answer: OpenAI's chat completions (with completions and embeddings), OpenAI's Responses,
    /// Anthropic's Messages.
    package static let providerAPIs = ["chat", "responses", "messages"]
    /// Errors that another model may not make, for which a route may fall back to one: a request that is too long, or refused for its content.
    package static let fallbackReasons = ["context_window", "content_policy"]
    /// The ways into a data plane that a key may be limited to: `/v1/…` is the default one, `/external/v1/…` the external one.
    package static let channels = ["default", "external", "internal"]
    /// Through self-service a key reads its own usage. `project:read`: its project's as well; `tenant:read`: its whole tenant's.
    /// `routing:choose`: a request may name its endpoint and strategy; `routing:see`: its answers say which endpoint, model and attempt served
    /// it. Both are the operator's to give.
    package static let keyRights = ["project:read", "tenant:read", "routing:choose", "routing:see"]
    /// Those that a data plane has to know.
    package static let routingRights = ["routing:choose", "routing:see"]
    /// What a route's template does: gives a member of the body a value, gives it one where the caller gave none, takes it out, puts a system
    /// message before the conversation, sends a header to the provider.
    package static let templateActions = ["set", "default", "remove", "system", "header"]
    /// The checks that a workflow may hold.
    package static let workflowKinds = ["context_window", "output_limit", "require", "lookup", "sanitise"]
    /// What becomes of a request when a step fails: it is refused; it goes on as if the step were not there; it goes on with less, and is told so.
    package static let failureActions = ["reject", "skip", "degrade"]
    /// What is kept out of answers: what is known to be of the inside; or whatever looks like a secret or a place of the inside, too.
    package static let sanitiserLevels = ["known", "strict"]
}
