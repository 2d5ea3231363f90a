/// From the dialect of a caller into that of a provider: requests one way, answers the other. docs/dialects.md says what becomes of what.
package struct Translation: Sendable {
    package let caller: Dialect
    package let provider: Dialect

    /// Nil where there is no translation between the two, or none is needed.
    package init?(from caller: Dialect, to provider: Dialect) {
        guard MemberRules.rules(from: caller, to: provider) != nil else { return nil }
        self.caller = caller
        self.provider = provider
    }

    /// Writes a request for the next turn of a conversation in the provider's dialect. Equal requests give equal bytes.
    /// - Throws: What of the request cannot be carried over.
    package func request(_ body: [UInt8], _ options: TranslationOptions) throws(TranslationRefusal) -> TranslatedRequest {
        let view: JSONView
        do throws(JSONViolation) {
            view = try JSONView(checking: body)
        } catch {
            throw TranslationRefusal(nil, error.reason)
        }
        var conversation: Conversation =
            switch caller {
            case .openAI: try ChatRequestReader.read(view, for: provider)
            case .messages: try MessagesRequestReader.read(view, for: provider)
            case .responses: try ResponsesRequestReader.read(view, for: provider)
            }
        if !options.leavesOut.isEmpty { conversation.leaveOut(options.leavesOut) }
        var names = ToolNames(namespaced: conversation.namespaced)
        let written: [UInt8] =
            switch provider {
            case .openAI: try ChatRequestWriter(conversation, options, from: caller).write(&names)
            case .messages: try MessagesRequestWriter(conversation, options, from: caller).write(&names)
            case .responses: try ResponsesRequestWriter(conversation, options, from: caller).write(&names)
            }
        return TranslatedRequest(
            body: written, optional: conversation.optionalMembers,
            answers: AnswerTranslation(
                caller: caller, provider: provider, wantsUsage: conversation.wantsUsage, createdSeconds: options.createdSeconds,
                names: names,
                echo: conversation.echo))
    }
}

/// What a translation has to know that stands neither in the request nor in the answer.
package struct TranslationOptions: Sendable {
    /// The model's name at the provider.
    package var model: String
    /// The most tokens of the answer where the caller does not say: Messages demands a bound.
    package var outputBound: Int64 = 4096
    /// That bound is written for every provider, not only where it must be.
    package var writesBound = false
    /// What the provider calls a bound in its dialect; nil: it takes none.
    package var boundName: StaticString?
    /// The provider of chat completions is asked for usage in its streams.
    package var asksForUsage = true
    /// The provider knows OpenRouter's members: cache marks, signed reasoning.
    package var isOpenRouter = false
    /// What the provider has refused for this model.
    package var leavesOut: OptionalMembers = []
    /// When the answer was made, seconds since 1970: Messages does not say.
    package var createdSeconds: Int64 = 0

    package init(model: String) { self.model = model }
}

/// A request in another dialect, and how its answer is turned back.
package final class TranslatedRequest: Sendable {
    package let body: [UInt8]
    /// What of it could be left out.
    package let optional: OptionalMembers
    package let answers: AnswerTranslation

    init(body: [UInt8], optional: OptionalMembers, answers: AnswerTranslation) {
        self.body = body
        self.optional = optional
        self.answers = answers
    }
}
