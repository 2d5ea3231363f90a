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
        default: "Status"
        }
    }
}
