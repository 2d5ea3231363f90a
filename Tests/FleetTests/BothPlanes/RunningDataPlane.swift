import Contract
import Dispatch
import Foundation
import Glibc
import Logging
import Primitives
import Synchronization
import Testing

@testable import Proxy

/// A data plane as `weir-proxy` puts it together, in this process.
final class RunningDataPlane: Sendable {
    let local: LocalStore
    let enrollment: Enrollment
    let snapshots: SnapshotStore
    let pipeline: UsagePipeline
    let server: ProxyServer
    let link: ControlLink
    let status: OperatorStatus
    private let reporting: Task<Void, Never>
    private let linking: Task<Void, Never>

    private init(
        local: LocalStore, enrollment: Enrollment, snapshots: SnapshotStore, pipeline: UsagePipeline, server: ProxyServer,
        link: ControlLink,
        status: OperatorStatus, reporting: Task<Void, Never>
    ) {
        self.local = local
        self.enrollment = enrollment
        self.snapshots = snapshots
        self.pipeline = pipeline
        self.server = server
        self.link = link
        self.status = status
        self.reporting = reporting
        linking = Task { await link.run() }
    }

    static var logger: Logger {
        var logger = Logger(label: "data plane")
        logger.logLevel = ProcessInfo.processInfo.environment["WEIR_TEST_LOG"].flatMap { Logger.Level(rawValue: $0) } ?? .critical
        return logger
    }

    /// - Parameter token: nil for one that is enrolled already.
    /// - Parameter countsByRegion: it says that it counts limits with the others of its region.
    /// - Parameter budgetTimeout: milliseconds.
    static func start(
        _ folder: String, token: String?, clock: any WallClock = SystemClock(), countsByRegion: Bool = false, budgetTimeout: Int = 60_000
    ) async throws -> RunningDataPlane {
        let local = try LocalStore(directory: folder)
        let keys = try DataPlaneKeys.loadOrCreate(directory: folder)
        let enrollment: Enrollment
        if let token {
            enrollment = try await Enroller.enroll(
                token: try Proxy.EnrollmentTokenText(parsing: token), keys: keys, directory: folder, name: "host", logger: logger)
        } else {
            enrollment = try #require(try Enrollment.load(directory: folder))
        }
        let snapshots = try SnapshotStore(local: local, identity: DataPlaneIdentity(enrollment, keys: keys), clock: clock, logger: logger)
        var settings = ProxySettings()
        settings.listenPort = 0
        settings.dataDirectory = folder
        settings.loops = 1
        // The control plane shares a busy machine's threads with all tests.
        settings.budgetTimeout = budgetTimeout
        settings.questionTimeout = 60_000
        let estimator = InterruptedEstimate(snapshots: snapshots)
        let leases = try LeaseStore(store: local)
        let budgets = BudgetDesk(store: leases, clock: clock, logger: logger)
        let rates = RateLedger(isReady: false)
        let pipeline = try UsagePipeline(
            store: local, journalDirectory: folder + "/journal", settings: JournalSettings(), loops: 1,
            participants: [leases, try RateKeeper(ledger: rates, store: local, clock: clock)],
            recovered: {
                budgets.recovered()
                rates.recovered()
            }, logger: logger, clock: clock, signer: UsageSigner(dataPlaneID: enrollment.dataPlaneID.rawValue, key: keys.identity),
            estimateInterrupted: { estimator.suffix(for: $0) })
        let server = try await ProxyServer.start(
            settings: settings, snapshots: snapshots, pipeline: pipeline, logger: logger, clock: clock, rates: rates, budgets: budgets)
        pipeline.start()
        let status = OperatorStatus(server: server, snapshots: snapshots, pipeline: pipeline, quarantined: [])
        let reporter = StatusReporter(
            server: server, status: status, pipeline: pipeline, snapshots: snapshots,
            refusals: RefusalStore(store: local, refusals: server.endpointStates.refusals, logger: logger))
        var linkSettings = ControlLink.Settings()
        linkSettings.statusSeconds = 1
        let link = try ControlLink(
            enrollment: enrollment, identity: keys.identity, snapshots: snapshots, outbox: pipeline.outbox, settings: linkSettings,
            budgets: budgets, freezes: server.signatures.freezes,
            rates: try RateSharing(ledger: rates, store: local, countsByRegion: countsByRegion, logger: logger),
            logger: logger,
            status: { reporter.reportToSend() })
        return RunningDataPlane(
            local: local, enrollment: enrollment, snapshots: snapshots, pipeline: pipeline, server: server, link: link, status: status,
            reporting: Task { await reporter.run() })
    }

