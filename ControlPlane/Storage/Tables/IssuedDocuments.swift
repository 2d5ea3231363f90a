/// A document that was made for one data plane alone.
package struct IssuedDocumentRow: Sendable, Hashable {
    package var dataPlaneID: String
    package var kind: String
    package var epoch: Int64
    package var version: Int64
    package var digest: [UInt8]
    /// The counter up to which it holds every change. Not the version: a document that repeats this state gets a newer version.
    package var covered: Int64
    /// Of the data plane when it was made.
    package var tenantsRevision: Int64
    package var issuedAt: Int64

    package init(
        dataPlaneID: String, kind: String, epoch: Int64, version: Int64, digest: [UInt8], covered: Int64, tenantsRevision: Int64,
        issuedAt: Int64
    ) {
        self.dataPlaneID = dataPlaneID
        self.kind = kind
        self.epoch = epoch
        self.version = version
        self.digest = digest
        self.covered = covered
        self.tenantsRevision = tenantsRevision
        self.issuedAt = issuedAt
    }

    fileprivate init(_ row: SQLRow) throws {
        dataPlaneID = try row.text("data_plane_id")
        kind = try row.text("kind")
        epoch = try row.int("epoch")
        version = try row.int("version")
        digest = try row.blob("digest")
        covered = try row.int("covered")
        tenantsRevision = try row.int("tenants_revision")
        issuedAt = try row.int("issued_at")
    }
}

package enum IssuedDocumentsTable {
    private static let columns = "data_plane_id, kind, epoch, version, digest, covered, tenants_revision, issued_at"

    package static func insert(_ c: any SQLConnection, _ row: IssuedDocumentRow) throws {
        try c.execute(
            "INSERT INTO issued_documents (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                .text(row.dataPlaneID), .text(row.kind), .int(row.epoch), .int(row.version), .blob(row.digest), .int(row.covered),
                .int(row.tenantsRevision), .int(row.issuedAt),
            ])
    }

    package static func find(
        _ c: any SQLConnection, dataPlaneID: String, kind: String, epoch: Int64, version: Int64
    ) throws -> IssuedDocumentRow? {
        try c.query(
            """
            SELECT \(columns) FROM issued_documents
            WHERE data_plane_id = $1 AND kind = $2 AND epoch = $3 AND version = $4
            """,
            [.text(dataPlaneID), .text(kind), .int(epoch), .int(version)]
        ).first.map(IssuedDocumentRow.init)
    }

    package static func latest(_ c: any SQLConnection, dataPlaneID: String, kind: String, epoch: Int64) throws -> IssuedDocumentRow? {
        try c.query(
            """
            SELECT \(columns) FROM issued_documents WHERE data_plane_id = $1 AND kind = $2 AND epoch = $3
            ORDER BY version DESC LIMIT 1
            """,
            [.text(dataPlaneID), .text(kind), .int(epoch)]
        ).first.map(IssuedDocumentRow.init)
    }

    /// Keeps the newest `keep` of the kind: a data plane that holds an older one gets a full document.
    package static func prune(_ c: any SQLConnection, dataPlaneID: String, kind: String, keep: Int) throws {
        try c.execute(
            """
            DELETE FROM issued_documents WHERE data_plane_id = $1 AND kind = $2 AND (epoch, version) < (
                SELECT epoch, version FROM issued_documents WHERE data_plane_id = $1 AND kind = $2
                ORDER BY epoch DESC, version DESC LIMIT 1 OFFSET \(max(keep - 1, 0)))
            """,
            [.text(dataPlaneID), .text(kind)])
    }
}

/// What a data plane said of a document it was sent.
package struct DataPlaneDocumentRow: Sendable, Hashable {
    package var dataPlaneID: String
    package var kind: String
    package var epoch: Int64
    package var version: Int64
    package var digest: [UInt8]
    package var accepted: Bool
    /// A refusal's stable code; empty when accepted.
    package var reason: String
    package var detail: String
    package var answeredAt: Int64

    package init(
        dataPlaneID: String, kind: String, epoch: Int64, version: Int64, digest: [UInt8], accepted: Bool, reason: String = "",
        detail: String = "", answeredAt: Int64
    ) {
        self.dataPlaneID = dataPlaneID
        self.kind = kind
        self.epoch = epoch
        self.version = version
        self.digest = digest
        self.accepted = accepted
        self.reason = reason
        self.detail = detail
        self.answeredAt = answeredAt
    }

    fileprivate init(_ row: SQLRow) throws {
        dataPlaneID = try row.text("data_plane_id")
        kind = try row.text("kind")
        epoch = try row.int("epoch")
        version = try row.int("version")
        digest = try row.blob("digest")
        accepted = try row.bool("accepted")
        reason = try row.text("reason")
        detail = try row.text("detail")
        answeredAt = try row.int("answered_at")
    }
}

package enum DataPlaneDocumentsTable {
    private static let columns = "data_plane_id, kind, epoch, version, digest, accepted, reason, detail, answered_at"

    package static func put(_ c: any SQLConnection, _ row: DataPlaneDocumentRow) throws {
        try c.execute(
            """
            INSERT INTO data_plane_documents (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (data_plane_id, kind, epoch, version) DO UPDATE SET digest = excluded.digest, accepted = excluded.accepted,
                reason = excluded.reason, detail = excluded.detail, answered_at = excluded.answered_at
            """,
            [
                .text(row.dataPlaneID), .text(row.kind), .int(row.epoch), .int(row.version), .blob(row.digest), .bool(row.accepted),
                .text(row.reason), .text(row.detail), .int(row.answeredAt),
            ])
    }

    /// Drops what was said of older documents of the kind.
    package static func removeOlder(_ c: any SQLConnection, dataPlaneID: String, kind: String, epoch: Int64, version: Int64) throws {
        try c.execute(
            "DELETE FROM data_plane_documents WHERE data_plane_id = $1 AND kind = $2 AND (epoch < $3 OR (epoch = $3 AND version < $4))",
            [.text(dataPlaneID), .text(kind), .int(epoch), .int(version)])
    }

    /// Drops what was said of all versions of the kind but these.
    package static func removeExcept(_ c: any SQLConnection, dataPlaneID: String, kind: String, versions: [Int64]) throws {
        let kept = versions.isEmpty ? "" : "AND version NOT IN (\(versions.map(String.init).joined(separator: ", ")))"
        try c.execute(
            "DELETE FROM data_plane_documents WHERE data_plane_id = $1 AND kind = $2 \(kept)", [.text(dataPlaneID), .text(kind)])
    }

    package static func removeAll(_ c: any SQLConnection, dataPlaneID: String) throws {
        try c.execute("DELETE FROM data_plane_documents WHERE data_plane_id = $1", [.text(dataPlaneID)])
    }

    package static func of(_ c: any SQLConnection, dataPlaneID: String) throws -> [DataPlaneDocumentRow] {
        try c.query(
            "SELECT \(columns) FROM data_plane_documents WHERE data_plane_id = $1 ORDER BY kind, epoch, version", [.text(dataPlaneID)]
        ).map(DataPlaneDocumentRow.init)
    }

    /// What the data planes said of one document: how far a rollout has come.
    package static func answers(_ c: any SQLConnection, kind: String, epoch: Int64, version: Int64) throws -> [DataPlaneDocumentRow] {
        try c.query(
            """
            SELECT \(columns) FROM data_plane_documents WHERE kind = $1 AND epoch = $2 AND version = $3 ORDER BY data_plane_id
            """,
            [.text(kind), .int(epoch), .int(version)]
        ).map(DataPlaneDocumentRow.init)
    }
}
