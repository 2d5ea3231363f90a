/// What tenants and keys spend by the hour, for whoever looks for rises.
package enum SpendHoursTable {
    package struct Costs: Sendable, Hashable {
        /// A tenant or a key.
        package let subjectID: String
        package let tenantID: String
        /// Micro-dollars, of the whole day so far.
        package let spent: Int64

        package init(subjectID: String, tenantID: String, spent: Int64) {
            self.subjectID = subjectID
            self.tenantID = tenantID
            self.spent = spent
        }
    }

    /// By tenant and by key, of one day (from 1970, UTC).
    package static func day(_ c: any SQLConnection, _ day: Int64) throws -> [Costs] {
        let sum = "CAST(SUM(cost_nano / 1000) AS BIGINT) AS spent"
        return try c.query(
            """
            SELECT tenant_id AS subject_id, tenant_id, \(sum) FROM usage_daily WHERE day = $1 GROUP BY tenant_id
            UNION ALL
            SELECT key_id AS subject_id, tenant_id, \(sum) FROM usage_daily WHERE day = $1 AND key_id <> '' GROUP BY key_id, tenant_id
            """, [.int(day)]
        ).map { Costs(subjectID: try $0.text("subject_id"), tenantID: try $0.text("tenant_id"), spent: try $0.int("spent")) }
    }

    /// The newest hour of a day that is known of each: what was spent until its end.
    package static func known(_ c: any SQLConnection, from first: Int64, through last: Int64) throws -> [String: (
        hour: Int64, until: Int64, before: Int64
    )] {
        var found: [String: (hour: Int64, until: Int64, before: Int64)] = [:]
        let rows = try c.query(
            "SELECT subject_id, hour, spent, before FROM spend_hours WHERE hour BETWEEN $1 AND $2 ORDER BY hour", [.int(first), .int(last)])
        for row in rows {
            let (spent, before) = (try row.int("spent"), try row.int("before"))
            found[try row.text("subject_id")] = (try row.int("hour"), spent &+ before, before)
        }
        return found
    }

    package static func put(_ c: any SQLConnection, _ costs: Costs, hour: Int64, spent: Int64, before: Int64) throws {
        try c.execute(
            """
            INSERT INTO spend_hours (subject_id, tenant_id, hour, spent, before) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (subject_id, hour) DO UPDATE SET spent = excluded.spent
            """, [.text(costs.subjectID), .text(costs.tenantID), .int(hour), .int(spent), .int(before)])
    }

    /// What one spent in the hours before this one: since when something is known (an hour), in all of them, and in those of the same time of day.
    package static func history(
        _ c: any SQLConnection, _ subjectID: String, before hour: Int64, from first: Int64
    ) throws -> (since: Int64, total: Int64, sameHour: Int64)? {
        let row = try c.first(
            """
            SELECT MIN(hour) AS since, CAST(SUM(spent) AS BIGINT) AS total,
                CAST(SUM(CASE WHEN hour % 24 = $4 % 24 THEN spent ELSE 0 END) AS BIGINT) AS same_hour
            FROM spend_hours WHERE subject_id = $1 AND hour >= $2 AND hour < $3
            """, [.text(subjectID), .int(first), .int(hour), .int(hour)])
        guard let row, let since = try row.optionalInt("since") else { return nil }
        return (since, try row.int("total"), try row.int("same_hour"))
    }

    /// The newest hour that is known of one.
    package static func newest(_ c: any SQLConnection, _ subjectID: String) throws -> Int64? {
        try c.first("SELECT MAX(hour) AS newest FROM spend_hours WHERE subject_id = $1", [.text(subjectID)])?.optionalInt("newest")
    }

    package static func forget(_ c: any SQLConnection, before hour: Int64) throws {
        try c.execute("DELETE FROM spend_hours WHERE hour < $1", [.int(hour)])
    }
}

/// Findings of which somebody was told, or is about to be.
package enum ToldFindingsTable {
    package struct Row: Sendable, Hashable {
        package let code: String
        package let subject: String
        /// Unix milliseconds; nil: it was seen once.
        package let toldAt: Int64?
        /// Rounds in which it was not there.
        package let missing: Int64

        package init(code: String, subject: String, toldAt: Int64?, missing: Int64) {
            self.code = code
            self.subject = subject
            self.toldAt = toldAt
            self.missing = missing
        }
    }

    package static func all(_ c: any SQLConnection) throws -> [Row] {
        try c.query("SELECT code, subject, told_at, missing FROM told_findings ORDER BY code, subject", []).map {
            Row(
                code: try $0.text("code"), subject: try $0.text("subject"), toldAt: try $0.optionalInt("told_at"),
                missing: try $0.int("missing"))
        }
    }

    package static func put(_ c: any SQLConnection, _ row: Row) throws {
        try c.execute(
            """
            INSERT INTO told_findings (code, subject, told_at, missing) VALUES ($1, $2, $3, $4)
            ON CONFLICT (code, subject) DO UPDATE SET told_at = excluded.told_at, missing = excluded.missing
            """, [.text(row.code), .text(row.subject), .optional(row.toldAt), .int(row.missing)])
    }

    package static func remove(_ c: any SQLConnection, _ row: Row) throws {
        try c.execute("DELETE FROM told_findings WHERE code = $1 AND subject = $2", [.text(row.code), .text(row.subject)])
    }
}
