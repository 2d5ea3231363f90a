package import Nouns
package import Primitives
package import Storage
import Trust

extension DIDContent: Administered {
    package static var scope: NounScope { .directory }
    /// A document may name some; others came with their first requests.
    package static var isPruned: Bool { false }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }

    package static var taken: FieldProblem {
        FieldProblem(
            "did", "stands for a key or account that is registered already, perhaps in another spelling",
            remedy: "Use the DID that is there, or delete it first.")
    }

    package func problems(replacing old: DIDContent?, now: Int64) -> [FieldProblem] {
        do throws(ProofProblem) {
            _ = try DID(did)
            return []
        } catch {
            return [FieldProblem("did", "is no DID that can sign requests", remedy: error.message)]
        }
    }

    package static func observe(_ items: inout [Entity<DIDContent>], _ c: any SQLConnection) throws {
        let states = try UpstreamKeysTable.states(c, didIDs: items.map(\.id.rawValue))
        for index in items.indices {
            guard let state = states[items[index].id.rawValue] else { continue }
            let word = state.state == "active" && state.isDisabled ? "disabled" : state.state
            items[index].content.upstreamKey = state.error.isEmpty ? word : "\(word): \(state.error)"
        }
        let rows = try DIDDocumentsTable.find(c, didIDs: items.filter(\.content.hasDocument).map(\.id.rawValue))
        for index in items.indices {
            guard let row = rows[items[index].id.rawValue] else { continue }
            let keys = keys(row.methods)
            let status: Document.Status =
                row.failure == nil ? (row.readAt == nil ? .pending : .current) : keys.isEmpty ? .unusable : .stale
            items[index].content.document = Document(
                status: status, keys: keys, failure: row.failure, readAt: row.readAt, nextAt: row.nextAt)
        }
    }

    /// What a new one's answer says of its document.
    package mutating func willWrite(_ id: DIDEntryID, replacing old: DIDContent?, _ change: NounChange) throws {
        guard old == nil, hasDocument else { return }
        document = Document(status: .pending, keys: [], failure: nil, readAt: nil, nextAt: change.now)
    }

    /// A did:web is read as soon as it is there.
    package static func didWrite(_ did: Entity<DIDContent>, replacing old: Entity<DIDContent>?, _ change: NounChange) throws {
        guard old == nil, did.content.hasDocument else { return }
        try DIDDocumentsTable.put(
            change.connection, DIDDocumentRow(didID: did.id.rawValue, tenantID: did.content.tenantID.rawValue, nextAt: change.now))
    }

    package static func willDelete(_ did: Entity<DIDContent>, _ change: NounChange) throws {
        try DIDDocumentsTable.remove(change.connection, didID: did.id.rawValue)
    }

    /// Its user has to be one of its tenant's.
    package func problems(id: DIDEntryID, replacing old: DIDContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard let userID, let user = try UserContent.find(c, userID.rawValue), user.content.tenantID != tenantID else { return [] }
        return [FieldProblem("user_id", "is a user of another tenant", remedy: "Name a user of the DID's own tenant.")]
    }
}

extension NounService<DIDContent> {
    /// DIDs, each found by what it stands for.
    package static func dids(_ domain: DomainContext) -> NounService<DIDContent> {
        NounService(domain) { content, _, _ in
            guard let did = try? DID(content.did) else { return }
            content.fingerprint = StoredBytes(did.fingerprint)
        }
    }
}
