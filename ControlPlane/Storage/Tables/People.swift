/// What follows administrators without being decided by anybody: their sessions, and when they were seen last.
package enum PeopleTable {
    package static func noteSignIn(_ c: any SQLConnection, _ id: String, at now: Int64) throws {
        try c.execute("UPDATE people SET last_sign_in_at = $1 WHERE id = $2", [.int(now), .text(id)])
    }

    /// Notes that a token is used, once a minute at most.
    package static func noteUse(_ c: any SQLConnection, tokenID: String, at now: Int64) throws {
        try c.execute(
            "UPDATE admin_tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
            [.int(now), .text(tokenID), .int(now - 60_000)])
    }
}

/// Who is signed on: by the digest of what the browser holds.
package struct AdminSessionRow: Sendable, Hashable {
    package let sha256: [UInt8]
    package let personID: String
    package let tenantID: String?
    /// Unix milliseconds.
    package let createdAt: Int64
    package let expiresAt: Int64
    package let lastSeenAt: Int64

    package init(sha256: [UInt8], personID: String, tenantID: String?, createdAt: Int64, expiresAt: Int64, lastSeenAt: Int64) {
        self.sha256 = sha256
        self.personID = personID
        self.tenantID = tenantID
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.lastSeenAt = lastSeenAt
    }
}

package enum AdminSessionsTable {
    package static func insert(_ c: any SQLConnection, _ row: AdminSessionRow) throws {
        try c.execute(
            """
            INSERT INTO admin_sessions (sha256, person_id, tenant_id, created_at, expires_at, last_seen_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            [
                .blob(row.sha256), .text(row.personID), .optional(row.tenantID), .int(row.createdAt), .int(row.expiresAt),
                .int(row.lastSeenAt),
            ])
    }

    package static func find(_ c: any SQLConnection, _ sha256: [UInt8]) throws -> AdminSessionRow? {
        try c.query(
            "SELECT person_id, tenant_id, created_at, expires_at, last_seen_at FROM admin_sessions WHERE sha256 = $1", [.blob(sha256)]
        ).first.map { row in
            AdminSessionRow(
                sha256: sha256, personID: try row.text("person_id"), tenantID: try row.optionalText("tenant_id"),
                createdAt: try row.int("created_at"), expiresAt: try row.int("expires_at"), lastSeenAt: try row.int("last_seen_at"))
        }
    }

    package static func noteSeen(_ c: any SQLConnection, _ sha256: [UInt8], at now: Int64) throws {
        try c.execute("UPDATE admin_sessions SET last_seen_at = $1 WHERE sha256 = $2", [.int(now), .blob(sha256)])
    }

    /// - Returns: whether it was there.
    @discardableResult
    package static func remove(_ c: any SQLConnection, _ sha256: [UInt8]) throws -> Bool {
        try c.execute("DELETE FROM admin_sessions WHERE sha256 = $1", [.blob(sha256)]) == 1
    }

    package static func remove(_ c: any SQLConnection, of personID: String) throws {
        try c.execute("DELETE FROM admin_sessions WHERE person_id = $1", [.text(personID)])
    }

    /// - Parameter unseenSince: Those that were not seen after it go, too.
    package static func removeEnded(_ c: any SQLConnection, at now: Int64, unseenSince: Int64) throws {
        try c.execute("DELETE FROM admin_sessions WHERE expires_at <= $1 OR last_seen_at <= $2", [.int(now), .int(unseenSince)])
    }

    /// All but the latest of a person.
    package static func removeOldest(_ c: any SQLConnection, of personID: String, keeping maximum: Int) throws {
        try c.execute(
            """
            DELETE FROM admin_sessions WHERE person_id = $1 AND sha256 NOT IN (
                SELECT sha256 FROM admin_sessions WHERE person_id = $1 ORDER BY created_at DESC LIMIT $2)
            """, [.text(personID), .int(Int64(maximum))])
    }
}
