/// Who signs administrators on.
package protocol IdentityProvider: Sendable {
    /// Where a browser is sent to.
    /// - Parameter redirect: Where the provider sends it back to.
    func authorization(_ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> String
    /// Who it was, by the code that the browser came back with. The provider is asked, and its word checked.
    func identity(code: String, _ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> VerifiedIdentity
}

/// One sign-on under way: what only the browser that began it knows. RFC 6749 §10.12, RFC 7636, OpenID Connect Core 1.0 §3.1.2.1.
package struct SignOnAttempt: Sendable, Hashable {
    package let state: String
    package let nonce: String
    /// PKCE's: 43 characters.
    package let verifier: String
    /// The tenant whose administrator it is to be; nil: whatever the person may be.
    package let tenantID: String?
    /// Unix milliseconds.
    package let endsAt: Int64

    package init(state: String, nonce: String, verifier: String, tenantID: String?, endsAt: Int64) {
        self.state = state
        self.nonce = nonce
        self.verifier = verifier
        self.tenantID = tenantID
        self.endsAt = endsAt
    }
}

/// Who the identity provider says has signed on.
package struct VerifiedIdentity: Sendable, Hashable {
    package let issuer: String
    package let subject: String
    package let name: String?
    /// In lower case; nil: none that the provider vouches for.
    package let email: String?
    package let groups: [String]

    package init(issuer: String, subject: String, name: String?, email: String?, groups: [String]) {
        self.issuer = issuer
        self.subject = subject
        self.name = name
        self.email = email
        self.groups = groups
    }
}

/// Why somebody was not signed on.
package struct SignOnRefusal: Error, Hashable, Sendable {
    package enum Reason: Sendable, Hashable {
        /// No provider is set up.
        case off
        /// The browser has not begun this sign-on, or too long ago.
        case stale
        /// The person, or the provider, has said no.
        case denied
        /// The provider does not answer, or not as one.
        case provider
        /// It is known who it is, and nobody has given him a role.
        case nobody
    }

    package let reason: Reason
    /// For the operator's log; holds no secret.
    package let text: String

    package init(_ reason: Reason, _ text: String) {
        self.reason = reason
        self.text = text
    }
}

/// Where nobody signs on.
package struct NoIdentityProvider: IdentityProvider {
    package init() {}

    package func authorization(_ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> String { throw Self.refusal }
    package func identity(code: String, _ attempt: SignOnAttempt, redirect: String) async throws(SignOnRefusal) -> VerifiedIdentity {
        throw Self.refusal
    }

    private static let refusal = SignOnRefusal(.off, "no identity provider is set up: see --oidc-issuer")
}

/// What sign-on is told.
package struct SignOnPolicy: Sendable {
    /// Who is made a person by signing on.
    package enum Newcomers: String, CaseIterable, Sendable {
        /// Nobody: people are made by hand, and found by their address.
        case none
        /// Whoever is in a group that has a role.
        case groups
    }

    /// Under which browsers reach the control plane, without a path: `https://weir.example`.
    package var origin: String
    package var newcomers: Newcomers
    /// A session that is not used for so long ends, milliseconds.
    package var idle: Int64
    /// No session lasts longer, milliseconds.
    package var lifetime: Int64
    /// Is told why somebody was not signed on.
    package var note: @Sendable (String) -> Void

    package init(
        origin: String = "http://127.0.0.1:7080", newcomers: Newcomers = .groups, idle: Int64 = 30 * 60_000,
        lifetime: Int64 = 12 * 3_600_000,
        note: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.note = note
        self.origin = origin
        self.newcomers = newcomers
        self.idle = idle
        self.lifetime = lifetime
    }

    /// Cookies go over TLS only, but on the machine itself.
    package var isSecure: Bool { origin.hasPrefix("https://") }
    package var redirect: String { origin + "/admin/callback" }
}
