import HTTPTypes
import Primitives
import Testing

/// A browser: what it holds, and what it sends along.
struct Browser {
    let h: ControlHarness
    var cookies: [String: String] = [:]
    var token: String?

    private var header: HTTPFields {
        var headers: HTTPFields = [:]
        if !cookies.isEmpty { headers[.cookie] = cookies.map { "\($0.key)=\($0.value)" }.joined(separator: "; ") }
        return headers
    }

    private mutating func keep(_ answer: ControlHarness.Answer) {
        for text in answer.headers[values: .setCookie] {
            let pair = text.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2 else { continue }
            cookies[pair[0]] = pair[1].isEmpty ? nil : pair[1]
        }
    }

    mutating func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: JSONValue? = nil, form: String? = nil, headers more: HTTPFields = [:]
    ) async throws -> ControlHarness.Answer {
        var headers = header
        for field in more { headers[field.name] = field.value }
        let bytes = body?.bytes ?? form.map { Array($0.utf8) }
        let answer = try await h.sendBytes(method, path, bytes, as: nil, ifMatch: method == .get ? nil : "*", headers: headers)
        keep(answer)
        return answer
    }

    /// A change as our own page makes it.
    mutating func change(_ method: HTTPRequest.Method, _ path: String, _ body: JSONValue? = nil) async throws -> ControlHarness.Answer {
        try await send(method, path, body, headers: Self.fields(["x-csrf-token": token ?? ""]))
    }

    /// - Returns: the callback's answer.
    mutating func signOn(_ query: String = "", code: String = "good") async throws -> ControlHarness.Answer {
        let login = try await send(.get, "/admin/login\(query)")
        #expect(login.status == 303)
        let state = login.headers[.location]?.split(separator: "=").last.map(String.init) ?? ""
        let answer = try await send(.get, "/admin/callback?code=\(code)&state=\(state)")
        token = try await send(.get, "/admin/api/whoami").json["csrf_token"]?.stringValue
        return answer
    }

    /// Signed on with a token, on the console's own page.
    /// - Returns: the answer to the form.
    mutating func signOn(token: String, next: String = "/admin") async throws -> ControlHarness.Answer {
        let answer = try await send(.post, "/admin/sign-in", form: "token=\(token)&next=\(next)")
        self.token = try await send(.get, "/admin/api/whoami").json["csrf_token"]?.stringValue
        return answer
    }

    /// A form of one of our pages.
    mutating func submit(_ path: String, _ members: [String: String]) async throws -> ControlHarness.Answer {
        let pairs = members.merging(["csrf_token": token ?? ""]) { given, _ in given }.map { name, value in
            let encoded = value.utf8.map { "%" + Hex.encode([$0]) }.joined()
            return "\(name)=\(encoded)"
        }
        return try await send(.post, path, form: pairs.joined(separator: "&"))
    }

    var who: JSONValue {
        mutating get async throws {
            let answer = try await send(.get, "/admin/api/whoami")
            return answer.status == 200 ? answer.json : .int(Int64(answer.status))
        }
    }

    static func fields(_ pairs: [String: String]) -> HTTPFields {
        var headers: HTTPFields = [:]
        for (name, value) in pairs { if let name = HTTPField.Name(name) { headers[name] = value } }
        return headers
    }
}
