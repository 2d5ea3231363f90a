import Contract
import Foundation
package import Logging
import NIOCore
import Primitives
import Synchronization
import Telemetry
import Trust
import UnixSignals

/// A whole data plane: opens what the disk holds, serves, keeps the link to the control plane, and stops in order.
package struct DataPlaneService: Sendable {
    private let settings: ProxySettings
    private let logger: Logger
    private let enrollmentToken: String?
    private let name: String
    private let controlAddress: String

    package init(settings: ProxySettings, logger: Logger, enrollmentToken: String?, name: String, controlAddress: String) {
        self.settings = settings
        self.logger = logger
        self.enrollmentToken = enrollmentToken
        self.name = name
        self.controlAddress = controlAddress
    }

    package enum StartError: Error, CustomStringConvertible {
        case notEnrolled(String)

        package var description: String {
            switch self {
            case .notEnrolled(let directory):
                "there is no enrolment in \(directory). Get a token with `weir fleet token create` and start once with --enroll TOKEN "
                    + "(or WEIR_ENROLL=TOKEN)"
            }
        }
    }

    /// Runs until SIGTERM or SIGINT; a second signal ends what still runs at once.
    /// - Throws: what kept it from starting, in words for the operator.
    package func run() async throws {
        let stops = StopRequests(await UnixSignalsSequence(trapping: [.sigterm, .sigint]))
        signal(SIGPIPE, SIG_IGN)
        let clock = SystemClock()
        let store = try LocalStore(directory: settings.dataDirectory, durability: settings.durability == .power ? .power : .process)
        for folder in store.quarantined { logger.error("a damaged local database lies aside", metadata: ["folder": "\(folder)"]) }
        let keys = try DataPlaneKeys.loadOrCreate(directory: settings.dataDirectory)
        guard let enrollment = try await enroll(keys, stops) else {
            logger.notice("stopped before the data plane was enrolled")
            return
        }
        let identity = DataPlaneIdentity(enrollment, keys: keys)
        let snapshots = try SnapshotStore(local: store, identity: identity, clock: clock, logger: logger)
        var journal = JournalSettings()
        journal.maximumBytes = max(settings.maxJournalBytes, 2 * ProxyServer.loopCount(settings) * journal.segmentBytes)
        journal.durability = settings.durability == .power ? .power : .process
        let estimator = InterruptedEstimate(snapshots: snapshots)
        let pipeline = try UsagePipeline(
            store: store, journalDirectory: settings.dataDirectory + "/journal", settings: journal,
            loops: ProxyServer.loopCount(settings), logger: logger, clock: clock, estimateInterrupted: { estimator.suffix(for: $0) })
        let server = try await ProxyServer.start(settings: settings, snapshots: snapshots, pipeline: pipeline, logger: logger, clock: clock)
        pipeline.start()
        let status = OperatorStatus(server: server, snapshots: snapshots, pipeline: pipeline, quarantined: store.quarantined)
        let operatorServer = try await OperatorServer.start(
            host: settings.operatorHost, port: settings.operatorPort, status: status, logger: logger)
        var linkSettings = ControlLink.Settings()
        linkSettings.address = controlAddress
        let reporter = StatusReporter(server: server, status: status, pipeline: pipeline)
        let link = try ControlLink(
            enrollment: enrollment, identity: keys.identity, snapshots: snapshots, outbox: pipeline.outbox, settings: linkSettings,
            logger: logger, status: { reporter.report })
        let linking = Task { await link.run() }
        let reporting = Task { await reporter.run() }
        logger.notice(
            "serving",
            metadata: [
                "address": "\(settings.listenHost):\(server.port)", "operator": "\(settings.operatorHost):\(operatorServer.port)",
                "data_plane": "\(enrollment.dataPlaneID)", "region": "\(enrollment.region)", "version": "\(weirVersion)",
                "loops": "\(ProxyServer.loopCount(settings))",
            ])

        await stops.wait(for: 1)
        logger.notice("stopping: running requests may end", metadata: ["milliseconds": "\(settings.drainTimeout)"])
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await stops.wait(for: 2)
                server.hurry()
            }
            await server.drain()
            group.cancelAll()
        }
        pipeline.stop()
        // What was folded last goes out too, if the control plane is there to take it.
        let deadline = MonotonicClock.nowMicroseconds() + 3_000_000
        while link.state.isConnected, pipeline.counters.outboxRows.load(ordering: .relaxed) > 0, MonotonicClock.nowMicroseconds() < deadline
        {
            try? await Task.sleep(for: .milliseconds(20))
        }
        reporting.cancel()
        linking.cancel()
        await linking.value
        await operatorServer.stop()
        store.close()
        logger.notice("stopped", metadata: ["outbox_batches": "\(pipeline.counters.outboxRows.load(ordering: .relaxed))"])
    }

    /// - Returns: nil when the process is told to stop before the control plane could be reached.
    private func enroll(_ keys: DataPlaneKeys, _ stops: StopRequests) async throws -> Enrollment? {
        if let known = try Enrollment.load(directory: settings.dataDirectory) { return known }
        return try await withThrowingTaskGroup(of: Enrollment?.self) { group in
            group.addTask { try await self.enroll(keys) }
            group.addTask {
                await stops.wait(for: 1)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    private func enroll(_ keys: DataPlaneKeys) async throws -> Enrollment {
        guard let text = enrollmentToken, !text.isEmpty else { throw StartError.notEnrolled(settings.dataDirectory) }
        let token = try EnrollmentTokenText(parsing: text.trimmingCharacters(in: .whitespacesAndNewlines))
        while true {
            do throws(EnrollmentError) {
                return try await Enroller.enroll(token: token, keys: keys, directory: settings.dataDirectory, name: name, logger: logger)
            } catch {
                guard case .unreachable = error else { throw error }
                logger.warning("the control plane cannot be reached yet to enrol; trying again", metadata: ["reason": "\(error)"])
                try await Task.sleep(for: .seconds(1))
            }
        }
    }
}

/// How often the process was told to stop.
private final class StopRequests: Sendable {
    private let count = Atomic<Int>(0)

    init(_ signals: UnixSignalsSequence) {
        Task {
            for await _ in signals { count.wrappingAdd(1, ordering: .relaxed) }
        }
    }

    /// Returns when it was told so often, or the task is cancelled.
    func wait(for times: Int) async {
        while count.load(ordering: .relaxed) < times, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(100)) }
    }
}

