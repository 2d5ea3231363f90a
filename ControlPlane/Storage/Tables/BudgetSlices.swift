/// A part of an account that a data plane was given to spend from. See Shared/Leases for what its sums mean.
package struct BudgetSliceRow: Sendable, Hashable {
    package var id: Int64
    package var budgetID: String
    package var periodStart: Int64
    package var tenantID: String
    package var dataPlaneID: String
    package var boot: String
    /// The bits of the ask that it answers; 0: none.
    package var ask: Int64
    package var granted: Int64
    package var ceiling: Int64
    package var spent: Int64
    package var unknown: Int64
    package var resolved: Int64
    package var charged: Int64
    package var state: Int64
    /// Unix milliseconds.
    package var expiresAt: Int64
    package var epoch: Int64
    /// What was odd about its reports.
    package var findings: Int64
    package var grantedAt: Int64
    package var updatedAt: Int64

    package init(
        id: Int64, budgetID: String, periodStart: Int64, tenantID: String, dataPlaneID: String, boot: String, ask: Int64, granted: Int64,
        ceiling: Int64, spent: Int64, unknown: Int64, resolved: Int64, charged: Int64, state: Int64, expiresAt: Int64, epoch: Int64,
        findings: Int64, grantedAt: Int64
    ) {
        self.id = id
        self.budgetID = budgetID
        self.periodStart = periodStart
        self.tenantID = tenantID
        self.dataPlaneID = dataPlaneID
        self.boot = boot
        self.ask = ask
        self.granted = granted
        self.ceiling = ceiling
        self.spent = spent
        self.unknown = unknown
        self.resolved = resolved
        self.charged = charged
        self.state = state
        self.expiresAt = expiresAt
        self.epoch = epoch
        self.findings = findings
        self.grantedAt = grantedAt
        updatedAt = grantedAt
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.int("id")
        budgetID = try row.text("budget_id")
        periodStart = try row.int("period_start")
        tenantID = try row.text("tenant_id")
        dataPlaneID = try row.text("data_plane_id")
        boot = try row.text("boot")
        ask = try row.int("ask")
        granted = try row.int("granted")
        ceiling = try row.int("ceiling")
        spent = try row.int("spent")
        unknown = try row.int("unknown")
        resolved = try row.int("resolved")
        charged = try row.int("charged")
        state = try row.int("state")
        expiresAt = try row.int("expires_at")
        epoch = try row.int("epoch")
        findings = try row.int("findings")
        grantedAt = try row.int("granted_at")
        updatedAt = try row.int("updated_at")
    }

    /// Open, or orphaned: counted in full until somebody says that it is not spent from.
    package static let heldStates = "0, 2"
}

