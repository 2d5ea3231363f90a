package import Domain
package import HTTPTypes
package import Primitives

/// What a handler answers. The dispatcher adds the request's id and the headers that every answer has.
package struct APIResponse: Sendable {
    package var status: HTTPResponse.Status
    package var headers: HTTPFields
    package var body: [UInt8]
    /// More than `body`, read and sent piece by piece: a piece and where the next one begins; nil: that was the last.
    var more: (after: Cursor, piece: Piece)?

    /// What follows `body` for as long as somebody listens; nil from it: that was the last. It answers within about a second, with no bytes
    /// where there is nothing to say, so that a process that stops is not kept.
    package var events: (@Sendable () async throws -> [UInt8]?)?

    package typealias Piece = @Sendable (_ after: Cursor?) async throws -> (bytes: [UInt8], next: Cursor?)

    package init(status: HTTPResponse.Status, headers: HTTPFields = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok, revision: Int64? = nil) -> APIResponse {
        var headers: HTTPFields = [.contentType: "application/json"]
        if let revision { headers[.eTag] = "\"\(revision)\"" }
        return APIResponse(status: status, headers: headers, body: value.bytes)
    }

    /// A list of any length, of which one piece is held at a time. What goes wrong with the first is answered as a problem; what goes wrong
    /// later breaks the answer off.
    package static func streamed(contentType: String, after: Cursor?, _ piece: @escaping Piece) async throws -> APIResponse {
        let first = try await piece(after)
        var response = APIResponse(status: .ok, headers: [.contentType: contentType], body: first.bytes)
        response.more = first.next.map { ($0, piece) }
        return response
    }

    /// 303: whatever the method was, the next is a GET (RFC 9110 §15.4.4).
    /// - Parameter cookies: `Set-Cookie` fields.
    package static func redirect(to location: String, _ cookies: [String] = []) -> APIResponse {
        var headers: HTTPFields = [.location: location]
        for cookie in cookies { headers.append(HTTPField(name: .setCookie, value: cookie)) }
        return APIResponse(status: .seeOther, headers: headers)
    }

    package static let noContent = APIResponse(status: .noContent)

    /// One page of a list.
    /// - Parameter beside: What is told beside the items.
    package static func list<Item>(_ page: Page<Item>, _ beside: JSONObject = [:], _ render: (Item) -> JSONValue) -> APIResponse {
        var answer = page.json(render)
        for member in beside.members { answer[member.name] = member.value }
        return .json(.object(answer))
    }

    package static func text(_ text: String, contentType: String, status: HTTPResponse.Status = .ok) -> APIResponse {
        APIResponse(status: status, headers: [.contentType: contentType], body: Array(text.utf8))
    }
}

