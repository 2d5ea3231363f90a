import Leases
package import Nouns
package import Primitives
package import Storage

package typealias Budget = Entity<BudgetContent>

/// What may be spent, by whom, in which time.
extension BudgetContent: Administered {
    package static var scope: NounScope { .directory }
    /// What a tenant may spend is the operator's to say; that tenant's administrators see it.
    package static var permission: Permission { .operate }
    package static var readPermission: Permission { .readTenants }
    /// It ends with whom it bounds, and keeps nobody from going.
    package static var endsWithItsReferences: Bool { true }
    /// A revoked key is in no document, so no budget of it is.
    package static var holding: String? {
        "(key_id IS NULL OR EXISTS (SELECT 1 FROM virtual_keys WHERE virtual_keys.id = budgets.key_id AND revoked_at IS NULL))"
    }

    package static var taken: FieldProblem {
        FieldProblem("name", "is taken by another budget of this tenant", remedy: "Choose another name.")
    }

    package func problems(replacing old: BudgetContent?, now: Int64) -> [FieldProblem] {
        var problems: [FieldProblem] = []
        if limitUnits == nil {
            problems.append(
                unit == .cost
                    ? FieldProblem(
                        "limit", "is no amount from 0 to 1000000 dollars",
                        remedy: "Give dollars with at most nine decimals, like \"250.00\".")
                    : FieldProblem(
                        "limit", "is no whole number from 0 to \(Self.maximumUnits)", remedy: "Give how many \(unit.rawValue) there are."))
        }
        if let second = namedSubjects.dropFirst().first {
            problems.append(
                FieldProblem(
                    second, "is a second one whose spending it would bound",
                    remedy: "Name one of project_id, app_id, user_id, key_id and did_id, or none for the whole tenant."))
        }
        if prepaid, unit != .cost || period != .never || level != "tenant" || capability != nil {
            problems.append(
                FieldProblem(
                    "prepaid", "is of a whole tenant's cost that never begins anew",
                    remedy: "Give unit cost, period never, and no project, app, user, key, DID or capability."))
        }
        if timeZone != old?.timeZone {
            do throws(DomainError) { _ = try ReaderTimeZone(named: timeZone) } catch {
                if case .invalid(let found) = error { problems += found }
            }
        }
        return problems
    }

    /// Whom it bounds has to be its tenant's.
    package func problems(id: BudgetID, replacing old: BudgetContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard let field = namedSubjects.first else { return [] }
        let owner: TenantID? =
            switch level {
            case "project": try ProjectContent.find(c, subjectID)?.content.tenantID
            case "app": try AppContent.find(c, subjectID)?.content.tenantID
            case "user": try UserContent.find(c, subjectID)?.content.tenantID
            case "key": try VirtualKeyContent.find(c, subjectID)?.content.tenantID
            default: try DIDContent.find(c, subjectID)?.content.tenantID
            }
        // That there is none was said by the reference's check.
        guard let owner, owner != tenantID else { return [] }
        return [FieldProblem(field, "is a \(level) of another tenant", remedy: "Name a \(level) of the budget's own tenant.")]
    }

    package static func didWrite(_ budget: Budget, replacing old: Budget?, _ change: NounChange) throws {
        guard let old, old.content.limit != budget.content.limit else { return }
        try recallWhatIsBeyond(budget, change.now, change.connection)
    }

    /// Where more is out with data planes than the limit leaves, as when it was lowered: they give back what they do not need within seconds.
    static func recallWhatIsBeyond(_ budget: Budget, _ now: Int64, _ c: any SQLConnection) throws {
        let start = budget.content.period(at: now).start
        guard budget.content.kind == .hard,
            let row = try BudgetAccountsTable.find(c, budgetID: budget.id.rawValue, periodStart: start), row.leased > 0
        else { return }
        var account = LeaseAccount(row)
        account.setLimit(try budget.content.limit(c))
        if account.free < 0 { try LeaseRecallsTable.put(c, budgetID: budget.id.rawValue, periodStart: start, now: now) }
    }

    /// How much there is, in the unit's smallest: of a prepaid budget what was paid in, too.
    func limit(_ c: any SQLConnection) throws -> Int64 {
        let own = limitUnits ?? 0
        guard prepaid else { return own }
        // Both are what the tenant gave, so they stand on the other side of its balance.
        let received = try LedgerTable.balance(c, tenantID: tenantID.rawValue, .received)
        let adjustments = try LedgerTable.balance(c, tenantID: tenantID.rawValue, .adjustments)
        return max(0, Int64(clamping: Int128(own) - Int128(received) - Int128(adjustments)))
    }

    /// What was used of it before anything was leased.
    func usedBefore(_ c: any SQLConnection) throws -> Int64 {
        prepaid ? max(0, try LedgerTable.balance(c, tenantID: tenantID.rawValue, .usage)) : 0
    }
}
