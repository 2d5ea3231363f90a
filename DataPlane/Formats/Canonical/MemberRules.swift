/// What becomes of a member of a request in another dialect. Readers go by these tables, and `docs/dialects.md` shows them: what stands in
/// none of them is refused.
package struct MemberRule: Sendable {
    package enum Fate: Sendable {
        /// As this, in the other dialect.
        case carried(StaticString)
        /// Left out, for this reason.
        case dropped(StaticString)
        /// 400, for this reason, unless its value asks for nothing: one of these, or null.
        case refused(StaticString, unless: [StaticString])
    }

    package let name: StaticString
    package let fate: Fate

    static func carried(_ name: StaticString, _ other: StaticString) -> MemberRule { MemberRule(name: name, fate: .carried(other)) }
    static func dropped(_ name: StaticString, _ why: StaticString) -> MemberRule { MemberRule(name: name, fate: .dropped(why)) }
    static func refused(_ name: StaticString, _ why: StaticString, unless harmless: StaticString...) -> MemberRule {
        MemberRule(name: name, fate: .refused(why, unless: harmless))
    }
}

package enum MemberRules {
    /// The rules of a pair of dialects, in the order of the documentation; nil for a pair that is not translated.
    package static func rules(from source: Dialect, to target: Dialect) -> [MemberRule]? {
        switch (source, target) {
        case (.openAI, .messages): chatToMessages
        case (.messages, .openAI): messagesToChat
        case (.responses, .openAI): responsesToChat
        case (.responses, .messages): responsesToMessages
        case (.openAI, .responses): chatToResponses
        case (.messages, .responses): messagesToResponses
        case (.openAI, .openAI), (.messages, .messages), (.responses, .responses): nil
        }
    }

    private static let named: [Dialect: [Dialect: [String: MemberRule.Fate]]] = {
        var result: [Dialect: [Dialect: [String: MemberRule.Fate]]] = [:]
        for source in Dialect.allCases {
            for target in Dialect.allCases {
                guard let rules = rules(from: source, to: target) else { continue }
                result[source, default: [:]][target] = Dictionary(rules.map { ("\($0.name)", $0.fate) }) { first, _ in first }
            }
        }
        return result
    }()

    /// Reads the body's members and refuses what can be neither carried nor left out.
    static func members(_ body: JSONView, from source: Dialect, to target: Dialect) throws(TranslationRefusal) -> Members {
        guard body.kind == .object else { throw TranslationRefusal(nil, "The request body must be a JSON object.") }
        guard let all = body.members, let fates = named[source]?[target] else {
            throw TranslationRefusal(nil, "The request body cannot be translated.")
        }
        var seen: Set<String> = []
        for member in all {
            let name = member.name.string
            guard seen.insert(name).inserted else {
                throw TranslationRefusal(shown(name), "The parameter '\(shown(name))' occurs more than once.")
            }
            if member.value.isNull { continue }
            switch fates[name] {
            case .carried, .dropped: continue
            case .refused(let why, let harmless):
                if harmless.contains(where: { member.value.isWritten($0) }) { continue }
                throw TranslationRefusal(
                    name, "'\(name)' cannot be carried over to a model that is served through \(target.name): \(why).",
                    code: name == "thread" ? .threadUnsupported : nil)
            case nil:
                throw TranslationRefusal(shown(name), "Unknown parameter: '\(shown(name))'.")
            }
        }
        return Members(all)
    }

    /// A name that a caller made up, short enough for a message.
    private static func shown(_ name: String) -> String { String(name.prefix(64)) }

    private static func joined(_ elsewhere: [MemberRule], _ own: [MemberRule]) -> [MemberRule] { own + elsewhere }

    // MARK: From chat completions

    private static let chatToMessages: [MemberRule] = [
        .carried("model", "`model`"),
        .carried("messages", "`system` and `messages`; see above"),
        .carried("max_tokens", "`max_tokens`; the model's bound is written in where the request has none"),
        .carried("max_completion_tokens", "`max_tokens`, likewise; it counts before `max_tokens`"),
        .carried("stream", "`stream`"),
        .carried("stream_options", "`include_usage` decides about the last chunk; the rest is dropped"),
        .carried("stop", "`stop_sequences`; sequences of white space alone are refused"),
        .carried("temperature", "`temperature`, at most 1; dropped where the model thinks, and from Claude 4.7 on"),
        .carried(
            "top_p",
            "`top_p`; dropped where the model thinks, when it is 1, from Claude 4.7 on, and beside a `temperature` from Claude 4.1 on"),
        .carried("top_k", "`top_k`; dropped where the model thinks, and from Claude 4.7 on"),
        .carried("tools", "`tools`; only `function` tools"),
        .carried("tool_choice", "`tool_choice`; of `allowed_tools` only the allowed ones are sent"),
        .carried("parallel_tool_calls", "`tool_choice.disable_parallel_tool_use`"),
        .carried("response_format", "`output_config.format`, or an instruction; see above"),
        .carried("reasoning_effort", "`thinking` and `output_config.effort`; see above"),
        .carried("reasoning", "the same, as OpenRouter's clients say it: `effort`, `max_tokens`, `enabled`"),
        .carried("thinking", "`thinking`, as it is written"),
        .carried("user", "`metadata.user_id`, a digest of it above 256 bytes"),
        .carried("safety_identifier", "`metadata.user_id`, before `user`"),
        .carried("service_tier", "`service_tier`: `default` as `standard_only`, all else as the provider's own default"),
        .dropped("frequency_penalty", "Claude has none, and it shifts probabilities only"),
        .dropped("presence_penalty", "Claude has none, and it shifts probabilities only"),
        .dropped("seed", "Claude has none, and it promises nothing"),
        .dropped("verbosity", "Claude has none"),
        .dropped("prediction", "it makes an answer faster, not another"),
        .dropped("metadata", "it describes stored completions"),
        .dropped("prompt_cache_key", "Anthropic's cache goes by the prompt itself"),
        .dropped("prompt_cache_retention", "Anthropic's cache goes by marks in the prompt"),
        .dropped("prompt_cache_options", "Anthropic's cache goes by marks in the prompt"),
        .refused("n", "there is one choice", unless: "1"),
        .refused("logprobs", "Claude tells no probabilities", unless: "false"),
        .refused("top_logprobs", "Claude tells no probabilities", unless: "0"),
        .refused("logit_bias", "Claude has none", unless: "{}"),
        .refused("store", "nothing is stored there", unless: "false"),
        .refused("modalities", "there is text only", unless: #"["text"]"#),
        .refused("audio", "there is text only"),
        .refused("web_search_options", "hosted tools have no equal"),
        .refused("functions", "use `tools`", unless: "[]"),
        .refused("function_call", "use `tool_choice`", unless: #""none""#, #""auto""#),
        .refused("moderation", "it has no equal"),
    ]

    private static let chatToResponses: [MemberRule] = [
        .carried("model", "`model`"),
        .carried("messages", "`input`, with system and developer messages in their places"),
        .carried("max_tokens", "`max_output_tokens`, 16 at least"),
        .carried("max_completion_tokens", "`max_output_tokens`, likewise; it counts before `max_tokens`"),
        .carried("stream", "`stream`"),
        .carried("stream_options", "`include_usage` decides about the last chunk; the rest is dropped"),
        .carried("temperature", "`temperature`"),
        .carried("top_p", "`top_p`"),
        .carried("tools", "`tools`; only `function` tools"),
        .carried("tool_choice", "`tool_choice`"),
        .carried("parallel_tool_calls", "`parallel_tool_calls`"),
        .carried("response_format", "`text.format`"),
        .carried("reasoning_effort", "`reasoning.effort`"),
        .carried("reasoning", "`reasoning.effort`, as OpenRouter's clients say it"),
        .carried("verbosity", "`text.verbosity`"),
        .carried("logprobs", "`include` of `message.output_text.logprobs`"),
        .carried("top_logprobs", "`top_logprobs`"),
        .carried("user", "`safety_identifier`, a digest of it above 64 bytes"),
        .carried("safety_identifier", "`safety_identifier`, before `user`"),
        .carried("service_tier", "`service_tier`"),
        .carried("metadata", "`metadata`"),
        .carried("prompt_cache_key", "`prompt_cache_key`"),
        .carried("prompt_cache_retention", "`prompt_cache_retention`"),
        .carried("prompt_cache_options", "`prompt_cache_options`"),
        .dropped("frequency_penalty", "Responses have none, and it shifts probabilities only"),
        .dropped("presence_penalty", "Responses have none, and it shifts probabilities only"),
        .dropped("seed", "Responses have none, and it promises nothing"),
        .dropped("prediction", "it makes an answer faster, not another"),
        .dropped("top_k", "OpenAI's models have none"),
        .dropped("thinking", "`reasoning_effort` says it"),
        .refused("n", "there is one choice", unless: "1"),
        .refused("stop", "Responses have no stop sequences", unless: "[]"),
        .refused("logit_bias", "Responses have none", unless: "{}"),
        .refused("store", "nothing is stored for chat completions there", unless: "false"),
        .refused("modalities", "there is text only", unless: #"["text"]"#),
        .refused("audio", "there is text only"),
        .refused("web_search_options", "hosted tools have no equal"),
        .refused("functions", "use `tools`", unless: "[]"),
        .refused("function_call", "use `tool_choice`", unless: #""none""#, #""auto""#),
        .refused("moderation", "it has no equal"),
    ]

    // MARK: From Messages

    private static let messagesToChat: [MemberRule] = joined(
        messagesElsewhere,
        [
            .carried("model", "`model`"),
            .carried("messages", "`messages`; see above"),
            .carried("system", "a first message of the role `system`"),
            .carried("max_tokens", "what the endpoint calls it: `max_completion_tokens` or `max_tokens`"),
            .carried("stream", "`stream`, with `stream_options.include_usage`"),
            .carried("stop_sequences", "`stop`"),
            .carried("temperature", "`temperature`"),
            .carried("top_p", "`top_p`"),
            .carried("tools", "`tools`; only tools with a schema of the caller's"),
            .carried("tool_choice", "`tool_choice` and `parallel_tool_calls`"),
            .carried("output_config", "`format` as `response_format`, `effort` as `reasoning_effort`; see above"),
            .carried("output_format", "`response_format`, as older SDKs say it"),
            .carried("thinking", "`reasoning_effort` by its budget; see above"),
            .carried("metadata", "`user_id` as `user`, a digest of it above 64 bytes"),
            .carried("service_tier", "`standard_only` as `default`; `auto` is left out"),
        ])

    private static let messagesToResponses: [MemberRule] = joined(
        messagesElsewhere,
        [
            .carried("model", "`model`"),
            .carried("messages", "`input`"),
            .carried("system", "`instructions`"),
            .carried("max_tokens", "`max_output_tokens`, 16 at least"),
            .carried("stream", "`stream`"),
            .carried("temperature", "`temperature`"),
            .carried("top_p", "`top_p`"),
            .carried("tools", "`tools`; only tools with a schema of the caller's"),
            .carried("tool_choice", "`tool_choice` and `parallel_tool_calls`"),
            .carried("output_config", "`format` as `text.format`, `effort` as `reasoning.effort`"),
            .carried("output_format", "`text.format`, as older SDKs say it"),
            .carried("thinking", "`reasoning.effort` by its budget; see above"),
            .carried("metadata", "`user_id` as `safety_identifier`, a digest of it above 64 bytes"),
            .carried("service_tier", "`standard_only` as `default`; `auto` is left out"),
            .refused("stop_sequences", "Responses have no stop sequences", unless: "[]"),
        ])

    private static let messagesElsewhere: [MemberRule] = [
        .dropped("top_k", "OpenAI's models have none"),
        .dropped("cache_control", "OpenAI's caches go by the prompt itself"),
        .dropped("diagnostics", "it tells of Anthropic's cache"),
        .dropped("speed", "it makes an answer faster, not another"),
        .carried("context_management", "edits that clear thinking have nothing to do; others are refused"),
        .refused("thread", "the provider keeps no conversation: send all of it"),
        .refused("container", "hosted tools have no equal"),
        .refused("mcp_servers", "hosted tools have no equal", unless: "[]"),
        .refused("inference_geo", "the provider takes no order where to compute"),
        .refused("compaction", "it has no equal"),
        .refused("fallbacks", "routes of this gateway do that", unless: "[]"),
        .refused("fallback_credit_token", "it is Anthropic's"),
        .refused("billing_policy", "it is Anthropic's"),
        .refused("user_profile_id", "it is Anthropic's"),
        .refused("workspace_id", "it is Anthropic's"),
    ]

    // MARK: From Responses

    private static let responsesToChat: [MemberRule] = joined(
        responsesElsewhere,
        [
            .carried("model", "`model`"),
            .carried("input", "`messages`; see above"),
            .carried("instructions", "a first message of the role `system`"),
            .carried(
                "max_output_tokens", "what the endpoint calls it: `max_completion_tokens` or `max_tokens`"),
            .carried("stream", "`stream`, with `stream_options.include_usage`"),
            .carried("temperature", "`temperature`"),
            .carried("top_p", "`top_p`"),
            .carried("tools", "`tools`; `function`, `custom` as a function with one text, and those of a `namespace`"),
            .carried("tool_choice", "`tool_choice`"),
            .carried("parallel_tool_calls", "`parallel_tool_calls`, where there are tools"),
            .carried("text", "`format` as `response_format`, `verbosity`"),
            .carried("reasoning", "`effort` as `reasoning_effort`; see above"),
            .carried("include", "`message.output_text.logprobs` as `logprobs`; `reasoning.encrypted_content` is met; others are refused"),
            .carried("top_logprobs", "`top_logprobs`"),
            .carried("user", "`user`, a digest of it above 64 bytes"),
            .carried("safety_identifier", "`user`, before `user`"),
            .carried("service_tier", "`service_tier`"),
            .carried("prompt_cache_key", "`prompt_cache_key`"),
        ])

    private static let responsesToMessages: [MemberRule] = joined(
        responsesElsewhere,
        [
            .carried("model", "`model`"),
            .carried("input", "`system` and `messages`; see above"),
            .carried("instructions", "`system`"),
            .carried("max_output_tokens", "`max_tokens`; the model's bound is written in where the request has none"),
            .carried("stream", "`stream`"),
            .carried("temperature", "`temperature`, at most 1; dropped where the model thinks, and from Claude 4.7 on"),
            .carried(
                "top_p",
                "`top_p`; dropped where the model thinks, when it is 1, from Claude 4.7 on, and beside a `temperature` from Claude 4.1 on"),
            .carried("tools", "`tools`; `function`, `custom` as a tool with one text, and those of a `namespace`"),
            .carried("tool_choice", "`tool_choice`; of `allowed_tools` only the allowed ones are sent"),
            .carried("parallel_tool_calls", "`tool_choice.disable_parallel_tool_use`"),
            .carried("text", "`format` as `output_config.format` or an instruction; `verbosity` is dropped"),
            .carried("reasoning", "`effort` as `thinking` and `output_config.effort`; see above"),
            .carried("include", "`reasoning.encrypted_content` is met; others are refused"),
            .carried("user", "`metadata.user_id`, a digest of it above 256 bytes"),
            .carried("safety_identifier", "`metadata.user_id`, before `user`"),
            .carried("service_tier", "`service_tier`: `default` as `standard_only`, all else as the provider's own default"),
            .dropped("prompt_cache_key", "Anthropic's cache goes by the prompt itself"),
            .refused("top_logprobs", "Claude tells no probabilities", unless: "0"),
        ])

    private static let responsesElsewhere: [MemberRule] = [
        .dropped("store", "nothing is stored: the answer says `\"store\":false`"),
        .dropped("metadata", "it stands in the answer again"),
        .dropped("truncation", "the provider refuses what is too long"),
        .dropped("stream_options", "there is nothing to obfuscate"),
        .dropped("prompt_cache_retention", "the provider's cache has its own rules"),
        .dropped("prompt_cache_options", "the provider's cache has its own rules"),
        .dropped("client_metadata", "it tells OpenAI of the client"),
        .refused("previous_response_id", "the provider keeps no responses: send the whole conversation"),
        .refused("conversation", "the provider keeps no conversations: send the whole conversation"),
        .refused("background", "the provider keeps no responses", unless: "false"),
        .refused("prompt", "the provider keeps no prompts"),
        .refused("max_tool_calls", "it bounds hosted tools"),
        .refused("context_management", "compaction has no equal", unless: "[]"),
        .refused("moderation", "it has no equal"),
    ]
}
