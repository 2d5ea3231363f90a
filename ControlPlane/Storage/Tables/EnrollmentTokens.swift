/// One-time permissions to enrol a data plane.
package enum EnrollmentTokensTable {
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
