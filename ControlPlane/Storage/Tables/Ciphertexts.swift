/// Everything that is encrypted with the master key, whatever table it rests in.
package enum CiphertextsTable {
    package enum Place: String, CaseIterable, Sendable {
        case credentials, signingKeys = "signing_keys", signingSecrets = "signing_secrets", upstreamKeys = "upstream_keys", fleetState =
            "fleet_state"
        case webhooks
        case answers = "idempotency_keys"

        /// Of an answer: the actor, which has no space, and the key that it sent.
        fileprivate var key: String {
            switch self {
            case .credentials, .signingKeys, .signingSecrets, .upstreamKeys, .webhooks: "id"
            case .fleetState: "name"
            case .answers: "(actor_id || ' ' || idempotency_key)"
            }
        }

        package var column: String {
            switch self {
            case .credentials, .signingSecrets, .upstreamKeys, .webhooks: "ciphertext"
            case .signingKeys: "private_key"
            case .fleetState: "value"
            case .answers: "answer"
            }
        }
    }

    package struct Row: Sendable, Hashable {
        package let key: String
        package let ciphertext: [UInt8]
        /// What it is bound to beside its own row: a credential's provider, a signing secret's key.
        package let ownerID: String
        /// Nil: not known.
        package let masterKeyID: String?
    }

    /// By key, those after `last`. Of `fleet_state` only `names`: the rest is not secret.
    package static func list(
        _ c: any SQLConnection, _ place: Place, names: [String], after last: String, limit: Int
    ) throws -> [Row] {
        var arguments: [SQLValue] = [.text(last), .int(Int64(limit))]
        var filter = ""
        if place == .fleetState {
            let places = names.map { name in
                arguments.append(.text(name))
                return "$\(arguments.count)"
            }
            filter = "AND name IN (\(places.joined(separator: ", ")))"
        }
        let owner =
            switch place {
            case .credentials: "provider_id"
            case .signingSecrets: "key_id"
            case .upstreamKeys: "did_id"
            case .signingKeys, .fleetState, .webhooks, .answers: "''"
            }
        return try c.query(
            """
            SELECT \(place.key) AS key, \(place.column) AS ciphertext, \(owner) AS owner_id, master_key_id FROM \(place.rawValue)
            WHERE \(place.key) > $1 AND LENGTH(\(place.column)) > 0 \(filter) ORDER BY \(place.key) LIMIT $2
            """, arguments
        ).map { row in
            Row(
                key: try row.text("key"), ciphertext: try row.blob("ciphertext"), ownerID: try row.text("owner_id"),
                masterKeyID: try row.optionalText("master_key_id"))
        }
    }

    /// Replaces a ciphertext by another of the same content, unless somebody changed it meanwhile. Nobody has to hear of it: no revision
    /// rises.
    package static func replace(
        _ c: any SQLConnection, _ place: Place, _ row: Row, with ciphertext: [UInt8], keyID: String
    ) throws -> Bool {
        try c.execute(
            """
            UPDATE \(place.rawValue) SET \(place.column) = $1, master_key_id = $2 WHERE \(place.key) = $3 AND \(place.column) = $4
            """, [.blob(ciphertext), .text(keyID), .text(row.key), .blob(row.ciphertext)]) == 1
    }

    /// How many rows say that they are encrypted with another master key than this one. Kept answers go by themselves.
    package static func count(_ c: any SQLConnection, underOtherKeysThan keyID: String) throws -> Int64 {
        try Place.allCases.filter { $0 != .answers }.reduce(0) { sum, place in
            let row = try c.first(
                """
                SELECT COUNT(*) AS rows FROM \(place.rawValue)
                WHERE LENGTH(\(place.column)) > 0 AND master_key_id IS NOT NULL AND master_key_id <> $1
                """, [.text(keyID)])
            return sum + (try row?.int("rows") ?? 0)
        }
    }

    /// Says under which master key a row is that was just written.
    package static func mark(_ c: any SQLConnection, _ place: Place, key: String, keyID: String) throws {
        try c.execute("UPDATE \(place.rawValue) SET master_key_id = $1 WHERE \(place.key) = $2", [.text(keyID), .text(key)])
    }
}
