package import Leases
import Nouns
import Primitives
import Storage
package import Telemetry

/// One stream of a data plane's, from its hello on.
package struct LeaseSession: Sendable {
    package let dataPlaneID: String
    package let boot: String
    /// The number of its hello: an ask on an older stream is void.
    package let hello: UInt64
    /// Slices that it named, or was given on this stream: what it holds beside these, it does not hold.
    fileprivate(set) var named: Set<SliceID>
    /// Whether what it does not name is yet to be decided upon.
    fileprivate(set) var isTelling: Bool
}

/// What an ask comes to.
package enum LeaseAnswer: Sendable {
    case granted(LeasedSlice)
    /// `resetsAt`: Unix milliseconds; 0: never.
    case refused(LeaseRefusal, resetsAt: Int64)
}

/// The accounts of budgets, and the slices of them that data planes spend from. Every step is one transaction over an account and its slice
/// (`Leases` says what follows from what), done before it is answered; so several replicas may answer one data plane.
package struct LeaseService: Sendable {
    /// Of one data plane and account: more is a data plane that gives nothing back.
    private static let maximumSlices: Int64 = 64
    /// Clocks differ by ten minutes at most; a request that was admitted just before its period's end belongs to it.
    private static let tolerance: Int64 = 15 * 60_000
    /// Changed slices of one transaction.
    private static let batch = 200

    private let domain: DomainContext
    private let policy = LeasePolicy()
    private let granted: Counter
    private let refused: [LeaseRefusal: Counter]
    private let alarms: Counter

    package init(_ domain: DomainContext, metrics: MetricsRegistry) {
        self.domain = domain
        granted = metrics.counter("weir_budget_slices_granted_total", help: "Slices of budgets given to data planes.")
        let reasons: [LeaseRefusal: String] = [
            .exhausted: "exhausted", .held: "held", .noSuchAccount: "no_such_account", .recovering: "recovering",
        ]
        refused = reasons.mapValues {
            metrics.counter("weir_budget_asks_refused_total", help: "Asks for slices that got none.", labels: [("reason", $0)])
        }
        alarms = metrics.counter("weir_budget_alarms_total", help: "Reports about slices that no data plane in good order makes.")
    }

    private var now: Int64 { domain.clock.nowMilliseconds() }

    // MARK: Hello

    package struct Welcome: Sendable {
        package let session: LeaseSession
        package let epoch: UInt64
        package let void: [SliceID]
    }

    /// A data plane says which boot it is and what it holds.
    /// - Throws: `LeaseRefusal.superseded` for a hello that is not newer than the boot's last.
    package func hello(
        _ dataPlaneID: String, boot: String, number: UInt64, toldEpoch: UInt64, slices: [SliceReport]
    ) async throws -> Welcome {
        let now = now
        // First what it says, then what follows from what it does not say.
        let outcome = try await domain.write(as: .all) { c -> (epoch: Int64, refused: LeaseRefusal?, isComplete: Bool) in
            let epoch = try FleetCounter.epoch(c)
            let stored = try LeaseHoldersTable.take(c, dataPlaneID: dataPlaneID, boot: boot)
            var holder = stored.map { LeaseHolder($0) } ?? LeaseHolder(dataPlane: dataPlaneID, boot: boot)
            let isComplete: Bool
            do throws(LeaseRefusal) {
                isComplete = try holder.takeHello(number, toldEpoch: toldEpoch, epoch: UInt64(clamping: epoch))
            } catch {
                return (epoch, error, false)
            }
            try LeaseHoldersTable.put(c, holder.row, now: now)
            if stored == nil {
                // It starts as another one: whatever was given to those before stays counted, and is spent from by nobody that it knows of.
                for row in try BudgetSlicesTable.held(c, dataPlaneID: dataPlaneID, boot: boot, isOther: true) {
                    try Self.step(c, row, now) { account, slice in
                        account.orphan(&slice)
                        return []
                    }
                }
            }
            return (epoch, nil, isComplete)
        }
        if let refusal = outcome.refused { throw refusal }
        var session = LeaseSession(
            dataPlaneID: dataPlaneID, boot: boot, hello: number, named: Set(slices.map(\.slice)), isTelling: !outcome.isComplete)
        let void = try await take(slices, of: session)
        if outcome.isComplete { try await closeUnnamed(&session, epoch: nil) }
        return Welcome(session: session, epoch: UInt64(clamping: outcome.epoch), void: void)
    }

    /// - Parameter epoch: everything was told for it; nil: the hello said so.
    private func closeUnnamed(_ session: inout LeaseSession, epoch: UInt64?) async throws {
        let now = now
        let current = session
        try await domain.write(as: .all) { c in
            guard var holder = try LeaseHoldersTable.take(c, dataPlaneID: current.dataPlaneID, boot: current.boot).map({ LeaseHolder($0) }),
                holder.hello == current.hello
            else { return }
            if let epoch {
                do throws(LeaseRefusal) { try holder.takeInventory(onHello: current.hello, for: epoch) } catch { return }
                try LeaseHoldersTable.put(c, holder.row, now: now)
            }
            for row in try BudgetSlicesTable.held(c, dataPlaneID: current.dataPlaneID, boot: current.boot, isOther: false) {
                guard let id = SliceID(rawValue: row.id), !current.named.contains(id) else { continue }
                try Self.step(c, row, now) { account, slice in
                    account.notHeld(&slice)
                    return []
                }
            }
        }
        session.isTelling = false
        // From here on only what is asked for is given.
        session.named = []
    }

    // MARK: Reports

    /// Takes what a data plane says of slices.
    /// - Parameter completeEpoch: with this everything that it keeps was told for that epoch; 0: it does not say so.
    /// - Returns: those of them that it is not to spend from any more.
    package func report(_ session: inout LeaseSession, _ slices: [SliceReport], completeEpoch: UInt64) async throws -> [SliceID] {
        if session.isTelling { session.named.formUnion(slices.lazy.map(\.slice)) }
        let void = try await take(slices, of: session)
        if completeEpoch > 0, session.isTelling {
            let epoch = try await domain.read(as: .all) { try FleetCounter.epoch($0) }
            // Of an epoch before, it tells again.
            if completeEpoch == UInt64(clamping: epoch) { try await closeUnnamed(&session, epoch: completeEpoch) }
        }
        return void
    }

    private func take(_ reports: [SliceReport], of session: LeaseSession) async throws -> [SliceID] {
        var void: [SliceID] = []
        // Accounts in one order, so that two who report at once do not wait for each other.
        let sorted = reports.sorted { ($0.account.description, $0.slice) < ($1.account.description, $1.slice) }
        for start in stride(from: 0, to: sorted.count, by: Self.batch) {
            let part = Array(sorted[start..<min(start + Self.batch, sorted.count)])
            let now = now
            let (refused, odd) = try await domain.write(as: .all) { c -> ([SliceID], Int) in
                guard let scope = try FormerTenantsTable.scope(c, dataPlaneID: session.dataPlaneID) else {
                    return (part.map(\.slice), 0)
                }
                // What was said on an older stream may come late: less than what is known is no wonder then.
                let holder = try LeaseHoldersTable.take(c, dataPlaneID: session.dataPlaneID, boot: session.boot)
                let isCurrent = holder.map { LeaseHolder($0).hello == session.hello } ?? false
                var refused: [SliceID] = []
                var odd = 0
                for report in part {
                    let (isVoid, findings) = try take(report, session, isCurrent, scope, c, now)
                    if isVoid { refused.append(report.slice) }
                    if !findings.isEmpty { odd += 1 }
                }
                return (refused, odd)
            }
            void += refused
            if odd > 0 { alarms.increment(by: UInt64(odd)) }
        }
        return void
    }

    /// - Returns: whether it is not to be spent from, and what was odd about the report.
    private func take(
        _ report: SliceReport, _ session: LeaseSession, _ isCurrent: Bool, _ scope: DataPlaneScope, _ c: any SQLConnection, _ now: Int64
    ) throws -> (isVoid: Bool, findings: ReportFindings) {
        let holder = LeaseHolder(dataPlane: session.dataPlaneID, boot: session.boot)
        if let row = try BudgetSlicesTable.find(c, id: report.slice.rawValue) {
            var findings: ReportFindings = []
            let slice = try Self.step(c, row, now) { account, slice in
                findings = account.take(report, of: &slice, from: holder)
                if !isCurrent { findings.remove(.wentBack) }
                // An older disk was put back: what it spends from is not known to it either.
                if findings.contains(.wentBack) { account.orphan(&slice) }
                return findings
            }
            try BudgetEvents.odd(findings, of: row, saidBy: session.dataPlaneID, now, c)
            let isTheirs = !findings.contains(.notTheirs)
            return (!isTheirs || report.state == .open && slice?.isHeld != true, findings)
        }
        // It was granted before this database was put back, or it is invented: it counts for an account of the data plane's tenants, and
        // nothing else of it is believed.
        guard let found = try account(of: report, scope, c, now) else {
            try BudgetEvents.unknown(report, wasTaken: false, saidBy: session.dataPlaneID, tenantID: "", now, c)
            return (true, .notTheirs)
        }
        var row = found
        let count = try BudgetSlicesTable.holders(c, budgetID: row.budgetID, periodStart: row.periodStart)[session.dataPlaneID] ?? 0
        guard count < Self.maximumSlices * 4 else { return (true, .notTheirs) }
        var account = LeaseAccount(row)
        var report = report
        report.granted = min(report.granted, BudgetContent.maximumUnits)
        report.ceiling = min(report.ceiling, BudgetContent.maximumUnits)
        report.spent = min(report.spent, BudgetContent.maximumUnits)
        report.unknown = min(report.unknown, BudgetContent.maximumUnits)
        let slice = account.adopt(report, from: holder)
        row.set(account)
        try BudgetAccountsTable.put(c, row, now: now)
        let findings = ReportFindings.adopted
        try BudgetSlicesTable.put(
            c, slice.row(tenantID: row.tenantID, grantedAt: now, findings: Int64(findings.rawValue)), now: now)
        try BudgetEvents.crossed(row, now, c)
        try BudgetEvents.unknown(report, wasTaken: true, saidBy: session.dataPlaneID, tenantID: row.tenantID, now, c)
        return (!slice.isHeld && report.state == .open, findings)
    }

    /// The account that an unknown slice may belong to; nil: none that this data plane may speak for.
    private func account(
        of report: SliceReport, _ scope: DataPlaneScope, _ c: any SQLConnection, _ now: Int64
    ) throws -> BudgetAccountRow? {
        let id = report.account.budget.rawValue
        let start = report.account.periodStart
        if let row = try BudgetAccountsTable.take(c, budgetID: id, periodStart: start) { return scope.knows(row.tenantID) ? row : nil }
        guard let budget = try BudgetContent.find(c, id)?.content, scope.knows(budget.tenantID.rawValue),
            let period = budget.period(startingAt: start), period.start <= now + Self.tolerance
        else { return nil }
        return BudgetAccountRow(
            budgetID: id, periodStart: start, periodEnd: period.end, tenantID: budget.tenantID.rawValue, limit: try budget.limit(c),
            createdAt: now)
    }

    /// One step of an account and one of its slices, stored.
    @discardableResult
    static func step(
        _ c: any SQLConnection, _ row: BudgetSliceRow, _ now: Int64,
        _ change: (inout LeaseAccount, inout LeasedSlice) throws -> ReportFindings
    ) throws -> LeasedSlice? {
        guard var slice = LeasedSlice(row),
            var stored = try BudgetAccountsTable.take(c, budgetID: row.budgetID, periodStart: row.periodStart)
        else { return nil }
        var account = LeaseAccount(stored)
        let (accountBefore, sliceBefore) = (account, slice)
        let noted = row.findings | Int64(try change(&account, &slice).rawValue)
        guard account != accountBefore || slice != sliceBefore || noted != row.findings else { return slice }
        stored.set(account)
        try BudgetAccountsTable.put(c, stored, now: now)
        try BudgetSlicesTable.put(c, slice.row(tenantID: row.tenantID, grantedAt: row.grantedAt, findings: noted), now: now)
        try BudgetEvents.crossed(stored, now, c)
        return slice
    }

    // MARK: Asks

    /// What a data plane gets of an account.
    /// - Parameter grant: of a DID, whose amount the account is; empty: it is a budget's.
    /// - Throws: `LeaseRefusal.superseded` for an ask on a stream that does not count any more.
    package func ask(_ session: inout LeaseSession, _ ask: LeaseAsk, grant: String = "") async throws -> LeaseAnswer {
        let now = now
        let current = session
        var generator = SystemRandomNumberGenerator()
        let id = SliceID.random(using: &generator)
        let answer = try await domain.write(as: .all) { c in try decide(ask, grant, as: id, current, now, c) }
        switch answer {
        case .granted(let slice):
            granted.increment()
            if session.isTelling { session.named.insert(slice.id) }
        case .refused(.superseded, _): throw LeaseRefusal.superseded
        case .refused(let reason, _): refused[reason]?.increment()
        }
        return answer
    }

    private func decide(
        _ ask: LeaseAsk, _ grant: String, as id: SliceID, _ session: LeaseSession, _ now: Int64, _ c: any SQLConnection
    ) throws -> LeaseAnswer {
        guard let holder = try LeaseHoldersTable.take(c, dataPlaneID: session.dataPlaneID, boot: session.boot).map({ LeaseHolder($0) }),
            holder.hello == session.hello
        else { return .refused(.superseded, resetsAt: 0) }
        if let row = try BudgetSlicesTable.find(
            c, dataPlaneID: session.dataPlaneID, boot: session.boot, ask: Int64(bitPattern: ask.id)), let slice = LeasedSlice(row)
        {
            return slice.isHeld && slice.account == ask.account ? .granted(slice) : .refused(.noSuchAccount, resetsAt: 0)
        }
        guard let source = try LeaseSource.find(ask.account, grant, now, c), let tenant = try TenantContent.find(c, source.tenantID),
            tenant.content.status == .active,
            try FormerTenantsTable.scope(c, dataPlaneID: session.dataPlaneID)?.serves.contains(source.tenantID) == true,
            source.period.start <= now + Self.tolerance, source.period.end.map({ now < $0 + Self.tolerance }) ?? true
        else { return .refused(.noSuchAccount, resetsAt: 0) }
        let resetsAt = source.begins ?? 0
        let epoch = try FleetCounter.epoch(c)
        // First this: a recovery begins with the first ask after the restore, whoever asks.
        if try Recovery.isUnderWay(c, tenantID: source.tenantID, epoch: epoch, now: now) {
            return .refused(.recovering, resetsAt: resetsAt)
        }
        guard holder.mayAsk(onHello: session.hello, epoch: UInt64(clamping: epoch)) else {
            return .refused(.recovering, resetsAt: resetsAt)
        }
        var row =
            try BudgetAccountsTable.take(c, budgetID: ask.account.budget.rawValue, periodStart: source.period.start)
            ?? BudgetAccountRow(
                budgetID: ask.account.budget.rawValue, periodStart: source.period.start, periodEnd: source.period.end,
                tenantID: source.tenantID, limit: source.limit, settled: source.usedBefore, createdAt: now)
        // Of two grants with one id the smaller one counts.
        let limit = source.isGrant ? min(row.limit, source.limit) : source.limit
        let holders = try BudgetSlicesTable.holders(c, budgetID: row.budgetID, periodStart: row.periodStart)
        guard holders[session.dataPlaneID] ?? 0 < Self.maximumSlices else { return .refused(.held, resetsAt: resetsAt) }
        var drawing = Set(
            try LeaseHoldersTable.connected(c).filter { DirectoryScope(tenantIDs: $0.tenantIDs).contains(row.tenantID) }.map(\.id))
        drawing.formUnion(holders.keys)
        drawing.insert(session.dataPlaneID)
        var account = LeaseAccount(row)
        // A soft budget tells, and refuses nothing.
        account.setLimit(source.isSoft ? LeaseAmount.maximum : limit)
        let slice: LeasedSlice
        do throws(LeaseRefusal) {
            slice = try account.grant(
                ask, as: id, to: holder, holders: drawing.count, policy: policy, epoch: UInt64(clamping: epoch),
                periodEnd: source.period.end, nowMilliseconds: now)
        } catch {
            if error == .held { try LeaseRecallsTable.put(c, budgetID: row.budgetID, periodStart: row.periodStart, now: now) }
            return .refused(error, resetsAt: resetsAt)
        }
        account.setLimit(limit)
        row.set(account)
        try BudgetAccountsTable.put(c, row, now: now)
        try BudgetSlicesTable.put(c, slice.row(tenantID: row.tenantID, grantedAt: now), now: now)
        return .granted(slice)
    }

    // MARK: Recalls

    /// A data plane that holds some of an account is to give back what it does not need.
    package struct Recall: Sendable, Hashable {
        package let dataPlaneID: String
        package let account: AccountKey

        package init(dataPlaneID: String, account: AccountKey) {
            self.dataPlaneID = dataPlaneID
            self.account = account
        }
    }

    /// Those of late, and when each was made last, Unix milliseconds: by the clock of some replica.
    package func recalls() async throws -> [Recall: Int64] {
        let since = now - 20_000
        return try await domain.read(as: .all) { c in
            var found: [Recall: Int64] = [:]
            for row in try LeaseRecallsTable.since(c, since) {
                guard let account = AccountKey(BudgetID(row.budgetID), periodStart: row.periodStart) else { continue }
                found[Recall(dataPlaneID: row.dataPlaneID, account: account)] = row.at
            }
            return found
        }
    }

    /// Recalls are answered within seconds; of slices that are over nobody speaks after a month.
    package func purge() async throws {
        let now = now
        try await domain.observe(as: .all) { c in
            try LeaseRecallsTable.forget(c, before: now - 3_600_000)
            try BudgetSlicesTable.purge(c, before: now - 40 * 86_400_000, limit: 10_000)
            try SpendEventsTable.forget(c, before: now - 400 * 86_400_000)
        }
    }
}

/// After the database was put back (its epoch is another) nothing is given until everybody who may hold something of the tenant has told what.
enum Recovery {
    private static let epochCounter = "lease_epoch"
    private static let begunCounter = "lease_epoch_began"

    static func isUnderWay(_ c: any SQLConnection, tenantID: String, epoch: Int64, now: Int64) throws -> Bool {
        guard epoch > 1 else { return false }
        if try CountersTable.current(c, epochCounter) < epoch {
            try CountersTable.raise(c, epochCounter, to: epoch)
            try CountersTable.raise(c, begunCounter, to: now)
        }
        return try silent(c, epoch: epoch).contains { DirectoryScope(tenantIDs: $0.tenantIDs).contains(tenantID) }
    }

    /// Whom it waits for.
    static func silent(_ c: any SQLConnection, epoch: Int64) throws -> [(id: String, name: String, tenantIDs: [String])] {
        guard epoch > 1 else { return [] }
        return try LeaseHoldersTable.silent(c, epoch: epoch, begun: try CountersTable.current(c, begunCounter))
    }
}
