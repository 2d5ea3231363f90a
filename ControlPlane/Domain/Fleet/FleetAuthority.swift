import Primitives
import Storage
import Trust

/// Keeps the fleet listener's certificate authority: its certificate as it is, its private key encrypted.
package struct FleetAuthorityStore: Sendable {
    private static let certificateName = "fleet_authority_certificate"
    static let privateKeyName = "fleet_authority_private_key"
    static let binding = Array("fleet_state/\(privateKeyName)".utf8)

    private let fleet: FleetContext

    package init(_ fleet: FleetContext) {
        self.fleet = fleet
    }

    /// The stored authority, or the one that `make` answers, stored; of several replicas that start at once one decides. PEM.
    package func loadOrCreate(
        _ make: @escaping @Sendable () throws -> (certificatePEM: String, privateKeyPEM: String)
    ) async throws -> (certificatePEM: String, privateKeyPEM: String) {
        let binding = Self.binding
        let (certificate, encrypted) = try await fleet.write(as: .all) { c in
            if let certificate = try FleetStateTable.value(c, Self.certificateName),
                let encrypted = try FleetStateTable.value(c, Self.privateKeyName)
            {
                return (certificate, encrypted)
            }
            let made = try make()
            let encrypted = try fleet.cipher.encrypt(Array(made.privateKeyPEM.utf8), aad: binding)
            let stored = (
                try FleetStateTable.putIfAbsent(c, Self.certificateName, Array(made.certificatePEM.utf8)),
                try FleetStateTable.putIfAbsent(c, Self.privateKeyName, encrypted)
            )
            if stored.1 == encrypted {
                try CiphertextsTable.mark(c, .fleetState, key: Self.privateKeyName, keyID: fleet.cipher.keyID)
            }
            return stored
        }
        let privateKey = try fleet.cipher.decrypt(encrypted, aad: binding)
        return (String(decoding: certificate, as: UTF8.self), String(decoding: privateKey, as: UTF8.self))
    }
}
