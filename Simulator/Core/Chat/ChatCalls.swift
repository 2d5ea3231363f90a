import Primitives

/// Calls of tools in answers of chat completions, whole and in pieces.
extension AnswerBuilder {
    var chatCalls: Int { key.operation == .chat && key.tool != nil ? script.calls : 0 }

    private func arguments(of number: Int) -> String { #"{"number":\#(number),"text":"a \"quoted\" value"}"# }

    /// The member `tool_calls` of a whole message, with a comma before it; empty without calls.
    var toolCallsMember: String {
        guard chatCalls > 0 else { return "" }
        let calls = (0..<chatCalls).map { number in
            let name = JSONValue.string(key.tool ?? "").text
            return
                #"{"id":"call_simulator\#(number)","type":"function","function":{"name":\#(name),"arguments":\#(JSONValue.string(arguments(of: number)).text)}}"#
        }
        return #","tool_calls":[\#(calls.joined(separator: ","))]"#
    }

    /// The deltas of a stream's calls: each one's beginning, then its arguments in two pieces.
    var toolCallDeltas: [String] {
        (0..<chatCalls).flatMap { number -> [String] in
            let name = JSONValue.string(key.tool ?? "").text
            let whole = arguments(of: number)
            let middle = whole.index(whole.startIndex, offsetBy: whole.count / 2)
            let pieces = [whole[..<middle], whole[middle...]].map { JSONValue.string(String($0)).text }
            let begin =
                #"{"tool_calls":[{"index":\#(number),"id":"call_simulator\#(number)","type":"function","function":{"name":\#(name),"arguments":""}}]}"#
            return [begin] + pieces.map { #"{"tool_calls":[{"index":\#(number),"function":{"arguments":\#($0)}}]}"# }
        }
    }
}
