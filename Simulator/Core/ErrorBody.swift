/// Errors as OpenAI writes them.
enum ErrorBody {
    static func json(status: Int, model: String) -> String {
        let (type, code, message): (String, String?, String) =
            switch status {
            case 400: ("invalid_request_error", nil, "The simulated provider refuses this request.")
            case 401:
                // Names a host and a key as real ones do, for tests that none of it reaches a caller.
                ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-sim*****key (internal-host.example)")
            case 403: ("invalid_request_error", "unsupported_country", "The simulated provider does not serve this place.")
            case 404: ("invalid_request_error", "model_not_found", "The model `\(model)` does not exist or you do not have access to it.")
            case 413: ("invalid_request_error", "request_too_large", "The simulated provider finds this request too large.")
            case 422: ("invalid_request_error", nil, "The simulated provider cannot process this request.")
            case 429: ("requests", "rate_limit_exceeded", "The simulated provider's rate limit is reached.")
            case 503: ("server_error", "service_unavailable", "The simulated provider is overloaded.")
            default: ("server_error", nil, "The simulated provider had an error with status \(status).")
            }
        let quoted = code.map { "\"\($0)\"" } ?? "null"
        return #"{"error":{"message":"\#(message)","type":"\#(type)","param":null,"code":\#(quoted)}}"#
    }

    static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
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
