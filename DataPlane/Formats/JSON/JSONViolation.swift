/// Why a request body is refused. `member` names the parameter where one is to blame, for the caller's error message.
package enum JSONViolation: Error, Equatable, Sendable {
    /// Not JSON (RFC 8259) at this offset.
    case malformed(offset: Int)
    /// A string holds bytes that are not UTF-8.
    case invalidUTF8(offset: Int)
    case tooDeep(offset: Int)
    case notAnObject
    /// A member's name holds an escaped NUL, where readers written in C believe that it ends.
    case nulInName(offset: Int)
    /// A member that decides routing or cost occurs twice: two readers would see two requests.
    case duplicate(RequestMember)
    /// A member differs from a known one only by case (or by letters that fold to it), which some upstreams treat as the same.
    case ambiguous(RequestMember)
    case wrongType(RequestMember)
    /// An integer that does not fit 64 bits.
    case outOfRange(RequestMember)

    /// The parameter to name in an error, nil when the body as a whole is at fault.
    package var member: RequestMember? {
        switch self {
        case .malformed, .invalidUTF8, .tooDeep, .notAnObject, .nulInName: nil
        case .duplicate(let member), .ambiguous(let member), .wrongType(let member), .outOfRange(let member): member
        }
    }

    /// Text for the caller; holds nothing of the body.
    package var reason: String {
        switch self {
        case .malformed(let offset): "The request body is not valid JSON (at byte \(offset))."
        case .invalidUTF8(let offset): "The request body is not valid UTF-8 (at byte \(offset))."
        case .tooDeep(let offset): "The request body is nested too deeply (at byte \(offset))."
        case .notAnObject: "The request body must be a JSON object."
        case .nulInName(let offset): "A parameter's name contains a NUL character (at byte \(offset))."
        case .duplicate(let member): "The parameter '\(member.name)' occurs more than once."
        case .ambiguous(let member): "A parameter differs from '\(member.name)' only by its spelling in upper or lower case."
        case .wrongType(let member): "The parameter '\(member.name)' must be \(member.expectedType)."
        case .outOfRange(let member): "The parameter '\(member.name)' is out of range."
        }
    }
}

/// Members of a request that the gateway reads or protects against being given twice.
package enum RequestMember: UInt8, Sendable, CaseIterable {
    case model, stream, streamOptions, includeUsage, maxTokens, maxCompletionTokens, n
    case messages, input, prompt, tools, user, serviceTier, bestOf
    // Of Messages and Responses.
    case system, instructions, maxOutputTokens, previousResponseID, conversation, store, background

    package var name: StaticString {
        switch self {
        case .model: "model"
        case .stream: "stream"
        case .streamOptions: "stream_options"
        case .includeUsage: "stream_options.include_usage"
        case .maxTokens: "max_tokens"
        case .maxCompletionTokens: "max_completion_tokens"
        case .n: "n"
        case .messages: "messages"
        case .input: "input"
        case .prompt: "prompt"
        case .tools: "tools"
        case .user: "user"
        case .serviceTier: "service_tier"
        case .bestOf: "best_of"
        case .system: "system"
        case .instructions: "instructions"
        case .maxOutputTokens: "max_output_tokens"
        case .previousResponseID: "previous_response_id"
        case .conversation: "conversation"
        case .store: "store"
        case .background: "background"
        }
    }

    package var expectedType: StaticString {
        switch self {
        case .model, .user, .serviceTier, .instructions, .previousResponseID: "a string"
        case .stream, .includeUsage, .store, .background: "a boolean"
        case .streamOptions: "an object"
        case .conversation: "a string or an object"
        case .maxTokens, .maxCompletionTokens, .n, .bestOf, .maxOutputTokens: "an integer"
        case .messages, .tools: "an array"
        case .input, .prompt, .system: "a string or an array"
        }
    }
}
