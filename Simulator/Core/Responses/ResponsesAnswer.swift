import NIOCore
import Primitives

/// Answers of OpenAI's Responses, whole and event by event.
extension AnswerBuilder {
    private var calls: Int { key.tool == nil ? 0 : script.calls }
    private var isIncomplete: Bool { script.outputTokens == key.maximumTokens }

    private var responsesUsage: String {
        switch script.usage {
        case .absent, .null: "null"
        case .text: #"{"input_tokens":"nine","output_tokens":"8","total_tokens":"17"}"#
        default:
            #"{"input_tokens":\#(script.inputTokens),"input_tokens_details":{"cached_tokens":\#(script.cachedTokens)},"#
                + #""output_tokens":\#(script.outputTokens),"output_tokens_details":{"reasoning_tokens":\#(script.reasoningTokens)},"#
                + #""total_tokens":\#(script.inputTokens &+ script.outputTokens)}"#
        }
    }

    private func response(_ status: String, output: String, usage: String, error: String = "null") -> String {
        let details = status == "incomplete" ? #"{"reason":"max_output_tokens"}"# : "null"
        let previous = previousID.map { JSONValue.string($0).text } ?? "null"
        return
            #"{"id":"\#(responseID)","object":"response","created_at":\#(created),"status":"\#(status)","background":false,"error":\#(error),"#
            + #""incomplete_details":\#(details),"instructions":null,"max_output_tokens":null,"model":\#(JSONValue.string(model).text),"#
            + #""output":\#(output),"parallel_tool_calls":true,"previous_response_id":\#(previous),"store":\#(stores),"temperature":1.0,"#
            + #""tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":\#(usage),"metadata":{}}"#
    }

    private func message(_ status: String, content: String) -> String {
        #"{"id":"msg_simulator","type":"message","status":"\#(status)","role":"assistant","content":\#(content)}"#
    }

    private func part(_ text: String) -> String { #"{"type":"output_text","annotations":[],"logprobs":[],"text":"\#(text)"}"# }

    private func call(_ number: Int, _ status: String, arguments: String) -> String {
        #"{"id":"fc_simulator\#(number)","type":"function_call","status":"\#(status)","call_id":"call_simulator\#(number)","#
            + #""name":\#(JSONValue.string(key.tool ?? "").text),"arguments":\#(JSONValue.string(arguments).text)}"#
    }

    private func arguments(_ number: Int) -> String { #"{"number":\#(number)}"# }

    var responsesDocument: (before: String, text: String, after: String) {
        let status = isIncomplete ? "incomplete" : "completed"
        let mark = "\u{1}"
        let items = [message(status, content: "[\(part(mark))]")] + (0..<calls).map { call($0, "completed", arguments: arguments($0)) }
        let whole = response(status, output: "[\(items.joined(separator: ","))]", usage: responsesUsage)
        let halves = whole.split(separator: Character(mark), maxSplits: 1)
        let extra = String(repeating: "l", count: script.extraTextKiB * 1024)
        return (String(halves[0]), extra + content, String(halves[1]))
    }

    /// Events are numbered, so those of the text, which go round, are made one by one.
    func responsesStream(_ answer: inout Answer) {
        var number = 0
        func event(_ type: String, _ members: String) -> String {
            defer { number += 1 }
            let data = #"{"type":"\#(type)","sequence_number":\#(number)\#(members)}"#
            let whole = script.breaksJSON ? String(data.dropLast(data.utf8.count / 2)) : data
            return "event: " + type + newline + "data: " + whole + newline + newline
        }
        let begun = response("in_progress", output: "[]", usage: "null")
        let opening = event("response.created", #","response":\#(begun)"#) + event("response.in_progress", #","response":\#(begun)"#)
        answer.opening = framed(opening)
        if let code = script.errorFirstCode {
            let error = #"{"code":"\#(code == 429 ? "rate_limit_exceeded" : "server_error")","message":"The simulated provider failed."}"#
            answer.closing = framed(
                event("response.failed", #","response":\#(response("failed", output: "[]", usage: "null", error: error))"#))
            answer.closing.writeImmutableBuffer(lastChunk)
            return spoil(&answer, .keepAlive)
        }
        answer.opening.writeImmutableBuffer(
            framed(
                event("response.output_item.added", #","output_index":0,"item":\#(message("in_progress", content: "[]"))"#)
                    + event(
                        "response.content_part.added", #","item_id":"msg_simulator","output_index":0,"content_index":0,"part":\#(part(""))"#
                    )))
        let place = #","item_id":"msg_simulator","output_index":0,"content_index":0"#
        let count = min(script.errorMidAfter ?? script.dieAfter ?? script.stallAfter ?? script.chunks, script.chunks)
        answer.events = (0..<count).map { index in
            let text = textOfChunk(Self.texts[index % Self.texts.count])
            return framed(event("response.output_text.delta", place + #","logprobs":[],"delta":"\#(text)""#))
        }
        answer.eventCount = count
        if script.errorMidAfter != nil {
            answer.closing = framed(event("error", #","code":"server_error","message":"The simulated provider failed.","param":null"#))
            answer.closing.writeImmutableBuffer(lastChunk)
            return spoil(&answer, .keepAlive)
        }
        if script.dieAfter != nil || script.stallAfter != nil { return spoil(&answer, script.dieAfter != nil ? .close : .stall) }
        let status = isIncomplete ? "incomplete" : "completed"
        let whole = message(status, content: "[\(part(content))]")
        var closing = event("response.output_text.done", place + #","logprobs":[],"text":"\#(content)""#)
        closing += event("response.content_part.done", place + #","part":\#(part(content))"#)
        closing += event("response.output_item.done", #","output_index":0,"item":\#(whole)"#)
        var items = [whole]
        for index in 0..<calls {
            let place = #","item_id":"fc_simulator\#(index)","output_index":\#(index + 1)"#
            let quoted = JSONValue.string(arguments(index)).text
            items.append(call(index, "completed", arguments: arguments(index)))
            closing += event(
                "response.output_item.added", #","output_index":\#(index + 1),"item":\#(call(index, "in_progress", arguments: ""))"#)
            closing += event("response.function_call_arguments.delta", place + #","delta":\#(quoted)"#)
            closing += event("response.function_call_arguments.done", place + #","arguments":\#(quoted)"#)
            closing += event("response.output_item.done", #","output_index":\#(index + 1),"item":\#(items[index + 1])"#)
        }
        if script.sendsDone {
            let all = response(status, output: "[\(items.joined(separator: ","))]", usage: responsesUsage)
            closing += event("response.\(status)", #","response":\#(all)"#)
        }
        answer.closing = framed(closing)
        answer.closing.writeImmutableBuffer(lastChunk)
        if !script.sendsDone { answer.isWhole = false }
    }

    private func spoil(_ answer: inout Answer, _ end: Answer.End) {
        answer.end = end
        answer.isWhole = false
        answer.stated = nil
    }
}
