/// Numbers that only rise: versions and revisions. Taking one locks it until the transaction ends, so what is numbered becomes
/// visible in the order of its numbers and a reader that has seen n has seen everything below.
package enum CountersTable {
    /// Raises the counter by one and answers the new value; the first is 1.
    package static func next(_ c: any SQLConnection, _ name: String) throws -> Int64 {
        let rows = try c.query(
            """
            INSERT INTO counters (name, value) VALUES ($1, 1)
            ON CONFLICT (name) DO UPDATE SET value = counters.value + 1
            RETURNING value
            """, [.text(name)])
        guard let row = rows.first else { throw DatabaseError.unexpectedValue("counter \(name) returned no value") }
        return try row.int("value")
    }

    /// Holds the counter until the transaction ends without raising it, and answers its value: who takes it next waits.
    package static func hold(_ c: any SQLConnection, _ name: String) throws -> Int64 {
        let rows = try c.query(
            """
            INSERT INTO counters (name, value) VALUES ($1, 0)
            ON CONFLICT (name) DO UPDATE SET value = counters.value
            RETURNING value
            """, [.text(name)])
        guard let row = rows.first else { throw DatabaseError.unexpectedValue("counter \(name) returned no value") }
        return try row.int("value")
    }

    /// The value taken last; 0 when none was.
    package static func current(_ c: any SQLConnection, _ name: String) throws -> Int64 {
        try c.first("SELECT value FROM counters WHERE name = $1", [.text(name)])?.int("value") ?? 0
    }

    /// Sets a counter, as for the epoch after a restore. It never goes down.
    package static func raise(_ c: any SQLConnection, _ name: String, to value: Int64) throws {
        try c.execute(
            """
            INSERT INTO counters (name, value) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET value = \(c.dialect.greatest("counters.value", "excluded.value"))
            """, [.text(name), .int(value)])
    }

    /// All counters: what a replica polls to see what others changed.
    package static func all(_ c: any SQLConnection) throws -> [String: Int64] {
        var counters: [String: Int64] = [:]
        for row in try c.query("SELECT name, value FROM counters", []) { counters[try row.text("name")] = try row.int("value") }
        return counters
    }
}
