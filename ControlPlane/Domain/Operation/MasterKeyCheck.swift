import Primitives
import Storage
package import Trust

/// Ties a database to the master key that its secrets are encrypted with: a replica with another key would write rows that nobody
/// else can read, and find out only when a data plane asks for a secret.
package struct MasterKeyCheck: Sendable {
    static let name = "master_key_check"
    static let binding = Array(name.utf8)
    private static let text = Array("weir master key".utf8)

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Whether the database has been used with a master key.
    package func isBound() async throws -> Bool {
        try await domain.read(as: .all) { c in try FleetStateTable.value(c, Self.name) != nil }
    }

    /// Binds a new database to this key.
    /// - Returns: whether the database is bound to this key now.
    package func bind(_ cipher: AtRestCipher) async throws -> Bool {
        let proposed = try cipher.encrypt(Self.text, aad: Self.binding)
        let stored = try await domain.write(as: .all) { c in
            if let stored = try FleetStateTable.value(c, Self.name) { return stored }
            let stored = try FleetStateTable.putIfAbsent(c, Self.name, proposed)
            if stored == proposed { try CiphertextsTable.mark(c, .fleetState, key: Self.name, keyID: cipher.keyID) }
            return stored
        }
        return (try? cipher.decrypt(stored, aad: Self.binding)) == Self.text
    }
}
