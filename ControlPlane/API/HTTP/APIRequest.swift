package import Domain
package import HTTPTypes
package import Primitives

/// Who sent a request, as far as the route asked to know.
package enum Caller: Sendable {
    case anonymous
    case admin(Actor)
    case key(KeyCaller)
}

/// A request as its handler sees it: authenticated, authorised, its body read and bounded.
package struct APIRequest: Sendable {
    package let method: HTTPRequest.Method
    package let path: String
    /// The values of the pattern's `{names}`.
    package let parameters: [String: String]
    package let query: QueryParameters
    package let body: [UInt8]
    package let ifMatch: IfMatch?
    package let caller: Caller
    package let requestID: String
    /// As they came.
    package let headers: HTTPFields
    package let remoteAddress: String

    package init(
        method: HTTPRequest.Method, path: String, parameters: [String: String], query: QueryParameters, body: [UInt8], ifMatch: IfMatch?,
        caller: Caller, requestID: String, headers: HTTPFields = [:], remoteAddress: String = ""
    ) {
        self.headers = headers
        self.remoteAddress = remoteAddress
        self.method = method
        self.path = path
        self.parameters = parameters
        self.query = query
        self.body = body
        self.ifMatch = ifMatch
        self.caller = caller
        self.requestID = requestID
    }

    func with(query: QueryParameters? = nil, body: [UInt8]? = nil) -> APIRequest {
        APIRequest(
            method: method, path: path, parameters: parameters, query: query ?? self.query, body: body ?? self.body, ifMatch: ifMatch,
            caller: caller, requestID: requestID, headers: headers, remoteAddress: remoteAddress)
    }

    /// The administrator that asks. Routes that declare a permission always have one.
    package var actor: Actor {
        get throws(DomainError) {
            guard case .admin(let actor) = caller else { throw .unauthenticated(detail: "This needs an administrator's token.") }
            return actor
        }
    }

    /// The virtual key that asks. Routes that declare `.virtualKey` always have one.
    package var keyCaller: KeyCaller {
        get throws(DomainError) {
            guard case .key(let caller) = caller else { throw .unauthenticated(detail: "This needs a virtual key.") }
            return caller
        }
    }

    /// The `{id}` of the path.
    /// - Throws: `DomainError.notFound` when it is not even an identifier of this kind: nothing can be there.
    package func id<Kind: IdentifierKind>(_ noun: String, as kind: ID<Kind>.Type = ID<Kind>.self) throws(DomainError) -> ID<Kind> {
        try Self.identifier(parameters["id"] ?? "", of: noun)
    }

    /// - Throws: `DomainError.notFound` for what is no identifier of this kind.
    package static func identifier<Kind: IdentifierKind>(_ text: String, of noun: String) throws(DomainError) -> ID<Kind> {
        guard let id = try? ID<Kind>.parse(text) else { throw .notFound(kind: noun, id: String(text.prefix(64))) }
        return id
    }

    /// Which part of `list` is wanted: `?limit=&cursor=`.
    package func page(of list: String) throws(DomainError) -> PageRequest {
        let limit = try query.integer("limit", in: 1...Int64(PageRequest.maximumLimit)) ?? Int64(PageRequest.defaultLimit)
        return PageRequest(
            limit: Int(limit), after: try query["cursor"].map { (text) throws(DomainError) in try Cursor(text: text, list: list) })
    }

    /// The body as a JSON object, read member by member; every problem found is reported at once.
    /// - Throws: `DomainError.invalid` for what is no JSON object, and for each wrong, missing or unknown member.
    package func fields<R>(_ read: (FieldReader) throws -> R) throws -> R {
        let problems = ProblemList()
        let reader = FieldReader(try object(), problems: problems)
        let result = try read(reader)
        reader.finish()
        try problems.throwIfAny()
        return result
    }

    /// For a POST that takes no members: an empty body or an empty object.
    package func expectNoFields() throws {
        if !body.isEmpty { try fields { _ in } }
    }

    func object() throws(DomainError) -> JSONObject {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: body)
        } catch {
            throw .invalid(
                "body", "is not JSON: \(error.reason) at byte \(error.offset)",
                remedy: body.isEmpty ? "Send a JSON object as the request's body." : "Correct the JSON text of the request's body.")
        }
        guard !value.containsZero else {
            throw .invalid("body", "holds a text with a zero byte", remedy: "Leave the character U+0000 out.")
        }
        guard case .object(let object) = value else {
            throw .invalid("body", "is \(value.typeName), not an object", remedy: "Send a JSON object: {…}.")
        }
        return object
    }

    /// The revision that the caller's change is based on, from `If-Match`; the row is at `current`. RFC 9110 §13.1.1.
    /// - Throws: `preconditionRequired` without the header, `preconditionFailed` when no tag in it is the current one.
    package func expectedRevision(current: Int64) throws(DomainError) -> Int64 {
        switch ifMatch {
        case nil: throw .preconditionRequired
        case .any: return current
        case .revisions(let revisions):
            guard revisions.contains(current) else { throw .preconditionFailed(current: current) }
            return current
        }
    }

    /// The same for actions that also make sense without it: nil when there is no header.
    package func optionalRevision(current: Int64) throws(DomainError) -> Int64? {
        ifMatch == nil ? nil : try expectedRevision(current: current)
    }
}

/// An `If-Match` header. Tags that are not ours (weak, not a number) match nothing.
package enum IfMatch: Hashable, Sendable {
    case any
    case revisions([Int64])

    /// Those that were seen; nil: any.
    package var named: [Int64]? { if case .revisions(let revisions) = self { revisions } else { nil } }

    package init(header: String) {
        let parts = header.split(separator: ",").map { $0.trimmingSpaces }
        if parts == ["*"] {
            self = .any
            return
        }
        self = .revisions(
            parts.compactMap { part in
                guard part.count >= 3, part.hasPrefix("\""), part.hasSuffix("\"") else { return nil }
                return Int64(part.dropFirst().dropLast())
            })
    }
}

extension Substring {
    var trimmingSpaces: Substring {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}

extension JSONValue {
    /// Whether U+0000 is in any text of it: Postgres cannot store it, and nothing we take needs it.
    fileprivate var containsZero: Bool {
        switch self {
        case .string(let text): text.utf8.contains(0)
        case .array(let elements): elements.contains(where: \.containsZero)
        case .object(let object): object.members.contains { $0.name.utf8.contains(0) || $0.value.containsZero }
        default: false
        }
    }
}