    func stop() async {
        reporting.cancel()
        linking.cancel()
        await linking.value
        await server.drain(force: true)
        await server.close()
        pipeline.stop()
        local.close()
    }

    /// Waits for a snapshot that is as wanted; nil when none comes in time.
    func snapshot(within seconds: Int64 = 120, where isWanted: @escaping @Sendable (RuntimeSnapshot) -> Bool) async -> RuntimeSnapshot? {
        let (snapshots, continuation) = AsyncStream<RuntimeSnapshot>.makeStream()
        self.snapshots.onActivate { continuation.yield($0) }
        let timer = Task {
            try await Task.sleep(for: .seconds(seconds))
            continuation.finish()
        }
        defer { timer.cancel() }
        for await snapshot in snapshots where isWanted(snapshot) { return snapshot }
        return nil
    }

    /// Waits until requests can ask the control plane.
    func canAsk(within seconds: Int64 = 120) async throws {
        let deadline = MonotonicClock.nowMicroseconds() + seconds * 1_000_000
        while !snapshots.questions.isOpen, MonotonicClock.nowMicroseconds() < deadline { try await Task.sleep(for: .milliseconds(10)) }
    }

    /// A chat completion through the listener: the status and the body.
    /// - Parameter content: of the one message, as JSON.
    func chat(key: String, model: String, stream: Bool = false, content: String = #""hello""#) async throws -> (status: Int, body: String) {
        try await chat(headers: ["Authorization: Bearer \(key)"], model: model, stream: stream, content: content)
    }

    func chat(
        headers: [String], path: String = "/v1/chat/completions", model: String, stream: Bool = false, content: String = #""hello""#
    ) async throws -> (status: Int, body: String) {
        let body = #"{"model":"\#(model)","stream":\#(stream),"messages":[{"role":"user","content":\#(content)}]}"#
        return try await send(headers: headers, path: path, body: body)
    }

    /// Any body. It waits on a thread of its own: the control plane, in this process, may have to answer first.
    func send(
        method: String = "POST", headers: [String], path: String = "/v1/chat/completions", body: String
    ) async throws -> (status: Int, body: String) {
        let request =
            "\(method) \(path) HTTP/1.1\r\nHost: x\r\n\(headers.joined(separator: "\r\n"))\r\nContent-Type: application/json\r\n"
            + "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        let port = server.port
        let answer = try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try Self.exchange(port: port, request) }) }
        }
        let status = answer.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return (status, answer)
    }

    private static func exchange(port: Int, _ request: String) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw TestFailure("no socket") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = in_addr_t(UInt32(0x7F00_0001).bigEndian)
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw TestFailure("no connection") }
        var timeout = timeval(tv_sec: 120, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let bytes = Array(request.utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count else { throw TestFailure("not written") }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
            answer += chunk[..<count]
        }
    }
}

/// A folder that goes away with the object.
final class DataFolder: Sendable {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("weir-dp-" + Hex.encode(SecureRandom.bytes(8))).path
    deinit {
        // What proves that its slices may be spent from lies elsewhere.
        if let found = try? FileManager.default.attributesOfItem(atPath: path), let device = found[.systemNumber],
            let node = found[.systemFileNumber]
        {
            unlink("/dev/shm/weir-lease-\(geteuid())-\(device)-\(node)")
        }
        try? FileManager.default.removeItem(atPath: path)
    }
}
