import Primitives

/// Errors as OpenAI writes them.
enum ErrorBody {
    /// - Parameter leak: A credential to name in the message, with an address and a host, as careless providers do.
    static func json(status: Int, model: String, kind: Script.ErrorKind = .common, leak: String? = nil) -> String {
        switch kind {
        case .quota:
            let text = "You exceeded your current quota, please check your plan and billing details."
            return object(text, type: "insufficient_quota", code: #""insufficient_quota""#, leak)
        case .moderation:
            let metadata = #","metadata":{"reasons":["violence"],"flagged_input":"simulated","provider_name":"simulator"}"#
            return object("Your chosen model requires moderation and your input was flagged.", type: nil, code: "403", leak, metadata)
        case .scope:
            return object(
                "You have insufficient permissions for this operation. Missing scopes: model.request.", type: nil, code: "null", leak)
        case .common: break
        }
        let (type, code, message): (String, String?, String) =
            switch status {
            case 400: ("invalid_request_error", nil, "The simulated provider refuses this request.")
            case 401:
                // Names a host and a key as real ones do, for tests that none of it reaches a caller.
                ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-sim*****key (internal-host.example)")
            case 402: ("insufficient_credits", "insufficient_credits", "The simulated provider's account has no credit left.")
            case 403: ("invalid_request_error", "unsupported_country", "The simulated provider does not serve this place.")
            case 404: ("invalid_request_error", "model_not_found", "The model `\(model)` does not exist or you do not have access to it.")
            case 413: ("invalid_request_error", "request_too_large", "The simulated provider finds this request too large.")
            case 422: ("invalid_request_error", nil, "The simulated provider cannot process this request.")
            case 429: ("requests", "rate_limit_exceeded", "The simulated provider's rate limit is reached.")
            case 503: ("server_error", "service_unavailable", "The simulated provider is overloaded.")
            default: ("server_error", nil, "The simulated provider had an error with status \(status).")
            }
        return object(message, type: type, code: code.map { "\"\($0)\"" } ?? "null", leak)
    }

    private static func object(_ message: String, type: String?, code: String, _ leak: String?, _ more: String = "") -> String {
        let leaked = leak.map { " (http://10.1.2.3:8000/v1 at gpu-3.internal, key \($0))" } ?? ""
        let quoted = type.map { "\"\($0)\"" } ?? "null"
        return #"{"error":{"message":"\#(message)\#(leaked)","type":\#(quoted),"param":null,"code":\#(code)\#(more)}}"#
    }

    /// As Anthropic writes them.
    static func messages(status: Int, model: String, kind: Script.ErrorKind = .common, leak: String? = nil, message: String? = nil)
        -> String
    {
        let (type, words): (String, String) =
            switch (kind, status) {
            case (.quota, _): ("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")
            case (.moderation, _): ("invalid_request_error", "Output blocked by content filtering policy")
            case (.scope, _): ("permission_error", "Your API key does not have permission to use the specified resource.")
            case (_, 401): ("authentication_error", "invalid x-api-key (internal-host.example)")
            case (_, 402): ("billing_error", "The simulated provider's account has a problem with its billing.")
            case (_, 403): ("permission_error", "The simulated provider does not serve this place.")
            case (_, 404): ("not_found_error", "model: \(model)")
            case (_, 413): ("request_too_large", "Request exceeds the maximum size")
            case (_, 429): ("rate_limit_error", "This request would exceed the simulated provider's rate limit.")
            case (_, 504): ("timeout_error", "The simulated provider took too long.")
            case (_, 503), (_, 529): ("overloaded_error", "Overloaded")
            case (_, 500...): ("api_error", "Internal server error")
            default: ("invalid_request_error", "The simulated provider refuses this request.")
            }
        let leaked = leak.map { " (http://10.1.2.3:8000/v1 at gpu-3.internal, key \($0))" } ?? ""
        let text = JSONValue.string((message ?? words) + leaked).text
        return #"{"type":"error","error":{"type":"\#(type)","message":\#(text)},"request_id":"req_simulator"}"#
    }

    /// A provider that does not know what a gateway added to ask for usage.
    static func unknownStreamOptions(status: Int) -> String {
        if status == 422 {
            return #"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#
        }
        return
            #"{"error":{"message":"Unknown parameter: 'stream_options'.","type":"invalid_request_error","param":"stream_options","code":"unknown_parameter"}}"#
    }

    static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 204: "No Content"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 529: "Site Overloaded"
        default: "Status"
        }
    }
}
