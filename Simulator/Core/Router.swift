import NIOCore
import Primitives
import Synchronization
import Wire

/// Decides what a request gets. One per connection, because it remembers the last model: most connections ask for one.
final class Router {
    enum Decision {
        /// Not of the ledger.
        case control(ByteBuffer)
        case answer(PreparedAnswer, Ledger.Ticket?)
        /// Nothing is said, and the connection closed or left as it is.
        case silence(closes: Bool)
    }

    private let shared: Shared
    private let acceptedAuthorizations: [[UInt8]]
    private let acceptedKeys: [[UInt8]]
    private var lastModelBytes: [UInt8] = []
    private var lastModel = ""
    private var lastKey: AnswerKey?
    private var lastAnswer: PreparedAnswer?

    init(_ shared: Shared) {
        self.shared = shared
        acceptedAuthorizations = shared.settings.acceptedKeys.map { Array("Bearer \($0)".utf8) }
        acceptedKeys = shared.settings.acceptedKeys.map { Array($0.utf8) }
    }

    func decide(_ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser, _ body: MessageBody) -> Decision {
        var path = withoutVersion(UnsafeRawBufferPointer(rebasing: bytes[head.path]))
        var deployment: Range<Int>?
        if startsWith(path, "/openai/") {
            // Azure: with a version in the path, or a deployment there and a version in the query.
            path = withoutVersion(UnsafeRawBufferPointer(rebasing: path[7...]))
            if startsWith(path, "/deployments/") || !startsWith(UnsafeRawBufferPointer(rebasing: bytes[head.path]), "/openai/v1/") {
                guard String(decoding: bytes[head.query], as: UTF8.self).hasPrefix("api-version=20") else { return refusal(404) }
            }
            if startsWith(path, "/deployments/") {
                let end = path[13...].firstIndex(of: UInt8(ascii: "/")) ?? path.count
                let start = head.path.upperBound - path.count + 13
                deployment = start..<start + end - 13
                path = UnsafeRawBufferPointer(rebasing: path[end...])
            }
        }
        if shared.managedKeys.isThere, path.count >= 5, equals(UnsafeRawBufferPointer(rebasing: path[..<5]), "/keys"),
            path.count == 5 || path[5] == UInt8(ascii: "/")
        {
            return managedKeys(UnsafeRawBufferPointer(rebasing: path[5...]), bytes, head, body)
        }
        switch head.method {
        case .post:
            let operation: Operation
            if equals(path, "/chat/completions") {
                operation = .chat
            } else if equals(path, "/completions") {
                operation = .completions
            } else if equals(path, "/embeddings") {
                operation = .embeddings
            } else if equals(path, "/messages") || equals(path, "/messages/count_tokens") {
                let content = body.range.map { Array(bytes[$0]) } ?? body.decoded
                return messages(content, counts: path.count > 9, bytes, head)
            } else if equals(path, "/responses") {
                return responses(body.range.map { Array(bytes[$0]) } ?? body.decoded, bytes, head)
            } else if startsWith(path, "/responses/") {
                return keptResponse("POST", path, bytes, head)
            } else if startsWithControl(path) {
                return control(get: false, bytes, head)
            } else {
                return media(path, body.range.map { Array(bytes[$0]) } ?? body.decoded, bytes, head)
            }
            guard isAuthorised(bytes, head) else { return refusal(401) }
            if let range = body.range {
                return serve(operation, UnsafeRawBufferPointer(rebasing: bytes[range]), bytes, head, deployment)
            }
            return body.decoded.withUnsafeBytes { serve(operation, $0, bytes, head, deployment) }
        case .get:
            if startsWithControl(path) { return control(get: true, bytes, head) }
            guard isAuthorised(bytes, head) else { return refusal(401) }
            if startsWith(path, "/responses/") { return keptResponse("GET", path, bytes, head) }
            if startsWith(path, "/files/") { return media(path, [], bytes, head, method: "GET") }
            return models(String(decoding: path, as: UTF8.self))
        case .delete where startsWith(path, "/responses/"): return keptResponse("DELETE", path, bytes, head)
        case .delete where startsWith(path, "/files/"): return media(path, [], bytes, head, method: "DELETE")
        default: return refusal(405)
        }
    }

    // MARK: The provider's operations

