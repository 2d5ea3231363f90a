/// Writes a stream of the Messages API. Its blocks come strictly one after the other, each opened and closed once: what comes of another
/// block while a call is open waits until the end of that call.
struct MessagesStreamWriter: Sendable {
    private struct Waiting {
        let key: Int
        var kind: AnswerEvent.BlockKind
        var text = EscapedText()
        var signature = EscapedText()
        var isStopped = false
    }

    /// The most bytes that wait.
    private static let maxWaiting = 8 * 1024 * 1024
    /// A model that reasons out of sight is heard of once in so many pieces.
    private static let pingEvery = 32

    private var open: (key: Int, kind: AnswerEvent.BlockKind)?
    private var waiting: [Waiting] = []
    private var waitingBytes = 0
    private var index: Int64 = -1
    private var usage: AnswerUsage?
    private var end: Answer.End?
    private var refuses = false
    private var unsigned: Set<Int> = []
    private var unsignedPieces = 0

    mutating func write(_ event: AnswerEvent, to output: inout EventWriter) throws(StreamError) {
        switch event {
        case .start(let id, let model, _): start(id, model, to: &output)
        case .blockStart(let key, let kind): try start(key, kind, to: &output)
        case .text(let key, let text, _): try piece(key, text, to: &output)
        case .delta(let key, let text): try piece(key, text, to: &output)
        case .signature(let key, let signature): try sign(key, signature, to: &output)
        case .blockStop(let key): stop(key, to: &output)
        case .usage(let usage): self.usage = usage
        case .end(let end): self.end = end
        case .tier: break
        case .ping: Self.ping(&output)
        case .error(let error): output.event("error", Self.body(error))
        case .done: finish(&output)
        }
    }

    private func start(_ id: EscapedText, _ model: EscapedText, to output: inout EventWriter) {
        var event = JSONOutput()
        event.object { event in
            event.member("type", "message_start")
            event.object("message") { message in
                message.member("id", id)
                message.member("type", "message")
                message.member("role", "assistant")
                message.member("model", model)
                message.array("content") { _ in }
                message.null("stop_reason")
                message.null("stop_sequence")
                MessagesUsage.write(nil, to: &message)
            }
        }
        output.event("message_start", event.bytes)
    }

    // MARK: Blocks

    private mutating func start(_ key: Int, _ kind: AnswerEvent.BlockKind, to output: inout EventWriter) throws(StreamError) {
        switch kind {
        case .reasoning:
            unsigned.insert(key)
            return
        case .refusal: refuses = true
        default: break
        }
        if let open {
            // Texts end where something else begins; a call's arguments may still come.
            guard case .call = open.kind else {
                close(to: &output)
                return begin(key, kind, to: &output)
            }
            guard waiting.count < 1024 else { throw .oversize }
            waiting.append(Waiting(key: key, kind: kind))
            return
        }
        begin(key, kind, to: &output)
    }

    private mutating func begin(_ key: Int, _ kind: AnswerEvent.BlockKind, to output: inout EventWriter) {
        index &+= 1
        open = (key, kind)
        var event = JSONOutput()
        event.object { event in
            event.member("type", "content_block_start")
            event.member("index", index)
            event.object("content_block") { block in
                switch kind {
                case .text, .refusal, .reasoning:
                    block.member("type", "text")
                    block.member("text", EscapedText())
                case .thinking:
                    block.member("type", "thinking")
                    block.member("thinking", EscapedText())
                    block.member("signature", EscapedText())
                case .redactedThinking(let data):
                    block.member("type", "redacted_thinking")
                    block.member("data", data)
                case .call(let id, let name):
                    block.member("type", "tool_use")
                    block.member("id", PortableName.callID(forMessages: id))
                    block.member("name", name)
                    block.object("input") { _ in }
                }
            }
        }
        output.event("content_block_start", event.bytes)
    }

