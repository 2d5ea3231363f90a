import Contract
import Formats
import Primitives
import Trust

extension Authenticate {
    /// A key that presents a DID's grant asks in the DID's name: the DID is charged, and its models are those of the grant. The key's own
    /// capabilities and channels hold; its models do not, since it is not its right that is used.
    /// - Throws: for a grant that is not good, not this key's, revoked, or of a DID that is not of the key's tenant.
    static func delegated(
        _ caller: Caller, _ text: String, _ directory: Directory, nowMilliseconds: Int64
    ) throws(Rejection) -> Caller {
        let principal = caller.principal
        guard principal.kind == .key else {
            throw .forbidden("grant_not_yours", "A grant is for a key: present it together with the key that it names.")
        }
        let grant: Grant
        do throws(ProofProblem) { grant = try Grant(text, nowMilliseconds: nowMilliseconds) } catch {
            throw Rejection(
                status: 401, fault: .client, kind: .authentication, code: "invalid_grant", message: error.message)
        }
        guard grant.subject == String(decoding: principal.id.bytes(prefix: KeyEntry.idPrefix), as: UTF8.self) else {
            throw .forbidden("grant_not_yours", "The grant is for another key than the one it was presented with.")
        }
        let fingerprint = grant.issuer.fingerprint
        guard let issuer = directory.did(fingerprint: fingerprint), issuer.tenant.bits == principal.tenant.bits else {
            throw .forbidden("unknown_did", "The grant's issuer is no registered DID of the key's tenant.")
        }
        guard !issuer.disabled else { throw .forbidden("did_disabled", "The DID that granted is disabled.") }
        if let user = issuer.user { try checkUser(directory.user(user), of: "DID", nowMilliseconds) }
        let name = Directory.grantName(grant.id, issuer: fingerprint)
        guard !directory.isRevoked(grant: name) else { throw .forbidden("grant_revoked", "The grant was revoked.") }
        let scopes = KeyScopes(delegated: grant.models, to: caller.scopes)
        var delegated = Caller(
            principal: Principal(
                kind: .did, id: issuer.id, tenant: issuer.tenant, project: principal.project, user: issuer.user, delegate: principal.id,
                grant: name), proof: caller.proof, channel: caller.channel, dialect: caller.dialect, scopes: scopes,
            isCandidate: caller.isCandidate)
        if grant.amount != nil, let id = IDBits(grant.budgetID) {
            delegated.grantBudget = GrantBudget(
                rule: BudgetRule(
                    id: id, tenant: principal.tenant.bits, name: "grant \(grant.id)", subject: BudgetSubject(.did, issuer.id),
                    unit: .nanoDollars, refuses: true, observes: false, capability: nil, periods: [], neverResets: true,
                    countsLikely: false), text: text)
        }
        return delegated
    }
}
