import Leases
package import Nouns
package import Primitives
import Storage

/// A budget in its present period: what is spent, what is held and by whom, and what is left.
package struct BudgetState: Sendable {
    package let budget: Budget
    package let period: AccountPeriod
    package let limit: Int64
    package let settled: Int64
    package let unknown: Int64
    package let leased: Int64
    /// Requests of this period that were served, and would not have been if it did not only observe.
    package let wouldHaveRefused: Int64
    package let slices: [BudgetSlice]
    /// Data planes that have yet to tell what they hold, since the database was put back: nothing is given until then.
    package let waitsFor: [String]
    let now: Int64

    package var free: Int64 { limit - settled - unknown - leased }
    package var used: Int64 { settled + unknown }
    /// Nil for a limit of nothing.
    package var usedPercent: Int64? { limit > 0 ? Int64(exactly: (Double(used) / Double(limit) * 100).rounded(.down)) ?? .max : nil }

    /// What it comes to at the period's end if it goes on like this, and when the limit is reached; nil where it cannot be told yet.
    private var forecast: (amount: Int64, exhaustedAt: Int64?)? {
        guard let end = period.end, now > period.start, used > 0 else { return nil }
        let (elapsed, whole) = (Double(now - period.start), Double(end - period.start))
        // Of the first hundredth of a period nothing follows.
        guard elapsed >= whole / 100 else { return nil }
        let amount = Double(used) / elapsed * whole
        let reached = Double(period.start) + elapsed * Double(limit) / Double(used)
        return (Int64(exactly: amount.rounded()) ?? .max, reached < Double(end) ? Int64(exactly: reached.rounded()) : nil)
    }

    private func text(_ units: Int64) -> JSONValue { .string(BudgetContent.text(units, budget.content.unit)) }

    package var json: JSONValue {
        let content = budget.content
        let held = Dictionary(grouping: slices.filter(\.isHeld), by: \.dataPlaneID).sorted { $0.key < $1.key }
        return [
            "budget_id": .string(budget.id.rawValue), "name": .string(content.name), "tenant_id": .string(content.tenantID.rawValue),
            "level": .string(content.level), "subject_id": .string(content.subjectID), "unit": .string(content.unit.rawValue),
            "kind": .string(content.kind.rawValue), "mode": .string(content.mode.rawValue),
            "period_start": period.end == nil ? .null : .time(period.start), "resets_at": .time(period.end), "limit": text(limit),
            "settled": text(settled), "unknown": text(unknown), "leased": text(leased), "free": text(free),
            "would_have_refused": .int(wouldHaveRefused), "used_percent": usedPercent.map(JSONValue.int) ?? .null,
            "forecast": forecast.map { forecast -> JSONValue in
                ["amount": text(forecast.amount), "exhausted_at": .time(forecast.exhaustedAt)]
            } ?? .null,
            "waits_for": .strings(waitsFor),
            "data_planes": .array(
                held.map { id, slices -> JSONValue in
                    [
                        "data_plane_id": .string(id), "slices": .int(Int64(slices.count)),
                        "held": text(slices.reduce(0) { $0 + $1.held }), "spent": text(slices.reduce(0) { $0 + $1.row.spent }),
                    ]
                }), "slices": .array(slices.map { $0.json(content.unit, now: now) }),
        ]
    }
}

