/// What is known of a did:web's document.
package struct DIDDocumentRow: Sendable, Hashable {
    package let didID: String
    package let tenantID: String
    /// A JSON list, kept until a document has others or was not read for too long.
    package var methods: String
    /// Unix milliseconds: when it was read last; nil: never.
    package var readAt: Int64?
    /// Why the last attempt came to nothing, or to no key; nil: it did not.
    package var failure: String?
    package var failedAt: Int64?
    /// Attempts in a row that came to nothing.
    package var failures: Int64
    package var nextAt: Int64

    package init(didID: String, tenantID: String, nextAt: Int64) {
        self.didID = didID
        self.tenantID = tenantID
        self.nextAt = nextAt
        methods = "[]"
        failures = 0
    }

    init(_ row: SQLRow) throws {
        didID = try row.text("did_id")
        tenantID = try row.text("tenant_id")
        methods = try row.text("methods")
        readAt = try row.optionalInt("read_at")
        failure = try row.optionalText("failure")
        failedAt = try row.optionalInt("failed_at")
        failures = try row.int("failures")
        nextAt = try row.int("next_at")
    }
}

package enum DIDDocumentsTable {
    private static let columns = "did_id, tenant_id, methods, read_at, failure, failed_at, failures, next_at"

    package static func put(_ c: any SQLConnection, _ row: DIDDocumentRow) throws {
        try c.execute(
            """
            INSERT INTO did_documents (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (did_id) DO UPDATE SET methods = excluded.methods, read_at = excluded.read_at, failure = excluded.failure,
                failed_at = excluded.failed_at, failures = excluded.failures, next_at = excluded.next_at
            """,
            [
                .text(row.didID), .text(row.tenantID), .text(row.methods), .optional(row.readAt), .optional(row.failure),
                .optional(row.failedAt), .int(row.failures), .int(row.nextAt),
            ])
    }

    package static func remove(_ c: any SQLConnection, didID: String) throws {
        try c.execute("DELETE FROM did_documents WHERE did_id = $1", [.text(didID)])
    }

    /// By the DID's id; those without a document are not there.
    package static func find(_ c: any SQLConnection, didIDs: [String]) throws -> [String: DIDDocumentRow] {
        guard !didIDs.isEmpty else { return [:] }
        var conditions = Conditions()
        conditions.add(among: "did_id", didIDs)
        conditions.confine("tenant_id", to: c.scope)
        let rows = try c.query("SELECT \(columns) FROM did_documents \(conditions.clause)", conditions.arguments)
        return try Dictionary(rows.map { (try $0.text("did_id"), try DIDDocumentRow($0)) }, uniquingKeysWith: { first, _ in first })
    }

    /// Those that are to be read now: of each tenant the same number, the longest due first, so that nobody's many or slow hosts keep
    /// others waiting.
    package static func due(_ c: any SQLConnection, now: Int64, ofOneTenant most: Int, limit: Int) throws -> [(id: String, did: String)] {
        try c.query(
            """
            SELECT id, did FROM (
                SELECT d.id AS id, d.did AS did, w.next_at AS next_at,
                    ROW_NUMBER() OVER (PARTITION BY d.tenant_id ORDER BY w.next_at, d.id) AS place
                FROM did_documents w JOIN dids d ON d.id = w.did_id WHERE w.next_at <= $1 AND d.deleted_at IS NULL) AS due
            WHERE place <= $2 ORDER BY place, next_at, id LIMIT $3
            """, [.int(now), .int(Int64(most)), .int(Int64(limit))]
        ).map { (try $0.text("id"), try $0.text("did")) }
    }

    /// The directory of its data planes has to tell of it.
    package static func touch(_ c: any SQLConnection, didID: String, change: Int64) throws {
        try c.execute("UPDATE dids SET directory_revision = $1 WHERE id = $2", [.int(change), .text(didID)])
    }

    /// Those whose last attempt came to nothing, with their DIDs.
    package static func failing(_ c: any SQLConnection, limit: Int) throws -> [(did: String, row: DIDDocumentRow)] {
        try c.query(
            """
            SELECT d.did AS did, w.did_id AS did_id, w.tenant_id AS tenant_id, w.methods AS methods, w.read_at AS read_at,
                w.failure AS failure, w.failed_at AS failed_at, w.failures AS failures, w.next_at AS next_at
            FROM did_documents w JOIN dids d ON d.id = w.did_id
            WHERE w.failure IS NOT NULL AND d.deleted_at IS NULL AND d.status = 'active' ORDER BY w.failed_at DESC, d.id LIMIT $1
            """, [.int(Int64(limit))]
        ).map { (try $0.text("did"), try DIDDocumentRow($0)) }
    }
}
