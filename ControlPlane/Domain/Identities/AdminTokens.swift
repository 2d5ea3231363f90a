package import Nouns
package import Primitives
package import Storage
import Trust

package typealias AdminToken = Entity<AdminTokenContent>

extension AdminTokenContent: Administered {
    package static var scope: NounScope { .administration }
    package static var tableName: String { "admin_tokens" }
    package static var permission: Permission { .administer }
    package static var readPermission: Permission { .administer }

    package func problems(replacing old: AdminTokenContent?, now: Int64) -> [FieldProblem] {
        if let old, old.isBreakGlass, expiresAt != old.expiresAt || role != old.role {
            return [
                FieldProblem(
                    "id", "was made for an emergency and is not changed",
                    remedy: "Delete it, and make another with weir-control break-glass.")
            ]
        }
        return expiresAt == old?.expiresAt ? [] : FieldProblem.past("expires_at", expiresAt, now: now)
    }

    /// An owner whose token does not run out stays: nobody could let anybody in again.
    package func problems(id: AdminTokenID, replacing old: AdminTokenContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        if old?.isLastingOwner == true, !isLastingOwner { try LastingOwners.checkAnother(c, than: id.rawValue) }
        return []
    }

    package static func willDelete(_ token: AdminToken, _ change: NounChange) throws {
        if token.content.isLastingOwner { try LastingOwners.checkAnother(change.connection, than: token.id.rawValue) }
    }

    var isLastingOwner: Bool { tenantID == nil && personID == nil && role == .owner && expiresAt == nil }

    /// What its plaintext begins with. A release that knows neither tenants' administrators nor people would take their tokens for those of
    /// the whole deployment, if they looked like them.
    fileprivate var textPrefix: String {
        tenantID == nil && personID == nil ? VirtualKeyText.adminTokenPrefix : VirtualKeyText.scopedTokenPrefix
    }
}

