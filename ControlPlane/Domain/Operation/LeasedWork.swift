package import Logging
import Primitives
import Storage
import Synchronization
package import Telemetry

/// Background work that one replica does for all. Each piece has a lease in the database: who holds it does the work and says so in
/// `/metrics`; when its replica dies another takes over once the lease has expired. The work itself must bear being done twice, since
/// clocks differ.
package final class LeasedWork: Sendable {
    /// Something to be done again and again.
    package struct Job: Sendable {
        /// In the lease, the log and the metric's label: `retire_signing_keys`.
        package let name: String
        package let period: Duration
        package let work: @Sendable () async throws -> Void

        package init(_ name: String, every period: Duration, _ work: @escaping @Sendable () async throws -> Void) {
            self.name = name
            self.period = period
            self.work = work
        }
    }

    /// After a failure, such as a database that is gone for a moment, and for whoever waits to take over.
    private static let retryPeriod: Duration = .seconds(15)
    /// The lease outlives the pause between two rounds by this much.
    private static let leaseMargin: Duration = .seconds(30)

    private let domain: DomainContext
    private let holder: String
    private let jobs: [Job]
    private let logger: Logger
    private let owned: [String: Gauge]
    private let failures: [String: Counter]

    /// - Parameter holder: This replica's name, different from all others'.
    package init(_ domain: DomainContext, holder: String, jobs: [Job], metrics: MetricsRegistry, logger: Logger) {
        self.domain = domain
        self.holder = holder
        self.jobs = jobs
        self.logger = logger
        owned = Dictionary(
            jobs.map {
                (
                    $0.name,
                    metrics.gauge(
                        "weir_control_work_owned", help: "1 when this replica does this background work for all.",
                        labels: [("work", $0.name)])
                )
            }, uniquingKeysWith: { first, _ in first })
        failures = Dictionary(
            jobs.map {
                (
                    $0.name,
                    metrics.counter(
                        "weir_control_work_failures_total", help: "Rounds of background work that failed.", labels: [("work", $0.name)])
                )
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Until the task is cancelled; then gives the leases back.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            for job in jobs {
                group.addTask {
                    while !Task.isCancelled {
                        let pause = await self.round(of: job) ? job.period : min(job.period, Self.retryPeriod)
                        try? await Task.sleep(for: pause)
                    }
                }
            }
        }
        // A task of its own: this one is cancelled.
        await Task { [domain, holder] in
            try? await domain.database.transaction(as: .all, isolation: .readCommitted) { try WorkLeasesTable.release($0, holder: holder) }
        }.value
        for gauge in owned.values { gauge.set(0) }
    }

    /// Does every piece of work once, those whose lease can be had.
    package func round() async {
        for job in jobs { _ = await round(of: job) }
    }

    /// - Returns: whether this replica has the lease and the work was done.
    private func round(of job: Job) async -> Bool {
        do {
            let mine = try await take(job)
            owned[job.name]?.set(mine ? 1 : 0)
            guard mine else { return false }
            try await job.work()
            return true
        } catch {
            failures[job.name]?.increment()
            // The next round tries again.
            logger.warning("background work failed", metadata: ["work": "\(job.name)", "error": "\(error)"])
            return false
        }
    }

    private func take(_ job: Job) async throws -> Bool {
        let now = domain.clock.nowMilliseconds()
        let until = now + Self.milliseconds(job.period + Self.leaseMargin)
        return try await domain.database.transaction(as: .all, isolation: .readCommitted) { [holder] c in
            try WorkLeasesTable.take(c, job.name, holder: holder, now: now, until: until)
        }
    }

    private static func milliseconds(_ duration: Duration) -> Int64 {
        duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
    }
}
