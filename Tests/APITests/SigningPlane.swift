import Contract
import Domain
import Foundation
import Primitives
import Storage
import SwiftProtobuf
import Trust

/// A data plane that links its records and signs their chains, as a real one does.
struct SigningPlane {
    let id: String
    let incarnation: String
    let key: IdentityKey
    private(set) var sequence: UInt64 = 0
    private var links: [String: (number: Int64, link: Digest256)] = [:]

    init(id: String, incarnation: String = "i", key: IdentityKey = IdentityKey()) {
        self.id = id
        self.incarnation = incarnation
        self.key = key
    }

    /// Enrols it for all tenants; it holds version 1 of the configuration.
    func enrol(_ h: ControlHarness) async throws {
        try await h.database.transaction { c in
            try DataPlanesTable.insert(
                c,
                DataPlaneRow(
                    id: id, name: id, region: "eu", tenantIDs: [], identityPublicKey: key.publicKey, sealingPublicKey: [],
                    version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 0))
            try DataPlaneConfigsTable.insert(c, dataPlaneID: id, version: 1, now: 0)
        }
    }

    /// - Parameter signedAt: Unix milliseconds: heads of all chains come with it.
    mutating func batch(_ records: [Weir_V1_UsageRecord], signedAt: Int64? = nil) throws -> Weir_V1_UsageBatch {
        sequence += 1
        var batch = Weir_V1_UsageBatch()
        batch.incarnation = incarnation
        batch.sequence = sequence
        batch.records = records
        batch.chained = true
        var splitter = UsageSplitter()
        for record in records {
            let bytes: [UInt8] = try record.serializedBytes()
            guard let digests = bytes.withUnsafeBytes({ splitter.read($0) }) else { continue }
            let genesis = UsageChain.genesis(dataPlaneID: id, incarnation: incarnation, tenantID: record.tenantID)
            let before = links[record.tenantID] ?? (0, genesis)
            links[record.tenantID] = (before.number + 1, UsageChain.link(before.link, digests))
        }
        if let signedAt { batch.heads = try heads(signedAt) }
        return batch
    }

    func heads(_ signedAt: Int64) throws -> [Weir_V1_UsageHead] {
        try links.sorted { $0.key < $1.key }.map { tenant, chain in
            let signed = try UsageHead(
                dataPlaneID: id, incarnation: incarnation, tenantID: tenant, number: chain.number, link: chain.link, signedAt: signedAt
            ).signed(by: key)
            var head = Weir_V1_UsageHead()
            head.tenantID = tenant
            head.number = UInt64(chain.number)
            head.link = Data(chain.link.bytes)
            head.signedAtMs = signedAt
            head.signature = Data(signed.signature)
            return head
        }
    }
}
