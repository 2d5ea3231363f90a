package import Contract
import Foundation
import Nouns
import Primitives
import Storage
import Trust

/// DIDs that nobody knows, at their first good request: what their tenant's policy says of them.
package struct NewcomerService: Sendable {
    private let dids: NounService<DIDContent>
    private let users: NounService<UserContent>
    private let domain: DomainContext
    private let upstreamKeys: UpstreamKeyService
    /// Signatures that are verified at one time, for all data planes: requests of administrators wait behind no more than that.
    private let limit = BuildLimit(4)

    private static let day: Int64 = 86_400_000
    private static let limitRetryMilliseconds: Int64 = 3_600_000

    package init(_ domain: DomainContext, upstreamKeys: UpstreamKeyService) {
        self.upstreamKeys = upstreamKeys
        self.domain = domain
        dids = .dids(domain)
        users = NounService(domain)
    }

    /// Makes the DID one of its tenant's, with a user of its own, or says why not. Asked twice, also by two data planes at once, it makes one.
    /// Whose it becomes is decided by the tenants' own rows and among those that the data plane serves: it cannot say.
    /// - Returns: without a code when the DID is registered; the data plane's directory brings it.
    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    package func admit(_ newcomer: Weir_V1_Newcomer, from dataPlaneID: String) async throws -> Weir_V1_Answer {
        let now = domain.clock.nowMilliseconds()
        let proof: NewcomerProof
        do {
            // Here, and not only there: a data plane that lies would take DIDs away from other tenants.
            proof = try await limit.run {
                try NewcomerProof(
                    did: newcomer.did, host: newcomer.host, signed: Array(newcomer.signed), signature: Array(newcomer.signature),
                    nowMilliseconds: now)
            }
        } catch let problem as ProofProblem {
            return .refusal("invalid_signature", problem.message, status: 401)
        }
        let fingerprint = proof.did.fingerprint
        let known = try await domain.read(as: .all) { c in
            let scope = try Self.scope(of: dataPlaneID, c)
            return try DirectoryTables.did(c, fingerprint: fingerprint).map { Self.answer(known: $0.tenantID, scope) }
        }
        if let known { return known }
        let (id, user) = (DIDEntryID.random(), UserID.random())
        do {
            let (answer, wantsKey) = try await dids.write(by: .system("first request, at \(dataPlaneID)")) {
                [dids, users] change -> (Weir_V1_Answer, Bool) in
                let c = change.connection
                let scope = try Self.scope(of: dataPlaneID, c)
                // Under the directory's counter: nobody comes in between.
                if let known = try DirectoryTables.did(c, fingerprint: fingerprint) {
                    return (Self.answer(known: known.tenantID, scope), false)
                }
                guard let tenant = NewDIDPolicy.tenant(for: proof.host, among: try TenantContent.takingDIDs(c, scope)),
                    let policy = tenant.content.newDIDs, policy.takes(proof.did.text)
                else {
                    return (.refusal("unknown_did", "This DID is not registered, and its tenant takes no new ones.", status: 403), false)
                }
                let today = try DirectoryTables.provisionedDIDs(c, tenantID: tenant.id.rawValue, since: change.now - Self.day)
                guard today < tenant.content.didDailyLimit else {
                    let refusal = Weir_V1_Answer.refusal(
                        "did_limit_reached", "The tenant takes no more new DIDs today.", retryMilliseconds: Self.limitRetryMilliseconds,
                        status: 429)
                    return (refusal, false)
                }
                let oid = Self.oid(of: proof.did)
                let present = try UserContent.table.list(
                    c, matching: [("tenant_id", .text(tenant.id.rawValue)), ("oid", .text(oid))], limit: 1)
                let owner =
                    try present.first.map { UserID($0.id) }
                    ?? users.insert(
                        UserContent {
                            $0.tenantID = tenant.id
                            $0.oid = oid
                        }, id: user, change
                    ).id
                _ = try dids.insert(
                    DIDContent {
                        $0.tenantID = tenant.id
                        $0.did = proof.did.text
                        $0.userID = owner
                        $0.provisionedBy = DataPlaneID(dataPlaneID)
                    }, id: id, change)
                return (Weir_V1_Answer(), try UpstreamKeyService.want(id, tenant, change))
            }
            if wantsKey { upstreamKeys.kick() }
            return answer
        } catch DomainError.conflict {
            // Two at once, on two replicas: the other one's is there.
            return .refusal("control_plane_unavailable", "Try again.", retryMilliseconds: 1000)
        }
    }

    private static func scope(of dataPlaneID: String, _ c: any SQLConnection) throws -> DirectoryScope {
        guard let row = try DataPlanesTable.find(c, id: dataPlaneID), row.status == .active else { throw FleetRefusal.revoked }
        return DirectoryScope(tenantIDs: row.tenantIDs)
    }

    /// A DID of a tenant that the data plane does not serve is none that it may hear of.
    private static func answer(known tenantID: String, _ scope: DirectoryScope) -> Weir_V1_Answer {
        guard scope.contains(tenantID) else {
            return .refusal("unknown_did", "This DID is not registered, and its tenant takes no new ones.", status: 403)
        }
        return Weir_V1_Answer()
    }

    /// What its user is known by: the DID, where that is no longer than an oid may be.
    private static func oid(of did: DID) -> String {
        did.text.utf8.count <= 256 ? did.text : "did:sha256:" + Hex.encode(did.fingerprint)
    }
}

extension Weir_V1_Answer {
    /// - Parameter status: HTTP's, for the caller.
    package static func refusal(_ code: String, _ detail: String, retryMilliseconds: Int64 = 0, status: UInt32 = 503) -> Weir_V1_Answer {
        var answer = Weir_V1_Answer()
        answer.code = code
        answer.detail = detail
        answer.retryAfterMs = retryMilliseconds
        answer.status = status
        return answer
    }
}
