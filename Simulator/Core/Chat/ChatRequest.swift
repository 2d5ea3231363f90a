import Primitives

/// Why OpenAI's API would not take a request, in its words as far as they are known.
struct ChatRefusal: Error {
    let message: String
    let param: String?

    init(_ message: String, _ param: String? = nil) {
        self.message = message
        self.param = param
    }

    var body: String {
        let param = param.map { JSONValue.string($0).text } ?? "null"
        return #"{"error":{"message":\#(JSONValue.string(message).text),"type":"invalid_request_error","param":\#(param),"code":null}}"#
    }
}

/// What a chat completions request with tools asks, read as strictly as OpenAI's API reads it: unknown members, roles, the order of calls and
/// their results, bounds. Shares no code with the gateway on purpose.
struct ChatRequest {
    /// The first tool that may be called; nil where none may, or where the last message answers a call.
    private(set) var tool: String?
    /// Files of the account that the messages name.
    private(set) var files: [String] = []

    init(_ body: [UInt8]) throws(ChatRefusal) {
        guard let parsed = try? JSONValue(parsing: body), case .object(let root) = parsed else {
            throw ChatRefusal("We could not parse the JSON body of your request.")
        }
        for member in root.members where !Self.members.contains(member.name) {
            throw ChatRefusal("Unknown parameter: '\(member.name)'.", member.name)
        }
        try Self.checkBounds(root)
        let tools = try Self.tools(root["tools"])
        let messages = root["messages"]?.arrayValue ?? []
        guard !messages.isEmpty else { throw ChatRefusal("Invalid 'messages': empty array.", "messages") }
        try Self.check(messages)
        files = messages.flatMap { $0["content"]?.arrayValue ?? [] }.compactMap { $0["file"]?["file_id"]?.stringValue }
        let answersCalls = messages.last?["role"]?.stringValue == "tool"
        switch (root["tool_choice"], root["tool_choice"]?["function"]?["name"]?.stringValue) {
        case (_, let name?):
            guard tools.contains(name) else { throw ChatRefusal("Tool choice '\(name)' not found in 'tools' parameter.", "tool_choice") }
            tool = name
        case (.string("none")?, _): tool = nil
        case (.string("required")?, _): tool = tools.first
        default: tool = answersCalls ? nil : tools.first
        }
        if root["tool_choice"] != nil, tools.isEmpty {
            throw ChatRefusal("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
        }
    }

    private static let members: Set<String> = [
        "model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "temperature", "top_p", "stop", "tools",
        "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "verbosity", "n", "logprobs", "top_logprobs",
        "logit_bias", "frequency_penalty", "presence_penalty", "seed", "user", "safety_identifier", "service_tier", "metadata", "store",
        "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "modalities", "audio", "prediction", "web_search_options",
    ]

    private static func checkBounds(_ root: JSONObject) throws(ChatRefusal) {
        if root["max_tokens"] != nil, root["max_completion_tokens"] != nil {
            throw ChatRefusal("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", "max_tokens")
        }
        for name in ["max_tokens", "max_completion_tokens"] {
            if let value = root[name], value.intValue ?? 0 < 1 {
                throw ChatRefusal("Invalid '\(name)': integer below minimum value.", name)
            }
        }
        if let stops = root["stop"]?.arrayValue, stops.count > 4 { throw ChatRefusal("Invalid 'stop': array too long.", "stop") }
        if let user = root["user"]?.stringValue, user.utf8.count > 64 { throw ChatRefusal("Invalid 'user': string too long.", "user") }
        let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
        if let effort = root["reasoning_effort"], !efforts.contains(effort.stringValue ?? "") {
            throw ChatRefusal("Invalid value for 'reasoning_effort'.", "reasoning_effort")
        }
        if root["response_format"]?["type"]?.stringValue == "json_schema" {
            let format = root["response_format"]?["json_schema"]
            guard format?["name"]?.stringValue != nil, case .object? = format?["schema"] else {
                throw ChatRefusal("Missing required parameter: 'response_format.json_schema.name'.", "response_format.json_schema.name")
            }
        }
    }

    private static func tools(_ list: JSONValue?) throws(ChatRefusal) -> [String] {
        var names: [String] = []
        for (index, tool) in (list?.arrayValue ?? []).enumerated() {
            let place = "tools[\(index)]"
            for member in tool.objectValue?.members ?? [] where member.name != "type" && member.name != "function" {
                throw ChatRefusal("Unknown parameter: '\(place).\(member.name)'.", "\(place).\(member.name)")
            }
            guard tool["type"]?.stringValue == "function", let name = tool["function"]?["name"]?.stringValue else {
                throw ChatRefusal("Missing required parameter: '\(place).function'.", "\(place).function")
            }
            for member in tool["function"]?.objectValue?.members ?? []
            where !["name", "description", "parameters", "strict"].contains(member.name) {
                throw ChatRefusal("Unknown parameter: '\(place).function.\(member.name)'.", "\(place).function.\(member.name)")
            }
            guard isName(name, 64) else { throw ChatRefusal("Invalid '\(place).function.name'.", "\(place).function.name") }
            names.append(name)
        }
        return names
    }

    private static func isName(_ text: String, _ limit: Int) -> Bool {
        (1...limit).contains(text.utf8.count)
            && text.utf8.allSatisfy { $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26 || $0 == 0x5F || $0 == 0x2D }
    }

    // MARK: Messages

    private static func check(_ messages: [JSONValue]) throws(ChatRefusal) {
        // Calls of the last assistant message that are still to be answered.
        var open: Set<String> = []
        for (index, message) in messages.enumerated() {
            let place = "messages[\(index)]"
            let role = message["role"]?.stringValue ?? ""
            guard let members = Self.known[role] else { throw ChatRefusal("Invalid value: '\(role)'.", "\(place).role") }
            for member in message.objectValue?.members ?? [] where !members.contains(member.name) {
                throw ChatRefusal("Unknown parameter: '\(place).\(member.name)'.", "\(place).\(member.name)")
            }
            if role == "tool" {
                guard let id = message["tool_call_id"]?.stringValue, open.remove(id) != nil else {
                    throw ChatRefusal(
                        "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.", "\(place).role")
                }
            } else if let id = open.sorted().first {
                throw ChatRefusal(
                    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The "
                        + "following tool_call_ids did not have response messages: \(id)", place)
            }
            if role == "assistant" { open = try calls(message["tool_calls"], place) }
            try check(content: message["content"], role, hasCalls: !open.isEmpty || message["refusal"] != nil, place + ".content")
        }
        if let id = open.sorted().first {
            throw ChatRefusal("The following tool_call_ids did not have response messages: \(id)", "messages")
        }
    }

    private static let known: [String: Set<String>] = [
        "system": ["role", "content", "name"], "developer": ["role", "content", "name"], "user": ["role", "content", "name"],
        "assistant": ["role", "content", "name", "refusal", "tool_calls", "audio"], "tool": ["role", "content", "tool_call_id"],
    ]

    private static func calls(_ list: JSONValue?, _ place: String) throws(ChatRefusal) -> Set<String> {
        var open: Set<String> = []
        guard let list else { return open }
        for (index, call) in (list.arrayValue ?? []).enumerated() {
            let place = "\(place).tool_calls[\(index)]"
            guard let id = call["id"]?.stringValue, (1...40).contains(id.utf8.count) else {
                throw ChatRefusal("Invalid '\(place).id': string too long. Expected a string with maximum length 40.", "\(place).id")
            }
            guard call["type"]?.stringValue == "function", let name = call["function"]?["name"]?.stringValue, isName(name, 64),
                let arguments = call["function"]?["arguments"]?.stringValue, (try? JSONValue(parsing: arguments)) != nil
            else { throw ChatRefusal("Invalid '\(place).function'.", "\(place).function") }
            guard open.insert(id).inserted else { throw ChatRefusal("Duplicate value for 'tool_call_id' of '\(id)'.", "\(place).id") }
        }
        guard !open.isEmpty else { throw ChatRefusal("Invalid '\(place).tool_calls': empty array.", "\(place).tool_calls") }
        return open
    }

    private static func check(content: JSONValue?, _ role: String, hasCalls: Bool, _ place: String) throws(ChatRefusal) {
        switch content {
        case .string?: return
        case nil, .null?:
            guard role == "assistant", hasCalls else {
                throw ChatRefusal("Invalid value for 'content': expected a string, got null.", place)
            }
        case .array(let parts)?:
            guard !parts.isEmpty else { throw ChatRefusal("Invalid '\(place)': empty array.", place) }
            for (index, part) in parts.enumerated() {
                let type = part["type"]?.stringValue ?? ""
                let types =
                    role == "user" ? ["text", "image_url", "input_audio", "file"] : ["text"] + (role == "assistant" ? ["refusal"] : [])
                guard types.contains(type) else { throw ChatRefusal("Invalid value: '\(type)'.", "\(place)[\(index)].type") }
                for member in part.objectValue?.members ?? [] where member.name != "type" && member.name != type {
                    throw ChatRefusal("Unknown parameter: '\(place)[\(index)].\(member.name)'.", "\(place)[\(index)].\(member.name)")
                }
            }
        default: throw ChatRefusal("Invalid type for '\(place)'.", place)
        }
    }
}
