package import Contract
import Foundation
package import Primitives
package import Storage
import Trust

/// Provider credentials for one data plane: sealed to its key (HPKE), bound to the row they belong to. Only those that the
/// configurations in force name leave the control plane, and only those that the data plane does not hold already.
package struct SealedSecretsService: Sendable {
    private let fleet: FleetContext
    private let factory: DocumentFactory
    /// The plaintext of a credential's row.
    private let open: @Sendable (CredentialRow) throws -> Secret

    package init(_ fleet: FleetContext, factory: DocumentFactory, open: @escaping @Sendable (CredentialRow) throws -> Secret) {
        self.fleet = fleet
        self.factory = factory
        self.open = open
    }

    /// What has to be told to a data plane that holds `held` (credential id to revision); nil when there is nothing. `holds` is what
    /// it has afterwards.
    package func next(
        for dataPlaneID: String, configVersions: [Int64], held: [String: UInt64]
    ) async throws -> (message: Weir_V1_SealedSecrets, holds: [String: UInt64])? {
        let (row, credentials) = try await fleet.domain.read { c in
            guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
            let wanted = try factory.credentialIDs(c, configVersions: configVersions)
            return (row, try wanted.sorted().compactMap { try CredentialsTable.find(c, $0) })
        }
        var message = Weir_V1_SealedSecrets()
        var holds: [String: UInt64] = [:]
        for credential in credentials {
            let revision = UInt64(clamping: credential.meta.revision)
            holds[credential.id] = revision
            if held[credential.id] != revision { message.secrets.append(try seal(credential, revision: revision, to: row)) }
        }
        message.removedCredentialIds = held.keys.filter { holds[$0] == nil }.sorted()
        return message.secrets.isEmpty && message.removedCredentialIds.isEmpty ? nil : (message, holds)
    }

    private func seal(_ credential: CredentialRow, revision: UInt64, to dataPlane: DataPlaneRow) throws -> Weir_V1_SealedSecret {
        let aad = SealedCredentialBinding.aad(
            deployment: fleet.deployment, dataPlaneID: dataPlane.id, credentialID: credential.id, providerID: credential.providerID,
            revision: revision)
        let sealed = try Sealing.seal(Array(try open(credential).reveal().utf8), to: dataPlane.sealingPublicKey, aad: aad)
        var secret = Weir_V1_SealedSecret()
        secret.credentialID = credential.id
        secret.providerID = credential.providerID
        secret.revision = revision
        secret.encapsulatedKey = Data(sealed.encapsulatedKey)
        secret.ciphertext = Data(sealed.ciphertext)
        return secret
    }
}
