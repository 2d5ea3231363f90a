/// Whom a data plane serves, and may still report for.
package struct DataPlaneScope: Sendable, Hashable {
    package struct Former: Sendable, Hashable {
        /// Unix milliseconds: when the tenant was taken from it.
        package let untilAt: Int64
        /// Unix milliseconds: when it was first in contact after that; nil: it was not yet.
        package let toldAt: Int64?
    }

    package let isActive: Bool
    package let serves: DirectoryScope
    /// By tenant; `everyTenant` where it served all.
    package let former: [String: Former]

    package static let everyTenant = "*"
}

/// The tenants that were taken from data planes. In-flight usage for them is honest for a while.
package enum FormerTenantsTable {
    /// Writes down how a data plane's list changed. `inContact`: it is connected now, and so hears of it at once.
    package static func record(
        _ c: any SQLConnection, dataPlaneID: String, from old: DirectoryScope, to new: DirectoryScope, inContact: Bool, now: Int64
    ) throws {
        switch new {
        case .everyone:
            try c.execute("DELETE FROM data_plane_former_tenants WHERE data_plane_id = $1", [.text(dataPlaneID)])
        case .tenants(let present):
            for tenant in present {
                try c.execute(
                    "DELETE FROM data_plane_former_tenants WHERE data_plane_id = $1 AND tenant_id = $2",
                    [.text(dataPlaneID), .text(tenant)])
            }
            let taken: [String]
            switch old {
            case .everyone: taken = [DataPlaneScope.everyTenant]
            case .tenants(let before): taken = before.filter { !present.contains($0) }
            }
            for tenant in taken {
                try c.execute(
                    """
                    INSERT INTO data_plane_former_tenants (data_plane_id, tenant_id, until_at, told_at) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (data_plane_id, tenant_id) DO UPDATE SET until_at = excluded.until_at, told_at = excluded.told_at
                    """,
                    [.text(dataPlaneID), .text(tenant), .int(now), .optional(inContact ? now : nil)])
            }
        }
    }

    /// The data plane is in contact: from now on it knows.
    package static func told(_ c: any SQLConnection, dataPlaneID: String, now: Int64) throws {
        try c.execute(
            "UPDATE data_plane_former_tenants SET told_at = $1 WHERE data_plane_id = $2 AND told_at IS NULL",
            [.int(now), .text(dataPlaneID)])
    }

    /// Nil: there is no such data plane.
    package static func scope(_ c: any SQLConnection, dataPlaneID: String) throws -> DataPlaneScope? {
        guard let row = try c.first("SELECT status, tenant_ids FROM data_planes WHERE id = $1", [.text(dataPlaneID)]) else { return nil }
        let former = try c.query(
            "SELECT tenant_id, until_at, told_at FROM data_plane_former_tenants WHERE data_plane_id = $1", [.text(dataPlaneID)]
        ).map { row in
            (try row.text("tenant_id"), DataPlaneScope.Former(untilAt: try row.int("until_at"), toldAt: try row.optionalInt("told_at")))
        }
        return DataPlaneScope(
            isActive: try row.text("status") == DataPlaneRow.Status.active.rawValue,
            serves: DirectoryScope(tenantIDs: try TextList.decode(row.text("tenant_ids"))),
            former: Dictionary(former, uniquingKeysWith: { first, _ in first }))
    }
}

/// The configuration versions that data planes were sent.
package enum DataPlaneConfigsTable {
    package static func insert(_ c: any SQLConnection, dataPlaneID: String, version: Int64, now: Int64) throws {
        try c.execute(
            """
            INSERT INTO data_plane_configs (data_plane_id, version, sent_at) VALUES ($1, $2, $3)
            ON CONFLICT (data_plane_id, version) DO NOTHING
            """, [.text(dataPlaneID), .int(version), .int(now)])
    }

    /// Which of these versions the data plane was ever sent.
    package static func held(_ c: any SQLConnection, dataPlaneID: String, among versions: Set<Int64>) throws -> Set<Int64> {
        var held = Set<Int64>()
        let wanted = versions.sorted()
        for start in stride(from: 0, to: wanted.count, by: 500) {
            let list = wanted[start..<min(start + 500, wanted.count)].map(String.init).joined(separator: ", ")
            let rows = try c.query(
                "SELECT version FROM data_plane_configs WHERE data_plane_id = $1 AND version IN (\(list))", [.text(dataPlaneID)])
            for row in rows { held.insert(try row.int("version")) }
        }
        return held
    }
}

/// Whose the parties of usage records are, deleted ones included: what was used before is billed after.
package enum UsagePartiesTable {
    package struct Party: Sendable, Hashable {
        package let projectID: String
        package let tenantID: String
    }

    /// Virtual keys by id.
    package static func keys(_ c: any SQLConnection, _ ids: Set<String>) throws -> [String: Party] {
        var found: [String: Party] = [:]
        try each(c, ids, "SELECT id, project_id, tenant_id FROM virtual_keys WHERE id") { row in
            found[try row.text("id")] = Party(projectID: try row.text("project_id"), tenantID: try row.text("tenant_id"))
        }
        return found
    }

    /// The tenants of apps, users and DIDs, by id.
    package static func identities(_ c: any SQLConnection, _ ids: Set<String>) throws -> [String: String] {
        var found: [String: String] = [:]
        for table in ["users", "apps", "dids"] {
            try each(c, ids, "SELECT id, tenant_id FROM \(table) WHERE id") { found[try $0.text("id")] = try $0.text("tenant_id") }
        }
        return found
    }

    /// Which of these projects there are, or were.
    package static func projects(_ c: any SQLConnection, _ ids: Set<String>) throws -> Set<String> {
        var found = Set<String>()
        try each(c, ids, "SELECT id FROM projects WHERE id") { found.insert(try $0.text("id")) }
        return found
    }

    package static func tenants(_ c: any SQLConnection, _ ids: Set<String>) throws -> Set<String> {
        var found = Set<String>()
        try each(c, ids, "SELECT id FROM tenants WHERE id") { found.insert(try $0.text("id")) }
        return found
    }

    private static func each(_ c: any SQLConnection, _ ids: Set<String>, _ select: String, _ body: (SQLRow) throws -> Void) throws {
        let wanted = ids.sorted()
        for start in stride(from: 0, to: wanted.count, by: 500) {
            let part = wanted[start..<min(start + 500, wanted.count)]
            let places = (1...part.count).map { "$\($0)" }.joined(separator: ", ")
            for row in try c.query("\(select) IN (\(places))", part.map { .text($0) }) { try body(row) }
        }
    }
}
