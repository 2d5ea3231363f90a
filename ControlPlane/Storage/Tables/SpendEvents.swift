/// Something about money that somebody should hear of.
package struct SpendEventRow: Sendable, Hashable {
    package var id: String
    /// Unix milliseconds.
    package var at: Int64
    package var kind: String
    /// Empty: the installation's.
    package var tenantID: String
    package var budgetID: String?
    package var dataPlaneID: String?
    /// What it is told once for.
    package var occasion: String
    /// A JSON object.
    package var detail: String

    package init(
        id: String, at: Int64, kind: String, tenantID: String, budgetID: String?, dataPlaneID: String?, occasion: String, detail: String
    ) {
        self.id = id
        self.at = at
        self.kind = kind
        self.tenantID = tenantID
        self.budgetID = budgetID
        self.dataPlaneID = dataPlaneID
        self.occasion = occasion
        self.detail = detail
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.text("id")
        at = try row.int("at")
        kind = try row.text("kind")
        tenantID = try row.text("tenant_id")
        budgetID = try row.optionalText("budget_id")
        dataPlaneID = try row.optionalText("data_plane_id")
        occasion = try row.text("occasion")
        detail = try row.text("detail")
    }
}

package enum SpendEventsTable {
    private static let columns = "id, at, kind, tenant_id, budget_id, data_plane_id, occasion, detail"

    /// - Returns: false when it was told before.
    @discardableResult
    package static func insert(_ c: any SQLConnection, _ row: SpendEventRow) throws -> Bool {
        try c.execute(
            "INSERT INTO spend_events (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (occasion) DO NOTHING",
            [
                .text(row.id), .int(row.at), .text(row.kind), .text(row.tenantID), .optional(row.budgetID), .optional(row.dataPlaneID),
                .text(row.occasion), .text(row.detail),
            ]) == 1
    }

    /// Of which nobody has made messages yet, oldest first.
    package static func waiting(_ c: any SQLConnection, limit: Int) throws -> [SpendEventRow] {
        try c.query("SELECT \(columns) FROM spend_events WHERE dispatched = 0 ORDER BY at, id LIMIT \(limit)", [])
            .map(SpendEventRow.init)
    }

    package static func wasDispatched(_ c: any SQLConnection, _ id: String) throws {
        try c.execute("UPDATE spend_events SET dispatched = 1 WHERE id = $1", [.text(id)])
    }

    package static func forget(_ c: any SQLConnection, before: Int64) throws {
        try c.execute("DELETE FROM spend_events WHERE at < $1", [.int(before)])
    }

    /// Oldest first, from the one after `last`.
    package static func list(
        _ c: any SQLConnection, since: Int64, kind: String?, after last: (at: Int64, id: String)?, limit: Int
    ) throws -> [SpendEventRow] {
        var conditions = Conditions()
        conditions.confine("tenant_id", to: c.scope)
        conditions.add("at >= ?", .int(since))
        if let kind { conditions.add("kind = ?", .text(kind)) }
        if let last { conditions.add("(at, id) > (?, ?)", .int(last.at), .text(last.id)) }
        return try c.query(
            "SELECT \(columns) FROM spend_events \(conditions.clause) ORDER BY at, id LIMIT \(limit)", conditions.arguments
        ).map(SpendEventRow.init)
    }

    /// The newest of a kind.
    package static func newest(_ c: any SQLConnection, kind: String, since: Int64, limit: Int) throws -> [SpendEventRow] {
        var conditions = Conditions()
        conditions.confine("tenant_id", to: c.scope)
        conditions.add("kind = ?", .text(kind))
        conditions.add("at >= ?", .int(since))
        return try c.query(
            "SELECT \(columns) FROM spend_events \(conditions.clause) ORDER BY at DESC, id LIMIT \(limit)", conditions.arguments
        ).map(SpendEventRow.init)
    }
}