package enum BudgetSlicesTable {
    private static let columns = """
        id, budget_id, period_start, tenant_id, data_plane_id, boot, ask, granted, ceiling, spent, unknown, resolved, charged, state, \
        expires_at, epoch, findings, granted_at, updated_at
        """

    private static func rows(_ c: any SQLConnection, _ condition: String, _ arguments: [SQLValue]) throws -> [BudgetSliceRow] {
        try c.query("SELECT \(columns) FROM budget_slices WHERE \(condition)", arguments).map(BudgetSliceRow.init)
    }

    package static func find(_ c: any SQLConnection, id: Int64) throws -> BudgetSliceRow? {
        var conditions = Conditions()
        conditions.add("id = ?", .int(id))
        conditions.confine("tenant_id", to: c.scope)
        return try c.first("SELECT \(columns) FROM budget_slices \(conditions.clause)", conditions.arguments).map(BudgetSliceRow.init)
    }

    /// What an ask was answered with before.
    package static func find(_ c: any SQLConnection, dataPlaneID: String, boot: String, ask: Int64) throws -> BudgetSliceRow? {
        try rows(
            c, "data_plane_id = $1 AND boot = $2 AND ask = $3 AND ask <> 0 LIMIT 1", [.text(dataPlaneID), .text(boot), .int(ask)]
        ).first
    }

    /// Those of a data plane that count as held, of one boot or of all others than that.
    package static func held(_ c: any SQLConnection, dataPlaneID: String, boot: String, isOther: Bool) throws -> [BudgetSliceRow] {
        try rows(
            c, "data_plane_id = $1 AND boot \(isOther ? "<>" : "=") $2 AND state IN (\(BudgetSliceRow.heldStates)) ORDER BY id",
            [.text(dataPlaneID), .text(boot)])
    }

    /// How many an account's holder has, and who else holds some of it.
    package static func holders(_ c: any SQLConnection, budgetID: String, periodStart: Int64) throws -> [String: Int64] {
        var holders: [String: Int64] = [:]
        for row in try c.query(
            """
            SELECT data_plane_id, COUNT(*) AS slices FROM budget_slices
            WHERE budget_id = $1 AND period_start = $2 AND state IN (\(BudgetSliceRow.heldStates)) GROUP BY data_plane_id
            """, [.text(budgetID), .int(periodStart)])
        { holders[try row.text("data_plane_id")] = try row.int("slices") }
        return holders
    }

    /// Of an account, those that count as held first, then the newest.
    package static func list(_ c: any SQLConnection, budgetID: String, periodStart: Int64, limit: Int) throws -> [BudgetSliceRow] {
        var conditions = Conditions()
        conditions.add("budget_id = ?", .text(budgetID))
        conditions.add("period_start = ?", .int(periodStart))
        conditions.confine("tenant_id", to: c.scope)
        return try c.query(
            """
            SELECT \(columns) FROM budget_slices \(conditions.clause)
            ORDER BY CASE WHEN state IN (\(BudgetSliceRow.heldStates)) THEN 0 ELSE 1 END, granted_at DESC, id LIMIT \(limit)
            """, conditions.arguments
        ).map(BudgetSliceRow.init)
    }

    /// Held ones that their holders may never close: orphaned, overdue, or of a data plane that was shut out. The largest first.
    package static func stranded(_ c: any SQLConnection, now: Int64, limit: Int) throws -> [BudgetSliceRow] {
        var conditions = Conditions()
        conditions.confine("tenant_id", to: c.scope)
        conditions.add(
            """
            (state = 2 OR state = 0 AND (expires_at < \(now)
                OR data_plane_id IN (SELECT id FROM data_planes WHERE status <> 'active')))
            """)
        return try c.query(
            "SELECT \(columns) FROM budget_slices \(conditions.clause) ORDER BY ceiling - spent - unknown DESC, id LIMIT \(limit)",
            conditions.arguments
        ).map(BudgetSliceRow.init)
    }

    /// Takes away those that are over for long and of which nothing is to be decided; their accounts keep their sums.
    package static func purge(_ c: any SQLConnection, before: Int64, limit: Int) throws {
        try c.execute(
            """
            DELETE FROM budget_slices WHERE id IN (
                SELECT id FROM budget_slices
                WHERE state IN (1, 3) AND unknown = resolved AND updated_at < $1 AND granted_at < $1 LIMIT \(limit))
            """, [.int(before)])
    }

    package static func put(_ c: any SQLConnection, _ row: BudgetSliceRow, now: Int64) throws {
        try c.execute(
            """
            INSERT INTO budget_slices (\(columns)) VALUES \(Conditions.places(1, 19))
            ON CONFLICT (id) DO UPDATE SET ceiling = excluded.ceiling, spent = excluded.spent, unknown = excluded.unknown,
                resolved = excluded.resolved, charged = excluded.charged, state = excluded.state, findings = excluded.findings,
                updated_at = excluded.updated_at
            """,
            [
                .int(row.id), .text(row.budgetID), .int(row.periodStart), .text(row.tenantID), .text(row.dataPlaneID), .text(row.boot),
                .int(row.ask), .int(row.granted), .int(row.ceiling), .int(row.spent), .int(row.unknown), .int(row.resolved),
                .int(row.charged), .int(row.state), .int(row.expiresAt), .int(row.epoch), .int(row.findings), .int(row.grantedAt),
                .int(now),
            ])
    }
}

