package import Nouns
package import Primitives
package import Storage
import Trust

package typealias VirtualKey = Entity<VirtualKeyContent>

extension VirtualKeyContent: Administered {
    package static var scope: NounScope { .directory }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }
    package static var tableName: String { "virtual_keys" }
    /// A revoked key keeps nothing: it goes with its project.
    package static var holding: String? { "revoked_at IS NULL" }

    package func problems(replacing old: VirtualKeyContent?, now: Int64) -> [FieldProblem] {
        (expiresAt == old?.expiresAt ? [] : FieldProblem.past("expires_at", expiresAt, now: now)) + originProblems
    }

    private var originProblems: [FieldProblem] {
        let networks = networks.enumerated().filter { NetworkList([$1]) == nil }.map { index, _ in
            FieldProblem("networks[\(index)]", "is no network", remedy: "Write it like 10.0.0.0/8, fd00::/16 or 192.0.2.7.")
        }
        let domains = domains.enumerated().filter { !Self.isHost($1) }.map { index, _ in
            FieldProblem(
                "domains[\(index)]", "is no host name", remedy: "Write it like app.example or *.app.example, in lower case, without a port."
            )
        }
        return networks + domains
    }

    private static func isHost(_ text: String) -> Bool {
        let host = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        return !host.isEmpty && host.utf8.count <= 253
            && host.utf8.allSatisfy { $0 >= 97 && $0 <= 122 || $0 >= 48 && $0 <= 57 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
    }

    /// Models that it was not limited to before have to be there: a typing error would be a key that can do nothing.
    package func problems(id: KeyID, replacing old: VirtualKeyContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        if let userID, let user = try UserContent.find(c, userID.rawValue),
            try ProjectContent.find(c, projectID.rawValue)?.content.tenantID != user.content.tenantID
        {
            return [FieldProblem("user_id", "is a user of another tenant", remedy: "Name a user of the project's tenant.")]
        }
        // Which credentials there are is the operator's.
        if c.scope != .all, credentialIDs != old?.credentialIDs ?? [] {
            return [
                FieldProblem("credential_ids", "is for the operator to say", remedy: "Leave it out: each of an endpoint's is used.")
            ]
        }
        let chosen = Set(rights).subtracting(old?.rights ?? []).intersection(Vocabulary.routingRights).sorted()
        if c.scope != .all, !chosen.isEmpty {
            let words = chosen.joined(separator: ", ")
            return [FieldProblem("rights", "holds \(words), which the operator gives", remedy: "Leave it out, or ask the operator.")]
        }
        guard case .only(let names) = models else { return [] }
        return try KeyModels.problems(c, names, besides: old?.models)
    }

    package static func observe(_ items: inout [VirtualKey], _ c: any SQLConnection) throws {
        let uses = try KeyUsesTable.latest(c, keyIDs: items.map(\.id.rawValue))
        for index in items.indices { items[index].content.lastUsedAt = uses[items[index].id.rawValue] }
    }

    package mutating func forget() {
        previousSHA256 = nil
        previousExpiresAt = nil
    }
}

extension FieldProblem {
    static func past(_ field: String, _ time: Int64?, now: Int64) -> [FieldProblem] {
        guard let time, time <= now else { return [] }
        return [FieldProblem(field, "has passed already", remedy: "Choose a later time, or null for never.")]
    }
}

/// Virtual keys: made and rotated with a secret that is shown once, revoked for good.
package struct VirtualKeyService: Sendable {
    /// A month: longer than it takes to roll out a new secret anywhere.
    package static let maximumGraceSeconds: Int64 = 30 * 86_400
    package static let defaultGraceSeconds: Int64 = 86_400

    /// A key and its plaintext, which is shown now and never again.
    package struct Issued: Sendable {
        package let key: VirtualKey
        package let plaintext: Secret
    }

    package let nouns: NounService<VirtualKeyContent>

    package init(_ domain: DomainContext) {
        nouns = NounService(domain, issuing: Self.issue) { content, _, c in
            if let project = try ProjectContent.find(c, content.projectID.rawValue) { content.tenantID = project.content.tenantID }
        }
    }

    package func create(_ content: VirtualKeyContent, by actor: Actor) async throws -> Issued {
        let id = KeyID.random()
        var content = content
        let text = Self.issue(&content, id)
        return Issued(key: try await nouns.create(content, id: id, by: actor), plaintext: text)
    }

    /// Gives a new key its secret.
    @Sendable private static func issue(_ content: inout VirtualKeyContent, _ id: KeyID) -> Secret {
        let (text, digest) = secret(id)
        content.sha256 = digest
        return text
    }

    /// A new secret for the same key. The one it replaces works for `graceSeconds` more. Without a revision, whatever the key is at is
    /// rotated.
    /// - Parameter force: Ends the grace that an earlier rotation promised to the secret before the present one.
    /// - Throws: `DomainError.conflict` while that grace lasts, unless forced: a repeated call must not cut off who still has that secret.
    package func rotate(
        _ id: KeyID, at revision: Int64?, graceSeconds: Int64, force: Bool = false, by actor: Actor
    ) async throws -> Issued {
        let (text, digest) = Self.secret(id)
        let key = try await nouns.change(id, at: revision, "rotate", by: actor) { key, change in
            guard key.revokedAt == nil else {
                throw DomainError.conflict("id", "is a revoked key, which never works again", remedy: "Create a new key.")
            }
            if !force, key.previousSHA256 != nil, let until = key.previousExpiresAt, until > change.now {
                throw DomainError.conflict(
                    "id",
                    "is a key that was rotated already: the secret before its present one works until \(RFC3339.string(milliseconds: until))",
                    remedy: "Wait until then. To end that secret at once and rotate again, send \"force\": true.")
            }
            key.previousSHA256 = graceSeconds > 0 ? key.sha256 : nil
            key.previousExpiresAt = graceSeconds > 0 ? change.now &+ graceSeconds &* 1000 : nil
            key.sha256 = digest
        }
        return Issued(key: key, plaintext: text)
    }

    /// Shuts the key for good, the secret in its grace period included. Revoking a revoked key changes nothing.
    package func revoke(_ id: KeyID, at revision: Int64?, by actor: Actor) async throws -> VirtualKey {
        let present = try await nouns.get(id, as: actor.scope)
        if present.content.revokedAt != nil { return present }
        return try await nouns.change(id, at: revision, "revoke", by: actor) { key, change in
            key.revokedAt = key.revokedAt ?? change.now
            key.forget()
        }
    }

    private static func secret(_ id: KeyID) -> (text: Secret, digest: StoredBytes) {
        let text = VirtualKeyText.generate(prefix: VirtualKeyText.virtualKeyPrefix, idSuffix: id.suffix).text
        return (Secret(text), StoredBytes(SHA256Digest.of(Array(text.utf8))))
    }
}
