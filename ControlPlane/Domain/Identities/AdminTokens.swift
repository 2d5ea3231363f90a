package import Primitives
import Storage
import Trust

package struct AdminTokenContent: EntityContent {
    package var name: String
    package var role: Role
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?

    package init(name: String, role: Role, expiresAt: Int64?) {
        self.name = name
        self.role = role
        self.expiresAt = expiresAt
    }

    package var members: JSONObject {
        ["name": .string(name), "role": .string(role.rawValue), "expires_at": .time(expiresAt)]
    }
}

package typealias AdminToken = Entity<AdminTokenKind, AdminTokenContent>

extension Entity<AdminTokenKind, AdminTokenContent> {
    /// Nil for a role that this version does not know: such a token may do nothing.
    init?(_ row: AdminTokenRow) {
        guard let role = Role(rawValue: row.role) else { return nil }
        self.init(id: row.id, meta: row.meta, content: AdminTokenContent(name: row.name, role: role, expiresAt: row.expiresAt))
    }
}

/// Administrators: bearer tokens with a role each.
package struct AdminTokenService: Sendable {
    package static let list = "tokens"
    private static let taken = FieldProblem("name", "is taken by another token", remedy: "Choose another name.")

    /// A token and its plaintext, which is shown now and never again.
    package struct Issued: Sendable {
        package let token: AdminToken
        package let plaintext: Secret
    }

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Who holds this plaintext. Looked up by the id in it, compared as a SHA-256 digest in constant time.
    /// - Throws: `DomainError.unauthenticated`, which does not say whether it is unknown, wrong or expired.
    package func authenticate(_ plaintext: String) async throws -> AdminToken {
        let refusal = DomainError.unauthenticated(detail: "The token is not valid.")
        guard let text = VirtualKeyText(parsing: plaintext, prefix: VirtualKeyText.adminTokenPrefix) else { throw refusal }
        let digest = SHA256Digest.of(Array(plaintext.utf8))
        let row = try await domain.read { c in try AdminTokensTable.find(c, AdminTokenKind.prefix + text.idSuffix) }
        guard let row, ConstantTime.equal(row.sha256, digest), let token = AdminToken(row) else { throw refusal }
        if let expires = token.content.expiresAt, expires <= domain.clock.nowMilliseconds() { throw refusal }
        return token
    }

    /// Oldest first.
    package func items(_ page: PageRequest) async throws -> Page<AdminToken> {
        let items = try await domain.read { c in
            try AdminTokensTable.list(c, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit).compactMap { AdminToken($0) }
        }
        return Page(fetched: items, page) { $0.cursor(Self.list) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: AdminTokenID) async throws -> AdminToken {
        try await domain.read { c in try Self.present(c, id).token }
    }

    package func create(_ content: AdminTokenContent, by actor: Actor) async throws -> Issued {
        let (draft, plaintext) = prepare(content)
        let token = try await domain.write(taken: Self.taken) { c in
            _ = try ChangeCounter.administrators.next(c)
            return try Self.insert(c, draft, by: actor)
        }
        return Issued(token: token, plaintext: plaintext)
    }

    package func replace(
        _ id: AdminTokenID, at revision: Int64, with content: AdminTokenContent, by actor: Actor
    ) async throws -> AdminToken {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(taken: Self.taken) { c in
            _ = try ChangeCounter.administrators.next(c)
            let (old, oldToken) = try Self.present(c, id)
            try checkRevision(revision, current: old.meta.revision)
            try Self.check(content, now: now, replacing: oldToken.content)
            if oldToken.content.role == .owner, content.role != .owner || content.expiresAt != nil {
                try Self.checkAnotherOwner(c, than: id, now: now)
            }
            var row = old
            row.name = content.name
            row.role = content.role.rawValue
            row.expiresAt = content.expiresAt
            row.meta = old.meta.next(at: now)
            guard try AdminTokensTable.update(c, row, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            let token = AdminToken(id: row.id, meta: row.meta, content: content)
            try AuditLog.record(c, actor, "token.update", id: row.id, before: oldToken.json, after: token.json, at: now)
            return token
        }
    }

    /// - Throws: `DomainError.conflict` for the last owner: nobody could let anybody in again.
    package func delete(_ id: AdminTokenID, at revision: Int64, by actor: Actor) async throws {
        let now = domain.clock.nowMilliseconds()
        try await domain.write { c in
            _ = try ChangeCounter.administrators.next(c)
            let (old, token) = try Self.present(c, id)
            try checkRevision(revision, current: old.meta.revision)
            if token.content.role == .owner { try Self.checkAnotherOwner(c, than: id, now: now) }
            guard try AdminTokensTable.delete(c, id.rawValue, expecting: revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            try AuditLog.record(c, actor, "token.delete", id: id.rawValue, before: token.json, after: nil, at: now)
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
        let (draft, plaintext) = prepare(content)
        let token = try await domain.write(taken: Self.taken) { c -> AdminToken? in
            _ = try ChangeCounter.administrators.next(c)
            if onlyIfNone, try !AdminTokensTable.list(c, after: nil, limit: 1).isEmpty { return nil }
            let token = try Self.insert(c, draft, by: actor)
            try deliver(plaintext)
            return token
        }
        return token.map { Issued(token: $0, plaintext: plaintext) }
    }

    private func prepare(_ content: AdminTokenContent) -> (AdminTokenRow, Secret) {
        let id = AdminTokenID.random()
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.adminTokenPrefix, idSuffix: id.suffix)
        let row = AdminTokenRow(
            id: id.rawValue, name: content.name, role: content.role.rawValue, sha256: SHA256Digest.of(Array(text.text.utf8)),
            expiresAt: content.expiresAt, meta: .new(at: domain.clock.nowMilliseconds()))
        return (row, Secret(text.text))
    }

    private static func insert(_ c: any SQLConnection, _ row: AdminTokenRow, by actor: Actor) throws -> AdminToken {
        guard let token = AdminToken(row) else { throw DatabaseError.unexpectedValue("admin_tokens.role holds something else") }
        try check(token.content, now: row.meta.createdAt)
        try AdminTokensTable.insert(c, row)
        try AuditLog.record(c, actor, "token.create", id: row.id, before: nil, after: token.json, at: row.meta.createdAt)
        return token
    }

    private static func check(_ content: AdminTokenContent, now: Int64, replacing old: AdminTokenContent? = nil) throws(DomainError) {
        var validation = Validation()
        validation.name("name", content.name)
        if content.expiresAt != old?.expiresAt { validation.future("expires_at", content.expiresAt, now: now) }
        try validation.throwIfAny()
    }

    /// Another owner whose token does not run out.
    private static func checkAnotherOwner(_ c: any SQLConnection, than id: AdminTokenID, now: Int64) throws {
        let others = try AdminTokensTable.all(c).filter { row in
            row.id != id.rawValue && row.role == Role.owner.rawValue && row.expiresAt == nil
        }
        if others.isEmpty {
            throw DomainError.conflict(
                "id", "is the last owner whose token does not expire", remedy: "Create another owner without an expiry first.")
        }
    }

    private static func present(_ c: any SQLConnection, _ id: AdminTokenID) throws -> (row: AdminTokenRow, token: AdminToken) {
        guard let row = try AdminTokensTable.find(c, id.rawValue), let token = AdminToken(row) else {
            throw DomainError.notFound(kind: "token", id: id.rawValue)
        }
        return (row, token)
    }
}