/// `application/problem+json` (RFC 9457).
package struct Problem: Sendable {
    package let status: HTTPResponse.Status
    /// Stable, for programs: the last part of the type URI.
    package let code: String
    package let title: String
    package let detail: String
    package let errors: [FieldProblem]
    package var headers: HTTPFields = [:]

    package init(
        status: HTTPResponse.Status, code: String, title: String, detail: String, errors: [FieldProblem] = [], headers: HTTPFields = [:]
    ) {
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = headers
    }

    package init(_ error: DomainError) {
        switch error {
        case .unauthenticated(let detail):
            self.init(
                status: .unauthorized, code: "unauthenticated", title: "Not authenticated", detail: detail,
                headers: [.wwwAuthenticate: "Bearer realm=\"weir\""])
        case .forbidden(let detail):
            self.init(status: .forbidden, code: "forbidden", title: "Not allowed", detail: detail)
        case .notFound(let kind, let id):
            self.init(status: .notFound, code: "not_found", title: "Not found", detail: "There is no \(kind) \(id).")
        case .invalid(let problems):
            let fields = problems.map { "\($0.field) \($0.message)" }.joined(separator: "; ")
            self.init(
                status: .badRequest, code: "invalid", title: "The request is not valid", detail: String(fields.prefix(1000)),
                errors: problems)
        case .conflict(let detail, let problems):
            self.init(
                status: .conflict, code: "conflict", title: "The state of the system does not allow it", detail: detail, errors: problems)
        case .preconditionFailed(let current):
            self.init(
                status: .preconditionFailed, code: "precondition_failed", title: "It was changed in the meantime",
                detail: "The revision given in If-Match is not the current one, \"\(current)\".",
                errors: [
                    FieldProblem("If-Match", "is not \"\(current)\"", remedy: "Read it again, look at what changed, and send its new ETag.")
                ])
        case .preconditionRequired:
            self.init(
                status: .preconditionRequired, code: "precondition_required", title: "If-Match is missing",
                detail: "A change needs the revision it is based on.",
                errors: [FieldProblem("If-Match", "is missing", remedy: "Read the object and send its ETag in the header If-Match.")])
        case .tooLarge(let limit):
            self.init(
                status: .contentTooLarge, code: "too_large", title: "The request's body is too large",
                detail: "At most \(limit) bytes are read.",
                errors: [
                    FieldProblem(
                        "body", "is larger than \(limit) bytes",
                        remedy: "Send it in parts: of a document, list by list, first what others refer to.")
                ])
        case .tooMany(let detail, let seconds):
            self.init(
                status: .tooManyRequests, code: "too_many_requests", title: "Too many at one time", detail: detail,
                headers: [.retryAfter: String(seconds)])
        case .unavailable(let detail):
            self.init(
                status: .serviceUnavailable, code: "unavailable", title: "Try again shortly", detail: detail, headers: [.retryAfter: "1"])
        }
    }

    /// A fault of ours. What it was is in the log under the request's id, never in the answer.
    package static let internalError = Problem(
        status: .internalServerError, code: "internal", title: "Internal error",
        detail: "Something went wrong on our side. The log has it under this request_id.")

    /// The request's form leaves open what is meant, or how another would read it.
    package static func ambiguous(_ reason: String) -> Problem {
        Problem(
            status: .badRequest, code: "ambiguous_request", title: "The request is not written in the one way that is taken",
            detail: "\(reason.prefix(1).uppercased())\(reason.dropFirst()).")
    }

    static let headTooLarge = Problem(
        status: .requestHeaderFieldsTooLarge, code: "head_too_large", title: "The request's head is too large",
        detail: "Its target and each of its header fields may have 16 KiB, all together 64 KiB, and there may be 100 fields.")

    static let bodyCutOff = Problem(
        status: .badRequest, code: "body_cut_off", title: "The request's body is not complete",
        detail: "The connection ended, or broke HTTP's rules, before the body had come.")

    package static func unknownPath(_ path: String) -> Problem {
        Problem(status: .notFound, code: "unknown_path", title: "Not found", detail: "There is nothing at \(path.prefix(200)).")
    }

    package static func methodNotAllowed(_ method: String, allowed: [String]) -> Problem {
        let list = allowed.joined(separator: ", ")
        return Problem(
            status: .methodNotAllowed, code: "method_not_allowed", title: "Method not allowed",
            detail: "\(method.prefix(32)) is not possible here; \(list) is.", headers: [.allow: list])
    }

    package func response(requestID: String) -> APIResponse {
        var object: JSONObject = [
            "type": .string("urn:weir:problem:\(code)"), "title": .string(title), "status": .int(Int64(status.code)),
            "detail": .string(detail),
        ]
        if !errors.isEmpty {
            object["errors"] = .array(
                errors.map { ["field": .string($0.field), "message": .string($0.message), "remedy": .string($0.remedy)] })
        }
        object["request_id"] = .string(requestID)
        var headers = headers
        headers[.contentType] = "application/problem+json"
        return APIResponse(status: status, headers: headers, body: JSONValue.object(object).bytes)
    }
}
