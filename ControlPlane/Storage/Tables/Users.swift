/// What is asked of the users beyond single ones.
package enum UsersTable {
    /// Of how many the payment has an end.
    package static func countWithEnd(_ c: any SQLConnection) throws -> Int64 {
        var conditions = present(c)
        conditions.add("payment_valid_until IS NOT NULL")
        return try c.first("SELECT COUNT(*) AS users FROM users \(conditions.clause)", conditions.arguments)?.int("users") ?? 0
    }

    /// Those whose noted status is not what their payment says, by id, from the one after `last`.
    /// - Parameters:
    ///   - dayBegan: The present day's first millisecond: what was paid until before it has run out.
    ///   - expired: The word for that.
    package static func outOfStep(
        _ c: any SQLConnection, dayBegan: Int64, expired: String, after last: String, limit: Int
    ) throws -> [String] {
        var conditions = present(c)
        conditions.add("id > ?", .text(last))
        conditions.add(
            "(CASE WHEN payment_valid_until < ? THEN 1 ELSE 0 END) <> (CASE WHEN synced_status = ? THEN 1 ELSE 0 END)", .int(dayBegan),
            .text(expired))
        let place = conditions.place(.int(Int64(limit)))
        return try c.query("SELECT id FROM users \(conditions.clause) ORDER BY id LIMIT \(place)", conditions.arguments).map {
            try $0.text("id")
        }
    }

    private static func present(_ c: any SQLConnection) -> Conditions {
        var conditions = Conditions()
        conditions.add("deleted_at IS NULL")
        conditions.confine("tenant_id", to: c.scope)
        return conditions
    }
}
