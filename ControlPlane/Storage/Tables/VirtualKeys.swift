import Primitives

/// A key that callers authenticate with. Of its secret only the digest is here.
package struct VirtualKeyRow: EntityRow {
    package static let table = "virtual_keys"
    package static let columns = [
        "project_id", "tenant_id", "name", "sha256", "previous_sha256", "previous_expires_at", "expires_at", "revoked_at", "models",
        "capabilities", "channels", "tags", "directory_revision", "deleted_at",
    ]

    package let id: String
    package let projectID: String
    /// Its project's tenant, which never changes.
    package let tenantID: String
    package var name: String
    /// SHA-256 of the whole plaintext.
    package var sha256: [UInt8]
    /// The digest that a rotation replaced; valid until `previousExpiresAt`, Unix milliseconds.
    package var previousSHA256: [UInt8]?
    package var previousExpiresAt: Int64?
    /// Unix milliseconds; nil: never.
    package var expiresAt: Int64?
    package var revokedAt: Int64?
    /// Scopes; empty: all.
    package var models: [String]
    package var capabilities: [String]
    package var channels: [String]
    package var tags: [String: String]
    package var meta: RowMeta
    package var directoryRevision: Int64
    package var deletedAt: Int64?

    package init(
        id: String, projectID: String, tenantID: String, name: String, sha256: [UInt8], previousSHA256: [UInt8]? = nil,
        previousExpiresAt: Int64? = nil, expiresAt: Int64?, revokedAt: Int64? = nil, models: [String], capabilities: [String],
        channels: [String], tags: [String: String], meta: RowMeta, directoryRevision: Int64, deletedAt: Int64? = nil
    ) {
        self.id = id
        self.projectID = projectID
        self.tenantID = tenantID
        self.name = name
        self.sha256 = sha256
        self.previousSHA256 = previousSHA256
        self.previousExpiresAt = previousExpiresAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
        self.models = models
        self.capabilities = capabilities
        self.channels = channels
        self.tags = tags
        self.meta = meta
        self.directoryRevision = directoryRevision
        self.deletedAt = deletedAt
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), projectID: try row.text("project_id"), tenantID: try row.text("tenant_id"), name: try row.text("name"),
            sha256: try row.blob("sha256"), previousSHA256: try row.optionalBlob("previous_sha256"),
            previousExpiresAt: try row.optionalInt("previous_expires_at"), expiresAt: try row.optionalInt("expires_at"),
            revokedAt: try row.optionalInt("revoked_at"), models: try TextList.decode(row.text("models")),
            capabilities: try TextList.decode(row.text("capabilities")), channels: try TextList.decode(row.text("channels")),
            tags: try Self.tags(row.text("tags")), meta: try RowMeta(row), directoryRevision: try row.int("directory_revision"),
            deletedAt: try row.optionalInt("deleted_at"))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [
            .text(projectID), .text(tenantID), .text(name), .blob(sha256), .optional(previousSHA256), .optional(previousExpiresAt),
            .optional(expiresAt), .optional(revokedAt), .text(TextList.encode(models)), .text(TextList.encode(capabilities)),
            .text(TextList.encode(channels)), .text(Self.text(tags)), .int(directoryRevision), .optional(deletedAt),
        ]
    }

    private static func text(_ tags: [String: String]) -> String {
        JSONValue.object(JSONObject(members: tags.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .string($0.value)) })).text
    }

    private static func tags(_ text: String) throws -> [String: String] {
        var tags: [String: String] = [:]
        for member in try JSONValue(parsing: text).objectValue?.members ?? [] { tags[member.name] = member.value.stringValue ?? "" }
        return tags
    }
}

package enum VirtualKeysTable: DirectoryTable {
    package typealias Row = VirtualKeyRow

    /// Keys of a project that were not revoked.
    package static func working(_ c: any SQLConnection, project: String, limit: Int) throws -> [(id: String, name: String)] {
        try c.query(
            "SELECT id, name FROM virtual_keys WHERE project_id = $1 AND deleted_at IS NULL AND revoked_at IS NULL ORDER BY created_at, id LIMIT $2",
            [.text(project), .int(Int64(limit))]
        ).map { (try $0.text("id"), try $0.text("name")) }
    }

    /// Marks every key of a project as deleted.
    package static func deleteAll(_ c: any SQLConnection, project: String, at now: Int64, directoryRevision: Int64) throws {
        try c.execute(
            """
            UPDATE virtual_keys SET deleted_at = $1, updated_at = $1, directory_revision = $2, revision = revision + 1
            WHERE project_id = $3 AND deleted_at IS NULL
            """, [.int(now), .int(directoryRevision), .text(project)])
    }
}
