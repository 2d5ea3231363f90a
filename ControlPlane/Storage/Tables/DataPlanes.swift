/// An enrolled data plane.
package struct DataPlaneRow: Sendable, Hashable {
    package enum Status: String, Sendable {
        case active, revoked
    }

    package var id: String
    package var name: String
    package var region: String
    /// Whom it serves; empty: all tenants.
    package var tenantIDs: [String]
    /// Rises with each change of `tenantIDs`: a delta is never built on a directory made for another list.
    package var tenantsRevision: Int64
    package var identityPublicKey: [UInt8]
    package var sealingPublicKey: [UInt8]
    /// Of its software, as it said last.
    package var version: String
    package var status: Status
    /// The keyring whose keys it was given when it enrolled.
    package var keyringEpoch: Int64
    package var keyringVersion: Int64
    package var revision: Int64
    package var createdAt: Int64
    package var updatedAt: Int64
    package var revokedAt: Int64?
    package var lastSeenAt: Int64?
    /// The control plane replica that holds its subscription; nil: none does.
    package var replica: String?
    package var connection: String?
    package var connectedAt: Int64?
    /// Its last status report, JSON.
    package var report: String?
    package var reportedAt: Int64?

    package init(
        id: String, name: String, region: String, tenantIDs: [String], identityPublicKey: [UInt8], sealingPublicKey: [UInt8],
        version: String, keyringEpoch: Int64, keyringVersion: Int64, createdAt: Int64
    ) {
        self.id = id
        self.name = name
        self.region = region
        self.tenantIDs = tenantIDs
        tenantsRevision = 1
        self.identityPublicKey = identityPublicKey
        self.sealingPublicKey = sealingPublicKey
        self.version = version
        status = .active
        self.keyringEpoch = keyringEpoch
        self.keyringVersion = keyringVersion
        revision = 1
        self.createdAt = createdAt
        updatedAt = createdAt
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.text("id")
        name = try row.text("name")
        region = try row.text("region")
        tenantIDs = try TextList.decode(row.text("tenant_ids"))
        tenantsRevision = try row.int("tenants_revision")
        identityPublicKey = try row.blob("identity_public_key")
        sealingPublicKey = try row.blob("sealing_public_key")
        version = try row.text("version")
        status = Status(rawValue: try row.text("status")) ?? .revoked
        keyringEpoch = try row.int("keyring_epoch")
        keyringVersion = try row.int("keyring_version")
        revision = try row.int("revision")
        createdAt = try row.int("created_at")
        updatedAt = try row.int("updated_at")
        revokedAt = try row.optionalInt("revoked_at")
        lastSeenAt = try row.optionalInt("last_seen_at")
        replica = try row.optionalText("replica")
        connection = try row.optionalText("connection")
        connectedAt = try row.optionalInt("connected_at")
        report = try row.optionalText("report")
        reportedAt = try row.optionalInt("reported_at")
    }
}

