/// Turns a provider's answers into the caller's dialect.
package struct AnswerTranslation: Sendable {
    package let caller: Dialect
    package let provider: Dialect
    let wantsUsage: Bool
    let createdSeconds: Int64
    let names: ToolNames
    let echo: ResponsesEcho?

    /// A whole answer.
    /// - Throws: when it cannot be read: the provider did not answer.
    package func document(_ bytes: [UInt8]) throws(StreamError) -> [UInt8] {
        guard let view = try? JSONView(checking: bytes) else { throw .unreadable }
        if let error = view["error"], view["choices"] == nil, view["content"] == nil, view["output"] == nil {
            throw StreamError.read(error)
        }
        var answer = try read(view)
        for index in answer.blocks.indices {
            guard case .call(var call) = answer.blocks[index] else { continue }
            if names.wasCustom(call.name) {
                call.input = .text(CustomTools.input(call.input.text))
                call.isCustom = true
            }
            answer.blocks[index] = .call(names.restored(call))
        }
        return switch caller {
        case .openAI: ChatAnswerWriter.write(answer, createdSeconds: createdSeconds)
        case .messages: MessagesAnswerWriter.write(answer)
        case .responses: ResponsesAnswerWriter.write(answer, echo, createdSeconds: createdSeconds)
        }
    }

    func read(_ view: JSONView) throws(StreamError) -> Answer {
        switch provider {
        case .openAI: try ChatAnswerReader.read(view)
        case .messages: try MessagesAnswerReader.read(view)
        case .responses: try ResponsesAnswerReader.read(view)
        }
    }

    package func stream() -> StreamTranslation { StreamTranslation(self) }
}
