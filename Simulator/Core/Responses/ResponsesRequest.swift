import Primitives

/// What a Responses request asks, read as strictly as OpenAI's API reads it as far as members go.
struct ResponsesRequest {
    /// Why it is refused, and the parameter to blame.
    struct Refusal: Error {
        var message: String
        var param: String?
        var code: String?
        var status = 400
    }

    var model = ""
    var stream = false
    var maximumTokens: Int64?
    var tool: String?
    var previous: String?
    var stores = true
    var input = JSONValue.null

    private static let members: Set<String> = [
        "model", "input", "instructions", "stream", "stream_options", "max_output_tokens", "max_tool_calls", "tools", "tool_choice",
        "parallel_tool_calls", "temperature", "top_p", "top_logprobs", "text", "reasoning", "include", "store", "metadata",
        "previous_response_id", "conversation", "truncation", "user", "safety_identifier", "prompt_cache_key", "service_tier", "background",
        "prompt", "prompt_cache_retention", "client_metadata",
    ]
    private static let items: Set<String> = [
        "message", "function_call", "function_call_output", "reasoning", "item_reference", "custom_tool_call", "custom_tool_call_output",
        "web_search_call", "local_shell_call", "local_shell_call_output", "compaction",
    ]

    init(_ body: [UInt8]) throws(Refusal) {
        guard let parsed = try? JSONValue(parsing: body), case .object(let root) = parsed else {
            throw Refusal(message: "We could not parse the JSON body of your request.")
        }
        for member in root.members where !Self.members.contains(member.name) {
            throw Refusal(message: "Unknown parameter: '\(member.name)'.", param: member.name, code: "unknown_parameter")
        }
        guard let name = root["model"]?.stringValue else {
            throw Refusal(message: "Missing required parameter: 'model'.", param: "model", code: "missing_required_parameter")
        }
        model = name
        stream = root["stream"]?.boolValue ?? false
        previous = root["previous_response_id"]?.stringValue
        stores = root["store"]?.boolValue ?? true
        input = root["input"] ?? .null
        maximumTokens = root["max_output_tokens"]?.intValue
        tool = root["tools"]?.arrayValue?.first { $0["type"] == "function" }?["name"]?.stringValue
        var called: Set<String> = []
        switch root["input"] {
        case .string?: break
        case .array(let items)?:
            for (index, item) in items.enumerated() {
                let type = item["type"]?.stringValue ?? (item["role"] == nil ? "" : "message")
                guard Self.items.contains(type) else {
                    throw Refusal(message: "Invalid value: '\(type)'.", param: "input[\(index)].type", code: "invalid_value")
                }
                let call = item["call_id"]?.stringValue ?? ""
                if type == "function_call" { called.insert(call) }
                if type == "function_call_output", !called.contains(call) {
                    throw Refusal(message: "No tool call found for function call output with call_id \(call).", param: "input")
                }
                if index == items.count - 1, type == "function_call_output" { tool = nil }
            }
        default: throw Refusal(message: "Missing required parameter: 'input'.", param: "input", code: "missing_required_parameter")
        }
    }
}

extension ResponsesRequest.Refusal {
    var json: String {
        func quoted(_ text: String?) -> String { text.map { JSONValue.string($0).text } ?? "null" }
        return
            #"{"error":{"message":\#(quoted(message)),"type":"invalid_request_error","param":\#(quoted(param)),"code":\#(quoted(code))}}"#
    }
}