package enum DataPlanesTable {
    private static let columns = """
        id, name, region, tenant_ids, tenants_revision, identity_public_key, sealing_public_key, version, status, keyring_epoch, \
        keyring_version, revision, created_at, updated_at, revoked_at, last_seen_at, replica, connection, connected_at, report, reported_at
        """

    package static func insert(_ c: any SQLConnection, _ row: DataPlaneRow) throws {
        try c.execute(
            """
            INSERT INTO data_planes (id, name, region, tenant_ids, tenants_revision, identity_public_key, sealing_public_key, version,
                status, keyring_epoch, keyring_version, revision, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            """,
            [
                .text(row.id), .text(row.name), .text(row.region), .text(TextList.encode(row.tenantIDs)), .int(row.tenantsRevision),
                .blob(row.identityPublicKey), .blob(row.sealingPublicKey), .text(row.version), .text(row.status.rawValue),
                .int(row.keyringEpoch), .int(row.keyringVersion), .int(row.revision), .int(row.createdAt), .int(row.updatedAt),
            ])
    }

    package static func find(_ c: any SQLConnection, id: String) throws -> DataPlaneRow? {
        try c.query("SELECT \(columns) FROM data_planes WHERE id = $1", [.text(id)]).first.map(DataPlaneRow.init)
    }

    package static func find(_ c: any SQLConnection, identityPublicKey: [UInt8]) throws -> DataPlaneRow? {
        try c.query("SELECT \(columns) FROM data_planes WHERE identity_public_key = $1", [.blob(identityPublicKey)])
            .first.map(DataPlaneRow.init)
    }

    /// Where there are data planes that were not revoked.
    package static func regions(_ c: any SQLConnection) throws -> Set<String> {
        Set(try c.query("SELECT DISTINCT region FROM data_planes WHERE status = 'active'").map { try $0.text("region") })
    }

    /// Every one that was not revoked, by id.
    package static func active(_ c: any SQLConnection) throws -> [DataPlaneRow] {
        try c.query("SELECT \(columns) FROM data_planes WHERE status = 'active' ORDER BY id").map(DataPlaneRow.init)
    }

    /// What of a data plane decides over its streams.
    package struct Standing: Sendable, Hashable {
        package let status: DataPlaneRow.Status
        /// The subscription that is the present one; an older one of the same data plane has been replaced.
        package let connection: String?
        package let tenantsRevision: Int64
    }

    package static func standings(_ c: any SQLConnection, ids: [String]) throws -> [String: Standing] {
        var standings: [String: Standing] = [:]
        for start in stride(from: 0, to: ids.count, by: 500) {
            let part = ids[start..<min(start + 500, ids.count)]
            let places = (1...part.count).map { "$\($0)" }.joined(separator: ", ")
            let rows = try c.query(
                "SELECT id, status, connection, tenants_revision FROM data_planes WHERE id IN (\(places))", part.map { .text($0) })
            for row in rows {
                standings[try row.text("id")] = Standing(
                    status: DataPlaneRow.Status(rawValue: try row.text("status")) ?? .revoked,
                    connection: try row.optionalText("connection"), tenantsRevision: try row.int("tenants_revision"))
            }
        }
        return standings
    }

    // The following do not change `revision`: they are what was observed, not what somebody decided.

    package static func sawVersion(_ c: any SQLConnection, id: String, version: String, now: Int64) throws {
        try c.execute("UPDATE data_planes SET version = $1, last_seen_at = $2 WHERE id = $3", [.text(version), .int(now), .text(id)])
    }

    package static func connected(
        _ c: any SQLConnection, id: String, replica: String, connection: String, version: String, now: Int64
    ) throws {
        try c.execute(
            """
            UPDATE data_planes SET replica = $1, connection = $2, version = $3, connected_at = $4, last_seen_at = $4 WHERE id = $5
            """,
            [.text(replica), .text(connection), .text(version), .int(now), .text(id)])
    }

    /// Only if `connection` is still the present one.
    package static func disconnected(_ c: any SQLConnection, id: String, connection: String, now: Int64) throws {
        try c.execute(
            """
            UPDATE data_planes SET replica = NULL, connection = NULL, connected_at = NULL, last_seen_at = $1
            WHERE id = $2 AND connection = $3
            """,
            [.int(now), .text(id), .text(connection)])
    }

    package static func reported(_ c: any SQLConnection, id: String, report: String, now: Int64) throws {
        try c.execute(
            "UPDATE data_planes SET report = $1, reported_at = $2, last_seen_at = $2 WHERE id = $3",
            [.text(report), .int(now), .text(id)])
    }

    /// Marks those as not connected whose replica died without saying so, and those that no replica has heard of since.
    package static func forgetSilent(_ c: any SQLConnection, silentSince: Int64, now: Int64) throws {
        try c.execute(
            """
            UPDATE data_planes SET replica = NULL, connection = NULL, connected_at = NULL
            WHERE connection IS NOT NULL
                AND (last_seen_at < $1 OR replica IN (SELECT name FROM control_replicas WHERE expires_at <= $2))
            """,
            [.int(silentSince), .int(now)])
    }
}
