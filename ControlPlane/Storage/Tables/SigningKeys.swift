/// A key that signs documents, or did.
package struct SigningKeyRow: Sendable, Hashable {
    package enum State: String, Sendable, CaseIterable {
        /// Signs everything. There is exactly one.
        case active
        /// Signs nothing any more; data planes still trust it, until `trustedUntil`.
        case retiring
        /// Trusted by nobody who heard of it; its private part is erased.
        case retired
    }

    package var id: String
    package var publicKey: [UInt8]
    /// Encrypted at rest; empty for a retired key.
    package var encryptedPrivateKey: [UInt8]
    package var state: State
    package var createdAt: Int64
    package var trustedUntil: Int64?
    package var retiredAt: Int64?

    package init(
        id: String, publicKey: [UInt8], encryptedPrivateKey: [UInt8], state: State, createdAt: Int64, trustedUntil: Int64? = nil,
        retiredAt: Int64? = nil
    ) {
        self.id = id
        self.publicKey = publicKey
        self.encryptedPrivateKey = encryptedPrivateKey
        self.state = state
        self.createdAt = createdAt
        self.trustedUntil = trustedUntil
        self.retiredAt = retiredAt
    }

    fileprivate init(_ row: SQLRow) throws {
        id = try row.text("id")
        publicKey = try row.blob("public_key")
        encryptedPrivateKey = try row.blob("private_key")
        let state = try row.text("state")
        self.state = State(rawValue: state) ?? .retired
        createdAt = try row.int("created_at")
        trustedUntil = try row.optionalInt("trusted_until")
        retiredAt = try row.optionalInt("retired_at")
    }
}

/// A keyring document as it was signed.
package struct KeyringRow: Sendable, Hashable {
    package var epoch: Int64
    package var version: Int64
    package var digest: [UInt8]
    /// A serialised `Envelope`.
    package var envelope: [UInt8]
    package var createdAt: Int64

    package init(epoch: Int64, version: Int64, digest: [UInt8], envelope: [UInt8], createdAt: Int64) {
        self.epoch = epoch
        self.version = version
        self.digest = digest
        self.envelope = envelope
        self.createdAt = createdAt
    }

    fileprivate init(_ row: SQLRow) throws {
        epoch = try row.int("epoch")
        version = try row.int("version")
        digest = try row.blob("digest")
        envelope = try row.blob("envelope")
        createdAt = try row.int("created_at")
    }
}

package enum SigningKeysTable {
    private static let columns = "id, public_key, private_key, state, created_at, trusted_until, retired_at"

    package static func insert(_ c: any SQLConnection, _ row: SigningKeyRow) throws {
        try c.execute(
            "INSERT INTO signing_keys (\(columns)) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                .text(row.id), .blob(row.publicKey), .blob(row.encryptedPrivateKey), .text(row.state.rawValue), .int(row.createdAt),
                .optional(row.trustedUntil), .optional(row.retiredAt),
            ])
    }

    package static func active(_ c: any SQLConnection) throws -> SigningKeyRow? {
        try c.query("SELECT \(columns) FROM signing_keys WHERE state = 'active'", []).first.map(SigningKeyRow.init)
    }

    /// Newest first.
    package static func all(_ c: any SQLConnection) throws -> [SigningKeyRow] {
        try c.query("SELECT \(columns) FROM signing_keys ORDER BY created_at DESC, id", []).map(SigningKeyRow.init)
    }

    /// The active key stops signing; data planes trust it until then.
    package static func startRetiring(_ c: any SQLConnection, id: String, trustedUntil: Int64) throws {
        try c.execute(
            "UPDATE signing_keys SET state = 'retiring', trusted_until = $1 WHERE id = $2 AND state = 'active'",
            [.int(trustedUntil), .text(id)])
    }

    /// Retires each key whose time of grace is over and erases its private part; answers how many there were.
    package static func retireExpired(_ c: any SQLConnection, now: Int64) throws -> Int {
        try c.execute(
            """
            UPDATE signing_keys SET state = 'retired', retired_at = $1, private_key = $2
            WHERE state = 'retiring' AND trusted_until <= $1
            """,
            [.int(now), .blob([])])
    }

    package static func hasExpired(_ c: any SQLConnection, now: Int64) throws -> Bool {
        try !c.query("SELECT id FROM signing_keys WHERE state = 'retiring' AND trusted_until <= $1 LIMIT 1", [.int(now)]).isEmpty
    }
}

package enum KeyringsTable {
    private static let columns = "epoch, version, digest, envelope, created_at"

    package static func insert(_ c: any SQLConnection, _ row: KeyringRow) throws {
        try c.execute(
            "INSERT INTO keyrings (\(columns)) VALUES ($1, $2, $3, $4, $5)",
            [.int(row.epoch), .int(row.version), .blob(row.digest), .blob(row.envelope), .int(row.createdAt)])
    }

    package static func latest(_ c: any SQLConnection) throws -> KeyringRow? {
        try c.query("SELECT \(columns) FROM keyrings ORDER BY epoch DESC, version DESC LIMIT 1", []).first.map(KeyringRow.init)
    }

    package static func latestVersion(_ c: any SQLConnection) throws -> (epoch: Int64, version: Int64)? {
        try c.first("SELECT epoch, version FROM keyrings ORDER BY epoch DESC, version DESC LIMIT 1")
            .map { (try $0.int("epoch"), try $0.int("version")) }
    }

    /// Those after (epoch, version), oldest first.
    package static func after(_ c: any SQLConnection, epoch: Int64, version: Int64, limit: Int) throws -> [KeyringRow] {
        try c.query(
            """
            SELECT \(columns) FROM keyrings WHERE epoch > $1 OR (epoch = $1 AND version > $2)
            ORDER BY epoch, version LIMIT $3
            """,
            [.int(epoch), .int(version), .int(Int64(limit))]
        ).map(KeyringRow.init)
    }
}

package enum FleetStateTable {
    package static func value(_ c: any SQLConnection, _ name: String) throws -> [UInt8]? {
        try c.query("SELECT value FROM fleet_state WHERE name = $1", [.text(name)]).first.map { try $0.blob("value") }
    }

    /// The value that is stored afterwards: `value`, or the one another replica stored before.
    package static func putIfAbsent(_ c: any SQLConnection, _ name: String, _ value: [UInt8]) throws -> [UInt8] {
        try c.execute(
            "INSERT INTO fleet_state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", [.text(name), .blob(value)])
        return try self.value(c, name) ?? value
    }
}