/// Administrators' bearer tokens, with a role each.
package struct AdminTokenService: Sendable {
    /// A token and its plaintext, which is shown now and never again.
    package struct Issued: Sendable {
        package let token: AdminToken
        package let plaintext: Secret
    }

    package let nouns: NounService<AdminTokenContent>

    package init(_ domain: DomainContext) {
        nouns = NounService(domain)
    }

    /// Who asks with this plaintext. Looked up by the id in it, compared as a SHA-256 digest in constant time.
    /// - Throws: `DomainError.unauthenticated`, which does not say whether it is unknown, wrong or expired.
    package func authenticate(_ plaintext: String) async throws -> Actor {
        let refusal = DomainError.unauthenticated(detail: "The token is not valid.")
        let prefixes = [VirtualKeyText.adminTokenPrefix, VirtualKeyText.scopedTokenPrefix]
        guard let text = prefixes.lazy.compactMap({ VirtualKeyText(parsing: plaintext, prefix: $0) }).first else { throw refusal }
        let digest = SHA256Digest.of(Array(plaintext.utf8))
        let found = try await nouns.domain.read(as: .all) { c in
            try AdminTokenContent.find(c, AdminTokenKind.prefix + text.idSuffix).map { token in
                (token: token, person: try token.content.personID.flatMap { try PersonContent.find(c, $0.rawValue) })
            }
        }
        let now = nouns.now
        guard let (token, person) = found, ConstantTime.equal(token.content.sha256.bytes, digest),
            let actor = Self.actor(with: token, person, at: now)
        else { throw refusal }
        try await noteUse(token, now)
        return actor
    }

    /// Who asks with `token`; nil: it has ended, or its person may do nothing.
    static func actor(with token: AdminToken, _ person: Person?, at now: Int64) -> Actor? {
        if let expires = token.content.expiresAt, expires <= now { return nil }
        let scope = token.content.tenantID.map { TenantScope.tenant($0.rawValue) } ?? .all
        guard token.content.personID != nil else {
            return Actor(id: token.id.rawValue, name: token.content.name, role: token.content.role, scope: scope)
        }
        // What a person may is looked up with each request, and a token may do no more.
        guard let person, person.content.status == .active, person.content.tenantID == token.content.tenantID else { return nil }
        return Actor(
            id: person.id.rawValue, name: person.content.name, role: person.content.role, tokenRole: token.content.role, scope: scope)
    }

    /// Signs a browser on with a token: it keeps a session, and never the token. The session ends with the token.
    /// - Throws: `DomainError.unauthenticated`.
    package func signOn(_ plaintext: String, _ sessions: AdminSessions) async throws -> AdminSessions.Held {
        _ = try await authenticate(plaintext)
        let prefixes = [VirtualKeyText.adminTokenPrefix, VirtualKeyText.scopedTokenPrefix]
        guard let text = prefixes.lazy.compactMap({ VirtualKeyText(parsing: plaintext, prefix: $0) }).first else {
            throw .unauthenticated(detail: "The token is not valid.") as DomainError
        }
        return try await nouns.domain.observe(as: .all) { [now = nouns.now] c in
            let token = try AdminTokenContent.present(c, AdminTokenID(AdminTokenKind.prefix + text.idSuffix))
            return try sessions.open(token.id.rawValue, of: token.content.tenantID, c, now: now)
        }
    }

    /// To the minute. An emergency's token is written down in the audit log with each use.
    private func noteUse(_ token: AdminToken, _ now: Int64) async throws {
        guard token.content.lastUsedAt.map({ $0 < now - 60_000 }) ?? true else { return }
        try await nouns.domain.observe(as: .all) { c in
            try PeopleTable.noteUse(c, tokenID: token.id.rawValue, at: now)
            guard token.content.isBreakGlass else { return }
            let actor = Actor(id: token.id.rawValue, name: token.content.name, role: token.content.role, scope: .all)
            try AuditLog.record(c, actor, "token.break_glass_use", id: token.id.rawValue, before: nil, after: token.audited, at: now)
        }
    }

    /// When who asks was made, and when his token ends (Unix milliseconds). A person does not end.
    package func times(of actor: Actor) async throws -> (createdAt: Int64, expiresAt: Int64?) {
        try await nouns.domain.read(as: actor.scope) { c in
            if let person = try PersonContent.find(c, actor.id) { return (person.createdAt, nil) }
            let token = try AdminTokenContent.present(c, AdminTokenID(actor.id))
            return (token.createdAt, token.content.expiresAt)
        }
    }

    /// Who acts for a tenant makes tokens of that tenant.
    package func create(_ content: AdminTokenContent, by actor: Actor) async throws -> Issued {
        var content = content
        content.tenantID = content.tenantID ?? actor.tenantID
        let (id, prepared, plaintext) = Self.prepared(content)
        return Issued(token: try await nouns.create(prepared, id: id, by: actor), plaintext: plaintext)
    }

    private static let ownLifetime: Int64 = 90 * 86_400_000

    /// Nil for who is no person that has signed on: a token has none of its own, and does not make itself a successor.
    private static func person(_ actor: Actor) -> PersonID? { actor.tokenRole == nil ? try? PersonID.parse(actor.id) : nil }

    /// Of the person who asks, oldest first.
    package func own(of actor: Actor) async throws -> [AdminToken] {
        guard let person = Self.person(actor) else { return [] }
        return try await nouns.domain.read(as: actor.scope) { c in
            try AdminTokenContent.listed(c, where: "person_id", is: person.rawValue)
        }
    }

    /// - Parameters:
    ///   - role: What it may do at most; nil: what the person may now.
    ///   - expiresAt: Unix milliseconds; nil: in 90 days.
    package func createOwn(name: String, role: Role?, expiresAt: Int64?, by actor: Actor) async throws -> Issued {
        guard let person = Self.person(actor) else {
            throw DomainError.conflict(
                "person_id", "is missing: who asks is no person who has signed on", remedy: "Sign on first: /admin/login.")
        }
        var content = AdminTokenContent()
        content.personID = person
        content.tenantID = actor.tenantID
        content.name = name
        content.role = role ?? actor.role
        content.expiresAt = expiresAt ?? nouns.now + Self.ownLifetime
        let (id, prepared, plaintext) = Self.prepared(content)
        return Issued(token: try await nouns.create(prepared, id: id, by: actor), plaintext: plaintext)
    }

    package func deleteOwn(_ id: AdminTokenID, at revision: Int64?, by actor: Actor) async throws {
        let missing = DomainError.notFound(kind: "token", id: id.rawValue)
        guard let person = Self.person(actor) else { throw missing }
        try await nouns.write(by: actor) { change in
            let token = try AdminTokenContent.present(change.connection, id)
            guard token.content.personID == person else { throw missing }
            if let revision { try checkRevision(revision, current: token.revision) }
            try NounService<AdminTokenContent>.remove(token, change)
        }
    }

    /// For an emergency, at the server: an owner for some hours. See `weir-control break-glass`.
    /// - Parameter deliver: As of `create`.
    package func breakGlass(
        reason: String, lifetime: Int64, deliver: @escaping @Sendable (Secret) throws -> Void
    ) async throws -> AdminToken {
        var content = AdminTokenContent()
        content.name = "break-glass \(RFC3339.string(milliseconds: nouns.now)) \(reason)"
        content.role = .owner
        content.expiresAt = nouns.now + lifetime
        content.isBreakGlass = true
        let (id, prepared, plaintext) = Self.prepared(content)
        try NounService<AdminTokenContent>.check(prepared.fieldProblems(replacing: nil))
        return try await nouns.write(by: .system("break-glass")) { change in
            let token = try nouns.insert(prepared, id: id, change)
            try deliver(plaintext)
            return token
        }
    }

    /// For the command line of a first start.
    /// - Parameters:
    ///   - onlyIfNone: Create nothing, and answer nil, when there is an administrator.
    ///   - deliver: Hands the plaintext over before the token exists: a crash in between leaves a token that is not valid, never
    ///     a valid one that nobody has. Called again when the transaction is.
    package func create(
        _ content: AdminTokenContent, by actor: Actor, onlyIfNone: Bool, deliver: @escaping @Sendable (Secret) throws -> Void
    ) async throws -> Issued? {
        let (id, content, plaintext) = Self.prepared(content)
        let token = try await nouns.write(by: actor) { change -> AdminToken? in
            if onlyIfNone, try !AdminTokenContent.table.list(change.connection, condition: "tenant_id IS NULL", limit: 1).isEmpty {
                return nil
            }
            let token = try nouns.insert(content, id: id, change)
            try deliver(plaintext)
            return token
        }
        return token.map { Issued(token: $0, plaintext: plaintext) }
    }

    private static func prepared(_ content: AdminTokenContent) -> (AdminTokenID, AdminTokenContent, Secret) {
        let id = AdminTokenID.random()
        let text = VirtualKeyText.generate(prefix: content.textPrefix, idSuffix: id.suffix).text
        var content = content
        content.sha256 = StoredBytes(SHA256Digest.of(Array(text.utf8)))
        return (id, content, Secret(text))
    }
}