/// The status report, gathered now and then so that whoever asks for it need not wait for the loops.
private final class StatusReporter: Sendable {
    private let server: ProxyServer
    private let status: OperatorStatus
    private let pipeline: UsagePipeline
    private let last = Mutex(Weir_V1_StatusReport())

    init(server: ProxyServer, status: OperatorStatus, pipeline: UsagePipeline) {
        self.server = server
        self.status = status
        self.pipeline = pipeline
    }

    var report: Weir_V1_StatusReport { last.withLock { $0 } }

    func run() async {
        while !Task.isCancelled {
            let metrics = await server.metrics()
            let readiness = status.readiness()
            var report = Weir_V1_StatusReport()
            report.requestsTotal = metrics.metrics.answers.reduce(0, &+)
            report.activeRequests = UInt64(metrics.active)
            report.outboxBatches = UInt64(max(0, pipeline.counters.outboxRows.load(ordering: .relaxed)))
            report.ready = readiness.isReady
            report.state = (readiness.problems + readiness.warnings).first ?? "ok"
            report.draining = server.isDraining
            let made = report
            last.withLock { $0 = made }
            try? await Task.sleep(for: .seconds(2))
        }
    }
}

/// Closes the record of a request that an earlier process left open: its input is charged as estimated, with what a progress record
/// said of its output.
struct InterruptedEstimate: Sendable {
    let snapshots: SnapshotStore

    /// The bytes that complete the record, behind those of its intent and progress.
    func suffix(for record: Weir_V1_UsageRecord) -> [UInt8] {
        var usage = TokenUsage(input: max(0, record.inputTokens), output: max(0, record.outputTokens))
        if usage.input == 0 { usage.input = max(0, record.estimatedInputTokens) }
        var flags: UsageFlags = [.interrupted, .estimated]
        var cost = NanoDollars(max(0, record.costNano))
        if let price = snapshots.current.price(id: record.priceID, configVersion: record.configVersion) {
            cost = Pricing.rate(usage, price.rates)
        } else if record.costNano == 0 {
            flags.insert(.priceMissing)
        }
        var encoder = UsageEncoder(capacity: 128)
        encoder.always(.status, 2)
        encoder.always(.errorOrigin, UInt64(Rejection.Fault.weir.rawValue))
        encoder.field(.errorCode, "interrupted")
        encoder.always(.inputTokens, UInt64(usage.input))
        encoder.always(.outputTokens, UInt64(usage.output))
        encoder.always(.flags, UInt64(flags.rawValue))
        encoder.always(.costNano, UInt64(bitPattern: cost.rawValue))
        return encoder.buffer
    }
}
