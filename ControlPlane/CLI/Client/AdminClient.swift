import Foundation
import FoundationNetworking
import Primitives

/// One answer of the admin API.
struct Answer: Sendable {
    /// The body as it came.
    let text: String
    let json: JSONValue
    /// The revision for `If-Match`.
    let etag: String?
}

/// Speaks the admin API: bearer token, JSON both ways, problems as `Failure`.
struct AdminClient: Sendable {
    private let base: URL
    private let token: String
    private let session: URLSession

    init(address: String, token: String) throws {
        guard let url = URL(string: address), ["http", "https"].contains(url.scheme?.lowercased() ?? ""), url.host?.isEmpty == false else {
            throw Failure.usage("\"\(address)\" is no http:// or https:// address of a control plane")
        }
        base = url
        self.token = token
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = 60
        configuration.httpShouldSetCookies = false
        // A redirect would carry the token elsewhere: the delegate refuses it, and the 3xx is reported as it is.
        session = URLSession(configuration: configuration, delegate: NoRedirects(), delegateQueue: nil)
    }

    /// - Parameters:
    ///   - path: below `/admin/api/`, already percent-encoded where it holds user text (`segment`).
    ///   - query: sent in this order.
    func send(
        _ method: String, _ path: String, query: [(String, String)] = [], body: JSONValue? = nil, ifMatch: String? = nil
    ) async throws -> Answer {
        var request = try request(method, path, query: query)
        if let ifMatch { request.setValue(ifMatch, forHTTPHeaderField: "If-Match") }
        if let body {
            request.httpBody = Data(body.bytes)
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        }
        // Whatever creates or acts may be sent again: under one key it is done once.
        if method == "POST" { request.setValue("weir-" + Base32.encode(SecureRandom.bytes(16)), forHTTPHeaderField: "Idempotency-Key") }
        let (data, response) = try await exchange(request)
        guard let response = response as? HTTPURLResponse else {
            throw Failure.unreachable("\(base.absoluteString) did not answer with HTTP")
        }
        let text = String(decoding: data, as: UTF8.self)
        let json = try? JSONValue(parsing: data)
        guard (200..<300).contains(response.statusCode), json != nil || data.isEmpty else {
            throw Failure.refused(status: response.statusCode, problem: json, text: text)
        }
        return Answer(text: text, json: json ?? .null, etag: response.value(forHTTPHeaderField: "ETag"))
    }

