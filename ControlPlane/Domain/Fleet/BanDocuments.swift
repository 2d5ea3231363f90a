import Contract
import Foundation
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Trust

/// Makes the documents of bans: one for each data plane, with all that are in force for its tenants.
package struct BanDocuments: Sendable {
    /// Documents that a data plane may come back with.
    private static let keptIssues = 16

    private let fleet: FleetContext
    private let keys: SigningKeyService
    private let factory: DocumentFactory

    package init(_ fleet: FleetContext, keys: SigningKeyService, factory: DocumentFactory) {
        self.fleet = fleet
        self.keys = keys
        self.factory = factory
    }

    /// What the data plane lacks; nil: it holds what is in force, which is noted.
    /// - Throws: `FleetRefusal`; `DomainError.unavailable`.
    package func next(
        for dataPlaneID: String, held: DocumentMark?, takesKillSwitches: Bool = true
    ) async throws -> IssuedDocument? {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.write(as: .all) { c -> IssuedDocument? in
            guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
            let epoch = try FleetCounter.epoch(c)
            let covered = try CountersTable.current(c, FleetCounter.bans)
            let scope = DirectoryScope(tenantIDs: row.tenantIDs)
            var payload = Weir_V1_BansPayload()
            for ban in try BansTable.bans.inForce(c, scope, now: now) {
                var message = Weir_V1_Ban()
                message.id = ban.id
                message.subjectID = ban.subjectID
                message.expiresMs = ban.expiresAt ?? 0
                if ban.isOfSignatures { payload.freezes.append(message) } else { payload.bans.append(message) }
            }
            payload.killSwitches = try BansTable.killSwitches.inForce(c, scope, now: now).map { kill in
                var message = Weir_V1_KillSwitch()
                message.id = kill.id
                message.subjectID = kill.subjectID
                message.expiresMs = kill.expiresAt ?? 0
                return message
            }
            // Where there was never one, there is nothing to be said.
            if payload.bans.isEmpty, payload.freezes.isEmpty, payload.killSwitches.isEmpty, held == nil { return nil }
            let bytes: [UInt8] = try payload.serializedBytes()
            let digest = SHA256Digest.of(bytes)
            if let held, held.epoch == epoch, held.digest == digest,
                try IssuedDocumentsTable.find(
                    c, dataPlaneID: dataPlaneID, kind: DocumentKind.bans.word, epoch: epoch, version: held.version)?.digest == digest
            {
                try Self.acted(c, dataPlaneID, scope, covered: covered, kills: takesKillSwitches, now: now)
                return nil
            }
            let version = try FleetCounter.newVersion(
                c, of: .bans, from: FleetCounter.bans, covered: covered, for: dataPlaneID, epoch: epoch, held: held)
            try IssuedDocumentsTable.insert(
                c,
                IssuedDocumentRow(
                    dataPlaneID: dataPlaneID, kind: DocumentKind.bans.word, epoch: epoch, version: version, digest: digest,
                    covered: covered, tenantsRevision: row.tenantsRevision, issuedAt: now))
            try IssuedDocumentsTable.prune(c, dataPlaneID: dataPlaneID, kind: DocumentKind.bans.word, keep: Self.keptIssues)
            let header = factory.header(audience: dataPlaneID, epoch: epoch, version: version, now: now)
            return IssuedDocument(
                mark: DocumentMark(kind: .bans, epoch: epoch, version: version, digest: digest),
                envelope: try SignedDocument.sign(kind: .bans, header: header, payload: bytes, with: try keys.active(c)))
        }
    }

    /// The data plane has put a document in force: the receipt of every ban that it covers.
    /// - Parameter takesKillSwitches: it knows of them; one of the release before passes over them.
    package func acted(_ dataPlaneID: String, on mark: DocumentMark, takesKillSwitches: Bool) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.observe(as: .all) { c in
            guard let row = try DataPlanesTable.find(c, id: dataPlaneID),
                let issued = try IssuedDocumentsTable.find(
                    c, dataPlaneID: dataPlaneID, kind: DocumentKind.bans.word, epoch: mark.epoch, version: mark.version),
                // Its tenants of then and of now: with another list another document follows.
                issued.digest == mark.digest, issued.tenantsRevision == row.tenantsRevision
            else { return }
            try Self.acted(
                c, dataPlaneID, DirectoryScope(tenantIDs: row.tenantIDs), covered: issued.covered, kills: takesKillSwitches, now: now)
        }
    }

    private static func acted(
        _ c: any SQLConnection, _ dataPlaneID: String, _ scope: DirectoryScope, covered: Int64, kills: Bool, now: Int64
    ) throws {
        for table in BansTable.allCases where table != .killSwitches || kills {
            try table.acted(c, dataPlaneID: dataPlaneID, scope, covered: covered, now: now)
        }
    }
}
