import NIOCore
import Primitives
import Synchronization

/// An answer in its box: handed around without copying its buffers' references.
final class PreparedAnswer: Sendable {
    let answer: Answer
    let script: Script

    init(_ answer: Answer, _ script: Script) {
        self.answer = answer
        self.script = script
    }
}

/// The answers made so far, by model and request.
final class Answers: Sendable {
    private struct Key: Hashable {
        let model: String
        let request: AnswerKey
    }

    private let prepared = Mutex<[Key: PreparedAnswer]>([:])

    /// Bounds what a caller that invents model names can make the simulator keep.
    private static let maximumKept = 2048

    /// Nil for a model whose name is not of the grammar.
    /// - Parameters:
    ///   - credential: What the request came with, for providers that leak it.
    ///   - clock: For dates in answers.
    func answer(model: String, request: AnswerKey, credential: () -> String, clock: any WallClock) -> PreparedAnswer? {
        let key = Key(model: model, request: request)
        if let known = prepared.withLock({ $0[key] }) { return known }
        guard var script = Script(model: model) else { return nil }
        if let maximum = request.maximumTokens { script = script.limited(toOutputTokens: maximum) }
        var builder = AnswerBuilder(script: script, model: model, key: request)
        if script.isMadeAnew {
            builder.now = clock.nowMilliseconds() / 1000
            builder.credential = credential()
            return PreparedAnswer(builder.build(), script)
        }
        let made = PreparedAnswer(builder.build(), script)
        prepared.withLock { prepared in
            if prepared.count >= Self.maximumKept { prepared.removeAll() }
            prepared[key] = made
        }
        return made
    }
}

/// The demonstration provider's one answer, which says what it is.
enum Demonstration {
    static let modelName = "weir-demo"

    /// Tokens are counted as words, of the question and of the answer.
    static func answer(model: String, request: AnswerKey, words: Int64, clock: any WallClock) -> PreparedAnswer {
        let question = words == 1 ? "1 word" : "\(words) words"
        let sentence =
            "This is Weir's demonstration provider, not a language model: it read the \(question) of your prompt and understood none of "
            + "them. Start ops/run with OPENAI_API_KEY, OPENROUTER_API_KEY or ANTHROPIC_API_KEY set, or with --provider-url, for real answers."
        let parts = sentence.split(separator: " ")
        let wording = parts.enumerated().map { $0.offset == 0 ? String($0.element) : " " + $0.element }
        var script = Script()
        script.inputTokens = words
        script.outputTokens = Int64(wording.count)
        script.chunks = wording.count
        script.paceMicroseconds = request.stream ? 20_000 : 0
        if let maximum = request.maximumTokens { script = script.limited(toOutputTokens: maximum) }
        var builder = AnswerBuilder(script: script, model: model, key: request)
        builder.created = clock.nowMilliseconds() / 1000
        builder.wording = wording
        return PreparedAnswer(builder.build(), script)
    }
}
