/// Reads what the Responses API answers.
enum ResponsesAnswerReader {
    static func read(_ document: JSONView) throws(StreamError) -> Answer {
        guard let members = document.members.map({ Members($0) }), let items = members["output"]?.elements else { throw .unreadable }
        if members.word("status") == "failed" { throw StreamError.read(members["error"]) }
        var answer = Answer()
        answer.id = members.text("id") ?? EscapedText()
        answer.model = members.text("model") ?? EscapedText()
        answer.created = members["created_at"]?.integer
        answer.tier = members.text("service_tier")
        for item in items { answer.blocks += try blocks(item) }
        answer.end = end(members).following(hasCalls: answer.hasCalls)
        answer.usage = Reading.usage(members["usage"])
        return answer
    }

    /// What an item says. Hosted tools are never asked for; what OpenAI encrypted of its reasoning means nothing elsewhere.
    static func blocks(_ item: JSONView) throws(StreamError) -> [Answer.Block] {
        guard let members = item.members.map({ Members($0) }) else { throw .unreadable }
        switch members.word("type") {
        case "message":
            return (members["content"]?.elements ?? []).compactMap { part in
                if let text = part["text"]?.text {
                    return .text(text, logprobs: part["logprobs"].flatMap { $0.elements?.isEmpty == false ? $0 : nil })
                }
                return part["refusal"]?.text.map { .refusal($0) }
            }
        case "function_call":
            guard let id = members.text("call_id"), let name = members.text("name") else { throw .unreadable }
            return [.call(.init(id: id, name: name, input: .text(members.text("arguments") ?? EscapedText())))]
        case "reasoning":
            let texts = ((members["summary"]?.elements ?? []) + (members["content"]?.elements ?? [])).compactMap { $0["text"]?.text }
            return texts.isEmpty ? [] : [.reasoning(Reading.joined(texts, by: "\n\n"))]
        default: return []
        }
    }

    static func end(_ members: Members) -> Answer.End {
        guard members.word("status") == "incomplete" else { return .stop }
        return members["incomplete_details"]?["reason"]?.text?.string == "content_filter" ? .filtered(nil) : .length
    }
}
