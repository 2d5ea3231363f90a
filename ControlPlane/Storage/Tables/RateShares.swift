/// What one data plane was told of one counter, and what it may be using.
package struct RateShareRow: Sendable, Hashable {
    package var counter: [UInt8]
    package var dataPlaneID: String
    package var wanted: Int64
    /// What it had in the window.
    package var had: Int64
    /// The most that it may be using: until it has said that it uses less, what it was told before counts.
    package var ceiling: Int64
    package var told: Int64
    /// Of the message that told it.
    package var number: Int64
    package var updatedAt: Int64

    package init(
        counter: [UInt8], dataPlaneID: String, wanted: Int64 = 0, had: Int64 = 0, ceiling: Int64, told: Int64, number: Int64 = 0,
        updatedAt: Int64
    ) {
        self.counter = counter
        self.dataPlaneID = dataPlaneID
        self.wanted = wanted
        self.had = had
        self.ceiling = ceiling
        self.told = told
        self.number = number
        self.updatedAt = updatedAt
    }
}

package enum RateSharesTable {
    package static func all(_ c: any SQLConnection) throws -> [RateShareRow] {
        try c.query(
            "SELECT counter, data_plane_id, wanted, had, ceiling, told, number, updated_at FROM rate_shares ORDER BY counter, data_plane_id",
            []
        ).map {
            RateShareRow(
                counter: try $0.blob("counter"), dataPlaneID: try $0.text("data_plane_id"), wanted: try $0.int("wanted"),
                had: try $0.int("had"), ceiling: try $0.int("ceiling"), told: try $0.int("told"), number: try $0.int("number"),
                updatedAt: try $0.int("updated_at"))
        }
    }

    package static func put(_ c: any SQLConnection, _ row: RateShareRow) throws {
        try c.execute(
            """
            INSERT INTO rate_shares (counter, data_plane_id, wanted, had, ceiling, told, number, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (counter, data_plane_id) DO UPDATE SET wanted = excluded.wanted, had = excluded.had, ceiling = excluded.ceiling, told = excluded.told,
                number = excluded.number, updated_at = excluded.updated_at
            """,
            [
                .blob(row.counter), .text(row.dataPlaneID), .int(row.wanted), .int(row.had), .int(row.ceiling), .int(row.told),
                .int(row.number),
                .int(row.updatedAt),
            ])
    }

    package static func remove(_ c: any SQLConnection, _ counter: [UInt8], dataPlaneID: String? = nil) throws {
        if let dataPlaneID {
            try c.execute(
                "DELETE FROM rate_shares WHERE counter = $1 AND data_plane_id = $2", [.blob(counter), .text(dataPlaneID)])
        } else {
            try c.execute("DELETE FROM rate_shares WHERE counter = $1", [.blob(counter)])
        }
    }
}