/// One slice as it is shown.
package struct BudgetSlice: Sendable {
    let row: BudgetSliceRow

    var state: LeasedSlice.State? { LeasedSlice.State(rawValue: Int(row.state)) }
    var isHeld: Bool { state == .open || state == .orphaned }
    var held: Int64 { isHeld ? row.ceiling - row.spent - row.unknown : 0 }
    package var dataPlaneID: String { row.dataPlaneID }

    static let words: [LeasedSlice.State: String] = [.open: "open", .closed: "closed", .orphaned: "orphaned", .writtenOff: "written_off"]

    func json(_ unit: BudgetUnit, now: Int64) -> JSONValue {
        func text(_ units: Int64) -> JSONValue { .string(BudgetContent.text(units, unit)) }
        return [
            "id": .string(SliceID(rawValue: row.id)?.text ?? ""), "data_plane_id": .string(row.dataPlaneID),
            "state": .string(state.flatMap { Self.words[$0] } ?? "unknown"), "overdue": .bool(isHeld && row.expiresAt <= now),
            "granted": text(row.granted), "spent": text(row.spent + row.charged), "unknown": text(row.unknown - row.resolved),
            "held": text(held), "granted_at": .time(row.grantedAt), "expires_at": .time(row.expiresAt), "updated_at": .time(row.updatedAt),
        ]
    }
}

