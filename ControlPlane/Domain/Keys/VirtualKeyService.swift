package import Primitives
import Storage
import Trust

/// Virtual keys: made, changed, rotated, revoked. Changes are in force on connected data planes at once.
package struct VirtualKeyService: Sendable {
    package static let list = "keys"
    /// A month: longer than it takes to roll out a new secret anywhere.
    package static let maximumGraceSeconds: Int64 = 30 * 86_400
    package static let defaultGraceSeconds: Int64 = 86_400

    /// A key and its plaintext, which is shown now and never again.
    package struct Issued: Sendable {
        package let key: VirtualKey
        package let plaintext: Secret
    }

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Unix milliseconds, by which a key's status is told.
    package var now: Int64 { domain.clock.nowMilliseconds() }

    /// Oldest first.
    package func items(of tenant: TenantID?, _ project: ProjectID?, _ page: PageRequest) async throws -> Page<VirtualKey> {
        var filters: [(column: String, value: SQLValue)] = []
        if let tenant { filters.append(("tenant_id", .text(tenant.rawValue))) }
        if let project { filters.append(("project_id", .text(project.rawValue))) }
        let wanted = filters
        let items = try await domain.read { c in
            try VirtualKeysTable.list(c, matching: wanted, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit)
                .map { VirtualKey($0) }
        }
        return Page(fetched: items, page) { Cursor(list: Self.list, time: $0.createdAt, id: $0.id.rawValue) }
    }

    /// - Throws: `DomainError.notFound`.
    package func get(_ id: KeyID) async throws -> VirtualKey {
        try await domain.read { c in VirtualKey(try Self.present(c, id)) }
    }

    package func create(_ content: VirtualKeyContent, by actor: Actor) async throws -> Issued {
        let now = domain.clock.nowMilliseconds()
        try Self.check(content.problems(now: now))
        let id = KeyID.random()
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.virtualKeyPrefix, idSuffix: id.suffix)
        let digest = SHA256Digest.of(Array(text.text.utf8))
        let key = try await domain.write(raising: .directory) { c in
            let number = try ChangeCounter.directory.next(c)
            guard let project = try ProjectsTable.find(c, content.projectID.rawValue) else {
                throw DomainError.invalid("project_id", "names no project", remedy: "Create the project first, or name another.")
            }
            let row = VirtualKeyRow(
                id: id.rawValue, projectID: project.id, tenantID: project.tenantID, name: content.name, sha256: digest,
                expiresAt: content.expiresAt, models: content.models, capabilities: content.capabilities, channels: content.channels,
                tags: content.tags, meta: .new(at: now), directoryRevision: number)
            try VirtualKeysTable.insert(c, row)
            let key = VirtualKey(row)
            try AuditLog.record(c, actor, "key.create", id: row.id, before: nil, after: key.json(at: now), at: now)
            return key
        }
        return Issued(key: key, plaintext: Secret(text.text))
    }

    package func replace(_ id: KeyID, at revision: Int64, with content: VirtualKeyContent, by actor: Actor) async throws -> VirtualKey {
        try await change(id, at: revision, "key.update", by: actor) { row, now in
            let old = VirtualKey(row).content
            try Self.check(content.problems(now: now, replacing: old))
            guard old.projectID == content.projectID else {
                throw DomainError.invalid(
                    "project_id", "cannot be changed", remedy: "Leave it as it is; make a new key in the other project.")
            }
            row.name = content.name
            row.expiresAt = content.expiresAt
            row.models = content.models
            row.capabilities = content.capabilities
            row.channels = content.channels
            row.tags = content.tags
        }
    }

    /// A new secret for the same key. The one it replaces works for `graceSeconds` more; one that an earlier rotation left is
    /// dropped at once. Without a revision, whatever the key is at is rotated.
    package func rotate(_ id: KeyID, at revision: Int64?, graceSeconds: Int64, by actor: Actor) async throws -> Issued {
        guard (0...Self.maximumGraceSeconds).contains(graceSeconds) else {
            throw DomainError.invalid(
                "grace_seconds", "is not from 0 to \(Self.maximumGraceSeconds)", remedy: "Choose a number in that range.")
        }
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.virtualKeyPrefix, idSuffix: id.suffix)
        let digest = SHA256Digest.of(Array(text.text.utf8))
        let key = try await change(id, at: revision, "key.rotate", by: actor) { row, now in
            guard row.revokedAt == nil else {
                throw DomainError.conflict("id", "is a revoked key, which never works again", remedy: "Create a new key.")
            }
            row.previousSHA256 = graceSeconds > 0 ? row.sha256 : nil
            row.previousExpiresAt = graceSeconds > 0 ? now &+ graceSeconds &* 1000 : nil
            row.sha256 = digest
        }
        return Issued(key: key, plaintext: Secret(text.text))
    }

    /// Shuts the key for good, the secret in its grace period included. Revoking a revoked key changes nothing.
    package func revoke(_ id: KeyID, at revision: Int64?, by actor: Actor) async throws -> VirtualKey {
        let present = try await get(id)
        if present.revokedAt != nil { return present }
        return try await change(id, at: revision, "key.revoke", by: actor) { row, now in
            row.revokedAt = row.revokedAt ?? now
            row.previousSHA256 = nil
            row.previousExpiresAt = nil
        }
    }

    package func delete(_ id: KeyID, at revision: Int64, by actor: Actor) async throws {
        _ = try await change(id, at: revision, "key.delete", by: actor) { row, now in
            row.deletedAt = now
            row.previousSHA256 = nil
            row.previousExpiresAt = nil
        }
    }

    /// Reads the key, lets `edit` change the row, writes it with the next revision, and records both states.
    private func change(
        _ id: KeyID, at revision: Int64?, _ action: String, by actor: Actor,
        _ edit: @escaping @Sendable (inout VirtualKeyRow, _ now: Int64) throws -> Void
    ) async throws -> VirtualKey {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(raising: .directory) { c in
            let number = try ChangeCounter.directory.next(c)
            let old = try Self.present(c, id)
            if let revision { try checkRevision(revision, current: old.meta.revision) }
            var row = old
            try edit(&row, now)
            row.meta = old.meta.next(at: now)
            row.directoryRevision = number
            guard try VirtualKeysTable.update(c, row, expecting: old.meta.revision) else {
                throw DomainError.preconditionFailed(current: old.meta.revision)
            }
            let key = VirtualKey(row)
            try AuditLog.record(
                c, actor, action, id: row.id, before: VirtualKey(old).json(at: now), after: row.deletedAt == nil ? key.json(at: now) : nil,
                at: now)
            return key
        }
    }

    private static func check(_ problems: [FieldProblem]) throws(DomainError) {
        if !problems.isEmpty { throw .invalid(problems) }
    }

    private static func present(_ c: any SQLConnection, _ id: KeyID) throws -> VirtualKeyRow {
        guard let row = try VirtualKeysTable.find(c, id.rawValue) else { throw DomainError.notFound(kind: "key", id: id.rawValue) }
        return row
    }
}
