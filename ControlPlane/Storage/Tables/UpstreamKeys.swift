/// A key at a provider that belongs to one DID.
package struct UpstreamKeyRow: Sendable, Hashable {
    /// wanted → creating → active ⇄ changing → ending → gone. One under way that is due again did not hear what became of its attempt.
    package enum State: String, Sendable {
        /// None is there, and nothing under way that could make one.
        case wanted
        /// The provider was, or is about to be, asked for one.
        case creating
        /// It is there; `hash` names it and `ciphertext` is it.
        case active
        /// It is about to be disabled or enabled: whether it was is not known.
        case changing
        /// It is to be removed.
        case ending
        case gone
    }

    package let id: String
    package let tenantID: String
    package let didID: String
    package let credentialID: String
    package let providerID: String
    package var state: State
    /// How often one was asked for: part of the name that it has at the provider.
    package var attempt: Int64
    package var hash: String?
    /// At the provider.
    package var isDisabled: Bool
    package var ciphertext: [UInt8]?
    package var masterKeyID: String?
    /// Unix milliseconds: nobody works on it before, but for who took it.
    package var dueAt: Int64
    /// Until when keys of lost attempts may yet appear at the provider.
    package var doubtfulUntil: Int64
    package var failures: Int64
    package var lastError: String
    /// Among all secrets.
    package var revision: Int64

    package init(id: String, tenantID: String, didID: String, credentialID: String, providerID: String, now: Int64) {
        self.id = id
        self.tenantID = tenantID
        self.didID = didID
        self.credentialID = credentialID
        self.providerID = providerID
        state = .wanted
        attempt = 0
        isDisabled = false
        dueAt = now
        doubtfulUntil = 0
        failures = 0
        lastError = ""
        revision = 0
    }
}

