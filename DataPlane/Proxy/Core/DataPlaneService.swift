import Contract
import Foundation
package import Logging
import NIOCore
import Primitives
import ServiceLifecycle
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

    /// Runs until SIGTERM or SIGINT; a second signal cuts the draining short. One that comes while the data plane waits to be enrolled
    /// ends it as well.
    /// - Throws: what kept it from starting, in words for the operator.
    package func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        // Two, since a sequence ends with the task that listens to it. Both hear each signal.
        let early = await UnixSignalsSequence(trapping: [.sigterm, .sigint])
        let signals = await UnixSignalsSequence(trapping: [.sigterm, .sigint])
        let store = try LocalStore(directory: settings.dataDirectory, durability: settings.durability)
        for folder in store.quarantined { logger.error("a damaged local database lies aside", metadata: ["folder": "\(folder)"]) }
        let keys = try DataPlaneKeys.loadOrCreate(directory: settings.dataDirectory)
        guard let enrollment = try await enroll(keys, until: early) else {
            logger.notice("stopped before it was enrolled")
            return store.close()
        }
        let plane = try await start(store, keys, enrollment)
        let group = ServiceGroup(configuration: ServiceGroupConfiguration(services: plane.services, logger: logger))
        let stopping = Task {
            var count = 0
            for await _ in signals {
                count += 1
                if count > 1 {
                    logger.notice("stopping at once: running requests are cut off")
                    plane.server.hurry()
                    continue
                }
                logger.notice("stopping: running requests may end", metadata: ["milliseconds": "\(settings.drainTimeout)"])
                await group.triggerGracefulShutdown()
            }
        }
        defer { stopping.cancel() }
        try await group.run()
        await plane.server.close()
        store.close()
        logger.notice("stopped", metadata: ["outbox_batches": "\(plane.pipeline.counters.outboxRows.load(ordering: .relaxed))"])
    }

    private struct Running {
        let server: ProxyServer
        let pipeline: UsagePipeline
        /// Stopped in the reverse order.
        let services: [any Service]
    }

    private func start(_ store: LocalStore, _ keys: DataPlaneKeys, _ enrollment: Enrollment) async throws -> Running {
        let clock = SystemClock()
        let identity = DataPlaneIdentity(enrollment, keys: keys)
        let snapshots = try SnapshotStore(
            local: store, identity: identity, clock: clock, logger: logger, revocationGraceMilliseconds: Int64(settings.revocationGrace))
        var journal = JournalSettings()
        journal.maximumBytes = max(settings.maxJournalBytes, 2 * ProxyServer.loopCount(settings) * journal.segmentBytes)
        journal.durability = settings.durability
        let estimator = InterruptedEstimate(snapshots: snapshots)
        let (signatures, keeper) = try SignatureDesk.make(settings, store: store, clock: clock)
        let rates = RateLedger(isReady: false)
        let rateKeeper = try RateKeeper(ledger: rates, store: store, clock: clock)
        let leases = try LeaseStore(store: store)
        let budgets = BudgetDesk(store: leases, clock: clock, logger: logger)
        let pipeline = try UsagePipeline(
            store: store, journalDirectory: settings.dataDirectory + "/journal", settings: journal,
            loops: ProxyServer.loopCount(settings), participants: [keeper, rateKeeper, leases],
            recovered: {
                signatures.nonces.recovered()
                budgets.recovered()
                rates.recovered()
            }, logger: logger, clock: clock, signer: UsageSigner(dataPlaneID: enrollment.dataPlaneID.rawValue, key: keys.identity),
            estimateInterrupted: { estimator.suffix(for: $0) })
        let server = try await ProxyServer.start(
            settings: settings, snapshots: snapshots, pipeline: pipeline, logger: logger, clock: clock, signatures: signatures,
            rates: rates, redis: try redis(enrollment), budgets: budgets)
        pipeline.start()
        let status = OperatorStatus(server: server, snapshots: snapshots, pipeline: pipeline, quarantined: store.quarantined)
        let operatorServer = try await OperatorServer.start(
            host: settings.operatorHost, port: settings.operatorPort, status: status, logger: logger)
        var linkSettings = ControlLink.Settings()
        linkSettings.address = controlAddress
        let reporter = StatusReporter(
            server: server, status: status, pipeline: pipeline, snapshots: snapshots,
            refusals: RefusalStore(store: store, refusals: server.endpointStates.refusals, logger: logger))
        let link = try ControlLink(
            enrollment: enrollment, identity: keys.identity, snapshots: snapshots, outbox: pipeline.outbox, settings: linkSettings,
            budgets: budgets, freezes: signatures.freezes,
            rates: try RateSharing(ledger: rates, store: store, countsByRegion: settings.redisURL != nil, logger: logger),
            logger: logger,
            status: { reporter.reportToSend() })
        logger.notice(
            "serving",
            metadata: [
                "address": "\(settings.listenHost):\(server.port)", "tls": "\(server.tls != nil)",
                "operator": "\(settings.operatorHost):\(operatorServer.port)",
                "data_plane": "\(enrollment.dataPlaneID)", "region": "\(enrollment.region)", "version": "\(weirVersion)",
                "loops": "\(ProxyServer.loopCount(settings))",
            ])
        return Running(
            server: server, pipeline: pipeline,
            services: [
                // Health and metrics are there for as long as anything is.
                UntilStopped(name: "operator") { await operatorServer.stop() },
                LinkService(link: link, pipeline: pipeline),
                ReportingService(reporter: reporter),
                CertificateService(tls: server.tls),
                UntilStopped(name: "usage") { pipeline.stop() },
                UntilStopped(name: "requests") { await server.drain() },
            ])
    }

    /// Nil where there is none.
    /// - Throws: `RedisAddress.Problem`; where the certificates cannot be read.
    private func redis(_ enrollment: Enrollment) throws -> RedisSettings? {
        guard let url = settings.redisURL else { return nil }
        let address = try RedisAddress(url)
        return RedisSettings(
            address, caPEM: try settings.redisCAFile.map(RedisSettings.certificates) ?? "", timeout: settings.redisTimeout,
            deployment: enrollment.deployment, region: enrollment.region,
            health: RedisHealth(address, loops: ProxyServer.loopCount(settings), logger: logger))
    }

    /// Nil when a signal came first.
    private func enroll(_ keys: DataPlaneKeys, until signals: UnixSignalsSequence) async throws -> Enrollment? {
        try await withThrowingTaskGroup(of: Enrollment?.self) { group in
            group.addTask { try await enroll(keys) }
            group.addTask {
                for await _ in signals { return nil }
                // Cancelled, since the other has ended: it is the one to be heard.
                try await Task.sleep(for: .seconds(3600))
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    private func enroll(_ keys: DataPlaneKeys) async throws -> Enrollment {
        if let known = try Enrollment.load(directory: settings.dataDirectory) { return known }
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

/// Something that runs by itself and has to be ended in its turn.
private struct UntilStopped: Service {
    let name: String
    let stop: @Sendable () async -> Void

    func run() async throws {
        try? await gracefulShutdown()
        await stop()
    }
}

/// The link to the control plane. What was folded last goes out before it ends, if the control plane is there to take it.
private struct LinkService: Service {
    static let patienceMicroseconds: Int64 = 3_000_000

    let link: ControlLink
    let pipeline: UsagePipeline

    func run() async throws {
        let linking = Task { await link.run() }
        try? await gracefulShutdown()
        // Everything is folded. What is held of budgets is another's from now on.
        await link.budgets.giveBack(within: 1500)
        let deadline = MonotonicClock.nowMicroseconds() + Self.patienceMicroseconds
        while link.state.isConnected, pipeline.counters.outboxRows.load(ordering: .relaxed) > 0, MonotonicClock.nowMicroseconds() < deadline
        {
            try? await Task.sleep(for: .milliseconds(20))
        }
        linking.cancel()
        await linking.value
    }
}

/// Looks whether the applications' certificate was renewed: every other second, and when SIGHUP says so.
private struct CertificateService: Service {
    let tls: ServerTLS?

    func run() async throws {
        guard let tls else { return try await gracefulShutdown() }
        let signals = await UnixSignalsSequence(trapping: [.sighup])
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                group.addTask { for await _ in signals { tls.reload() } }
                group.addTask {
                    while !Task.isCancelled {
                        try? await Task.sleep(for: .seconds(2))
                        tls.look()
                    }
                }
            }
        }
    }
}

private struct ReportingService: Service {
    let reporter: StatusReporter

    func run() async throws { await cancelWhenGracefulShutdown { await reporter.run() } }
}

extension Weir_V1_UsageRecord {
    /// Its process died before all of its body had come: no provider can have served it. What has no body at all says nothing of that, but for the
    /// things that are kept, which cost little.
    var isUnsentUpload: Bool { requestBytes == 0 && [.files, .images, .audio].contains(capability) }
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
        if record.isUnsentUpload {
            flags.remove(.estimated)
        } else if let price = snapshots.current.price(id: record.priceID, configVersion: record.configVersion) {
            cost = Pricing.rate(usage, price.card)
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
