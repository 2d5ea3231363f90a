import Contract
import Formats
import NIOCore
import Primitives
import Wire

/// Asks endpoints how they are before callers do, on one loop of the data plane. What comes of it feeds the same breakers, log and metrics as
/// requests do; nobody pays for it.
final class HealthChecks {
    private unowned let loop: LoopContext
    private var schedules: [String: Schedule] = [:]

    /// Failures in a row that count as proof: one may be bad luck.
    private static let proof = 2
    /// Endpoints beyond so many in use at one time are asked later.
    private static let maximumRunning = 64

    private struct Schedule {
        /// Monotonic microseconds.
        var due: Int64
        var failures = 0
        /// Credentials take turns.
        var turn = 0
        var running: HealthCheckRun?
    }

    init(_ loop: LoopContext) { self.loop = loop }

    /// Begins what is due, and ends what takes too long. Called by the loop's sweep.
    func sweep(now: Int64) {
        guard let snapshot = loop.snapshot, snapshot.isServing, !loop.isDraining else { return }
        for schedule in schedules.values { schedule.running?.checkDeadline(now) }
        var endpoints: [String: CompiledEndpoint] = [:]
        for config in snapshot.configs.values where config.hasHealthChecks {
            for endpoint in config.endpoints.values where endpoint.healthCheck != nil { endpoints[endpoint.id] = endpoint }
        }
        if schedules.isEmpty, endpoints.isEmpty { return }
        for (id, schedule) in schedules where endpoints[id] == nil {
            schedule.running?.cancel()
            schedules[id] = nil
        }
        var running = schedules.values.count { $0.running != nil }
        for (id, endpoint) in endpoints {
            guard let check = endpoint.healthCheck else { continue }
            // The first one at a random time, so that data planes that were started together do not ask together.
            var schedule = schedules[id] ?? Schedule(due: now &+ Int64.random(in: 0...check.interval))
            if schedule.running == nil, schedule.due <= now, running < Self.maximumRunning {
                schedule.due = now &+ check.interval
                if let (run, head) = prepare(endpoint, check, &schedule, snapshot, now) {
                    running += 1
                    schedule.running = run
                    // First this: it may end at once.
                    schedules[id] = schedule
                    loop.metrics.healthChecks &+= 1
                    run.start(head, on: loop, timeout: check.timeout / 1000)
                    continue
                }
            }
            schedules[id] = schedule
        }
    }

    /// A check and its request; nil where no credential of the endpoint can be sent.
    private func prepare(
        _ endpoint: CompiledEndpoint, _ check: CompiledHealthCheck, _ schedule: inout Schedule, _ snapshot: RuntimeSnapshot, _ now: Int64
    ) -> (HealthCheckRun, [UInt8])? {
        var credential: CredentialEntry?
        var line: [UInt8] = []
        if endpoint.authScheme != .none {
            let usable = endpoint.credentialIDs.compactMap { id in
                snapshot.credentials[id].flatMap { entry in entry.headerLine(at: endpoint).map { (entry, $0) } }
            }
            guard !usable.isEmpty else { return nil }
            schedule.turn = (schedule.turn + 1) % usable.count
            (credential, line) = usable[schedule.turn]
        }
        let run = HealthCheckRun(endpoint, credential, deadline: now &+ check.timeout) { [weak self] run, result in
            self?.ended(run, result)
        }
        var head = Array("GET ".utf8) + endpoint.pathPrefix + Array("\(check.path) HTTP/1.1\r\nhost: ".utf8) + endpoint.hostHeader
        head += Array("\r\n".utf8) + line + Array("accept: application/json\r\nuser-agent: weir\r\nconnection: close\r\n\r\n".utf8)
        return (run, head)
    }

