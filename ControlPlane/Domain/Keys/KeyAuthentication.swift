import Nouns
package import Primitives
import Storage
import Trust

/// The holder of a virtual key, asking about its own tenant.
package struct KeyCaller: Sendable, Hashable {
    package let key: VirtualKey
    package let project: Project
    package let tenant: Tenant

    package var keyID: KeyID { key.id }
    package var projectID: ProjectID { project.id }
    package var tenantID: TenantID { tenant.id }

    /// How far a caller may look.
    package enum Reach: Sendable, Hashable {
        case key, project, tenant
    }

    package var reach: Reach {
        if key.content.rights.contains("tenant:read") { return .tenant }
        return key.content.rights.contains("project:read") ? .project : .key
    }

    /// - Throws: `DomainError.forbidden` for a key that is limited to other channels.
    package func checkChannel(_ channel: String) throws(DomainError) {
        guard key.content.channels.named?.contains(channel) ?? true else {
            throw .forbidden(detail: "The key is not for the channel \(channel).")
        }
    }

    /// The query, narrowed to what the caller may see.
    /// - Throws: `DomainError.forbidden` when it asks for more.
    package func narrowed(_ query: UsageQuery) throws(DomainError) -> UsageQuery {
        var query = query
        query[.tenant] = tenantID.rawValue
        guard reach != .tenant else { return query }
        guard query[.project] ?? projectID.rawValue == projectID.rawValue else {
            throw .forbidden(detail: "The key may not read other projects' usage: that takes its right tenant:read.")
        }
        query[.project] = projectID.rawValue
        guard reach != .project else { return query }
        guard query[.key] ?? keyID.rawValue == keyID.rawValue else {
            throw .forbidden(detail: "The key may not read other keys' usage: that takes its right project:read or tenant:read.")
        }
        query[.key] = keyID.rawValue
        return query
    }

    /// The query, narrowed to what the caller may see: the requests of its key, its project or its tenant, and what was done to it.
    /// - Throws: `DomainError.forbidden` when it asks for another key.
    package func narrowed(_ query: AuditQuery) throws(DomainError) -> AuditQuery {
        var query = query
        query.tenantID = tenantID.rawValue
        guard reach != .tenant else { return query }
        guard reach != .project else {
            query.projectID = projectID.rawValue
            return query
        }
        guard query.keyID ?? keyID.rawValue == keyID.rawValue else {
            throw .forbidden(detail: "The key may not read what other keys did: that takes its right project:read or tenant:read.")
        }
        query.keyID = keyID.rawValue
        return query
    }
}

/// Who holds a virtual key, for what tenants ask the control plane itself. Data planes decide by their own directory.
package struct KeyAuthentication: Sendable {
    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// - Throws: `DomainError.unauthenticated` for a key that is malformed, unknown, revoked or expired, `.forbidden` when its project or
    ///   tenant is disabled. What is wrong with it is told only to who holds its secret.
    package func authenticate(_ plaintext: String) async throws -> KeyCaller {
        let refusal = DomainError.unauthenticated(detail: "The virtual key is not valid.")
        guard let text = VirtualKeyText(parsing: plaintext, prefix: VirtualKeyText.virtualKeyPrefix) else { throw refusal }
        let digest = SHA256Digest.of(Array(plaintext.utf8))
        let now = domain.clock.nowMilliseconds()
        let found = try await domain.read(as: .all) { c -> KeyCaller? in
            guard let key = try VirtualKeyContent.find(c, KeyKind.prefix + text.idSuffix)?.seen(at: now),
                let project = try ProjectContent.find(c, key.content.projectID.rawValue),
                let tenant = try TenantContent.find(c, project.content.tenantID.rawValue)
            else { return nil }
            return KeyCaller(key: key, project: project, tenant: tenant)
        }
        guard let caller = found else { throw refusal }

        let key = caller.key.content
        let isCurrent = ConstantTime.equal(key.sha256.bytes, digest)
        let isPrevious = key.previousSHA256.map { ConstantTime.equal($0.bytes, digest) } ?? false
        let inGrace = key.previousExpiresAt.map { $0 > now } ?? false
        guard isCurrent || isPrevious && inGrace else { throw refusal }
        let status = key.status
        guard status == "active" else { throw DomainError.unauthenticated(detail: "The virtual key is \(status).") }
        guard caller.project.content.status == .active else { throw DomainError.forbidden(detail: "The key's project is disabled.") }
        guard caller.tenant.content.status == .active else { throw DomainError.forbidden(detail: "The key's tenant is disabled.") }
        return caller
    }
}
