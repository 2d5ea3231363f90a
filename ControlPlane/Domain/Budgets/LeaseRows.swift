import Leases
import Nouns
import Primitives
import Storage

extension LeasedSlice {
    /// As stored; nil for a row that this version does not understand.
    init?(_ row: BudgetSliceRow) {
        guard let id = SliceID(rawValue: row.id), let state = State(rawValue: Int(row.state)),
            let account = AccountKey(BudgetID(row.budgetID), periodStart: row.periodStart)
        else { return nil }
        self.init(
            id: id, account: account, dataPlane: row.dataPlaneID, boot: row.boot, ask: UInt64(bitPattern: row.ask), granted: row.granted,
            ceiling: row.ceiling, spent: row.spent, unknown: row.unknown, resolved: row.resolved, charged: row.charged, state: state,
            expires: row.expiresAt, epoch: UInt64(clamping: row.epoch))
    }

    func row(tenantID: String, grantedAt: Int64, findings: Int64 = 0) -> BudgetSliceRow {
        BudgetSliceRow(
            id: id.rawValue, budgetID: account.budget.rawValue, periodStart: account.periodStart, tenantID: tenantID,
            dataPlaneID: dataPlane, boot: boot, ask: Int64(bitPattern: ask), granted: granted, ceiling: ceiling, spent: spent,
            unknown: unknown, resolved: resolved, charged: charged, state: Int64(state.rawValue), expiresAt: expires,
            epoch: Int64(clamping: epoch), findings: findings, grantedAt: grantedAt)
    }
}

extension LeaseAccount {
    init(_ row: BudgetAccountRow) {
        self.init(limit: row.limit, settled: row.settled, unknown: row.unknown, leased: row.leased)
    }
}

extension BudgetAccountRow {
    mutating func set(_ account: LeaseAccount) {
        limit = account.limit
        settled = account.settled
        unknown = account.unknown
        leased = account.leased
    }
}

extension LeaseHolder {
    init(_ row: LeaseHoldersTable.Row) {
        self.init(
            dataPlane: row.dataPlaneID, boot: row.boot, hello: UInt64(bitPattern: row.hello), toldEpoch: UInt64(clamping: row.toldEpoch))
    }

    var row: LeaseHoldersTable.Row {
        .init(dataPlaneID: dataPlane, boot: boot, hello: Int64(bitPattern: hello), toldEpoch: Int64(clamping: toldEpoch))
    }
}

extension DataPlaneScope {
    /// Whether it serves a tenant, or did so before.
    func knows(_ tenantID: String) -> Bool {
        serves.contains(tenantID) || former[tenantID] != nil || former[Self.everyTenant] != nil
    }
}
