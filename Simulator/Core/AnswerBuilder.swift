import NIOCore
import Primitives
import Wire

/// Makes an ``Answer`` from a script: OpenAI's shapes, and the deviations that the script asks for.
struct AnswerBuilder {
    let script: Script
    let model: String
    let key: AnswerKey
    /// Unix seconds in "created".
    var created: Int64 = 1_750_000_000
    /// The answer's text, a chunk each, for the demonstration; otherwise ``texts`` go round.
    var wording: [String]?
    /// Unix seconds, for a date in `retry-after`.
    var now: Int64 = 1_750_000_000
    /// Of a response: its own, and that of the one that it goes on from.
    var responseID = "resp_simulator"
    var previousID: String?
    var stores = true
    /// What a provider that leaks names in its errors.
    var credential = ""

    /// Eight texts that go round, so that a lost or doubled chunk shows.
    static let texts = ["alpha ", "bravo ", "delta ", "gamma ", "kappa ", "omega ", "sigma ", "theta "]
    private static let fillerBytes = 65_536

    var newline: String { script.endsLinesInCRLF ? "\r\n" : "\n" }

    func build() -> Answer {
        var answer = Answer()
        answer.delayMicroseconds = script.delayMicroseconds
        answer.end = script.closes || script.endsWithConnection ? .close : .keepAlive
        if script.stalls || script.resets || script.hangsUp {
            answer.end = script.stalls ? .stall : script.resets ? .reset : .close
            answer.status = 0
            answer.isWhole = false
            return answer
        }
        if script.breaksHead {
            answer.head = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nContent-Length: +7\r\nX Y: z\r\n\r\n{}")
            answer.end = .close
            answer.isWhole = false
            return answer
        }
        if let status = script.usageRequestStatus, key.includesUsage {
            refuse(&answer, status, ErrorBody.unknownStreamOptions(status: status))
            return answer
        }
        if key.operation == .countTokens, script.status == 200 {
            let body = #"{"input_tokens":\#(max(script.inputTokens, Int64(key.inputs)))}"#
            answer.opening = ByteBuffer(string: body)
            answer.head = head(type: "application/json", framing: .length(body.utf8.count))
            answer.joinIfPossible()
            return answer
        }
        if script.status != 200 {
            refuse(&answer, script.status, errorBody(script.status))
            return answer
        }
        if script.isPage {
            let page = "<!doctype html><title>502</title><p>upstream gpu-3.internal is down"
            answer.opening = ByteBuffer(string: page)
            answer.head = head(type: "text/html", framing: .length(page.utf8.count))
            answer.isWhole = false
            answer.joinIfPossible()
            return answer
        }
        let statesUsage =
            !isStream || key.operation == .messages || key.operation == .responses || givesUsage || script.usage.isVolunteered
        answer.stated = statesUsage ? statedUsage : nil
        answer.paceMicroseconds = script.paceMicroseconds
        answer.burst = script.burst
        if isStream {
            stream(&answer)
        } else {
            document(&answer)
        }
        compress(&answer)
        if script.splitsBytes || script.slowBodyMicroseconds > 0 {
            answer.byteIntervalMicroseconds = script.slowBodyMicroseconds
            answer.byteWiseHead = script.splitsBytes
        }
        answer.joinIfPossible()
        return answer
    }

    private var givesUsage: Bool { key.includesUsage || script.isOpenRouter }

    var isStream: Bool { key.operation != .embeddings && (key.stream || script.alwaysStreams) }

    func errorBody(_ status: Int) -> String {
        if key.operation == .messages || key.operation == .countTokens {
            return ErrorBody.messages(
                status: status, model: model, kind: script.errorKind, leak: script.leaks ? credential : nil)
        }
        return openAIError(status)
    }

    private func openAIError(_ status: Int) -> String {
        ErrorBody.json(status: status, model: model, kind: script.errorKind, leak: script.leaks ? credential : nil)
    }

    private func refuse(_ answer: inout Answer, _ status: Int, _ body: String) {
        answer.status = status
        answer.opening = ByteBuffer(string: status == 204 ? "" : body)
        answer.head = head(status, type: "application/json", framing: status == 204 ? .none : .length(body.utf8.count))
        answer.joinIfPossible()
    }

    private var statedUsage: StatedUsage? {
        guard script.usage.isExact, !script.breaksJSON else { return nil }
        let output = key.operation == .embeddings ? 0 : script.outputTokens
        return StatedUsage(
            input: script.inputTokens, output: output, cached: script.cachedTokens, cacheWrite: script.cacheWriteTokens,
            reasoning: key.operation == .embeddings ? 0 : script.reasoningTokens)
    }

