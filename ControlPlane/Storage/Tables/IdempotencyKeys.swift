/// A request that may come again, and what came of it.
package struct IdempotencyRow: Sendable, Hashable {
    package var actorID: String
    package var key: String
    /// SHA-256 of what was asked for.
    package var fingerprint: [UInt8]
    /// The attempt that works on it. One that was taken over by another can commit nothing.
    package var attempt: String
    /// Unix milliseconds.
    package var createdAt: Int64
    /// Whether the change of this attempt stands.
    package var committed: Bool
    /// Encrypted; nil until it is known.
    package var answer: [UInt8]?

    package init(actorID: String, key: String, fingerprint: [UInt8], attempt: String, createdAt: Int64) {
        self.actorID = actorID
        self.key = key
        self.fingerprint = fingerprint
        self.attempt = attempt
        self.createdAt = createdAt
        committed = false
        answer = nil
    }
}

package enum IdempotencyTable {
    /// Puts the row there unless there is one of this actor and key.
    /// - Returns: whether it was put there.
    package static func insert(_ c: any SQLConnection, _ row: IdempotencyRow) throws -> Bool {
        try c.execute(
            """
            INSERT INTO idempotency_keys (actor_id, idempotency_key, fingerprint, attempt, created_at, committed)
            VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (actor_id, idempotency_key) DO NOTHING
            """, [.text(row.actorID), .text(row.key), .blob(row.fingerprint), .text(row.attempt), .int(row.createdAt)]) == 1
    }

    package static func find(_ c: any SQLConnection, actorID: String, key: String) throws -> IdempotencyRow? {
        try c.first(
            "SELECT fingerprint, attempt, created_at, committed, answer FROM idempotency_keys WHERE actor_id = $1 AND idempotency_key = $2",
            [.text(actorID), .text(key)]
        ).map { found in
            var row = IdempotencyRow(
                actorID: actorID, key: key, fingerprint: try found.blob("fingerprint"), attempt: try found.text("attempt"),
                createdAt: try found.int("created_at"))
            row.committed = try found.bool("committed")
            row.answer = try found.optionalBlob("answer")
            return row
        }
    }

    /// Gives a row whose attempt has ended without a result to another.
    package static func takeOver(_ c: any SQLConnection, _ row: IdempotencyRow, from attempt: String) throws -> Bool {
        try c.execute(
            """
            UPDATE idempotency_keys SET attempt = $1, created_at = $2
            WHERE actor_id = $3 AND idempotency_key = $4 AND attempt = $5 AND committed = 0 AND answer IS NULL
            """, [.text(row.attempt), .int(row.createdAt), .text(row.actorID), .text(row.key), .text(attempt)]) == 1
    }

    /// Notes, in the transaction of the change itself, that it stands.
    /// - Returns: whether the attempt still has the row.
    package static func commit(_ c: any SQLConnection, attempt: String, actorID: String, key: String) throws -> Bool {
        try c.execute(
            "UPDATE idempotency_keys SET committed = 1 WHERE actor_id = $1 AND idempotency_key = $2 AND attempt = $3",
            [.text(actorID), .text(key), .text(attempt)]) == 1
    }

    /// - Parameter masterKeyID: Names the master key that the answer is encrypted with.
    package static func answer(
        _ c: any SQLConnection, attempt: String, actorID: String, key: String, _ answer: [UInt8], masterKeyID: String
    ) throws {
        try c.execute(
            """
            UPDATE idempotency_keys SET committed = 1, answer = $1, master_key_id = $2
            WHERE actor_id = $3 AND idempotency_key = $4 AND attempt = $5
            """, [.blob(answer), .text(masterKeyID), .text(actorID), .text(key), .text(attempt)])
    }

    /// Forgets an attempt that changed nothing.
    package static func forget(_ c: any SQLConnection, attempt: String, actorID: String, key: String) throws {
        try c.execute(
            "DELETE FROM idempotency_keys WHERE actor_id = $1 AND idempotency_key = $2 AND attempt = $3 AND committed = 0",
            [.text(actorID), .text(key), .text(attempt)])
    }

    package static func purge(_ c: any SQLConnection, before time: Int64) throws {
        try c.execute("DELETE FROM idempotency_keys WHERE created_at < $1", [.int(time)])
    }
}