    private func serve(
        _ operation: Operation, _ body: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser,
        _ deployment: Range<Int>?
    ) -> Decision {
        guard let request = RequestBody(body), let modelRange = request.model else { return refusal(400) }
        // At Azure the deployment decides, whatever the body says.
        remember(
            model: deployment.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) } ?? UnsafeRawBufferPointer(rebasing: body[modelRange]))
        let isEmbedding = operation == .embeddings
        var key = AnswerKey(
            operation: operation, stream: request.stream && !isEmbedding,
            includesUsage: request.stream && !isEmbedding && request.includesUsage,
            maximumTokens: isEmbedding ? nil : request.maximumTokens, wantsBase64: isEmbedding && request.wantsBase64,
            inputs: isEmbedding ? min(request.inputs, 2048) : 1)
        if operation == .chat, lastModel.contains("-call") || lastModel.contains("-strict") {
            do throws(ChatRefusal) {
                let request = try ChatRequest(Array(body))
                key.tool = request.tool
                for id in request.files where !shared.files.has(id) { throw ChatRefusal("No such File object: \(id)", "file_id") }
            } catch {
                return .control(ControlEndpoints.response(status: 400, body: error.body))
            }
        }
        guard let prepared = answer(key, words: request.words, credential: { credential(bytes, head) }) else {
            return refusal(isEmbedding && isDemonstration ? 400 : 404)
        }
        var ticket: Ledger.Ticket?
        if shared.ledger.isEnabled {
            ticket = shared.ledger.begin(requestID: requestID(bytes, head), operation: operation, model: lastModel, stream: key.stream)
        }
        return .answer(afterChance(prepared, key), ticket)
    }

    private func messages(
        _ body: [UInt8], counts: Bool, _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser
    ) -> Decision {
        func refusal(_ status: Int, _ message: String? = nil) -> Decision {
            .control(
                ControlEndpoints.response(
                    status: status, body: ErrorBody.messages(status: status, model: lastModel, message: message)))
        }
        guard isAuthorised(bytes, head) else { return refusal(401) }
        guard head.has(.anthropicVersion) else { return refusal(400, "anthropic-version: header is required") }
        let request: MessagesRequest
        do throws(MessagesRefusal) {
            request = try MessagesRequest(body, counts: counts)
        } catch {
            return refusal(error.status, error.message)
        }
        Array(request.model.utf8).withUnsafeBytes { remember(model: $0) }
        var key = AnswerKey(
            operation: counts ? .countTokens : .messages, stream: request.stream, maximumTokens: counts ? nil : request.maximumTokens)
        key.tool = request.tool
        key.thinks = request.thinks
        if counts { key.inputs = Int(clamping: request.words) }
        guard let prepared = answer(key, words: request.words, credential: { credential(bytes, head) }) else { return refusal(404) }
        let ticket =
            shared.ledger.isEnabled
            ? shared.ledger.begin(requestID: requestID(bytes, head), operation: key.operation, model: lastModel, stream: key.stream) : nil
        return .answer(afterChance(prepared, key), ticket)
    }

    private func responses(_ body: [UInt8], _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser) -> Decision {
        guard isAuthorised(bytes, head) else { return refusal(401) }
        let request: ResponsesRequest
        do throws(ResponsesRequest.Refusal) {
            request = try ResponsesRequest(body)
        } catch {
            return .control(ControlEndpoints.response(status: 400, body: error.json))
        }
        Array(request.model.utf8).withUnsafeBytes { remember(model: $0) }
        var key = AnswerKey(operation: .responses, stream: request.stream, maximumTokens: request.maximumTokens)
        key.tool = request.tool
        let prepared: PreparedAnswer
        if Script(model: lastModel)?.keeps == true {
            do throws(ResponsesRequest.Refusal) {
                prepared = try kept(request, key, credential(bytes, head))
            } catch {
                return .control(ControlEndpoints.response(status: error.status, body: error.json))
            }
        } else {
            guard let made = answer(key, words: 0, credential: { credential(bytes, head) }) else { return refusal(404) }
            prepared = made
        }
        let ticket =
            shared.ledger.isEnabled
            ? shared.ledger.begin(requestID: requestID(bytes, head), operation: .responses, model: lastModel, stream: key.stream) : nil
        return .answer(afterChance(prepared, key), ticket)
    }

    /// A response that the account keeps, or one that goes on from such a one: what that had of tokens counts as input again.
    private func kept(
        _ request: ResponsesRequest, _ key: AnswerKey, _ credential: String
    ) throws(ResponsesRequest.Refusal) -> PreparedAnswer {
        var script = Script(model: lastModel) ?? Script()
        if let maximum = key.maximumTokens { script = script.limited(toOutputTokens: maximum) }
        if let previous = request.previous {
            guard let before = shared.keptResponses.find(previous, credential) else {
                throw ResponsesRequest.Refusal(
                    message: "Previous response with id '\(previous)' not found.", param: "previous_response_id",
                    code: "previous_response_not_found")
            }
            script.inputTokens += before.tokens
        }
        let id = shared.keptResponses.newID()
        var builder = AnswerBuilder(script: script, model: lastModel, key: key)
        (builder.responseID, builder.previousID, builder.stores) = (id, request.previous, request.stores)
        if request.stores {
            let whole = builder.responsesDocument
            shared.keptResponses.keep(
                .init(
                    credential: credential, document: whole.before + whole.text + whole.after, input: request.input,
                    tokens: script.inputTokens + script.outputTokens), as: id)
        }
        return PreparedAnswer(builder.build(), script)
    }

    private func keptResponse(
        _ method: String, _ path: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser
    ) -> Decision {
        guard isAuthorised(bytes, head) else { return refusal(401) }
        do throws(ResponsesRequest.Refusal) {
            let reply = try shared.keptResponses.respond(
                method: method, String(decoding: path.dropFirst(11), as: UTF8.self), credential(bytes, head))
            return .control(ControlEndpoints.response(status: reply.status, body: reply.body))
        } catch {
            return .control(ControlEndpoints.response(status: error.status, body: error.json))
        }
    }

    private func media(
        _ path: UnsafeRawBufferPointer, _ body: [UInt8], _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser,
        method: String = "POST"
    ) -> Decision {
        guard isAuthorised(bytes, head) else { return refusal(401) }
        let type = head.first(.contentType).map { String(decoding: bytes[$0.value], as: UTF8.self) } ?? ""
        do throws(MediaProvider.Refusal) {
            let path = String(decoding: path, as: UTF8.self)
            if path == "/files" { return .control(try shared.files.create(type, body).response) }
            if path.hasPrefix("/files/") { return .control(try shared.files.respond(method: method, path.dropFirst(7)).response) }
            guard let reply = try MediaProvider.respond(path, contentType: type, body) else {
                return refusal(404)
            }
            return .control(reply.response)
        } catch {
            return .control(ControlEndpoints.response(status: error.status, body: error.json))
        }
    }

    private var isDemonstration: Bool { shared.settings.isDemonstration }

    private func answer(_ key: AnswerKey, words: Int64, credential: () -> String) -> PreparedAnswer? {
        if isDemonstration {
            guard key.operation == .chat || key.operation == .completions else { return nil }
            return Demonstration.answer(model: lastModel, request: key, words: words, clock: shared.settings.clock)
        }
        if let lastAnswer, lastKey == key, !lastAnswer.script.isMadeAnew { return lastAnswer }
        lastAnswer = shared.answers.answer(model: lastModel, request: key, credential: credential, clock: shared.settings.clock)
        lastKey = key
        return lastAnswer
    }

    /// What the seed makes of a request to a model that fails now and then.
    private func afterChance(_ prepared: PreparedAnswer, _ key: AnswerKey) -> PreparedAnswer {
        let script = prepared.script
        let isEveryNth = script.status != 200 && script.errorEvery > 1
        guard script.flakyPercent > 0 || script.flakyResetPercent > 0 || isEveryNth || script.errorFirstRequests > 0 else {
            return prepared
        }
        if script.errorFirstRequests > 0 {
            let isFirst = shared.isAmongFirst(script.errorFirstRequests, ofModel: lastModel)
            return isFirst ? prepared : other(script.sound, key) { _ in }
        }
        let number = shared.requests.load(ordering: .relaxed)
        if isEveryNth { return number % script.errorEvery == 0 ? prepared : other(script.sound, key) { _ in } }
        var generator = SeededGenerator(seed: shared.settings.seed ^ (number &* 0x9E37_79B9_7F4A_7C15))
        let draw = generator.next() % 100
        if draw < script.flakyPercent { return other(script, key) { $0.status = 503 } }
        if draw < script.flakyPercent + script.flakyResetPercent { return other(script, key) { $0.resets = true } }
        return prepared
    }

    private func other(_ script: Script, _ key: AnswerKey, _ change: (inout Script) -> Void) -> PreparedAnswer {
        var changed = script
        change(&changed)
        return PreparedAnswer(AnswerBuilder(script: changed, model: lastModel, key: key).build(), changed)
    }

    private func remember(model: UnsafeRawBufferPointer) {
        let isSame = model.count == lastModelBytes.count && lastModelBytes.withUnsafeBytes { $0.elementsEqual(model) }
        if isSame, !lastModel.isEmpty { return }
        lastModelBytes = Array(model)
        lastModel = String(decoding: model, as: UTF8.self)
        lastAnswer = nil
        lastKey = nil
    }

    /// What identifies the request to whoever sent it; only characters that need no escape in JSON are kept.
    private func requestID(_ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser) -> String {
        guard let field = head.first(.xRequestID), field.value.count <= 128 else { return "" }
        let isPlain = bytes[field.value].allSatisfy { (33...126).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
        return isPlain ? String(decoding: bytes[field.value], as: UTF8.self) : ""
    }

    private func credential(_ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser) -> String {
        guard let field = head.first(.authorization) ?? head.first(.apiKey) ?? head.first(.xAPIKey) else { return "" }
        let text = String(decoding: bytes[field.value], as: UTF8.self)
        return text.hasPrefix("Bearer ") ? String(text.dropFirst(7)) : text
    }

    private func models(_ path: String) -> Decision {
        func entry(_ id: String) -> String { #"{"id":"\#(id)","object":"model","created":1750000000,"owned_by":"weir-simulator"}"# }
        if path == "/models" {
            let names = isDemonstration ? [Demonstration.modelName] : ["sim-ok", "sim-chunks64", "sim-in120-out64"]
            let body = #"{"object":"list","data":["# + names.map(entry).joined(separator: ",") + "]}"
            return .control(ControlEndpoints.response(status: 200, body: body))
        }
        guard path.hasPrefix("/models/") else { return refusal(404) }
        let id = String(path.dropFirst("/models/".count))
        guard Script(model: id) != nil || (isDemonstration && id == Demonstration.modelName) else { return refusal(404) }
        return .control(ControlEndpoints.response(status: 200, body: entry(id)))
    }

    // MARK: Around them

    private func refusal(_ status: Int) -> Decision {
        .control(ControlEndpoints.response(status: status, body: ErrorBody.json(status: status, model: "requested")))
    }

    private func control(get: Bool, _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser) -> Decision {
        let path = String(decoding: bytes[head.path], as: UTF8.self)
        let query = String(decoding: bytes[head.query], as: UTF8.self)
        return .control(ControlEndpoints.respond(get: get, path: path[...], query: query[...], shared: shared))
    }

    private func managedKeys(
        _ path: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser, _ body: MessageBody
    ) -> Decision {
        let reply = shared.managedKeys.respond(
            method: String(decoding: bytes[head.methodRange], as: UTF8.self), path: String(decoding: path, as: UTF8.self)[...],
            query: String(decoding: bytes[head.query], as: UTF8.self)[...], body: body.range.map { Array(bytes[$0]) } ?? body.decoded,
            key: credential(bytes, head))
        switch reply {
        case .silence(let closes): return .silence(closes: closes)
        case .answer(let status, let body, let retryAfter):
            return .control(ControlEndpoints.response(status: status, body: body, retryAfter: retryAfter))
        }
    }

    private func isAuthorised(_ bytes: UnsafeRawBufferPointer, _ head: borrowing RequestHeadParser) -> Bool {
        if shared.managedKeys.isThere, let opens = shared.managedKeys.opens(credential(bytes, head)) { return opens }
        guard !acceptedKeys.isEmpty else { return true }
        if let field = head.first(.authorization) { return acceptedAuthorizations.contains { $0.elementsEqual(bytes[field.value]) } }
        if let field = head.first(.apiKey) ?? head.first(.xAPIKey) { return acceptedKeys.contains { $0.elementsEqual(bytes[field.value]) } }
        return false
    }

    private func withoutVersion(_ path: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard path.count > 3, path[0] == UInt8(ascii: "/"), path[1] == UInt8(ascii: "v"), path[2] == UInt8(ascii: "1"),
            path[3] == UInt8(ascii: "/")
        else { return path }
        return UnsafeRawBufferPointer(rebasing: path[3...])
    }

    private func startsWith(_ path: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        path.count >= text.utf8CodeUnitCount && equals(UnsafeRawBufferPointer(rebasing: path[..<text.utf8CodeUnitCount]), text)
    }

    private func startsWithControl(_ path: UnsafeRawBufferPointer) -> Bool {
        path.count > 6 && equals(UnsafeRawBufferPointer(rebasing: path[..<6]), "/_sim/")
    }

    private func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        let start = text.utf8Start
        for index in 0..<bytes.count where bytes[index] != start[index] { return false }
        return true
    }
}
