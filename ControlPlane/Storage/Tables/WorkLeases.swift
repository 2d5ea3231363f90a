/// Who among the replicas does what only one of them has to do. Times are Unix milliseconds by the replicas' clocks.
package enum WorkLeasesTable {
    /// Takes the lease or prolongs it.
    /// - Returns: whether `holder` has it now.
    package static func take(_ c: any SQLConnection, _ name: String, holder: String, now: Int64, until: Int64) throws -> Bool {
        try c.execute(
            """
            INSERT INTO work_leases (name, holder, expires_at) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
            WHERE work_leases.holder = excluded.holder OR work_leases.expires_at <= $4
            """, [.text(name), .text(holder), .int(until), .int(now)]) == 1
    }

    /// Gives back what `holder` has, so that another one need not wait for it to expire.
    package static func release(_ c: any SQLConnection, holder: String) throws {
        try c.execute("DELETE FROM work_leases WHERE holder = $1", [.text(holder)])
    }
}

/// The replicas that are there: a row counts until it expires.
package enum ControlReplicasTable {
    /// - Parameter addresses: `host:port` each, with commas between them.
    package static func renew(_ c: any SQLConnection, _ name: String, addresses: String, now: Int64, until: Int64) throws {
        try c.execute(
            """
            INSERT INTO control_replicas (name, started_at, expires_at, addresses) VALUES ($1, $2, $3, $4)
            ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at, addresses = excluded.addresses
            """, [.text(name), .int(now), .int(until), .text(addresses)])
    }

    /// Of those that are there, each once, in the order of their names.
    package static func addresses(_ c: any SQLConnection, now: Int64) throws -> [String] {
        let rows = try c.query("SELECT addresses FROM control_replicas WHERE expires_at > $1 ORDER BY name", [.int(now)])
        var addresses: [String] = []
        for address in try rows.flatMap({ try $0.text("addresses").split(separator: ",").map(String.init) })
        where !addresses.contains(address) {
            addresses.append(address)
        }
        return addresses
    }

    package static func remove(_ c: any SQLConnection, _ name: String) throws {
        try c.execute("DELETE FROM control_replicas WHERE name = $1", [.text(name)])
    }

    /// When each that has registered expires or has expired.
    package static func expiries(_ c: any SQLConnection) throws -> [String: Int64] {
        var expiries: [String: Int64] = [:]
        for row in try c.query("SELECT name, expires_at FROM control_replicas", []) {
            expiries[try row.text("name")] = try row.int("expires_at")
        }
        return expiries
    }

    package static func forgetExpired(_ c: any SQLConnection, before: Int64) throws {
        try c.execute("DELETE FROM control_replicas WHERE expires_at < $1", [.int(before)])
    }
}