    private func request(_ method: String, _ path: String, query: [(String, String)]) throws -> URLRequest {
        var components = URLComponents()
        components.queryItems = query.isEmpty ? nil : query.map { URLQueryItem(name: $0.0, value: $0.1) }
        // URLComponents leaves "+" alone, which a server may read as a space: timestamps with an offset hold one.
        let encoded = components.percentEncodedQuery?.replacingOccurrences(of: "+", with: "%2B")
        let address = base.absoluteString.trimmingSuffix("/") + "/admin/api/" + path + (encoded.map { "?" + $0 } ?? "")
        guard let url = URL(string: address) else { throw Failure.usage("\"\(path)\" makes no address") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
        request.setValue("application/json", forHTTPHeaderField: "Accept")
        return request
    }

    /// An answer of any length, by way of a file: nothing of it is shown before all of it is there.
    /// - Parameter path: Where it is to be; nil: on standard output.
    func download(_ resource: String, query: [(String, String)], to path: String?) async throws {
        let request = try request("GET", resource, query: query)
        let (session, base) = (session, base)
        let kept = FileManager.default.temporaryDirectory.appendingPathComponent("weir-" + Base32.encode(SecureRandom.bytes(10)))
        defer { try? FileManager.default.removeItem(at: kept) }
        let status: Int = try await withCheckedThrowingContinuation { continuation in
            session.downloadTask(with: request) { file, response, error in
                guard let file, let status = (response as? HTTPURLResponse)?.statusCode else {
                    let why = error?.localizedDescription ?? "no answer"
                    continuation.resume(
                        throwing: Failure.unreachable("cannot reach the control plane at \(base.absoluteString): \(why)"))
                    return
                }
                // The file goes when this returns.
                continuation.resume(with: Result { try FileManager.default.moveItem(at: file, to: kept) }.map { status })
            }.resume()
        }
        guard (200..<300).contains(status) else {
            let data = (try? Data(contentsOf: kept)) ?? Data()
            throw Failure.refused(status: status, problem: try? JSONValue(parsing: data), text: String(decoding: data, as: UTF8.self))
        }
        guard let path else {
            let handle = try FileHandle(forReadingFrom: kept)
            while let piece = try handle.read(upToCount: 1 << 20), !piece.isEmpty { try FileHandle.standardOutput.write(contentsOf: piece) }
            return
        }
        do {
            try? FileManager.default.removeItem(atPath: path)
            try FileManager.default.moveItem(at: kept, to: URL(fileURLWithPath: path))
        } catch {
            throw Failure.usage("\(path) cannot be written: \(error.localizedDescription)")
        }
    }

    /// Sends a request; a POST whose outcome is not known, because the connection was lost or the control plane was busy, again.
    private func exchange(_ request: URLRequest) async throws -> (Data, URLResponse) {
        var pauses = request.httpMethod == "POST" ? Self.pauses[...] : []
        while true {
            do {
                let (data, response) = try await session.data(for: request)
                guard let status = (response as? HTTPURLResponse)?.statusCode, status == 503 || Self.isUnderWay(status, data),
                    let pause = pauses.popFirst()
                else { return (data, response) }
                try await Task.sleep(for: pause)
            } catch {
                guard let pause = pauses.popFirst() else {
                    throw Failure.unreachable("cannot reach the control plane at \(base.absoluteString): \(error.localizedDescription)")
                }
                try await Task.sleep(for: pause)
            }
        }
    }

    private static let pauses: [Duration] = [.milliseconds(200), .milliseconds(700), .seconds(2)]

    /// The attempt before this one has not ended yet.
    private static func isUnderWay(_ status: Int, _ data: Data) -> Bool {
        status == 409 && (try? JSONValue(parsing: data))?.string("type") == "urn:weir:problem:request_under_way"
    }

    /// GET for the revision, then the change with `If-Match`, so that nothing is overwritten that was changed in between.
    func change(_ method: String, _ path: String, body: JSONValue? = nil, ifMatch: String?) async throws -> Answer {
        var revision = ifMatch
        if revision == nil { revision = try await send("GET", path).etag }
        return try await send(method, path, body: body, ifMatch: revision)
    }

    /// One page, or with `all` every page as one list.
    func list(_ path: String, query: [(String, String)], all: Bool) async throws -> Answer {
        let first = try await send("GET", path, query: query)
        guard all, var cursor = first.json.string("next_cursor") else { return first }
        var items = first.json.list("items")
        while true {
            let page = try await send("GET", path, query: query.filter { $0.0 != "cursor" } + [("cursor", cursor)])
            items += page.json.list("items")
            guard let next = page.json.string("next_cursor"), next != cursor else { break }
            cursor = next
        }
        var whole = JSONObject(members: [.init(name: "items", value: .array(items)), .init(name: "next_cursor", value: .null)])
        if let since = first.json["sorted_since"] { whole["sorted_since"] = since }
        let json = JSONValue.object(whole)
        return Answer(text: json.text, json: json, etag: nil)
    }

    /// User text as one path segment.
    static func segment(_ text: String) throws -> String {
        let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "_-~"))
        guard !text.isEmpty, let encoded = text.addingPercentEncoding(withAllowedCharacters: allowed) else {
            throw Failure.usage("an id may not be empty")
        }
        return encoded
    }
}

private final class NoRedirects: NSObject, URLSessionTaskDelegate, Sendable {
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse, newRequest request: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }
}