/// What budgets have come to, and what an operator decides about slices whose holders are gone.
package struct BudgetStateService: Sendable {
    /// Slices that one answer shows.
    private static let shownSlices = 200

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    package func state(of id: BudgetID, as scope: TenantScope) async throws -> BudgetState {
        let now = domain.clock.nowMilliseconds()
        return try await domain.read(as: scope) { c in try Self.state(of: BudgetContent.present(c, id), now, c) }
    }

    static func state(of budget: Budget, _ now: Int64, _ c: any SQLConnection) throws -> BudgetState {
        let period = budget.content.period(at: now)
        let row = try BudgetAccountsTable.find(c, budgetID: budget.id.rawValue, periodStart: period.start)
        let slices =
            row == nil
            ? [] : try BudgetSlicesTable.list(c, budgetID: budget.id.rawValue, periodStart: period.start, limit: shownSlices)
        let tenant = budget.content.tenantID.rawValue
        let silent = try Recovery.silent(c, epoch: try FleetCounter.epoch(c)).filter {
            DirectoryScope(tenantIDs: $0.tenantIDs).contains(tenant)
        }
        return BudgetState(
            budget: budget, period: period, limit: try budget.content.limit(c), settled: row?.settled ?? 0, unknown: row?.unknown ?? 0,
            leased: row?.leased ?? 0,
            wouldHaveRefused: try BudgetObservationsTable.requests(c, budgetID: budget.id.rawValue, periodStart: period.start),
            slices: slices.map { BudgetSlice(row: $0) }, waitsFor: silent.map(\.id), now: now)
    }

    /// Says that whoever held a slice is gone, and what was spent of it beside what was said: the rest is free again. What turns out to be
    /// spent all the same counts.
    /// - Parameters:
    ///   - charge: In the budget's unit, as its limit is written.
    ///   - force: Also of one that its data plane may still spend from.
    /// - Throws: `DomainError.conflict` for one that is over, or, unless forced, in use.
    package func writeOff(
        _ slice: String, of id: BudgetID, charge: String, force: Bool, by actor: Actor
    ) async throws -> BudgetState {
        let amount = try await amount(charge, of: id, by: actor)
        return try await decide("write_off", slice, of: id, by: actor) { account, slice, row, isActive, now in
            guard slice.isHeld else { throw Self.isOver(slice) }
            guard force || slice.state == .orphaned || slice.expires <= now || !isActive else {
                throw DomainError.conflict(
                    "slice", "is in use: data plane \(row.dataPlaneID) may be spending from it",
                    remedy:
                        "Wait until it is orphaned or has expired, or revoke the data plane. If it is gone for good, send \"force\": true.")
            }
            guard amount <= slice.parts.leased else {
                throw DomainError.invalid("charge", "is more than is held", remedy: "Charge what is held at most.")
            }
            account.writeOff(&slice, charging: amount)
        }
    }

    private func amount(_ charge: String, of id: BudgetID, by actor: Actor) async throws -> Int64 {
        let unit = try await domain.read(as: actor.scope) { try BudgetContent.present($0, id).content.unit }
        guard let amount = BudgetContent.units(charge, unit) else {
            throw DomainError.invalid(
                "charge", "is no amount of \(unit.rawValue)", remedy: "Give a decimal as the budget's limit is written.")
        }
        return amount
    }

    /// Says what the requests of a slice have cost of which the outcome is not known; the rest of what was held for them is free again.
    /// - Parameter charge: In the budget's unit, as its limit is written.
    package func resolve(_ slice: String, of id: BudgetID, charge: String, by actor: Actor) async throws -> BudgetState {
        let amount = try await amount(charge, of: id, by: actor)
        return try await decide("resolve", slice, of: id, by: actor) { account, slice, _, _, _ in
            let open = slice.unknown - slice.resolved
            guard open > 0 else {
                throw DomainError.conflict("slice", "has no requests of unknown outcome", remedy: "Nothing needs to be done about it.")
            }
            guard amount <= open else {
                throw DomainError.invalid(
                    "charge", "is more than was held for them", remedy: "Charge that at most.")
            }
            account.resolveUnknown(of: &slice, charging: amount)
        }
    }

    private static func isOver(_ slice: LeasedSlice) -> DomainError {
        .conflict(
            "slice", "is \(BudgetSlice.words[slice.state] ?? "over") already",
            remedy: "Nothing of it is held. Nothing needs to be done about it.")
    }

    private func decide(
        _ verb: String, _ text: String, of id: BudgetID, by actor: Actor,
        _ decision:
            @escaping @Sendable (inout LeaseAccount, inout LeasedSlice, BudgetSliceRow, _ isActive: Bool, _ now: Int64) throws -> Void
    ) async throws -> BudgetState {
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(as: actor.scope) { c in
            let budget = try BudgetContent.present(c, id)
            guard let slice = SliceID(text: text), let row = try BudgetSlicesTable.find(c, id: slice.rawValue),
                row.budgetID == id.rawValue
            else { throw DomainError.notFound(kind: "slice", id: String(text.prefix(64))) }
            let isActive = try DataPlanesTable.find(c, id: row.dataPlaneID)?.status == .active
            let after = try LeaseService.step(c, row, now) { account, slice in
                try decision(&account, &slice, row, isActive, now)
                return []
            }
            let tenant: JSONObject.Member = .init(name: "tenant_id", value: .string(row.tenantID))
            func audited(_ row: BudgetSliceRow) -> JSONValue {
                .object(
                    JSONObject(members: [tenant] + (BudgetSlice(row: row).json(budget.content.unit, now: now).objectValue?.members ?? [])))
            }
            try AuditLog.record(
                c, actor, "slice.\(verb)", id: text, before: audited(row),
                after: after.map { audited($0.row(tenantID: row.tenantID, grantedAt: row.grantedAt)) }, at: now)
            return try Self.state(of: budget, now, c)
        }
    }

    // MARK: Events

    package static let eventList = "spend-events"

    /// Oldest first, so that who reads on from the last cursor misses none.
    package func events(
        since: Int64, kind: SpendEvent.Kind?, _ page: PageRequest, as scope: TenantScope
    ) async throws -> Page<SpendEvent> {
        let rows = try await domain.read(as: scope) { c in
            try SpendEventsTable.list(
                c, since: since, kind: kind?.rawValue, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit)
        }
        return Page(fetched: rows, page) { Cursor(list: Self.eventList, time: $0.at, id: $0.id) }.map(SpendEvent.init)
    }

    private static func dollars(micro: Int64) -> String {
        NanoDollars(micro.multipliedReportingOverflow(by: 1000).partialValue).decimalString
    }

    /// Tenants whose cost of today is far above that of the days before, and those that owe something: each is told once a day.
    package func lookForRises() async throws {
        let now = domain.clock.nowMilliseconds()
        let today = now / 86_400_000
        try await domain.observe(as: .all) { c in
            for (tenant, amount) in try LedgerTable.overdrawn(c, limit: 10_000) {
                try BudgetEvents.write(
                    .negativeBalance, for: "\(tenant) \(today)", tenantID: tenant, ["balance": .string(NanoDollars(amount).decimalString)],
                    now,
                    c)
            }
        }
        try await domain.observe(as: .all) { c in
            for tenant in try UsageDailyTable.costs(c, from: today - 7, through: today) {
                // The mean of the days before, those without usage included; a dollar is nobody's rise.
                let mean = tenant.before / 7
                guard tenant.today > 1_000_000, tenant.before > 0, tenant.today / 3 > mean else { continue }
                try BudgetEvents.write(
                    .suddenRise, for: "\(tenant.id) \(today)", tenantID: tenant.id,
                    [
                        "today": .string(Self.dollars(micro: tenant.today)),
                        "daily_mean": .string(Self.dollars(micro: mean)),
                    ], now, c)
            }
        }
    }

    // MARK: For tenants

    /// The budgets and limits that bound what a key is used for, by how far the key may look: of the others it is not told how much is in them.
    package func limits(of caller: KeyCaller) async throws -> JSONValue {
        let subjects: [Subject] =
            [
                ("key_id", caller.keyID.rawValue, true), ("project_id", caller.projectID.rawValue, caller.reach != .key),
            ] + (caller.key.content.userID.map { [("user_id", $0.rawValue, true)] } ?? [])
        return try await limits(of: LimitStates.Reader(tenantID: caller.tenantID, key: caller), subjects)
    }

    /// Those that bound what a DID is used for; of its tenant's it is not told how much is in them.
    package func limits(of did: Entity<DIDContent>) async throws -> JSONValue {
        let subjects: [Subject] =
            [("did_id", did.id.rawValue, true)] + (did.content.userID.map { [("user_id", $0.rawValue, true)] } ?? [])
        return try await limits(of: LimitStates.Reader(tenantID: did.content.tenantID, did: did), subjects)
    }

    private typealias Subject = (column: String, id: String, isShown: Bool)

    private func limits(of reader: LimitStates.Reader, _ subjects: [Subject]) async throws -> JSONValue {
        let now = domain.clock.nowMilliseconds()
        // Limits of the whole deployment and the data planes' reports are no tenant's rows.
        let rates = try await domain.read(as: .all) { c in try LimitStates.limits(of: reader, c) }
        return try await domain.read(as: .tenant(reader.tenantID.rawValue)) { c in
            var items: [JSONValue] = []
            func add(_ budget: Budget, isShown: Bool) throws {
                items.append(Self.told(budget, try Self.state(of: budget, now, c), isShown: isShown))
            }
            for budget in try BudgetContent.listed(c, where: "tenant_id", is: reader.tenantID.rawValue)
            where budget.content.level == "tenant" {
                try add(budget, isShown: reader.reach == .tenant)
            }
            for subject in subjects {
                for budget in try BudgetContent.listed(c, where: subject.column, is: subject.id) {
                    try add(budget, isShown: subject.isShown)
                }
            }
            return ["budgets": .array(items), "rates": rates]
        }
    }

    private static func told(_ budget: Budget, _ state: BudgetState, isShown: Bool) -> JSONValue {
        let content = budget.content
        func text(_ units: Int64) -> JSONValue { isShown ? .string(BudgetContent.text(units, content.unit)) : .null }
        return [
            "budget_id": .string(budget.id.rawValue), "name": .string(content.name), "level": .string(content.level),
            "unit": .string(content.unit.rawValue), "kind": .string(content.kind.rawValue), "mode": .string(content.mode.rawValue),
            "capability": .optional(content.capability), "period": .string(content.period.rawValue),
            "resets_at": .time(state.period.end), "limit": text(state.limit), "used": text(state.settled),
            "held": text(state.unknown + state.leased), "left": text(max(0, state.free)),
        ]
    }

    /// All budgets of a tenant and the limits that bound it, for its own administrators: in the same form.
    package func limits(of tenantID: TenantID) async throws -> JSONValue {
        let now = domain.clock.nowMilliseconds()
        let rates = try await domain.read(as: .all) { c in try LimitStates.limits(of: LimitStates.Reader(tenantID: tenantID), c) }
        return try await domain.read(as: .tenant(tenantID.rawValue)) { c in
            let budgets = try BudgetContent.listed(c, where: "tenant_id", is: tenantID.rawValue).map { budget in
                Self.told(budget, try Self.state(of: budget, now, c), isShown: true)
            }
            return ["budgets": .array(budgets), "rates": rates]
        }
    }

    // MARK: What needs attention

    static func findings(_ c: any SQLConnection, now: Int64) throws -> [Finding] {
        var findings: [Finding] = []
        for row in try BudgetAccountsTable.current(c, now: now, limit: StatusService.maximumOfAKind) {
            guard let budget = try BudgetContent.find(c, row.budgetID) else { continue }
            // Perhaps nothing was asked for since the limit was changed.
            let limit = try budget.content.limit(c)
            let used = row.settled + row.unknown
            guard BudgetEvents.isNear(used, of: limit) else { continue }
            let isOut = used >= limit
            let unit = budget.content.unit
            let resets = row.periodEnd.map { "; it begins anew at \(RFC3339.string(milliseconds: $0))" } ?? ""
            findings.append(
                Finding(
                    isOut && budget.content.kind == .hard && budget.content.mode == .enforce ? .error : .warning,
                    isOut ? .budgetExhausted : .budgetNear, "budget \(budget.content.name) (\(row.budgetID))",
                    "\(BudgetContent.text(used, unit)) of \(BudgetContent.text(limit, unit)) \(unit == .cost ? "dollars" : unit.rawValue) are "
                        + "used\(resets)", command: "weir budget state \(row.budgetID)"))
        }
        for row in try BudgetSlicesTable.stranded(c, now: now, limit: StatusService.maximumOfAKind) {
            guard let unit = try BudgetContent.find(c, row.budgetID)?.content.unit, let id = SliceID(rawValue: row.id) else { continue }
            findings.append(
                Finding(
                    .warning, .sliceStranded, "slice \(id.text) of budget \(row.budgetID)",
                    "\(BudgetContent.text(BudgetSlice(row: row).held, unit)) are counted as spent, since data plane \(row.dataPlaneID) has not "
                        + "given them back", command: "weir budget write-off \(row.budgetID) \(id.text)"))
        }
        let alarms = try SpendEventsTable.newest(
            c, kind: SpendEvent.Kind.sliceAlarm.rawValue, since: now - StatusService.day, limit: StatusService.maximumOfAKind)
        findings += alarms.map { alarm in
            let detail = SpendEvent(alarm).detail
            let what =
                switch detail["finding"]?.stringValue {
                case "went_back": "its disk is an older one: it was put back, or copied"
                case "above_granted": "it spent more of a slice than it was given"
                case "not_theirs": "it spoke for a slice of another data plane's"
                case "after_the_end": "it spent from a slice after that was closed or written off"
                case "adopted": "it holds a slice that this database does not know: the database was put back, or the slice is invented"
                default: "it named a slice that nobody gave it"
                }
            return Finding(
                .warning, .sliceAlarm, "data plane \(alarm.dataPlaneID ?? "")", "\(what) (\(detail["slice"]?.stringValue ?? ""))",
                command: "weir budget events --kind slice_alarm")
        }
        findings += try Recovery.silent(c, epoch: try FleetCounter.epoch(c)).prefix(StatusService.maximumOfAKind).map { plane in
            Finding(
                .error, .budgetsRecovering, "data plane \(plane.name) (\(plane.id))",
                "since the database was put back it has not told what it holds of budgets: nothing is given of those of its tenants",
                command: "weir fleet get \(plane.id)    # start it; if it is gone for good, revoke it")
        }
        return findings
    }
}
