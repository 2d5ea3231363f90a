package import Contract
import Foundation
import Nouns
import Primitives
import Storage
import Trust

/// Provider credentials for one data plane: sealed to its key (HPKE), bound to the row they belong to. Only those leave the control plane
/// that the configurations in force name, as this data plane's tenants see them, and only those that it does not hold already.
package struct SealedSecretsService: Sendable {
    private let fleet: FleetContext
    private let factory: DocumentFactory
    private let credentials: CredentialService

    package init(_ fleet: FleetContext, factory: DocumentFactory, credentials: CredentialService) {
        self.fleet = fleet
        self.factory = factory
        self.credentials = credentials
    }

    /// What has to be told to a data plane that holds `held` (credential id to revision); nil when there is nothing. `holds` is what
    /// it has afterwards.
    package func next(
        for dataPlaneID: String, configVersions: [Int64], held: [String: UInt64]
    ) async throws -> (message: Weir_V1_SealedSecrets, holds: [String: UInt64])? {
        let (row, present) = try await fleet.read(as: .all) { c in
            guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
            let wanted = try factory.credentialIDs(c, configVersions: configVersions, for: ConfigAudience(row))
            let present = try wanted.sorted().compactMap { id in
                try CredentialContent.find(c, id).map { (id: $0.id, revision: UInt64(clamping: $0.revision)) }
            }
            return (row, present)
        }
        var message = Weir_V1_SealedSecrets()
        var holds: [String: UInt64] = [:]
        for credential in present {
            holds[credential.id.rawValue] = credential.revision
            guard held[credential.id.rawValue] != credential.revision else { continue }
            do {
                let secret = try seal(try await credentials.decrypt(credential.id), to: row)
                holds[credential.id.rawValue] = secret.revision
                message.secrets.append(secret)
                warn(credential.id, nil)
            } catch DomainError.notFound {
                // Deleted since the read.
                holds[credential.id.rawValue] = nil
                warn(credential.id, nil)
            } catch let error as TrustError {
                // One that cannot be read must not keep the others, nor what is sent after them. What the data plane holds of it, it keeps.
                holds[credential.id.rawValue] = held[credential.id.rawValue]
                warn(credential.id, "it cannot be decrypted or sealed (\(error)): rotate it, or check the master key")
            }
        }
        message.removedCredentialIds = held.keys.filter { holds[$0] == nil }.sorted()
        return message.secrets.isEmpty && message.removedCredentialIds.isEmpty ? nil : (message, holds)
    }

    private func warn(_ id: CredentialID, _ text: String?) {
        fleet.domain.warnings.set("credential \(id.rawValue)", text)
    }

    private func seal(_ credential: DecryptedCredential, to dataPlane: DataPlaneRow) throws -> Weir_V1_SealedSecret {
        let revision = UInt64(clamping: credential.revision)
        let aad = SealedCredentialBinding.aad(
            deployment: fleet.deployment, dataPlaneID: dataPlane.id, credentialID: credential.id.rawValue,
            providerID: credential.providerID.rawValue, revision: revision)
        let sealed = try Sealing.seal(Array(credential.secret.reveal().utf8), to: dataPlane.sealingPublicKey, aad: aad)
        var secret = Weir_V1_SealedSecret()
        secret.credentialID = credential.id.rawValue
        secret.providerID = credential.providerID.rawValue
        secret.revision = revision
        secret.encapsulatedKey = Data(sealed.encapsulatedKey)
        secret.ciphertext = Data(sealed.ciphertext)
        return secret
    }
}
