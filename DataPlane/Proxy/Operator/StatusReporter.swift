import Contract
import Primitives
import Synchronization

/// The report that the control plane gets with each status message, gathered now and then so that whoever asks for it need not wait for
/// the loops.
final class StatusReporter: Sendable {
    /// Endpoints, and credentials, that one report tells of.
    static let maximumEntries = 256

    private let server: ProxyServer
    private let status: OperatorStatus
    private let pipeline: UsagePipeline
    private let snapshots: SnapshotStore
    private let refusals: RefusalStore
    private let last = Mutex(Weir_V1_StatusReport())

    init(server: ProxyServer, status: OperatorStatus, pipeline: UsagePipeline, snapshots: SnapshotStore, refusals: RefusalStore) {
        self.refusals = refusals
        self.server = server
        self.status = status
        self.pipeline = pipeline
        self.snapshots = snapshots
    }

    /// For the control plane, to which it is sent at once: refused requests count as told.
    func reportToSend() -> Weir_V1_StatusReport {
        var report = last.withLock { $0 }
        server.endpointStates.refusals.sent()
        report.nowMs = SystemClock().nowMilliseconds()
        return report
    }

    func run() async {
        while !Task.isCancelled {
            let made = await gather()
            last.withLock { $0 = made }
            await snapshots.arms.save(made.arms, now: MonotonicClock.nowMicroseconds())
            await refusals.save(made.refusals)
            try? await Task.sleep(for: .seconds(2))
        }
        await refusals.save(server.endpointStates.refusals.told())
        let arms = snapshots.arms.arms(snapshots.current)
        await snapshots.arms.save(arms, now: MonotonicClock.nowMicroseconds(), always: true)
    }

    func gather() async -> Weir_V1_StatusReport {
        server.endpointStates.settle(now: MonotonicClock.nowMicroseconds())
        server.health.settle(now: MonotonicClock.nowMicroseconds())
        let sums = await server.sums()
        let readiness = status.readiness()
        var report = Weir_V1_StatusReport()
        report.requestsTotal = sums.metrics.answers.reduce(0, &+)
        report.activeRequests = UInt64(sums.active)
        report.outboxBatches = UInt64(max(0, pipeline.counters.outboxRows.load(ordering: .relaxed)))
        report.ready = readiness.isReady
        report.state = (readiness.problems + readiness.warnings).first ?? "ok"
        report.draining = server.isDraining
        if let lag = await pipeline.lagMilliseconds() { report.usageLagMs = lag }
        report.refusals = server.endpointStates.refusals.told()
        let troubles = server.endpointStates.troubles
        report.arms = snapshots.arms.arms(snapshots.current)
        report.endpoints = Self.endpoints(snapshots.current, sums.attempts, troubles.endpoints, BreakerReport.states(server.health))
        report.credentials = troubles.credentials.sorted { $0.key < $1.key }.prefix(Self.maximumEntries).map { id, trouble in
            var status = Weir_V1_CredentialStatus()
            status.credentialID = id
            status.providerID = trouble.providerID
            status.sinceMs = trouble.sinceMilliseconds
            status.refusals = trouble.failures
            status.lastRefusal = trouble.last.words
            return status
        }
        return report
    }

    /// Those of the configurations that are held; those in trouble first.
    private static func endpoints(
        _ snapshot: RuntimeSnapshot, _ attempts: [AttemptMetrics.Key: AttemptMetrics.Counts], _ troubles: [String: EndpointStates.Trouble],
        _ breakers: [String: String]
    ) -> [Weir_V1_EndpointStatus] {
        var counts: [String: (attempts: UInt64, failures: UInt64)] = [:]
        for (key, count) in attempts {
            counts[key.endpoint, default: (0, 0)].attempts &+= count.attempts
            counts[key.endpoint, default: (0, 0)].failures &+= count.failures
        }
        var providers: [String: String] = [:]
        for endpoint in snapshot.configs.values.flatMap(\.endpoints.values) { providers[endpoint.id] = endpoint.providerID }
        let ids = providers.keys.sorted { a, b in
            let (first, second) = (troubles[a] != nil || breakers[a] != nil, troubles[b] != nil || breakers[b] != nil)
            return first == second ? a < b : first
        }
        return ids.prefix(maximumEntries).map { id in
            var status = Weir_V1_EndpointStatus()
            status.endpointID = id
            status.providerID = providers[id] ?? ""
            status.attempts = counts[id]?.attempts ?? 0
            status.failures = counts[id]?.failures ?? 0
            status.breaker = breakers[id] ?? "closed"
            guard let trouble = troubles[id] else { return status }
            status.failing = true
            status.sinceMs = trouble.sinceMilliseconds
            status.lastFailureMs = trouble.lastMilliseconds
            status.lastFailure = trouble.detail.isEmpty ? trouble.last.words : "\(trouble.last.words): \(trouble.detail)"
            return status
        }
    }
}
