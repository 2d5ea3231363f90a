package import Primitives
package import Storage
package import Telemetry

/// What is kept for a time only.
package enum RetainedRecords: String, CaseIterable, Sendable {
    /// The audit log: changes, and attempts at them that were refused.
    case audit
    /// Requests that data planes refused.
    case refusals
    /// Usage records. Sums, the ledger and statements stay.
    case usage
    /// Usage records as data planes signed them, month by month. The chains' heads stay.
    case invoices
}

/// Takes away for good what is older than it is to be kept: once a day, by one replica, in pieces that hold nobody up.
///
/// A usage record goes only when its month is closed: the month is over, every data plane has told its usage beyond its end, and all of it
/// is posted to the ledger. Before anything goes it is written down that it will, so that no report takes what is missing for what never was.
package struct RetentionService: Sendable {
    /// Rows of one transaction: some milliseconds.
    private static let batch = 1000
    /// Rows of up to a thousand records each.
    private static let signedBatch = 20
    private static let day: Int64 = 86_400_000
    /// Missed for longer, somebody is told.
    private static let tolerance = 3 * day

    private let domain: DomainContext
    private let ledger: BillingLedger
    private let auditDays: Int64
    private let logDays: Int64
    private let lastRuns: [RetainedRecords: Gauge]
    private let removed: [RetainedRecords: Counter]

    /// - Parameters:
    ///   - auditDays: How long the audit log and refusals are kept.
    ///   - logDays: How long the records of single requests are.
    package init(_ domain: DomainContext, auditDays: Int, logDays: Int, metrics: MetricsRegistry = MetricsRegistry()) {
        self.domain = domain
        ledger = BillingLedger(domain)
        self.auditDays = Int64(auditDays)
        self.logDays = Int64(logDays)
        var (lastRuns, removed): ([RetainedRecords: Gauge], [RetainedRecords: Counter]) = ([:], [:])
        for kind in RetainedRecords.allCases {
            let labels = [("records", kind.rawValue)]
            lastRuns[kind] = metrics.gauge(
                "weir_control_purge_last_run_seconds", help: "When old records were purged last, seconds since 1970; 0: not yet.",
                labels: labels)
            removed[kind] = metrics.counter(
                "weir_control_purge_removed_total", help: "Old records that this process has purged.", labels: labels)
        }
        (self.lastRuns, self.removed) = (lastRuns, removed)
    }

    private var now: Int64 { domain.clock.nowMilliseconds() }

    /// Purges what was not purged today (UTC).
    package func purgeDaily() async throws {
        let runs = try await domain.read(as: .all) { try RetentionRunsTable.list($0) }
        for run in runs { RetainedRecords(rawValue: run.kind).map { lastRuns[$0]?.set(Double(run.ranAt / 1000)) } }
        let done = Set(runs.filter { $0.ranAt / Self.day >= now / Self.day }.map(\.kind))
        try await purge(RetainedRecords.allCases.filter { !done.contains($0.rawValue) })
    }

    /// - Returns: what went, kind by kind.
    @discardableResult
    package func purge(_ kinds: [RetainedRecords] = RetainedRecords.allCases) async throws -> [RetentionRun] {
        var runs: [RetentionRun] = []
        let closed = try await kinds.contains { $0 == .usage || $0 == .invoices } ? closedMonths() : (end: 0, held: "")
        for kind in kinds {
            let run =
                switch kind {
                case .audit:
                    try await purge(kind, before: now - auditDays * Self.day) { c, before in
                        (try AuditTable.purge(c, before: before, limit: Self.batch), Self.batch)
                    }
                case .refusals:
                    try await purge(kind, before: now - auditDays * Self.day) { c, before in
                        (try RequestRefusalsTable.purge(c, before: before, limit: Self.batch), Self.batch)
                    }
                case .usage: try await purgeUsage(closed)
                case .invoices: try await purgeSigned(closed)
                }
            // What was broken off is no run: whoever takes over goes on.
            if Task.isCancelled { break }
            try await end(kind, run)
            runs.append(run)
        }
        return runs
    }

    private func end(_ kind: RetainedRecords, _ run: RetentionRun) async throws {
        try await domain.write(as: .all) { c in
            try RetentionRunsTable.end(c, run)
            guard run.removed > 0 else { return }
            try AuditLog.record(
                c, .system("retention"), "retention.purge", id: kind.rawValue, before: nil,
                after: ["removed": .int(run.removed), "before": .time(run.beforeAt)], at: run.ranAt)
        }
        lastRuns[kind]?.set(Double(run.ranAt / 1000))
        removed[kind]?.increment(by: UInt64(max(0, run.removed)))
    }

    private func announce(_ kind: RetainedRecords, before: Int64) async throws {
        try await domain.write(as: .all) { c in try RetentionRunsTable.announce(c, kind: kind.rawValue, before: before) }
    }

    /// - Parameter step: Removes some; answers how many, and of how many at most.
    private func purge(
        _ kind: RetainedRecords, before: Int64, _ step: @escaping @Sendable (any SQLConnection, Int64) throws -> (gone: Int, limit: Int)
    ) async throws -> RetentionRun {
        try await announce(kind, before: before)
        var total: Int64 = 0
        while !Task.isCancelled {
            let (gone, limit) = try await domain.observe(as: .all) { c in try step(c, before) }
            total += Int64(gone)
            if gone < limit { break }
        }
        return RetentionRun(kind: kind.rawValue, ranAt: now, beforeAt: before, removed: total)
    }

    // MARK: Usage

    /// The end (Unix milliseconds) of the last month of which nothing is to be expected any more, and what keeps it from being a later one.
    private func closedMonths() async throws -> (end: Int64, held: String) {
        try await ledger.postUsage(everything: true)
        let now = now
        return try await domain.report(as: .all) { c in
            let positions = try UsagePositions(c, servingTenant: nil, now: now)
            let thisMonth = Self.month(of: now)
            guard let asOf = positions.asOf else {
                let name = positions.behind.first { $0.knownUntil == nil }?.name ?? ""
                return (0, "data plane \(name) does not say how far its usage is known")
            }
            var (end, held) = (min(thisMonth, Self.month(of: asOf)), "")
            if end < thisMonth, let late = positions.behind.first {
                held = "data plane \(late.name) has told its usage up to \(RFC3339.string(milliseconds: asOf)) only"
            }
            let days = end / Self.day - BillingLedger.lateDays..<end / Self.day
            for tenantID in try LedgerTable.tenantsWithUsage(c, days: days) {
                guard let day = try BillingLedger.unposted(c, tenantID, days).keys.min() else { continue }
                let month = Self.month(of: day * Self.day)
                if month < end { (end, held) = (month, "usage of \(tenantID) is not posted to the ledger") }
            }
            return (end, held)
        }
    }

    /// Its beginning.
    private static func month(of milliseconds: Int64) -> Int64 {
        UsageMonth(containingMicroseconds: milliseconds * 1000).startMicroseconds / 1000
    }

    /// Whole days.
    private var usageEnd: Int64 { now / Self.day * Self.day - logDays * Self.day }

    private func purgeUsage(_ closed: (end: Int64, held: String)) async throws -> RetentionRun {
        let before = min(usageEnd, closed.end)
        try await announce(.usage, before: before)
        var total: Int64 = 0
        let whole = try await domain.read(as: .all) { try UsagePartitions.months($0, endingBy: before * 1000) }
        for month in whole {
            let number = try await count(month)
            try await domain.observe(as: .all) { c in try UsagePartitions.drop(c, month) }
            total += number
        }
        while !Task.isCancelled {
            let (gone, hasMore) = try await domain.observe(as: .all) { c in
                try UsageTable.purge(c, before: before * 1000, limit: Self.batch)
            }
            total += Int64(gone)
            if !hasMore { break }
        }
        try await domain.observe(as: .all) { c in try UsageHourlyTable.purge(c, before: before * 1000) }
        return RetentionRun(
            kind: RetainedRecords.usage.rawValue, ranAt: now, beforeAt: before, removed: total,
            held: closed.end < usageEnd ? closed.held : "")
    }

    /// How many records a month has: counted, or where that takes too long, by the sums of all that it ever had.
    private func count(_ month: UsageMonth) async throws -> Int64 {
        let times = month.startMicroseconds..<month.next.startMicroseconds
        do {
            return try await domain.report(as: .all) { try UsageTable.count($0, admitted: times) }
        } catch DomainError.unavailable {
            return try await domain.read(as: .all) { c in
                try UsageDailyTable.requests(c, days: times.lowerBound / 86_400_000_000..<times.upperBound / 86_400_000_000)
            }
        }
    }

    /// Month by month, so that a bill is whole until nothing of it is left to be proved.
    private func purgeSigned(_ closed: (end: Int64, held: String)) async throws -> RetentionRun {
        let before = Self.month(of: min(usageEnd, closed.end))
        let day = before / Self.day
        try await announce(.invoices, before: before)
        var total: Int64 = 0
        for key in try await domain.report(as: .all, { try SignedUsageTable.chains($0, before: day) }) {
            // What the first month that is kept begins with: nothing from there on may be missing.
            let through = try await domain.report(as: .all) { c -> Int64? in
                let first = try SignedUsageTable.first(c, key, from: day)
                let heads = try UsageHeadsTable.list(c, key)
                guard !heads.isEmpty || first != nil else { return nil }
                return InvoicePlan.opening(heads, before: before, first.map { $0...Int64.max })?.number ?? 0
            }
            while !Task.isCancelled {
                let (rows, records) = try await domain.observe(as: .all) { c in
                    try SignedUsageTable.purge(c, key, before: day, through: through, limit: Self.signedBatch)
                }
                total += records
                if rows < Self.signedBatch { break }
            }
        }
        return RetentionRun(
            kind: RetainedRecords.invoices.rawValue, ranAt: now, beforeAt: before, removed: total,
            held: closed.end < usageEnd ? closed.held : "")
    }

    // MARK: What an operator is told

    static func finding(of run: RetentionRun, now: Int64) -> Finding? {
        let subject = "\(run.kind) records"
        if run.ranAt > 0, now - run.ranAt > tolerance {
            return Finding(
                .warning, .purgeLate, subject, "what is too old was purged last at \(RFC3339.string(milliseconds: run.ranAt))",
                command: "weir audit --action retention.purge    # the control plane's log says why: \"background work failed\"")
        }
        guard !run.held.isEmpty, run.kind == RetainedRecords.usage.rawValue else { return nil }
        return Finding(
            .warning, .retentionHeld, subject, "more is kept than was asked for: \(run.held)",
            command: "weir fleet list    # one that is gone for good: weir fleet revoke")
    }
}

extension RetentionRun {
    var json: JSONValue {
        [
            "records": .string(kind), "ran_at": .time(ranAt == 0 ? nil : ranAt), "before": .time(beforeAt), "removed": .int(removed),
            "removed_total": .int(removedTotal), "held": held.isEmpty ? .null : .string(held),
        ]
    }
}