    private mutating func piece(_ key: Int, _ text: EscapedText, to output: inout EventWriter) throws(StreamError) {
        guard !text.isEmpty else { return }
        if let open, open.key == key { return delta(open.kind, text, to: &output) }
        if unsigned.contains(key) {
            if unsignedPieces % Self.pingEvery == 0 { Self.ping(&output) }
            unsignedPieces &+= 1
            return
        }
        guard let at = waiting.lastIndex(where: { $0.key == key }) else { return }
        try hold(text)
        waiting[at].text.append(text)
    }

    private mutating func hold(_ text: EscapedText) throws(StreamError) {
        waitingBytes += text.bytes.count
        guard waitingBytes <= Self.maxWaiting else { throw .oversize }
    }

    private func delta(_ kind: AnswerEvent.BlockKind, _ text: EscapedText, to output: inout EventWriter) {
        write(to: &output) { delta in
            switch kind {
            case .text, .refusal, .reasoning:
                delta.member("type", "text_delta")
                delta.member("text", text)
            case .thinking, .redactedThinking:
                delta.member("type", "thinking_delta")
                delta.member("thinking", text)
            case .call:
                delta.member("type", "input_json_delta")
                delta.member("partial_json", text)
            }
        }
    }

    private func write(to output: inout EventWriter, _ delta: (inout JSONOutput) -> Void) {
        var event = JSONOutput()
        event.object { event in
            event.member("type", "content_block_delta")
            event.member("index", index)
            event.object("delta", delta)
        }
        output.event("content_block_delta", event.bytes)
    }

    private mutating func sign(_ key: Int, _ signature: EscapedText, to output: inout EventWriter) throws(StreamError) {
        if open?.key == key { return writeSignature(signature, to: &output) }
        guard let at = waiting.lastIndex(where: { $0.key == key }) else { return }
        try hold(signature)
        waiting[at].signature.append(signature)
    }

    private func writeSignature(_ signature: EscapedText, to output: inout EventWriter) {
        write(to: &output) { delta in
            delta.member("type", "signature_delta")
            delta.member("signature", signature)
        }
    }

    private mutating func stop(_ key: Int, to output: inout EventWriter) {
        if open?.key == key {
            close(to: &output)
            release(to: &output)
        } else if let at = waiting.lastIndex(where: { $0.key == key }) {
            waiting[at].isStopped = true
        }
    }

    private mutating func close(to output: inout EventWriter) {
        guard open != nil else { return }
        open = nil
        var event = JSONOutput()
        event.object { event in
            event.member("type", "content_block_stop")
            event.member("index", index)
        }
        output.event("content_block_stop", event.bytes)
    }

    /// Blocks that waited for the one that was closed: those that are whole, and the next.
    private mutating func release(to output: inout EventWriter) {
        while open == nil, let next = waiting.first {
            waiting.removeFirst()
            waitingBytes -= next.text.bytes.count + next.signature.bytes.count
            begin(next.key, next.kind, to: &output)
            if !next.text.isEmpty { delta(next.kind, next.text, to: &output) }
            if !next.signature.isEmpty { writeSignature(next.signature, to: &output) }
            if next.isStopped { close(to: &output) }
        }
    }

    // MARK: The end

    private mutating func finish(_ output: inout EventWriter) {
        while open != nil {
            close(to: &output)
            release(to: &output)
        }
        var end = end ?? .stop
        if refuses, end == .stop { end = .filtered(nil) }
        var event = JSONOutput()
        event.object { event in
            event.member("type", "message_delta")
            event.object("delta") { MessagesAnswerWriter.writeEnd(end, to: &$0) }
            MessagesUsage.write(usage, to: &event)
        }
        output.event("message_delta", event.bytes)
        output.event("message_stop", Array(#"{"type":"message_stop"}"#.utf8))
    }

    private static func ping(_ output: inout EventWriter) { output.event("ping", Array(#"{"type":"ping"}"#.utf8)) }

    /// An error in Anthropic's form.
    static func body(_ error: StreamError) -> [UInt8] {
        var output = JSONOutput()
        output.object { output in
            output.member("type", "error")
            output.object("error") { output in
                output.member("type", error.kind.anthropicType)
                output.member("message", error.message)
            }
        }
        return output.bytes
    }
}
