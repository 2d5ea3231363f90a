import Contract
package import Primitives
import Storage

/// What of a virtual key an administrator writes.
package struct VirtualKeyContent: Sendable, Hashable {
    /// Fixed when the key is made.
    package var projectID: ProjectID
    package var name: String
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?
    /// Scopes; empty: all.
    package var models: [String]
    package var capabilities: [String]
    package var channels: [String]
    package var tags: [String: String]

    package init(
        projectID: ProjectID, name: String, expiresAt: Int64?, models: [String], capabilities: [String], channels: [String],
        tags: [String: String]
    ) {
        self.projectID = projectID
        self.name = name
        self.expiresAt = expiresAt
        self.models = models
        self.capabilities = capabilities
        self.channels = channels
        self.tags = tags
    }
}

/// A key that callers authenticate with. Its secret was shown once and is not here.
package struct VirtualKey: Sendable, Hashable {
    package let id: KeyID
    package let revision: Int64
    package let createdAt: Int64
    package let updatedAt: Int64
    package let tenantID: TenantID
    package let content: VirtualKeyContent
    package let revokedAt: Int64?
    /// Until when the secret that a rotation replaced still works; nil when there is none.
    package let previousExpiresAt: Int64?

    init(_ row: VirtualKeyRow) {
        id = ID(row.id)
        revision = row.meta.revision
        createdAt = row.meta.createdAt
        updatedAt = row.meta.updatedAt
        tenantID = ID(row.tenantID)
        content = VirtualKeyContent(
            projectID: ID(row.projectID), name: row.name, expiresAt: row.expiresAt, models: row.models, capabilities: row.capabilities,
            channels: row.channels, tags: row.tags)
        revokedAt = row.revokedAt
        previousExpiresAt = row.previousExpiresAt
    }

    /// At `now`, Unix milliseconds.
    package func status(at now: Int64) -> String {
        if revokedAt != nil { return "revoked" }
        if let expires = content.expiresAt, expires <= now { return "expired" }
        return "active"
    }

    package func json(at now: Int64) -> JSONValue {
        let tags = content.tags.sorted { $0.key < $1.key }.map { JSONObject.Member(name: $0.key, value: .string($0.value)) }
        return [
            "id": .string(id.rawValue), "project_id": .string(content.projectID.rawValue), "tenant_id": .string(tenantID.rawValue),
            "name": .string(content.name), "status": .string(status(at: now)), "expires_at": .time(content.expiresAt),
            "models": .strings(content.models), "capabilities": .strings(content.capabilities), "channels": .strings(content.channels),
            "tags": .object(JSONObject(members: tags)), "revoked_at": .time(revokedAt),
            "previous_secret_expires_at": .time(previousExpiresAt.flatMap { $0 > now ? $0 : nil }), "created_at": .time(createdAt),
            "updated_at": .time(updatedAt),
        ]
    }
}

extension VirtualKeyContent {
    /// The ways into a data plane that a key may be limited to: `/v1/…` is the default one, `/external/v1/…` the external one.
    package static let channels = ["default", "external"]

    /// What is wrong with it by itself. `old` is what it replaces: a time that was accepted then may have passed by now.
    func problems(now: Int64, replacing old: VirtualKeyContent? = nil) -> [FieldProblem] {
        var validation = Validation()
        validation.name("name", name)
        if expiresAt != old?.expiresAt { validation.future("expires_at", expiresAt, now: now) }
        for (index, model) in models.enumerated() { validation.token("models[\(index)]", model) }
        validation.distinct("models", models)
        validation.words("capabilities", capabilities, among: ConfigValidation.capabilities.sorted())
        validation.words("channels", channels, among: Self.channels)
        if tags.count > 32 { validation.add("tags", "holds more than 32 entries", remedy: "Use fewer.") }
        for (tag, value) in tags.sorted(by: { $0.key < $1.key }) {
            let plain = tag.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "_.-".utf8.contains(byte)
            }
            if tag.isEmpty || tag.utf8.count > 64 || !plain {
                validation.add(
                    "tags.\(tag.prefix(64))", "is not a tag's name", remedy: "Use up to 64 letters, digits, underscores, dots and hyphens.")
            }
            if value.unicodeScalars.count > 256 || !Validation.isPrintable(value) {
                validation.add("tags.\(tag.prefix(64))", "is too long or not printable", remedy: "Use up to 256 printable characters.")
            }
        }
        return validation.problems
    }
}
