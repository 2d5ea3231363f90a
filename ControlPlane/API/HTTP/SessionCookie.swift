import Domain
import HTTPTypes
import Primitives

/// The cookies of signing on (RFC 6265): out of reach of scripts, not sent with what other sites do but following a link and, but on the
/// machine itself, over TLS only and for this host only (`__Host-`).
struct SessionCookie: Sendable {
    private let policy: SignOnPolicy

    init(_ policy: SignOnPolicy) { self.policy = policy }

    private var prefix: String { policy.isSecure ? "__Host-" : "" }
    private var session: String { prefix + "weir_session" }
    private var attempt: String { prefix + "weir_sign_on" }

    func session(in headers: HTTPFields) -> AdminSessions.Held? { value(session, headers).map { AdminSessions.Held($0) } }
    func attempt(in headers: HTTPFields) -> String? { value(attempt, headers) }

    /// Its lifetime is the row's: the browser keeps it until it is closed, or told otherwise.
    func keeping(_ held: AdminSessions.Held) -> String { cookie(session, held.text.reveal(), maximumAge: policy.lifetime / 1000) }
    func keeping(attempt text: String) -> String { cookie(attempt, text, maximumAge: 600) }
    var forgettingSession: String { cookie(session, "", maximumAge: 0) }
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
enum SameSite {
    static let token = HTTPField.Name("x-csrf-token") ?? .date
    private static let fetchSite = HTTPField.Name("sec-fetch-site") ?? .date

    /// - Parameter given: The token, where it is not in the header.
    /// - Throws: `DomainError.forbidden`.
    static func check(
        _ headers: HTTPFields, _ held: AdminSessions.Held, _ policy: SignOnPolicy, given: String? = nil
    ) throws(DomainError) {
        if let site = headers[fetchSite], site != "same-origin" {
            throw .forbidden(detail: "A change with a cookie has to come from a page of this control plane, not from another site.")
        }
        if let origin = headers[.origin], origin != policy.origin {
            throw .forbidden(detail: "A change with a cookie has to come from a page of \(policy.origin).")
        }
        guard let token = given ?? headers[token], ConstantTime.equal(Array(token.utf8), Array(held.changeToken.utf8)) else {
            throw .forbidden(detail: "A change with a cookie needs the header X-CSRF-Token: GET /admin/api/whoami tells it.")
        }
    }
}