/// The boots of data planes.
package enum LeaseHoldersTable {
    package struct Row: Sendable, Hashable {
        package var dataPlaneID: String
        package var boot: String
        package var hello: Int64
        package var toldEpoch: Int64

        package init(dataPlaneID: String, boot: String, hello: Int64, toldEpoch: Int64) {
            self.dataPlaneID = dataPlaneID
            self.boot = boot
            self.hello = hello
            self.toldEpoch = toldEpoch
        }
    }

    /// Held until the transaction ends.
    package static func take(_ c: any SQLConnection, dataPlaneID: String, boot: String) throws -> Row? {
        try c.first(
            "SELECT hello, told_epoch FROM lease_holders WHERE data_plane_id = $1 AND boot = $2\(c.dialect.forUpdate)",
            [.text(dataPlaneID), .text(boot)]
        ).map { Row(dataPlaneID: dataPlaneID, boot: boot, hello: try $0.int("hello"), toldEpoch: try $0.int("told_epoch")) }
    }

    package static func put(_ c: any SQLConnection, _ row: Row, now: Int64) throws {
        try c.execute(
            """
            INSERT INTO lease_holders (data_plane_id, boot, hello, told_epoch, seen_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (data_plane_id, boot) DO UPDATE SET hello = excluded.hello, told_epoch = excluded.told_epoch,
                seen_at = excluded.seen_at
            """, [.text(row.dataPlaneID), .text(row.boot), .int(row.hello), .int(row.toldEpoch), .int(now)])
    }

    /// Of whom the connected ones draw: their tenants, none for all.
    package static func connected(_ c: any SQLConnection) throws -> [(id: String, tenantIDs: [String])] {
        try c.query("SELECT id, tenant_ids FROM data_planes WHERE status = 'active' AND connection IS NOT NULL").map {
            (try $0.text("id"), try TextList.decode($0.text("tenant_ids")))
        }
    }

    /// Data planes that may hold slices of before this epoch, and have not told all of them.
    /// - Parameter begun: Unix milliseconds: one that enrolled later holds nothing of before.
    package static func silent(
        _ c: any SQLConnection, epoch: Int64, begun: Int64
    ) throws -> [(id: String, name: String, tenantIDs: [String])] {
        try c.query(
            """
            SELECT p.id AS id, p.name AS name, p.tenant_ids AS tenant_ids FROM data_planes p
            WHERE p.status = 'active' AND p.created_at <= $2
                AND NOT EXISTS (SELECT 1 FROM lease_holders h WHERE h.data_plane_id = p.id AND h.told_epoch >= $1)
            ORDER BY p.id
            """, [.int(epoch), .int(begun)]
        ).map { (try $0.text("id"), try $0.text("name"), try TextList.decode($0.text("tenant_ids"))) }
    }
}

/// What is to be given back, so that others may have it.
package enum LeaseRecallsTable {
    package static func put(_ c: any SQLConnection, budgetID: String, periodStart: Int64, now: Int64) throws {
        try c.execute(
            """
            INSERT INTO lease_recalls (budget_id, period_start, at) VALUES ($1, $2, $3)
            ON CONFLICT (budget_id, period_start) DO UPDATE SET at = excluded.at
            """, [.text(budgetID), .int(periodStart), .int(now)])
    }

    /// Accounts that were recalled since, and who holds some of each.
    package static func since(
        _ c: any SQLConnection, _ time: Int64
    ) throws -> [(budgetID: String, periodStart: Int64, dataPlaneID: String, at: Int64)] {
        try c.query(
            """
            SELECT r.budget_id AS budget_id, r.period_start AS period_start, r.at AS at, s.data_plane_id AS data_plane_id
            FROM lease_recalls r JOIN budget_slices s ON s.budget_id = r.budget_id AND s.period_start = r.period_start AND s.state = 0
            WHERE r.at > $1 GROUP BY r.budget_id, r.period_start, r.at, s.data_plane_id ORDER BY r.at
            """, [.int(time)]
        ).map { (try $0.text("budget_id"), try $0.int("period_start"), try $0.text("data_plane_id"), try $0.int("at")) }
    }

    package static func forget(_ c: any SQLConnection, before: Int64) throws {
        try c.execute("DELETE FROM lease_recalls WHERE at < $1", [.int(before)])
    }
}
