/// A published configuration, without its payload.
package struct ConfigVersionRow: Sendable, Hashable {
    package let version: Int64
    /// SHA-256 of the payload.
    package let digest: [UInt8]
    package let payloadBytes: Int64
    package let note: String
    package let authorID: String
    package let authorName: String
    /// The version whose content this one repeats.
    package let restores: Int64?
    package let createdAt: Int64

    package init(
        version: Int64, digest: [UInt8], payloadBytes: Int64, note: String, authorID: String, authorName: String, restores: Int64?,
        createdAt: Int64
    ) {
        self.version = version
        self.digest = digest
        self.payloadBytes = payloadBytes
        self.note = note
        self.authorID = authorID
        self.authorName = authorName
        self.restores = restores
        self.createdAt = createdAt
    }

    fileprivate init(_ row: SQLRow) throws {
        self.init(
            version: try row.int("version"), digest: try row.blob("digest"), payloadBytes: try row.int("payload_bytes"),
            note: try row.text("note"), authorID: try row.text("author_id"), authorName: try row.text("author_name"),
            restores: try row.optionalInt("restores"), createdAt: try row.int("created_at"))
    }
}

/// The parts of versions that some tenants may use. Immutable as well.
package enum ConfigProjectionsTable {
    /// A serialised `Weir_V1_ConfigPayload`.
    package static func payload(_ c: any SQLConnection, version: Int64, scope: String) throws -> [UInt8]? {
        try c.first(
            "SELECT payload FROM config_projections WHERE version = $1 AND scope = $2", [.int(version), .text(scope)])?.blob("payload")
    }

    /// What is stored afterwards: `payload`, or what another replica stored before.
    package static func putIfAbsent(
        _ c: any SQLConnection, version: Int64, scope: String, payload: [UInt8], now: Int64
    ) throws -> [UInt8] {
        try c.execute(
            """
            INSERT INTO config_projections (version, scope, payload, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (version, scope) DO NOTHING
            """, [.int(version), .text(scope), .blob(payload), .int(now)])
        return try self.payload(c, version: version, scope: scope) ?? payload
    }
}

/// Immutable: there is no update and no delete.
package enum ConfigVersionsTable {
    private static let columns = "version, digest, LENGTH(payload) AS payload_bytes, note, author_id, author_name, restores, created_at"

    package static func insert(_ c: any SQLConnection, _ row: ConfigVersionRow, payload: [UInt8]) throws {
        try c.execute(
            """
            INSERT INTO config_versions (version, payload, digest, note, author_id, author_name, restores, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """,
            [
                .int(row.version), .blob(payload), .blob(row.digest), .text(row.note), .text(row.authorID), .text(row.authorName),
                .optional(row.restores), .int(row.createdAt),
            ])
    }

    package static func find(_ c: any SQLConnection, _ version: Int64) throws -> ConfigVersionRow? {
        try c.first("SELECT \(columns) FROM config_versions WHERE version = $1", [.int(version)]).map(ConfigVersionRow.init)
    }

    /// A serialised `Weir_V1_ConfigPayload`: the bytes that are signed and shipped.
    package static func payload(_ c: any SQLConnection, _ version: Int64) throws -> [UInt8]? {
        try c.first("SELECT payload FROM config_versions WHERE version = $1", [.int(version)])?.blob("payload")
    }

    /// Which of these versions there are.
    package static func existing(_ c: any SQLConnection, among versions: Set<Int64>) throws -> Set<Int64> {
        var found = Set<Int64>()
        let wanted = versions.sorted()
        for start in stride(from: 0, to: wanted.count, by: 500) {
            let list = wanted[start..<min(start + 500, wanted.count)].map(String.init).joined(separator: ", ")
            for row in try c.query("SELECT version FROM config_versions WHERE version IN (\(list))") {
                found.insert(try row.int("version"))
            }
        }
        return found
    }

    package static func latest(_ c: any SQLConnection) throws -> ConfigVersionRow? {
        try c.first("SELECT \(columns) FROM config_versions ORDER BY version DESC LIMIT 1").map(ConfigVersionRow.init)
    }

    /// Newest first, those below `before`.
    package static func list(_ c: any SQLConnection, before: Int64?, limit: Int) throws -> [ConfigVersionRow] {
        try c.query(
            "SELECT \(columns) FROM config_versions WHERE version < $1 ORDER BY version DESC LIMIT $2",
            [.int(before ?? Int64.max), .int(Int64(limit))]
        ).map(ConfigVersionRow.init)
    }

    /// The version the draft's edits started from; nil before the first publication.
    package static func draftBase(_ c: any SQLConnection) throws -> Int64? {
        try c.first("SELECT base_version FROM config_draft WHERE id = 1")?.int("base_version")
    }

    package static func setDraftBase(_ c: any SQLConnection, _ version: Int64) throws {
        try c.execute(
            """
            INSERT INTO config_draft (id, base_version) VALUES (1, $1)
            ON CONFLICT (id) DO UPDATE SET base_version = excluded.base_version
            """, [.int(version)])
    }
}
