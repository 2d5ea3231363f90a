package import Domain
package import HTTPTypes
import Primitives

/// The cookies of signing on (RFC 6265): out of reach of scripts, not sent with what other sites do but following a link and, but on the
/// machine itself, over TLS only and for this host only (`__Host-`).
package struct SessionCookie: Sendable {
    private let policy: SignOnPolicy

    package init(_ policy: SignOnPolicy) { self.policy = policy }

    private var prefix: String { policy.isSecure ? "__Host-" : "" }
    private var session: String { prefix + "weir_session" }
    private var attempt: String { prefix + "weir_sign_on" }

    package func session(in headers: HTTPFields) -> AdminSessions.Held? { value(session, headers).map { AdminSessions.Held($0) } }
    func attempt(in headers: HTTPFields) -> String? { value(attempt, headers) }

    /// Its lifetime is the row's: the browser keeps it until it is closed, or told otherwise.
    package func keeping(_ held: AdminSessions.Held) -> String { cookie(session, held.text.reveal(), maximumAge: policy.lifetime / 1000) }
    func keeping(attempt text: String) -> String { cookie(attempt, text, maximumAge: 600) }
    package var forgettingSession: String { cookie(session, "", maximumAge: 0) }
    var forgettingAttempt: String { cookie(attempt, "", maximumAge: 0) }

    private func cookie(_ name: String, _ value: String, maximumAge: Int64) -> String {
        "\(name)=\(value); Path=/; Max-Age=\(maximumAge); HttpOnly; SameSite=Lax" + (policy.isSecure ? "; Secure" : "")
    }

    /// The only one of that name: of two, somebody else may have set one.
    private func value(_ name: String, _ headers: HTTPFields) -> String? {
        let found = headers[values: .cookie].flatMap { $0.split(separator: ";") }.compactMap { pair -> String? in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].trimmingSpaces == name else { return nil }
            return String(parts[1].trimmingSpaces)
        }
        return found.count == 1 && found.first?.isEmpty == false ? found.first : nil
    }
}

/// Whether a change that comes with a cookie was meant by one of our own pages.
package enum SameSite {
    static let token = HTTPField.Name("x-csrf-token") ?? .date
    private static let fetchSite = HTTPField.Name("sec-fetch-site") ?? .date

    /// On the machine itself an address has several spellings, and a browser shows the one that was typed.
    private static let loopback: Set<Substring> = ["localhost", "127.0.0.1", "[::1]"]

    private static func isSame(_ origin: String, _ own: String) -> Bool {
        if origin == own { return true }
        guard let (scheme, host, port) = parts(of: origin), let (ownScheme, ownHost, ownPort) = parts(of: own) else { return false }
        return scheme == ownScheme && port == ownPort && loopback.contains(host) && loopback.contains(ownHost)
    }

    private static func parts(of origin: String) -> (scheme: Substring, host: Substring, port: Substring)? {
        guard let slashes = origin.firstRange(of: "://") else { return nil }
        let rest = origin[slashes.upperBound...]
        let end = rest.lastIndex(of: "]") ?? rest.startIndex
        let colon = rest[end...].firstIndex(of: ":") ?? rest.endIndex
        return (origin[..<slashes.lowerBound], rest[..<colon], rest[colon...])
    }

    /// Whether one of our own pages sent it, so far as the browser says: before anybody is signed on, nothing else tells.
    /// - Throws: `DomainError.forbidden`.
    package static func checkSignIn(_ headers: HTTPFields, _ policy: SignOnPolicy) throws(DomainError) {
        if let site = headers[fetchSite], site != "same-origin" {
            throw .forbidden(detail: "A change with a cookie has to come from a page of this control plane, not from another site.")
        }
        if let origin = headers[.origin], !isSame(origin, policy.origin) {
            throw .forbidden(detail: "A change with a cookie has to come from a page of \(policy.origin).")
        }
    }

    /// - Parameter given: The token, where it is not in the header.
    /// - Throws: `DomainError.forbidden`.
    package static func check(
        _ headers: HTTPFields, _ held: AdminSessions.Held, _ policy: SignOnPolicy, given: String? = nil
    ) throws(DomainError) {
        try checkSignIn(headers, policy)
        guard let token = given ?? headers[token], ConstantTime.equal(Array(token.utf8), Array(held.changeToken.utf8)) else {
            throw .forbidden(detail: "A change with a cookie needs the header X-CSRF-Token: GET /admin/api/whoami tells it.")
        }
    }
}