    // MARK: Heads

    private enum Framing { case length(Int), chunked, connection, none }

    private func head(_ status: Int = 200, type: String, framing: Framing) -> ByteBuffer {
        var text = String(repeating: "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n", count: script.interimHeads)
        text += "HTTP/1.1 \(status) \(ErrorBody.reason(status))\r\n"
        switch script.label {
        case .right: if status != 204 { text += "content-type: \(type)\r\n" }
        case .json: text += "content-type: application/json\r\n"
        case .ndjson: text += "content-type: application/x-ndjson\r\n"
        case .plain: text += "content-type: text/plain; charset=utf-8\r\n"
        case .absent: break
        }
        switch framing {
        case .length(let length): text += "content-length: \(length)\r\n"
        case .chunked: text += "transfer-encoding: chunked\r\n"
        case .connection, .none: break
        }
        if let compression = script.compression, status == 200 { text += "content-encoding: \(compression.rawValue)\r\n" }
        switch script.retryAfter {
        case .seconds(let seconds): text += "retry-after: \(seconds)\r\n"
        case .tenths(let tenths): text += "retry-after: \(tenths / 10).\(tenths % 10)\r\n"
        case .dateInSeconds(let seconds): text += "retry-after: \(HTTPDate.string(unixSeconds: now &+ seconds))\r\n"
        case .milliseconds(let milliseconds): text += "retry-after-ms: \(milliseconds)\r\n"
        case nil: break
        }
        if script.closes || script.endsWithConnection { text += "connection: close\r\n" }
        if script.isOpenRouter { text += "x-generation-id: gen-simulator\r\n" }
        if key.operation == .messages {
            text += "request-id: req_simulator\r\nanthropic-ratelimit-requests-limit: 50\r\nanthropic-ratelimit-requests-remaining: 49\r\n"
            text += "anthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z\r\n"
        } else {
            text += "openai-processing-ms: 1\r\nopenai-version: 2020-10-01\r\nx-request-id: req-simulator\r\n"
        }
        for index in 0..<script.extraHeadKiB { text += "x-extra-\(index): " + String(repeating: "x", count: 1000) + "\r\n" }
        return ByteBuffer(string: text + "\r\n")
    }

    /// A compressed body is framed once it is compressed.
    private var isFramedLater: Bool { script.endsWithConnection || script.compression != nil }

    func framed(_ text: String) -> ByteBuffer {
        if isFramedLater { return ByteBuffer(string: text) }
        return ByteBuffer(string: String(text.utf8.count, radix: 16) + "\r\n" + text + "\r\n")
    }

    /// Replaces the body by its compressed form, in one piece.
    private func compress(_ answer: inout Answer) {
        guard let compression = script.compression, let body = answer.joined(includingHead: false) else { return }
        let bytes = StoredBlocks.encode(Array(body.readableBytesView), as: compression)
        let isChunked = isStream && !script.endsWithConnection
        var all = ByteBuffer()
        if isChunked { all.writeString(String(bytes.count, radix: 16) + "\r\n") }
        all.writeBytes(bytes)
        if isChunked { all.writeString("\r\n0\r\n\r\n") }
        if !isStream && !script.endsWithConnection { answer.head = head(type: "application/json", framing: .length(bytes.count)) }
        answer.opening = all
        answer.events = []
        answer.eventCount = 0
        answer.closing = ByteBuffer()
    }

    var lastChunk: ByteBuffer { ByteBuffer(string: isFramedLater ? "" : "0\r\n\r\n") }

    // MARK: Streams