    private func ended(_ run: HealthCheckRun, _ result: AttemptResult) {
        let id = run.endpoint.id
        guard var schedule = schedules[id], schedule.running === run else { return }
        schedule.running = nil
        defer { schedules[id] = schedule }
        let now = loop.readClock()
        let reach = UpstreamHealth.BreakerKey(endpoint: id, credential: nil)
        let serving = UpstreamHealth.BreakerKey(endpoint: id, credential: run.credential?.id ?? "")
        let health = loop.health.shared
        let isFailure = Self.isFailure(result)
        if isFailure != nil {
            loop.endpointStates.ended(
                run.endpoint, credentialID: run.credential?.id ?? "", result, refusesCredential: false, isFailure: isFailure,
                detail: "health check", now: now)
        }
        switch isFailure {
        case true?:
            loop.metrics.healthCheckFailures &+= 1
            schedule.failures += 1
            let isProof = schedule.failures >= Self.proof
            if case .answered = result {
                health.ended(
                    serving, failed: true, isProof: isProof, startedAt: run.startedAt, now: now, words: "health check: \(result.words)")
            } else {
                health.ended(
                    reach, failed: true, isProof: isProof, startedAt: run.startedAt, now: now, words: "health check: \(result.words)")
            }
        case false?:
            schedule.failures = 0
            for key in [reach, serving] { health.ended(key, failed: false, startedAt: run.startedAt, now: now, words: "") }
        case nil:
            // It answers; what it says concerns the check, or a limit.
            schedule.failures = 0
            health.ended(reach, failed: false, startedAt: run.startedAt, now: now, words: "")
        }
    }

    private static func isFailure(_ result: AttemptResult) -> Bool? {
        switch result {
        case .answered(200..<400): false
        case .answered(408), .answered(500...): true
        case .answered: nil
        default: result.isFailure
        }
    }

    func stop() {
        for schedule in schedules.values { schedule.running?.cancel() }
        schedules = [:]
    }
}

/// One check: a connection of its own, a request, and the first line of what comes back.
final class HealthCheckRun: ByteStreamUser {
    let endpoint: CompiledEndpoint
    let credential: CredentialEntry?
    private(set) var startedAt: Int64 = 0
    private let deadline: Int64
    private var done: ((HealthCheckRun, AttemptResult) -> Void)?
    private var head: [UInt8] = []
    private var stream: (any ByteStream)?
    private var parser = ResponseHeadParser(limits: HTTPLimits(maxHeadBytes: 65_536, maxFields: 200))
    private var inbound = ByteBuffer()

    init(
        _ endpoint: CompiledEndpoint, _ credential: CredentialEntry?, deadline: Int64,
        done: @escaping (HealthCheckRun, AttemptResult) -> Void
    ) {
        self.endpoint = endpoint
        self.credential = credential
        self.deadline = deadline
        self.done = done
    }

    func start(_ head: [UInt8], on loop: LoopContext, timeout: Int64) {
        startedAt = loop.nowMicroseconds
        self.head = head
        parser.reset(requestMethod: .get)
        let origin = Transport.Origin(
            host: endpoint.host, port: endpoint.port, isTLS: endpoint.isTLS, caPEM: endpoint.caPEM, reach: loop.reach(of: endpoint.pool))
        loop.transport.connect(to: origin, timeout: timeout, user: self) { failure in
            switch failure {
            case nil:
                guard self.done != nil, let stream = self.stream else { return self.stream?.close() ?? () }
                stream.writeAndFlush(ByteBuffer(bytes: self.head))
            // This machine's own want says nothing of the endpoint.
            case .exhausted?: self.end(.noRoom)
            case .timeout?: self.end(.timedOut)
            case .refused?, .tls?, .misconfigured?: self.end(.unreachable)
            case .forbidden(let refusal)?: self.end(.forbidden(refusal))
            }
        }
    }

    func checkDeadline(_ now: Int64) { if now >= deadline { end(.timedOut) } }
    func cancel() { end(.stopped) }

    private func end(_ result: AttemptResult) {
        guard let done else { return }
        self.done = nil
        stream?.close()
        done(self, result)
    }

    func opened(_ stream: any ByteStream) {
        self.stream = stream
        if done == nil { stream.close() }
    }

    func received(_ bytes: ByteBuffer) {
        guard done != nil else { return }
        inbound.writeImmutableBuffer(bytes)
        while true {
            let step = inbound.withUnsafeReadableBytes { parser.parse($0) }
            switch step {
            case .needMore: return
            case .invalid: return end(.unusable)
            case .complete(let headBytes):
                guard parser.status < 200 else { return end(.answered(status: parser.status)) }
                inbound.moveReaderIndex(forwardBy: headBytes)
                parser.reset(requestMethod: .get)
            }
        }
    }

    func writabilityChanged(isWritable: Bool) {}

    func ended(_ failure: StreamFailure?) {
        stream = nil
        end(.broken)
    }
}
