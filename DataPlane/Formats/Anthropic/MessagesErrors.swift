/// Errors in the form of Anthropic's API (platform.claude.com/docs, "Errors"), which its SDKs turn into their exception classes by the status.
package enum MessagesErrors {
    /// The type that goes with a status.
    package static func type(status: Int) -> String {
        switch status {
        case 401: "authentication_error"
        case 402: "billing_error"
        case 403: "permission_error"
        case 404: "not_found_error"
        case 408, 504: "timeout_error"
        case 413: "request_too_large"
        case 429: "rate_limit_error"
        case 503, 529: "overloaded_error"
        case 500...: "api_error"
        default: "invalid_request_error"
        }
    }

    /// `{"type":"error","error":{"type":…,"message":…,"details":{"error_code":…}},"request_id":…}`
    package static func body(message: String, type: String, code: String? = nil, requestID: String?) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(192 + message.utf8.count)
        append(message: message, type: type, code: code, requestID: requestID, to: &output)
        return output
    }

    /// The same as an event of a stream that has begun.
    package static func event(message: String, type: String, code: String? = nil, requestID: String? = nil) -> [UInt8] {
        var output = Array("event: error\ndata: ".utf8)
        append(message: message, type: type, code: code, requestID: requestID, to: &output)
        output.append(contentsOf: "\n\n".utf8)
        return output
    }

    /// The data of an event in which a provider reports an error: its words where they may be shown.
    static func inStream(_ data: UnsafeRawBufferPointer, _ hidden: HiddenTexts) -> [UInt8] {
        let shown = ProviderErrorSanitiser.sanitise(data, hiding: hidden)
        return body(message: shown?.message ?? "The provider reported an error.", type: shown?.type ?? "api_error", requestID: nil)
    }

    private static func append(message: String, type: String, code: String?, requestID: String?, to output: inout [UInt8]) {
        output.append(contentsOf: #"{"type":"error","error":{"type":"#.utf8)
        JSONText.appendQuoted(type, to: &output)
        output.append(contentsOf: #","message":"#.utf8)
        JSONText.appendQuoted(message, to: &output)
        if let code {
            output.append(contentsOf: #","details":{"error_code":"#.utf8)
            JSONText.appendQuoted(code, to: &output)
            output.append(0x7D)
        }
        output.append(0x7D)
        if let requestID {
            output.append(contentsOf: #","request_id":"#.utf8)
            JSONText.appendQuoted(requestID, to: &output)
        }
        output.append(0x7D)
    }
}
