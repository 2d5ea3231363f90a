/// When a key was used last, as one data plane's records say.
package struct KeyUse: Sendable, Hashable {
    package let keyID: String
    package let tenantID: String
    /// Unix milliseconds.
    package let usedAt: Int64

    package init(keyID: String, tenantID: String, usedAt: Int64) {
        self.keyID = keyID
        self.tenantID = tenantID
        self.usedAt = usedAt
    }
}

/// When keys were used last. A row belongs to one data plane: two of them never wait for each other.
package enum KeyUsesTable {
    private static let columns = ["key_id", "data_plane_id", "tenant_id", "used_at"]
    private static let rowsPerStatement = 200

    /// What is earlier than what is known changes nothing.
    package static func note(_ c: any SQLConnection, dataPlaneID: String, _ uses: [KeyUse]) throws {
        // In one order always: two incarnations of a data plane may be at it together.
        let ordered = uses.sorted { $0.keyID < $1.keyID }
        for start in stride(from: 0, to: ordered.count, by: rowsPerStatement) {
            let chunk = ordered[start..<min(start + rowsPerStatement, ordered.count)]
            try c.execute(
                """
                INSERT INTO virtual_key_uses (\(columns.joined(separator: ", "))) VALUES \(Conditions.places(chunk.count, columns.count))
                ON CONFLICT (key_id, data_plane_id) DO UPDATE SET used_at = excluded.used_at
                WHERE virtual_key_uses.used_at < excluded.used_at
                """, chunk.flatMap { [.text($0.keyID), .text(dataPlaneID), .text($0.tenantID), .int($0.usedAt)] })
        }
    }

    /// Unix milliseconds, by key; those that were never used are not there.
    package static func latest(_ c: any SQLConnection, keyIDs: [String]) throws -> [String: Int64] {
        guard !keyIDs.isEmpty else { return [:] }
        var conditions = Conditions()
        conditions.add(among: "key_id", keyIDs)
        conditions.confine("tenant_id", to: c.scope)
        let rows = try c.query(
            "SELECT key_id, MAX(used_at) AS used_at FROM virtual_key_uses \(conditions.clause) GROUP BY key_id", conditions.arguments)
        return try Dictionary(rows.map { (try $0.text("key_id"), try $0.int("used_at")) }, uniquingKeysWith: max)
    }

    static func remove(_ c: any SQLConnection, keyIDs: [String]) throws {
        guard !keyIDs.isEmpty else { return }
        try c.execute(
            "DELETE FROM virtual_key_uses WHERE key_id IN \(Conditions.places(1, keyIDs.count))", keyIDs.map { .text($0) })
    }
}