/// The keys that DIDs have at providers.
package enum UpstreamKeysTable {
    /// What should be of a key, by what is of its DID: `k` is the key, `d` its DID, `t` the tenant, `u` the DID's user; `$1` is the time.
    private static let wish = """
        CASE WHEN d.id IS NULL OR d.deleted_at IS NOT NULL OR t.deleted_at IS NOT NULL THEN 'gone'
            WHEN d.status <> 'active' OR t.status <> 'active' OR (u.id IS NOT NULL AND u.status <> 'active')
                OR EXISTS (SELECT 1 FROM bans b WHERE b.deleted_at IS NULL AND (b.expires_at IS NULL OR b.expires_at > $1)
                    AND (b.subject_id = d.id OR b.subject_id = d.user_id OR b.subject_id = d.tenant_id)) THEN 'disabled'
            ELSE 'active' END
        """
    private static let joined = """
        upstream_keys k LEFT JOIN dids d ON d.id = k.did_id LEFT JOIN tenants t ON t.id = k.tenant_id LEFT JOIN users u ON u.id = d.user_id
        """

    /// What is due: where the provider has something else than is wanted. With what is wanted: `active`, `disabled`, `gone`.
    package static func due(_ c: any SQLConnection, now: Int64, limit: Int) throws -> [(row: UpstreamKeyRow, wish: String)] {
        try c.query(
            """
            SELECT * FROM (SELECT k.*, \(wish) AS wish FROM \(joined) WHERE k.state <> 'gone' AND k.due_at <= $1) AS w
            WHERE state IN ('creating', 'changing', 'ending') OR (state = 'wanted' AND wish <> 'disabled')
                OR (state = 'active' AND (wish = 'gone' OR (wish = 'disabled') <> (is_disabled = 1)))
            ORDER BY due_at, id LIMIT $2
            """, [.int(now), .int(Int64(limit))]
        ).map { (try row($0), try $0.text("wish")) }
    }

    /// The one of a DID that is not gone, and what is wanted of it.
    package static func find(_ c: any SQLConnection, didID: String, now: Int64) throws -> (row: UpstreamKeyRow, wish: String)? {
        try c.first(
            "SELECT k.*, \(wish) AS wish FROM \(joined) WHERE k.did_id = $2 AND k.state <> 'gone'", [.int(now), .text(didID)]
        ).map { (try row($0), try $0.text("wish")) }
    }

    package static func find(_ c: any SQLConnection, id: String) throws -> UpstreamKeyRow? {
        try c.first("SELECT * FROM upstream_keys WHERE id = $1", [.text(id)]).map(row)
    }

    /// Of these DIDs, those that are not gone.
    package static func states(_ c: any SQLConnection, didIDs: [String]) throws -> [String: (
        state: String, isDisabled: Bool, error: String
    )] {
        guard !didIDs.isEmpty else { return [:] }
        var conditions = Conditions()
        conditions.add("state <> 'gone'")
        conditions.add(among: "did_id", didIDs[...])
        let rows = try c.query(
            "SELECT did_id, state, is_disabled, last_error FROM upstream_keys \(conditions.clause)", conditions.arguments)
        return try rows.reduce(into: [:]) { found, row in
            found[try row.text("did_id")] = (try row.text("state"), try row.bool("is_disabled"), try row.text("last_error"))
        }
    }

    /// Those that can be used, of these tenants; nil: of all.
    package static func usable(_ c: any SQLConnection, tenants: [String]?) throws -> [UpstreamKeyRow] {
        var conditions = Conditions()
        conditions.add("state = 'active' AND is_disabled = 0")
        if let tenants { conditions.add(among: "tenant_id", tenants[...]) }
        return try c.query("SELECT * FROM upstream_keys \(conditions.clause) ORDER BY id", conditions.arguments).map(row)
    }

    /// Credentials whose provider may have keys of attempts that were lost.
    package static func doubtfulCredentials(_ c: any SQLConnection, now: Int64) throws -> [String] {
        try c.query("SELECT DISTINCT credential_id FROM upstream_keys WHERE doubtful_until > $1 ORDER BY credential_id", [.int(now)])
            .map { try $0.text("credential_id") }
    }

    package static func insert(_ c: any SQLConnection, _ row: UpstreamKeyRow, now: Int64) throws {
        try c.execute(
            """
            INSERT INTO upstream_keys (id, tenant_id, did_id, credential_id, provider_id, state, attempt, is_disabled, due_at,
                doubtful_until, failures, last_error, revision, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, 0, 0, '', 0, $8, $8)
            """,
            [
                .text(row.id), .text(row.tenantID), .text(row.didID), .text(row.credentialID), .text(row.providerID),
                .text(row.state.rawValue), .int(row.dueAt), .int(now),
            ])
    }

    /// Writes what changes, if the row is still where it was.
    /// - Returns: whether it was.
    package static func update(_ c: any SQLConnection, _ row: UpstreamKeyRow, from old: UpstreamKeyRow, now: Int64) throws -> Bool {
        try c.execute(
            """
            UPDATE upstream_keys SET state = $1, attempt = $2, hash = $3, is_disabled = $4, ciphertext = $5, master_key_id = $6, due_at = $7,
                doubtful_until = $8, failures = $9, last_error = $10, revision = $11, updated_at = $12,
                deleted_at = $17
            WHERE id = $13 AND state = $14 AND attempt = $15 AND due_at = $16
            """,
            [
                .text(row.state.rawValue), .int(row.attempt), .optional(row.hash), .bool(row.isDisabled), .optional(row.ciphertext),
                .optional(row.masterKeyID), .int(row.dueAt),
                .int(row.doubtfulUntil), .int(row.failures), .text(row.lastError), .int(row.revision), .int(now), .text(row.id),
                .text(old.state.rawValue), .int(old.attempt), .int(old.dueAt), .optional(row.state == .gone ? now : nil),
            ]) == 1
    }

    private static func row(_ row: SQLRow) throws -> UpstreamKeyRow {
        var out = UpstreamKeyRow(
            id: try row.text("id"), tenantID: try row.text("tenant_id"), didID: try row.text("did_id"),
            credentialID: try row.text("credential_id"), providerID: try row.text("provider_id"), now: try row.int("due_at"))
        out.state = UpstreamKeyRow.State(rawValue: try row.text("state")) ?? .gone
        out.attempt = try row.int("attempt")
        out.hash = try row.optionalText("hash")
        out.isDisabled = try row.bool("is_disabled")
        out.ciphertext = try row.optionalBlob("ciphertext")
        out.masterKeyID = try row.optionalText("master_key_id")
        out.doubtfulUntil = try row.int("doubtful_until")
        out.failures = try row.int("failures")
        out.lastError = try row.text("last_error")
        out.revision = try row.int("revision")
        return out
    }
}
