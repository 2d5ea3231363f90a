package import Nouns
package import Primitives
package import Storage
import Trust

extension DIDContent: Administered {
    package static var scope: NounScope { .registered }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }

    package static var taken: FieldProblem {
        FieldProblem(
            "did", "stands for a key or account that is registered already, perhaps in another spelling",
            remedy: "Use the DID that is there, or delete it first.")
    }

    package func problems(replacing old: DIDContent?, now: Int64) -> [FieldProblem] {
        do throws(ProofProblem) {
            let did = try DID(did)
            if case .document = did.proof {
                return [
                    FieldProblem("did", "is a did:web, which signs no requests here", remedy: "Register a did:key, did:jwk or did:pkh.")
                ]
            }
            return []
        } catch {
            return [FieldProblem("did", "is no DID that can sign requests", remedy: error.message)]
        }
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
