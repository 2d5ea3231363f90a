import Storage
package import Trust

/// Ties a database to the master key that its secrets are encrypted with: a replica with another key would write rows that nobody
/// else can read, and find out only when a data plane asks for a secret.
package struct MasterKeyCheck: Sendable {
    private static let name = "master_key_check"
    private static let text = Array("weir master key".utf8)

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Whether the database has been used with a master key.
    package func isBound() async throws -> Bool {
        try await domain.read { c in try FleetStateTable.value(c, Self.name) != nil }
    }

    /// Binds a new database to this key.
    /// - Returns: whether the database is bound to this key now.
    package func bind(_ cipher: AtRestCipher) async throws -> Bool {
        let binding = Array(Self.name.utf8)
        let proposed = try cipher.encrypt(Self.text, aad: binding)
        let stored = try await domain.write { c in
            try FleetStateTable.value(c, Self.name) ?? FleetStateTable.putIfAbsent(c, Self.name, proposed)
        }
        return (try? cipher.decrypt(stored, aad: binding)) == Self.text
    }
}
