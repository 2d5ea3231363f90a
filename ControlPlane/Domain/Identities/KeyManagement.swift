import Primitives

/// OpenRouter's management API (openrouter.ai/docs, "Management API keys"): keys are made, listed, disabled and deleted with a key that can
/// do nothing else. A key's text is in the answer that makes it and nowhere later.
struct KeyManagement: Sendable {
    struct Made: Sendable {
        let hash: String
        let key: Secret
    }

    struct Listed: Sendable, Hashable {
        let hash: String
        let name: String
    }

    /// Why something was not done, and whether it may have been all the same.
    struct Failure: Error, Hashable {
        /// For operators; without secrets.
        let text: String
        /// Nobody knows whether it was done.
        let isUnknown: Bool
        /// When the provider wants to be asked again, milliseconds.
        var retryMilliseconds: Int64?
    }

    private static let limits = OutboundRequest.Limits(milliseconds: 10_000, bytes: 1 << 20)
    /// Pages of a hundred that are looked through; more keys than that belong to no one deployment.
    private static let maximumPages = 1000

    let http: any OutboundHTTP
    /// Ends in `/api/v1` at OpenRouter itself.
    let baseURL: String
    let authorities: String
    let secret: Secret

    /// - Parameter limit: what it may spend, nano-dollars; nil: no limit of its own.
    func create(name: String, limit: NanoDollars?, reset: String?) async throws(Failure) -> Made {
        var body: JSONObject = ["name": .string(name)]
        if let limit {
            body["limit"] = .number(limit.decimalString)
            body["limit_reset"] = reset.map { .string($0) } ?? .null
        }
        let answer = try await send(.post, "/keys", body: .object(body))
        guard answer.status == 200 || answer.status == 201 else { throw refused(answer, mayHaveActed: answer.status >= 500) }
        guard let json = try? JSONValue(parsing: answer.body), let hash = json["data"]?["hash"]?.stringValue, !hash.isEmpty,
            hash.utf8.count <= 256, let key = json["key"]?.stringValue, (8...1024).contains(key.utf8.count),
            key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw Failure(text: "the answer to POST /keys holds no key", isUnknown: true) }
        return Made(hash: hash, key: Secret(key))
    }

    /// - Returns: false: there is no such key.
    func setDisabled(_ hash: String, _ isDisabled: Bool) async throws(Failure) -> Bool {
        let answer = try await send(.patch, path(hash), body: ["disabled": .bool(isDisabled)])
        if answer.status == 404 { return false }
        guard (200..<300).contains(answer.status) else { throw refused(answer, mayHaveActed: true) }
        return true
    }

    /// One that is not there is as well deleted.
    func delete(_ hash: String) async throws(Failure) {
        let answer = try await send(.delete, path(hash), body: nil)
        guard (200..<300).contains(answer.status) || answer.status == 404 else { throw refused(answer, mayHaveActed: true) }
    }

    /// Every key whose name begins so.
    func list(prefix: String) async throws(Failure) -> [Listed] {
        var found: [Listed] = []
        var offset = 0
        for _ in 0..<Self.maximumPages {
            let answer = try await send(.get, "/keys?include_disabled=true&offset=\(offset)", body: nil)
            guard answer.status == 200 else { throw refused(answer, mayHaveActed: false) }
            guard let page = (try? JSONValue(parsing: answer.body))?["data"]?.arrayValue else {
                throw Failure(text: "the answer to GET /keys is no list", isUnknown: false)
            }
            if page.isEmpty { return found }
            offset += page.count
            for entry in page {
                guard let hash = entry["hash"]?.stringValue, let name = entry["name"]?.stringValue, name.hasPrefix(prefix) else { continue }
                found.append(Listed(hash: hash, name: name))
            }
        }
        throw Failure(text: "the account has more keys than can be looked through", isUnknown: false)
    }

    private func send(_ method: OutboundRequest.Method, _ path: String, body: JSONValue?) async throws(Failure) -> OutboundAnswer {
        var headers: [(String, Secret)] = [("authorization", Secret("Bearer " + secret.reveal()))]
        if body != nil { headers.append(("content-type", Secret("application/json"))) }
        let request = OutboundRequest(
            method, baseURL + path, headers: headers, body: body.map { Array($0.text.utf8) }, reach: .configured, limits: Self.limits,
            authorities: authorities)
        do throws(OutboundFailure) {
            return try await http.send(request)
        } catch {
            throw Failure(text: error.text, isUnknown: error.wasSent)
        }
    }

    private func refused(_ answer: OutboundAnswer, mayHaveActed: Bool) -> Failure {
        let seconds = answer.header("retry-after").flatMap { Int64($0) }
        // What the provider says is not repeated: it may quote what it was sent.
        return Failure(
            text: "the provider answered \(answer.status)", isUnknown: mayHaveActed,
            retryMilliseconds: seconds.map { min(max($0, 1), 3600) * 1000 })
    }

    /// Hashes are hexadecimal; what else a provider may say goes into no path as it is.
    private func path(_ hash: String) -> String {
        "/keys/"
            + hash.utf8.map { byte -> String in
                switch byte {
                case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "_"): String(UnicodeScalar(byte))
                default: "%" + Hex.encode([byte]).uppercased()
                }
            }.joined()
    }
}
