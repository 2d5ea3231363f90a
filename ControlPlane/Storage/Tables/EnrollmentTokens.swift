/// A one-time permission to enrol a data plane. Only the token's SHA-256 is kept.
package struct EnrollmentTokenRow: Sendable, Hashable {
    package var id: String
    package var tokenSHA256: [UInt8]
    package var name: String
    package var region: String
    /// Empty: all tenants.
    package var tenantIDs: [String]
    package var revision: Int64
    package var createdAt: Int64
    package var updatedAt: Int64
    package var expiresAt: Int64
    package var usedAt: Int64?
    package var dataPlaneID: String?

    package init(
        id: String, tokenSHA256: [UInt8], name: String, region: String, tenantIDs: [String], createdAt: Int64, expiresAt: Int64
    ) {
        self.id = id
        self.tokenSHA256 = tokenSHA256
        self.name = name
        self.region = region
        self.tenantIDs = tenantIDs
        revision = 1
        self.createdAt = createdAt
        updatedAt = createdAt
        self.expiresAt = expiresAt
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.text("id")
        tokenSHA256 = try row.blob("token_sha256")
        name = try row.text("name")
        region = try row.text("region")
        tenantIDs = try TextList.decode(row.text("tenant_ids"))
        revision = try row.int("revision")
        createdAt = try row.int("created_at")
        updatedAt = try row.int("updated_at")
        expiresAt = try row.int("expires_at")
        usedAt = try row.optionalInt("used_at")
        dataPlaneID = try row.optionalText("data_plane_id")
    }
}

package enum EnrollmentTokensTable {
    private static let columns =
        "id, token_sha256, name, region, tenant_ids, revision, created_at, updated_at, expires_at, used_at, data_plane_id"

    package static func insert(_ c: any SQLConnection, _ row: EnrollmentTokenRow) throws {
        try c.execute(
            "INSERT INTO enrollment_tokens (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            [
                .text(row.id), .blob(row.tokenSHA256), .text(row.name), .text(row.region), .text(TextList.encode(row.tenantIDs)),
                .int(row.revision), .int(row.createdAt), .int(row.updatedAt), .int(row.expiresAt), .optional(row.usedAt),
                .optional(row.dataPlaneID),
            ])
    }

    package static func find(_ c: any SQLConnection, id: String) throws -> EnrollmentTokenRow? {
        try c.query("SELECT \(columns) FROM enrollment_tokens WHERE id = $1 AND deleted_at IS NULL", [.text(id)])
            .first.map(EnrollmentTokenRow.init)
    }

    /// Newest first; `after` is the last row of the page before.
    package static func list(_ c: any SQLConnection, after: (time: Int64, id: String)?, limit: Int) throws -> [EnrollmentTokenRow] {
        let position = after ?? (time: Int64.max, id: "")
        return try c.query(
            """
            SELECT \(columns) FROM enrollment_tokens
            WHERE deleted_at IS NULL AND (created_at < $1 OR (created_at = $1 AND id < $2))
            ORDER BY created_at DESC, id DESC LIMIT $3
            """,
            [.int(position.time), .text(position.id), .int(Int64(limit))]
        ).map(EnrollmentTokenRow.init)
    }

    /// Marks the token as used by `dataPlaneID`. False when another was first, or it has expired or was withdrawn meanwhile: of
    /// any number of racers one gets true.
    package static func consume(_ c: any SQLConnection, id: String, dataPlaneID: String, now: Int64) throws -> Bool {
        try c.execute(
            """
            UPDATE enrollment_tokens SET used_at = $1, updated_at = $1, revision = revision + 1, data_plane_id = $2
            WHERE id = $3 AND used_at IS NULL AND deleted_at IS NULL AND expires_at > $1
            """,
            [.int(now), .text(dataPlaneID), .text(id)]) == 1
    }

    package static func delete(_ c: any SQLConnection, id: String, now: Int64) throws {
        try c.execute(
            "UPDATE enrollment_tokens SET deleted_at = $1, updated_at = $1, revision = revision + 1 WHERE id = $2 AND deleted_at IS NULL",
            [.int(now), .text(id)])
    }
}

package enum SessionNoncesTable {
    /// Remembers the nonce. False when it was used before.
    package static func use(_ c: any SQLConnection, nonce: [UInt8], expiresAt: Int64) throws -> Bool {
        try c.execute(
            "INSERT INTO session_nonces (nonce, expires_at) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING",
            [.blob(nonce), .int(expiresAt)]) == 1
    }

    package static func purge(_ c: any SQLConnection, expiredBefore: Int64) throws {
        try c.execute("DELETE FROM session_nonces WHERE expires_at < $1", [.int(expiredBefore)])
    }
}
