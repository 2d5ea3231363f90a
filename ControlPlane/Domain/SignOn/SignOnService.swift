import Nouns
import Primitives
import Storage
package import Trust

/// Signs people on: who they are is the identity provider's word, what they may is ours.
package struct SignOnService: Sendable {
    /// How long a person may take at the provider.
    static let patience: Int64 = 10 * 60_000

    package let policy: SignOnPolicy
    package let sessions: AdminSessions
    private let domain: DomainContext
    private let people: PeopleService
    private let provider: any IdentityProvider
    private let cipher: AtRestCipher
    package init(
        _ domain: DomainContext, people: PeopleService, cipher: AtRestCipher, provider: any IdentityProvider, policy: SignOnPolicy
    ) {
        self.domain = domain
        self.people = people
        self.cipher = cipher
        self.provider = provider
        self.policy = policy
        sessions = AdminSessions(domain, policy: policy)
    }

    /// Notes for the operator what came of it.
    package func log(_ refusal: SignOnRefusal) { if refusal.reason != .off { policy.note(refusal.text) } }

    // MARK: To the provider and back

    /// - Returns: where the browser goes, and what it keeps meanwhile: sealed, so that any replica can go on and nobody can make one up.
    package func begin(tenantID: String?) async throws(SignOnRefusal) -> (location: String, kept: String) {
        func random() -> String { Base64URL.encode(SecureRandom.bytes(32)) }
        let attempt = SignOnAttempt(
            state: random(), nonce: random(), verifier: random(), tenantID: tenantID,
            endsAt: domain.clock.nowMilliseconds() + Self.patience)
        let location = try await provider.authorization(attempt, redirect: policy.redirect)
        guard let sealed = try? cipher.encrypt(attempt.json.bytes, aad: Self.binding) else {
            throw SignOnRefusal(.provider, "the attempt cannot be sealed")
        }
        return (location, Base64URL.encode(sealed))
    }

    /// - Parameters:
    ///   - kept: What `begin` gave the browser.
    ///   - error: What the provider says in place of a code.
    package func finish(
        kept: String?, state: String?, code: String?, error: String?, from remoteAddress: String, in requestID: String
    ) async throws -> (session: AdminSessions.Held, person: Person) {
        guard let attempt = kept.flatMap(opened), attempt.endsAt > domain.clock.nowMilliseconds(), let state,
            ConstantTime.equal(Array(state.utf8), Array(attempt.state.utf8))
        else { throw SignOnRefusal(.stale, "a browser came back to a sign-on that it has not begun, or too late") }
        if let error { throw SignOnRefusal(.denied, "the provider says \(String(error.prefix(64)))") }
        guard let code, !code.isEmpty, code.utf8.count <= 4096 else { throw SignOnRefusal(.denied, "the provider gave no code") }
        let identity = try await provider.identity(code: code, attempt, redirect: policy.redirect)
        return try await admit(identity, tenantID: attempt.tenantID, from: remoteAddress, in: requestID)
    }

    private static let binding = Array("sign-on".utf8)

    private func opened(_ text: String) -> SignOnAttempt? {
        guard text.utf8.count <= 2048, let sealed = Base64URL.decode(text), let bytes = try? cipher.decrypt(sealed, aad: Self.binding),
            let json = try? JSONValue(parsing: bytes)
        else { return nil }
        return SignOnAttempt(json)
    }

    // MARK: Whom it lets in

    /// What groups give in one place.
    private struct Grant {
        let tenantID: TenantID?
        var role: Role
    }

    /// Writes down what the groups give now, chooses the person that the session is for, and opens it: one transaction.
    func admit(
        _ identity: VerifiedIdentity, tenantID: String?, from remoteAddress: String, in requestID: String
    ) async throws -> (session: AdminSessions.Held, person: Person) {
        let system = Actor(
            id: "system", name: "sign-on", role: .owner, scope: .all, remoteAddress: remoteAddress, requestID: requestID)
        let result = try await people.people.write(by: system) { change -> (AdminSessions.Held, Person)? in
            let c = change.connection
            let grants = try Self.grants(identity, c)
            var mine = try Self.known(identity, c, change)
            for grant in grants { try take(grant, identity, &mine, change) }
            // Whom groups let in, and no longer do.
            for (index, person) in mine.enumerated()
            where person.content.roleSource == .groups && !grants.contains(where: { $0.tenantID == person.content.tenantID }) {
                mine[index] = try Self.shutOut(person, change)
            }
            let usable = mine.filter { $0.content.status == .active && (tenantID == nil || $0.content.tenantID?.rawValue == tenantID) }
            // One of the whole deployment first; of tenants the first that there was.
            guard let person = usable.first(where: { $0.content.tenantID == nil }) ?? usable.first else { return nil }
            try PeopleTable.noteSignIn(c, person.id.rawValue, at: change.now)
            let session = try sessions.open(person.id.rawValue, of: person.content.tenantID, c, now: change.now)
            let actor = Actor(
                id: person.id.rawValue, name: person.content.name, role: person.content.role,
                scope: person.content.tenantID.map { .tenant($0.rawValue) } ?? .all, remoteAddress: remoteAddress, requestID: requestID)
            try AuditLog.record(c, actor, "person.sign_on", id: person.id.rawValue, before: nil, after: person.audited, at: change.now)
            return (session, person)
        }
        guard let (session, person) = result else {
            throw SignOnRefusal(
                .nobody,
                "\(identity.email ?? "somebody without a verified address") (\(identity.subject)) has signed on and has no role here")
        }
        return (session, person)
    }

    private static func grants(_ identity: VerifiedIdentity, _ c: any SQLConnection) throws -> [Grant] {
        let groups = Set(identity.groups + [GroupRoleContent.everybody])
        var grants: [Grant] = []
        for item in try GroupRoleContent.all(c) where groups.contains(item.content.group) {
            if let index = grants.firstIndex(where: { $0.tenantID == item.content.tenantID }) {
                grants[index].role = Role.first(grants[index].role, item.content.role)
            } else {
                grants.append(Grant(tenantID: item.content.tenantID, role: item.content.role))
            }
        }
        return grants
    }

    /// Those that have signed on as this identity, and those that were made by hand for its address and have not signed on yet.
    private static func known(_ identity: VerifiedIdentity, _ c: any SQLConnection, _ change: NounChange) throws -> [Person] {
        let bound = try PersonContent.listed(c, where: "subject", is: identity.subject).filter { $0.content.issuer == identity.issuer }
        guard let email = identity.email else { return bound }
        let invited = try PersonContent.listed(c, where: "email", is: email).filter { person in
            person.content.subject == nil && !bound.contains { $0.content.tenantID == person.content.tenantID }
        }
        return try bound
            + invited.map { person in
                var content = person.content
                content.issuer = identity.issuer
                content.subject = identity.subject
                return try NounService<PersonContent>.put(content, over: person, "bind", change)
            }
    }

    /// What a group gives reaches a person whose role was not given by hand, or makes one.
    private func take(_ grant: Grant, _ identity: VerifiedIdentity, _ mine: inout [Person], _ change: NounChange) throws {
        if let index = mine.firstIndex(where: { $0.content.tenantID == grant.tenantID }) {
            let person = mine[index]
            guard person.content.roleSource == .groups, person.content.role != grant.role else { return }
            var content = person.content
            content.role = grant.role
            mine[index] = try NounService<PersonContent>.put(content, over: person, "group_role", change)
            return
        }
        guard policy.newcomers == .groups else { return }
        var content = PersonContent()
        content.tenantID = grant.tenantID
        content.role = grant.role
        content.roleSource = .groups
        content.issuer = identity.issuer
        content.subject = identity.subject
        // An address that another has there is not taken from him.
        let isTaken = try identity.email.map { email in
            try PersonContent.listed(change.connection, where: "email", is: email).contains { $0.content.tenantID == grant.tenantID }
        }
        content.email = isTaken == false ? identity.email : nil
        let name = [identity.name, identity.email].compactMap { $0 }.first { FieldKind.name.problems(of: .string($0), at: "").isEmpty }
        content.name = name ?? String(identity.subject.prefix(128))
        mine.append(try people.people.insert(content, id: .random(), change))
    }

    /// A person whom no group lets in any more: gone, with sessions and tokens. A group that comes back makes it anew.
    private static func shutOut(_ person: Person, _ change: NounChange) throws -> Person {
        try NounService<PersonContent>.delete(person, change)
        var gone = person
        gone.content.status = .disabled
        return gone
    }
}

extension Role {
    /// Of two that somebody has, the one that counts.
    fileprivate static func first(_ a: Role, _ b: Role) -> Role { Role.allCases.first { $0 == a || $0 == b } ?? a }
}

extension SignOnAttempt {
    fileprivate var json: JSONValue {
        [
            "state": .string(state), "nonce": .string(nonce), "verifier": .string(verifier), "tenant_id": .optional(tenantID),
            "ends_at": .int(endsAt),
        ]
    }

    fileprivate init?(_ json: JSONValue) {
        guard let state = json["state"]?.stringValue, let nonce = json["nonce"]?.stringValue,
            let verifier = json["verifier"]?.stringValue, let endsAt = json["ends_at"]?.intValue
        else { return nil }
        self.init(state: state, nonce: nonce, verifier: verifier, tenantID: json["tenant_id"]?.stringValue, endsAt: endsAt)
    }
}
