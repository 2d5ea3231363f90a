extension StreamError {
    /// Reads the object that a provider reports an error with, in any of the dialects.
    static func read(_ error: JSONView?) -> StreamError {
        let message = error?["message"]?.text ?? error?.text ?? EscapedText("The provider reported an error.")
        let words = [error?["type"], error?["code"]].compactMap { $0?.text?.string }
        for word in words {
            if let kind = kind(word) { return StreamError(kind, message) }
        }
        // OpenRouter's codes are statuses.
        if let status = error?["code"]?.integer, let kind = kind(status: status) { return StreamError(kind, message) }
        return StreamError(.server, message)
    }

    private static func kind(_ word: String) -> Kind? {
        switch word {
        case "invalid_request_error", "invalid_prompt", "request_too_large": .invalidRequest
        case "authentication_error": .authentication
        case "permission_error": .permission
        case "not_found_error": .notFound
        case "rate_limit_error", "rate_limit_exceeded": .rateLimit
        case "overloaded_error": .overloaded
        case "timeout_error": .timeout
        case "api_error", "server_error": .server
        default: nil
        }
    }

    private static func kind(status: Int64) -> Kind? {
        switch status {
        case 400, 413, 422: .invalidRequest
        case 401: .authentication
        case 403: .permission
        case 404: .notFound
        case 429: .rateLimit
        case 503, 529: .overloaded
        case 408, 504: .timeout
        default: nil
        }
    }
}

extension StreamError.Kind {
    /// The type of an error in Anthropic's words.
    var anthropicType: StaticString {
        switch self {
        case .invalidRequest: "invalid_request_error"
        case .authentication: "authentication_error"
        case .permission: "permission_error"
        case .notFound: "not_found_error"
        case .rateLimit: "rate_limit_error"
        case .overloaded: "overloaded_error"
        case .timeout: "timeout_error"
        case .server: "api_error"
        }
    }

    /// The type of an error in OpenAI's words.
    var openAIType: StaticString {
        switch self {
        case .invalidRequest: "invalid_request_error"
        case .authentication: "authentication_error"
        case .permission: "permission_error"
        case .notFound: "not_found_error"
        case .rateLimit: "rate_limit_error"
        case .overloaded, .timeout, .server: "server_error"
        }
    }

    /// The code of a failed response, one of OpenAI's list.
    var responseCode: StaticString {
        switch self {
        case .rateLimit: "rate_limit_exceeded"
        case .invalidRequest: "invalid_prompt"
        default: "server_error"
        }
    }
}