    private func stream(_ answer: inout Answer) {
        answer.head = head(type: "text/event-stream; charset=utf-8", framing: script.endsWithConnection ? .connection : .chunked)
        if script.isEmpty {
            answer.closing = lastChunk
            answer.isWhole = false
            answer.stated = nil
            return
        }
        if key.operation == .responses { return responsesStream(&answer) }
        if let code = script.errorFirstCode {
            if key.operation == .messages { answer.opening = messagesOpening }
            answer.closing = framed(
                (key.operation == .messages ? "event: error" + newline : "") + "data: " + errorBody(code) + newline + newline)
            answer.closing.writeImmutableBuffer(lastChunk)
            answer.isWhole = false
            answer.stated = nil
            return
        }
        if key.operation == .messages { return messagesStream(&answer) }
        if script.isAzure {
            let filters = #"{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}"#
            answer.opening = sse(streamHead + #""choices":[],"prompt_filter_results":[\#(filters)]}"#)
            answer.opening.writeImmutableBuffer(event(delta: #"{"role":"assistant","content":""}"#, finish: nil))
        } else if key.operation == .chat {
            answer.opening = event(delta: #"{"role":"assistant","content":""}"#, finish: nil)
        }
        var texts = wording ?? Self.texts.map { textOfChunk($0) }
        if script.isGigabyte { texts = [String(repeating: "g", count: Self.fillerBytes)] }
        answer.events = texts.map { content(event: $0) }
        answer.eventCount = script.isEndless ? .max : script.isGigabyte ? (1 << 30) / Self.fillerBytes : script.chunks
        if script.extraTextKiB > 0 {
            answer.opening.writeImmutableBuffer(content(event: String(repeating: "l", count: script.extraTextKiB * 1024)))
        }

        if let after = script.errorMidAfter {
            answer.eventCount = min(answer.eventCount, after)
            let failure = ErrorBody.json(status: 500, model: model, kind: .common, leak: script.leaks ? credential : nil)
            let ended = #","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#
            answer.closing = framed("data: " + (script.isOpenRouter ? failure.dropLast() + ended : failure) + newline + newline)
            answer.closing.writeImmutableBuffer(lastChunk)
            answer.isWhole = false
            answer.stated = nil
            return
        }
        if let after = script.dieAfter ?? script.stallAfter {
            answer.eventCount = min(answer.eventCount, after)
            answer.end = script.dieAfter != nil ? .close : .stall
            answer.isWhole = false
            answer.stated = nil
            return
        }
        if let after = script.dieInside {
            answer.eventCount = min(answer.eventCount, after)
            let half = "data: " + String(streamHead.dropLast(3))
            answer.closing = framed(half)
            answer.end = .close
            answer.isWhole = false
            answer.stated = nil
            return
        }
        if script.breaksChunk {
            answer.eventCount = min(answer.eventCount, script.chunks / 2)
            answer.closing = ByteBuffer(string: "-5;zz\r\nbroken\r\n")
            answer.end = .close
            answer.isWhole = false
            answer.stated = nil
            return
        }
        closeStream(&answer)
    }

    private func closeStream(_ answer: inout Answer) {
        let finish =
            answer.eventCount < Int.max && script.outputTokens == key.maximumTokens ? "length" : chatCalls > 0 ? "tool_calls" : "stop"
        let right = usage(script.inputTokens, script.outputTokens)
        let onLast = script.usage == .onLastChunk && key.includesUsage
        let inPart = script.usage.isVolunteered ? script.usage : nil
        for delta in toolCallDeltas { answer.closing.writeImmutableBuffer(event(delta: delta, finish: nil)) }
        let end = event(
            delta: "{}", finish: finish, usage: onLast ? right : nil, inChoice: inPart == .inChoice ? right : nil,
            inVendor: inPart == .vendor ? right : nil)
        answer.closing.writeImmutableBuffer(end)
        if givesUsage {
            switch script.usage {
            case .absent, .onLastChunk, .inChoice, .vendor: break
            case .twice:
                answer.closing.writeImmutableBuffer(usageEvent(usage(1, 1)))
                answer.closing.writeImmutableBuffer(usageEvent(right))
            case .afterDone: answer.closing.writeImmutableBuffer(usageEvent(usage(1, 1)))
            default: answer.closing.writeImmutableBuffer(usageEvent(usageText))
            }
        }
        let done = framed("data: [DONE]" + newline + newline)
        if script.sendsDone { answer.closing.writeImmutableBuffer(done) }
        if script.usage == .afterDone {
            answer.closing.writeImmutableBuffer(content(event: "late"))
            if key.includesUsage { answer.closing.writeImmutableBuffer(usageEvent(right)) }
        }
        if script.staysOpen {
            answer.end = .stall
            return
        }
        answer.closing.writeImmutableBuffer(lastChunk)
        if script.isEndless { answer.isWhole = false }
    }

    private var streamHead: String {
        let (id, object) = key.operation == .chat ? ("chatcmpl-simulator", "chat.completion.chunk") : ("cmpl-simulator", "text_completion")
        return #"{"id":"\#(id)","object":"\#(object)","created":\#(created),"model":"\#(model)","system_fingerprint":"fp_simulator","#
    }

    private func content(event text: String) -> ByteBuffer {
        event(delta: #"{"content":"\#(text)"}"#, text: text, finish: nil)
    }

    private func event(
        delta: String, text: String = "", finish: String?, usage: String? = nil, inChoice: String? = nil, inVendor: String? = nil
    ) -> ByteBuffer {
        let quoted = finish.map { "\"\($0)\"" } ?? "null"
        let own = inChoice.map { #","usage":\#($0)"# } ?? ""
        var data = streamHead
        switch key.operation {
        case .chat:
            let filters = script.isAzure ? #","content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}"# : ""
            data += #""choices":[{"index":0,"delta":\#(delta),"logprobs":null,"finish_reason":\#(quoted)\#(own)\#(filters)}]"#
        default: data += #""choices":[{"index":0,"text":"\#(text)","logprobs":null,"finish_reason":\#(quoted)\#(own)}]"#
        }
        if let inVendor { data += #","x_groq":{"id":"req_simulator","usage":\#(inVendor)}"# }
        if let usage { data += #","usage":\#(usage)"# } else if key.includesUsage { data += #","usage":null"# }
        return sse(data + "}")
    }

    private func usageEvent(_ usage: String) -> ByteBuffer {
        sse(streamHead + #""choices":\#(script.nullsChoices ? "null" : "[]"),"usage":\#(usage)}"#)
    }

    private func sse(_ data: String) -> ByteBuffer {
        let data = script.breaksJSON ? String(data.dropLast(data.utf8.count / 2)) : data
        let comment = script.sendsComments ? ": SIMULATOR PROCESSING" + newline + newline : ""
        return framed(comment + "data: " + data + newline + newline)
    }

    func textOfChunk(_ word: String) -> String {
        let wanted = script.chunkTextBytes
        var text = word
        while text.utf8.count < wanted { text += word }
        return String(text.prefix(wanted))
    }

    // MARK: Documents

    private func document(_ answer: inout Answer) {
        if script.isEmpty || script.errorFirstCode != nil {
            let body = script.errorFirstCode.map(errorBody) ?? ""
            answer.opening = ByteBuffer(string: body)
            answer.head = head(type: "application/json", framing: script.endsWithConnection ? .connection : .length(body.utf8.count))
            answer.isWhole = false
            answer.stated = nil
            return
        }
        let (before, text, after) = documentParts
        let filler = script.isGigabyte || script.isEndless
        var length = before.utf8.count + text.utf8.count + after.utf8.count
        answer.opening = ByteBuffer(string: before + text)
        answer.closing = ByteBuffer(string: after)
        if script.breaksJSON {
            answer.opening = ByteBuffer(string: String((before + text).dropLast(text.utf8.count / 2 + 1)))
            answer.closing = ByteBuffer()
            length = answer.opening.readableBytes
        }
        if filler {
            answer.events = [ByteBuffer(repeating: UInt8(ascii: "g"), count: Self.fillerBytes)]
            answer.eventCount = script.isEndless ? .max : (1 << 30) / Self.fillerBytes
        }
        if script.isEndless || script.breaksChunk {
            frameAsChunks(&answer)
            return
        }
        if script.isGigabyte { length += 1 << 30 }
        answer.head = head(type: "application/json", framing: script.endsWithConnection ? .connection : .length(length))
        if script.dieAfter != nil || script.stallAfter != nil {
            let half = answer.opening.readableBytes / 2
            answer.opening = answer.opening.getSlice(at: answer.opening.readerIndex, length: half) ?? ByteBuffer()
            answer.closing = ByteBuffer()
            answer.end = script.dieAfter != nil ? .close : .stall
            answer.isWhole = false
            answer.stated = nil
        }
    }

    private func frameAsChunks(_ answer: inout Answer) {
        answer.head = head(type: "application/json", framing: .chunked)
        answer.opening = framed(String(buffer: answer.opening))
        answer.events = answer.events.map { framed(String(buffer: $0)) }
        answer.closing = ByteBuffer()
        answer.isWhole = false
        answer.stated = nil
        if script.breaksChunk {
            answer.closing = ByteBuffer(string: "0x5\r\nbroken\r\n")
            answer.end = .close
        }
    }

    private var documentParts: (before: String, text: String, after: String) {
        if key.operation == .embeddings { return embeddings }
        if key.operation == .messages { return messagesDocument }
        if key.operation == .responses { return responsesDocument }
        let extra = String(repeating: "l", count: script.extraTextKiB * 1024)
        let text = extra + content
        let finish = script.outputTokens == key.maximumTokens ? "length" : chatCalls > 0 ? "tool_calls" : "stop"
        let right = usage(script.inputTokens, script.outputTokens)
        let own = script.usage == .inChoice ? #","usage":\#(right)"# : ""
        let usage = script.usage == .vendor ? #","x_groq":{"id":"req_simulator","usage":\#(right)}"# : usageMember
        if key.operation == .chat {
            let before =
                #"{"id":"chatcmpl-simulator","object":"chat.completion","created":\#(created),"model":"\#(model)","#
                + #""choices":[{"index":0,"message":{"role":"assistant","content":""#
            let after =
                #"","refusal":null,"annotations":[]\#(toolCallsMember)},"logprobs":null,"finish_reason":"\#(finish)"\#(own)}]\#(usage),"#
                + #""service_tier":"default","system_fingerprint":"fp_simulator"}"#
            return (before, text, after)
        }
        let before =
            #"{"id":"cmpl-simulator","object":"text_completion","created":\#(created),"model":"\#(model)","choices":[{"text":""#
        let after =
            #"","index":0,"logprobs":null,"finish_reason":"\#(finish)"\#(own)}]\#(usage),"system_fingerprint":"fp_simulator"}"#
        return (before, text, after)
    }

    var content: String {
        if let wording { return wording.prefix(script.chunks).joined() }
        return (0..<min(script.chunks, 100_000)).map { textOfChunk(Self.texts[$0 % Self.texts.count]) }.joined()
    }

    private var embeddings: (before: String, text: String, after: String) {
        let numbers = (0..<script.dimensions).map { Float($0 % 16) / 16 - 0.5 }
        let vector: String
        if key.wantsBase64 {
            let bytes = numbers.flatMap { number in withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) } }
            vector = "\"" + Base64.encode(bytes) + "\""
        } else {
            vector = "[" + numbers.map { "\($0)" }.joined(separator: ",") + "]"
        }
        let items = (0..<key.inputs).map { #"{"object":"embedding","index":\#($0),"embedding":\#(vector)}"# }
        return (#"{"object":"list","data":["#, items.joined(separator: ","), #"],"model":"\#(model)"\#(usageMember)}"#)
    }

    // MARK: Usage

    private var usageMember: String {
        switch script.usage {
        case .absent, .inChoice, .vendor: ""
        case .twice: #","usage":\#(usage(1, 1)),"usage":\#(usage(script.inputTokens, script.outputTokens))"#
        default: #","usage":\#(usageText)"#
        }
    }

    private var usageText: String {
        switch script.usage {
        case .right, .twice, .onLastChunk, .inChoice, .vendor, .deepSeek, .topCached, .xAI, .afterDone:
            usage(script.inputTokens, script.outputTokens)
        case .zeroPrompt: usage(0, script.outputTokens)
        case .absent, .null: "null"
        case .negative: #"{"prompt_tokens":-5,"completion_tokens":-7,"total_tokens":-12}"#
        case .text: #"{"prompt_tokens":"nine","completion_tokens":"8","total_tokens":"17"}"#
        case .huge: #"{"prompt_tokens":99999999999999999999,"completion_tokens":9223372036854775807,"total_tokens":1e400}"#
        case .fraction: #"{"prompt_tokens":9.5,"completion_tokens":8.25,"total_tokens":17.75}"#
        case .empty: "{}"
        }
    }

    private func usage(_ input: Int64, _ output: Int64) -> String {
        if key.operation == .embeddings { return #"{"prompt_tokens":\#(input),"total_tokens":\#(input)}"# }
        let totals = #""prompt_tokens":\#(input),"completion_tokens":\#(output),"total_tokens":\#(input &+ output)"#
        let cached = min(script.cachedTokens, input)
        switch script.usage {
        case .deepSeek: return #"{\#(totals),"prompt_cache_hit_tokens":\#(cached),"prompt_cache_miss_tokens":\#(input &- cached)}"#
        case .topCached: return #"{\#(totals),"cached_tokens":\#(cached)}"#
        case .xAI:
            let reasoning = min(script.reasoningTokens, output)
            return #"{"prompt_tokens":\#(input),"completion_tokens":\#(output &- reasoning),"total_tokens":\#(input &+ output),"#
                + #""prompt_tokens_details":{"cached_tokens":\#(cached)},"completion_tokens_details":{"reasoning_tokens":\#(reasoning)}}"#
        default: break
        }
        var prompt = #""cached_tokens":\#(cached),"audio_tokens":0"#
        if script.cacheWriteTokens > 0 { prompt += #","cache_write_tokens":\#(script.cacheWriteTokens)"# }
        let completion =
            #""reasoning_tokens":\#(min(script.reasoningTokens, output)),"audio_tokens":0,"#
            + #""accepted_prediction_tokens":0,"rejected_prediction_tokens":0"#
        // As OpenRouter writes small amounts, too.
        let cost = script.costMicros.map { #","cost":\#($0)e-06,"cost_details":{"upstream_inference_cost":null}"# } ?? ""
        return "{\(totals)\(cost),\"prompt_tokens_details\":{\(prompt)},\"completion_tokens_details\":{\(completion)}}"
    }
}
