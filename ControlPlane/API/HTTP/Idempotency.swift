import Domain
import HTTPTypes
import Logging
import Primitives

/// `Idempotency-Key`: who does not know what came of a POST sends it again under the same key, and it is done once. The answer of
/// the first is given again for a day; what was refused or failed changed nothing and is not remembered.
struct Idempotency: Sendable {
    let service: IdempotencyService
    let logger: Logger

    /// - Parameter uri: The request's target as it came: another query is another request.
    func once(_ key: String, _ request: APIRequest, uri: String, handler: @escaping APIRoute.Handler) async throws -> APIResponse {
        guard !key.isEmpty, key.utf8.count <= 255, key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw DomainError.invalid(
                "Idempotency-Key", "is not 1 to 255 printable characters without spaces", remedy: "Send a random text, such as a UUID.")
        }
        let ifMatch =
            switch request.ifMatch {
            case nil: ""
            case .any: "*"
            case .revisions(let revisions): revisions.map { String($0) }.joined(separator: ",")
            }
        let whole = Array("\(request.method.rawValue)\0\(uri)\0\(ifMatch)\0".utf8) + request.body
        switch try await service.begin(try request.actor, key: key, request: whole) {
        case .attempt(let attempt): return try await make(attempt, request, handler)
        case .answered(let bytes):
            guard let answer = APIResponse(stored: bytes) else { fallthrough }
            return answer
        case .answerLost:
            return Problem(
                status: .conflict, code: "answer_lost", title: "It was done, and its answer is lost",
                detail: "A request under this Idempotency-Key took effect. What it answered was lost before it could be kept.",
                errors: [
                    FieldProblem(
                        "Idempotency-Key", "has taken effect",
                        remedy: "Look for what it made. A secret that was lost is rotated or made anew.")
                ]
            ).response(requestID: request.requestID)
        case .underWay:
            return Problem(
                status: .conflict, code: "request_under_way", title: "The same request is being worked on",
                detail: "A request under this Idempotency-Key has not ended yet.",
                errors: [
                    FieldProblem("Idempotency-Key", "is in use by a request under way", remedy: "Send the same request again shortly.")
                ],
                headers: [.retryAfter: "1"]
            ).response(requestID: request.requestID)
        case .otherRequest:
            return Problem(
                status: .unprocessableContent, code: "idempotency_key_reused", title: "The Idempotency-Key was used for another request",
                detail: "Under this key something else was asked for within the last 24 hours.",
                errors: [FieldProblem("Idempotency-Key", "belongs to another request", remedy: "Use a new key for each new request.")]
            ).response(requestID: request.requestID)
        }
    }

    private func make(_ attempt: IdempotentAttempt, _ request: APIRequest, _ handler: @escaping APIRoute.Handler) async throws
        -> APIResponse
    {
        let answer: APIResponse
        do {
            answer = try await IdempotentAttempt.$current.withValue(attempt) { try await handler(request) }
        } catch {
            // What is left behind by a database that is gone is taken over later.
            try? await service.abandon(attempt)
            throw error
        }
        do {
            if answer.status.kind == .successful {
                try await service.finish(attempt, answer: answer.stored)
            } else {
                try await service.abandon(attempt)
            }
        } catch {
            logger.warning(
                "the answer to an Idempotency-Key could not be kept",
                metadata: ["request_id": .string(request.requestID), "error": .string(String(describing: error))])
        }
        return answer
    }
}

extension HTTPField.Name {
    static var idempotencyKey: Self { Self("idempotency-key") ?? .date }
}

extension APIResponse {
    /// Status, ETag and body.
    fileprivate var stored: [UInt8] {
        let value: JSONValue = [
            "status": .int(Int64(status.code)), "etag": headers[.eTag].map { .string($0) } ?? .null,
            "body": .string(String(decoding: body, as: UTF8.self)),
        ]
        return value.bytes
    }

    fileprivate init?(stored bytes: [UInt8]) {
        guard let value = try? JSONValue(parsing: bytes), let code = value["status"]?.intValue, let body = value["body"]?.stringValue else {
            return nil
        }
        self.init(status: HTTPResponse.Status(code: Int(code)), body: Array(body.utf8))
        if !body.isEmpty { headers[.contentType] = "application/json" }
        headers[.eTag] = value["etag"]?.stringValue
    }
}
