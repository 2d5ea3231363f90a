package import Nouns
package import Primitives
import Storage
import Trust

extension RevokedGrantContent: Administered {
    package static var scope: NounScope { .registered }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }
    /// It goes with its DID.
    package static var holding: String? { "1 = 0" }

    package static var taken: FieldProblem {
        FieldProblem("grant_id", "is revoked already", remedy: "There is nothing left to do.")
    }
}

extension NounService<RevokedGrantContent> {
    package static func revokedGrants(_ domain: DomainContext) -> NounService<RevokedGrantContent> {
        NounService(domain) { content, _, c in
            guard let did = try DIDContent.find(c, content.didID.rawValue) else { return }
            content.tenantID = did.content.tenantID
            content.grantName = StoredBytes(SHA256Digest.of(did.content.fingerprint.bytes + Array(content.grantID.utf8)))
        }
    }
}
