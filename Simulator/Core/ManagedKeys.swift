import Primitives
import Synchronization

/// OpenRouter's management API: `POST /keys`, `GET /keys?offset=`, `GET/PATCH/DELETE /keys/{hash}`, for who presents a management key. A key's
/// text is in the answer that makes it and in none after; such keys open the provider's operations while they are there and not disabled.
package final class ManagedKeys: Sendable {
    package struct Key: Sendable, Hashable {
        package let hash: String
        package let name: String
        package let text: String
        package var isDisabled = false
        /// As it was given, in JSON.
        package let limit: String
    }

    /// What the next request to the API meets in place of its answer.
    package enum Fault: Sendable, Hashable {
        /// This status, and nothing done.
        case status(Int)
        /// It is done, and the connection closed without an answer.
        case lostAnswer
        /// It is done, and never answered.
        case hang
        /// It is done, and answered with what is no JSON.
        case garbage
    }

    enum Reply {
        case answer(status: Int, body: String, retryAfter: Int?)
        case silence(closes: Bool)
    }

    private struct State {
        var keys: [Key] = []
        var faults: [Fault] = []
        var made = 0
        var requests = 0
    }

    /// OpenRouter's.
    static let prefix = "sk-or-v1-"
    private static let pageSize = 100

    private let management: [String]
    private let state = Mutex(State())

    /// - Parameter management: management keys; none: there is no such API.
    init(management: [String]) { self.management = management }

    var isThere: Bool { !management.isEmpty }

    /// Those that are there, in the order in which they were made.
    package var all: [Key] { state.withLock { $0.keys } }
    /// How many were ever made.
    package var made: Int { state.withLock { $0.made } }
    package var requests: Int { state.withLock { $0.requests } }
    /// The next requests meet these, one each, in order.
    package func fail(_ faults: [Fault]) { state.withLock { $0.faults += faults } }
    /// As an owner does on the provider's pages.
    package func remove(_ hash: String) { state.withLock { state in state.keys.removeAll { $0.hash == hash } } }

    /// Whether it opens the provider's operations; nil: it is no key of this API.
    func opens(_ key: String) -> Bool? {
        if management.contains(key) { return false }
        guard key.hasPrefix(Self.prefix) else { return nil }
        return state.withLock { $0.keys.contains { $0.text == key && !$0.isDisabled } }
    }

    func respond(method: String, path: Substring, query: Substring, body: [UInt8], key: String) -> Reply {
        guard management.contains(key) else { return Self.error(401, "Invalid management key") }
        return state.withLock { state in
            state.requests += 1
            let fault = state.faults.isEmpty ? nil : state.faults.removeFirst()
            if case .status(let status)? = fault { return Self.error(status, "Simulated", retryAfter: status == 429 ? 1 : nil) }
            let reply = Self.act(&state, method, path, query, body)
            switch fault {
            case .lostAnswer: return .silence(closes: true)
            case .hang: return .silence(closes: false)
            case .garbage: return .answer(status: 201, body: "<html>busy</html>", retryAfter: nil)
            case .status, nil: return reply
            }
        }
    }

    private static func act(_ state: inout State, _ method: String, _ path: Substring, _ query: Substring, _ body: [UInt8]) -> Reply {
        let json = try? JSONValue(parsing: body)
        if path.isEmpty || path == "/" {
            switch method {
            case "GET":
                let offset = query.split(separator: "&").first { $0.hasPrefix("offset=") }.flatMap { Int($0.dropFirst(7)) } ?? 0
                let hidesDisabled = !query.contains("include_disabled=true")
                let page = state.keys.filter { !(hidesDisabled && $0.isDisabled) }.dropFirst(max(0, offset)).prefix(pageSize)
                return .answer(status: 200, body: JSONValue.object(["data": .array(page.map(shown))]).text, retryAfter: nil)
            case "POST":
                guard let name = json?["name"]?.stringValue, !name.isEmpty else { return error(400, "name is required") }
                let hash = Hex.encode(SecureRandom.bytes(32))
                let key = Key(
                    hash: hash, name: name, text: prefix + Hex.encode(SecureRandom.bytes(32)), limit: json?["limit"]?.text ?? "null")
                state.keys.append(key)
                state.made += 1
                let answer: JSONObject = ["data": shown(key), "key": .string(key.text)]
                return .answer(status: 201, body: JSONValue.object(answer).text, retryAfter: nil)
            default: return error(405, "no such method")
            }
        }
        guard let index = state.keys.firstIndex(where: { $0.hash == path.dropFirst() }) else { return error(404, "API key not found") }
        switch method {
        case "GET": break
        case "PATCH":
            guard let json else { return error(400, "no JSON") }
            if case .bool(let isDisabled)? = json["disabled"] { state.keys[index].isDisabled = isDisabled }
        case "DELETE":
            state.keys.remove(at: index)
            return .answer(status: 200, body: #"{"deleted":true}"#, retryAfter: nil)
        default: return error(405, "no such method")
        }
        return .answer(status: 200, body: JSONValue.object(["data": shown(state.keys[index])]).text, retryAfter: nil)
    }

    private static func shown(_ key: Key) -> JSONValue {
        [
            "hash": .string(key.hash), "name": .string(key.name), "label": .string(String(key.text.prefix(12)) + "..."),
            "disabled": .bool(key.isDisabled), "usage": 0, "limit": (try? JSONValue(parsing: key.limit)) ?? .null,
        ]
    }

    private static func error(_ status: Int, _ message: String, retryAfter: Int? = nil) -> Reply {
        let body: JSONObject = ["error": ["code": .int(Int64(status)), "message": .string(message)]]
        return .answer(status: status, body: JSONValue.object(body).text, retryAfter: retryAfter)
    }
}
