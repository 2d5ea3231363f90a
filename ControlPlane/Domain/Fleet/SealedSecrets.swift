package import Contract
import Foundation
import Nouns
import Primitives
import Storage
import Trust

/// Provider credentials and keys' signing secrets for one data plane: sealed to its key (HPKE), bound to the row they belong to. Only those
/// credentials leave the control plane that the configurations in force name, as this data plane's tenants see them, and only these
/// tenants' signing secrets; and of them only what it does not hold already.
package struct SealedSecretsService: Sendable {
    private let fleet: FleetContext
    private let factory: DocumentFactory
    private let credentials: CredentialService
    private let signing: SigningSecretService
    private let upstreamKeys: UpstreamKeyService
    /// New secrets in one message, so that it stays below what gRPC takes; the rest follows.
    private static let batch = 2000

    package init(
        _ fleet: FleetContext, factory: DocumentFactory, credentials: CredentialService, signing: SigningSecretService,
        upstreamKeys: UpstreamKeyService
    ) {
        self.upstreamKeys = upstreamKeys
        self.signing = signing
        self.fleet = fleet
        self.factory = factory
        self.credentials = credentials
    }

    /// What has to be told to a data plane that holds `held` (credential id to revision); nil when there is nothing. `holds` is what
    /// it has afterwards.
    package func next(
        for dataPlaneID: String, configVersions: [Int64], held: [String: UInt64]
    ) async throws -> (message: Weir_V1_SealedSecrets, holds: [String: UInt64])? {
        let (row, present, signingSecrets, ownKeys, authority) = try await fleet.read(as: .all) { c in
            guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
            let wanted = try factory.credentialIDs(c, configVersions: configVersions, for: ConfigAudience(row))
            let present = try wanted.sorted().compactMap { id in
                try CredentialContent.find(c, id).map { (id: $0.id, revision: UInt64(clamping: $0.revision)) }
            }
            let tenants = row.tenantIDs.isEmpty ? nil : row.tenantIDs
            return (
                row, present, try SigningSecretService.present(c, tenants: tenants), try UpstreamKeysTable.usable(c, tenants: tenants),
                try wanted.contains(SealedCredentialBinding.resourceKeyID)
                    ? FleetStateTable.value(c, FleetAuthorityStore.privateKeyName) : nil
            )
        }
        var message = Weir_V1_SealedSecrets()
        var holds: [String: UInt64] = [:]
        for credential in present {
            holds[credential.id.rawValue] = credential.revision
            guard held[credential.id.rawValue] != credential.revision else { continue }
            do {
                let decrypted = try await credentials.decrypt(credential.id)
                let secret = try seal(
                    Array(decrypted.secret.reveal().utf8), id: decrypted.id.rawValue, providerID: decrypted.providerID.rawValue,
                    revision: UInt64(clamping: decrypted.revision), to: row)
                holds[credential.id.rawValue] = secret.revision
                message.secrets.append(secret)
                warn(credential.id.rawValue, nil)
            } catch DomainError.notFound {
                // Deleted since the read.
                holds[credential.id.rawValue] = nil
                warn(credential.id.rawValue, nil)
            } catch let error as TrustError {
                // One that cannot be read must not keep the others, nor what is sent after them. What the data plane holds of it, it keeps.
                holds[credential.id.rawValue] = held[credential.id.rawValue]
                warn(credential.id.rawValue, "it cannot be decrypted or sealed (\(error)): rotate it, or check the master key")
            }
        }
        for item in signingSecrets {
            // Under its key's id, which no credential has.
            let id = item.content.keyID.rawValue
            holds[id] = UInt64(clamping: item.revision)
            guard held[id] != holds[id] else { continue }
            guard message.secrets.count < Self.batch else {
                holds[id] = held[id]
                continue
            }
            do {
                let secret = try signing.decrypt(item)
                message.secrets.append(
                    try seal(secret.bytes, id: id, providerID: "", revision: UInt64(clamping: secret.revision), to: row))
                warn(id, nil)
            } catch let error as TrustError {
                holds[id] = held[id]
                warn(id, "its signing secret cannot be decrypted or sealed (\(error)): rotate it, or check the master key")
            }
        }
        for key in ownKeys {
            // Under its DID's id, which no credential has.
            let id = key.didID
            holds[id] = UInt64(clamping: key.revision)
            guard held[id] != holds[id] else { continue }
            guard message.secrets.count < Self.batch else {
                holds[id] = held[id]
                continue
            }
            do {
                message.secrets.append(
                    try seal(
                        try upstreamKeys.decrypt(key), id: id, providerID: key.providerID, revision: UInt64(clamping: key.revision), to: row
                    ))
                warn(id, nil)
            } catch let error as TrustError {
                holds[id] = held[id]
                warn(id, "its upstream key cannot be decrypted or sealed (\(error)): check the master key")
            }
        }
        if let authority { try addResourceKey(of: authority, to: &message, &holds, held: held, row) }
        message.removedCredentialIds = held.keys.filter { holds[$0] == nil }.sorted()
        return message.secrets.isEmpty && message.removedCredentialIds.isEmpty ? nil : (message, holds)
    }

    /// What names of kept things are made with: made of the one secret that all replicas have and that no rotation of the master key changes.
    private func addResourceKey(
        of authority: [UInt8], to message: inout Weir_V1_SealedSecrets, _ holds: inout [String: UInt64], held: [String: UInt64],
        _ row: DataPlaneRow
    ) throws {
        let id = SealedCredentialBinding.resourceKeyID
        holds[id] = 1
        guard held[id] != 1 else { return }
        do {
            let secret = try fleet.cipher.decrypt(authority, aad: FleetAuthorityStore.binding)
            let key = SHA256Digest.of(Array("weir names of kept things\u{0}".utf8) + secret)
            message.secrets.append(try seal(Array(Hex.encode(key).utf8), id: id, providerID: "", revision: 1, to: row))
            warn(id, nil)
        } catch let error as TrustError {
            holds[id] = held[id]
            warn(id, "the key of kept things' names cannot be decrypted or sealed (\(error)): check the master key")
        }
    }

    private func warn(_ id: String, _ text: String?) {
        fleet.domain.warnings.set("credential \(id)", text)
    }

    private func seal(
        _ plaintext: [UInt8], id: String, providerID: String, revision: UInt64, to dataPlane: DataPlaneRow
    ) throws -> Weir_V1_SealedSecret {
        let aad = SealedCredentialBinding.aad(
            deployment: fleet.deployment, dataPlaneID: dataPlane.id, credentialID: id, providerID: providerID, revision: revision)
        let sealed = try Sealing.seal(plaintext, to: dataPlane.sealingPublicKey, aad: aad)
        var secret = Weir_V1_SealedSecret()
        secret.credentialID = id
        secret.providerID = providerID
        secret.revision = revision
        secret.encapsulatedKey = Data(sealed.encapsulatedKey)
        secret.ciphertext = Data(sealed.ciphertext)
        return secret
    }
}
