import Leases
import Nouns
import Primitives
import Storage
import Trust

/// What an account is leased from: a budget, or the amount of a DID's grant.
struct LeaseSource {
    let tenantID: String
    /// In the account's smallest unit.
    let limit: Int64
    let period: AccountPeriod
    /// When there is more, Unix milliseconds; nil: never.
    let begins: Int64?
    let isSoft: Bool
    let isGrant: Bool
    /// What was used of it before anything was leased.
    let usedBefore: Int64

    /// - Parameter grant: A compact JWS; it counts where no budget has the account.
    static func find(_ account: AccountKey, _ grant: String, _ now: Int64, _ c: any SQLConnection) throws -> LeaseSource? {
        if let budget = try BudgetContent.find(c, account.budget.rawValue)?.content {
            guard let period = budget.period(startingAt: account.periodStart) else { return nil }
            return LeaseSource(
                tenantID: budget.tenantID.rawValue, limit: try budget.limit(c), period: period, begins: period.end,
                isSoft: budget.kind == .soft, isGrant: false, usedBefore: try budget.usedBefore(c))
        }
        return grant.isEmpty ? nil : try granted(account, grant, now, c)
    }

    /// A grant is judged here as on the data plane, which may be confused: signed, in time, not revoked, of a DID and for a key of one tenant.
    private static func granted(_ account: AccountKey, _ text: String, _ now: Int64, _ c: any SQLConnection) throws -> LeaseSource? {
        let grant: Grant
        do throws(ProofProblem) { grant = try Grant(text, nowMilliseconds: now) } catch { return nil }
        let fingerprint = grant.issuer.fingerprint
        guard let amount = grant.amount, account.periodStart == 0, grant.budgetID == account.budget,
            let did = try DIDContent.table.list(c, matching: [("fingerprint", .blob(fingerprint))], limit: 1).first.map(
                Entity<DIDContent>.init),
            did.content.status == .active, let key = try VirtualKeyContent.find(c, grant.subject),
            key.content.tenantID == did.content.tenantID
        else { return nil }
        let name = SHA256Digest.of(fingerprint + Array(grant.id.utf8))
        guard try RevokedGrantContent.table.list(c, matching: [("grant_name", .blob(name))], limit: 1).isEmpty else { return nil }
        let (end, overflow) = grant.expires.multipliedReportingOverflow(by: 1000)
        return LeaseSource(
            tenantID: did.content.tenantID.rawValue, limit: amount, period: AccountPeriod(start: 0, end: overflow ? nil : end), begins: nil,
            isSoft: false, isGrant: true, usedBefore: 0)
    }
}
