import NIOCore
import Primitives

/// Answers of Anthropic's Messages API, whole and event by event.
extension AnswerBuilder {
    private var calls: Int { key.tool == nil ? 0 : script.calls }

    private var stopReason: String {
        if let stated = script.stopReason { return stated }
        if script.outputTokens == key.maximumTokens { return "max_tokens" }
        return calls > 0 ? "tool_use" : "end_turn"
    }

    private func event(_ name: String, _ data: String) -> String {
        let ping = script.sendsPings && name != "ping" ? "event: ping" + newline + #"data: {"type": "ping"}"# + newline + newline : ""
        let whole = script.breaksJSON ? String(data.dropLast(data.utf8.count / 2)) : data
        return ping + "event: " + name + newline + "data: " + whole + newline + newline
    }

    // MARK: Usage

    /// - Parameter output: nil: the count of a stream's begin.
    private func messagesUsage(_ output: Int64?) -> String? {
        switch script.usage {
        case .absent: return nil
        case .null: return "null"
        case .empty: return "{}"
        case .negative: return #"{"input_tokens":-5,"output_tokens":-7}"#
        case .text: return #"{"input_tokens":"nine","output_tokens":"8"}"#
        case .huge: return #"{"input_tokens":99999999999999999999,"output_tokens":9223372036854775807}"#
        case .fraction: return #"{"input_tokens":9.5,"output_tokens":8.25}"#
        default: break
        }
        let cached = min(script.cachedTokens, script.inputTokens)
        let written = min(script.cacheWriteTokens, script.inputTokens - cached)
        let hour = min(script.cacheHourTokens, written)
        let rest = script.usage == .zeroPrompt ? 0 : script.inputTokens - cached - written
        return #"{"input_tokens":\#(rest),"cache_creation_input_tokens":\#(written),"cache_read_input_tokens":\#(cached),"#
            + #""cache_creation":{"ephemeral_5m_input_tokens":\#(written - hour),"ephemeral_1h_input_tokens":\#(hour)},"#
            + #""output_tokens":\#(output ?? 1),"service_tier":"standard"}"#
    }

    private func member(_ usage: String?) -> String { usage.map { #","usage":\#($0)"# } ?? "" }

    // MARK: Documents

    private func call(_ number: Int, input: String) -> String {
        #"{"type":"tool_use","id":"toolu_simulator\#(number)","name":\#(JSONValue.string(key.tool ?? "").text),"input":\#(input)}"#
    }

    private func input(of number: Int) -> String { #"{"number":\#(number),"text":"a \"quoted\" value"}"# }

    var messagesDocument: (before: String, text: String, after: String) {
        var before = #"{"id":"msg_simulator","type":"message","role":"assistant","model":\#(JSONValue.string(model).text),"content":["#
        if key.thinks {
            before += #"{"type":"thinking","thinking":"Let me think.","signature":"\#(MessagesRequest.signature)"},"#
        }
        before += #"{"type":"text","text":""#
        let extra = String(repeating: "l", count: script.extraTextKiB * 1024)
        let tools = (0..<calls).map { "," + call($0, input: input(of: $0)) }.joined()
        let after = #""}\#(tools)],"stop_reason":"\#(stopReason)","stop_sequence":null\#(member(messagesUsage(script.outputTokens)))}"#
        return (before, extra + content, after)
    }

    // MARK: Streams

    var messagesOpening: ByteBuffer {
        framed(
            event(
                "message_start",
                #"{"type":"message_start","message":{"id":"msg_simulator","type":"message","role":"assistant","model":"#
                    + JSONValue.string(model).text
                    + #","content":[],"stop_reason":null,"stop_sequence":null\#(member(messagesUsage(nil)))}}"#))
    }

    private func start(_ index: Int, _ block: String) -> String {
        event("content_block_start", #"{"type":"content_block_start","index":\#(index),"content_block":\#(block)}"#)
    }

    private func delta(_ index: Int, _ delta: String) -> String {
        event("content_block_delta", #"{"type":"content_block_delta","index":\#(index),"delta":\#(delta)}"#)
    }

    private func stop(_ index: Int) -> String { event("content_block_stop", #"{"type":"content_block_stop","index":\#(index)}"#) }

    func messagesStream(_ answer: inout Answer) {
        answer.opening = messagesOpening
        var opening = event("ping", #"{"type": "ping"}"#)
        var index = 0
        if key.thinks {
            opening += start(0, #"{"type":"thinking","thinking":"","signature":""}"#)
            opening +=
                delta(0, #"{"type":"thinking_delta","thinking":"Let me "}"#) + delta(0, #"{"type":"thinking_delta","thinking":"think."}"#)
            opening += delta(0, #"{"type":"signature_delta","signature":"\#(MessagesRequest.signature)"}"#) + stop(0)
            index = 1
        }
        opening += start(index, #"{"type":"text","text":""}"#)
        if script.extraTextKiB > 0 {
            let text = String(repeating: "l", count: script.extraTextKiB * 1024)
            opening += delta(index, #"{"type":"text_delta","text":"\#(text)"}"#)
        }
        answer.opening.writeImmutableBuffer(framed(opening))
        let texts = Self.texts.map { textOfChunk($0) }
        answer.events = texts.map { framed(delta(index, #"{"type":"text_delta","text":"\#($0)"}"#)) }
        answer.eventCount = script.isEndless ? .max : script.chunks
        if let after = script.errorMidAfter {
            answer.eventCount = min(answer.eventCount, after)
            answer.closing = framed(event("error", errorBody(529)))
            answer.closing.writeImmutableBuffer(lastChunk)
            return cut(&answer, .keepAlive)
        }
        if let after = script.dieAfter ?? script.stallAfter {
            answer.eventCount = min(answer.eventCount, after)
            return cut(&answer, script.dieAfter != nil ? .close : .stall)
        }
        if let after = script.dieInside {
            answer.eventCount = min(answer.eventCount, after)
            answer.closing = framed("event: content_block_delta" + newline + #"data: {"type":"content_bl"#)
            return cut(&answer, .close)
        }
        var closing = stop(index)
        for number in 0..<calls {
            index += 1
            closing += start(index, call(number, input: "{}"))
            let text = input(of: number)
            for part in [String(text.prefix(5)), String(text.dropFirst(5))] {
                closing += delta(index, #"{"type":"input_json_delta","partial_json":\#(JSONValue.string(part).text)}"#)
            }
            closing += stop(index)
        }
        let usage =
            script.usage == .right ? #"{"output_tokens":\#(script.outputTokens)}"# : messagesUsage(script.outputTokens)
        closing += event(
            "message_delta",
            #"{"type":"message_delta","delta":{"stop_reason":"\#(stopReason)","stop_sequence":null}\#(member(usage))}"#)
        if script.sendsDone { closing += event("message_stop", #"{"type":"message_stop"}"#) }
        answer.closing = framed(closing)
        if script.staysOpen {
            answer.end = .stall
            return
        }
        answer.closing.writeImmutableBuffer(lastChunk)
        if script.isEndless || !script.sendsDone { answer.isWhole = false }
    }

    private func cut(_ answer: inout Answer, _ end: Answer.End) {
        answer.end = end
        answer.isWhole = false
        answer.stated = nil
    }
}
