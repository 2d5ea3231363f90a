import Logging
import Primitives
import Synchronization

/// Which endpoints fail and which credentials are refused, for the operator: one line in the log when that changes, a warning in
/// `/health/ready`, a row in `weir fleet endpoints`. Nothing is chosen by it.
///
/// An endpoint is failing from its first failure until it has worked again and nothing has failed for `settleMicroseconds`: one that fails
/// every other time makes two lines and not two thousand.
final class EndpointStates: Sendable {
    static let settleMicroseconds: Int64 = 10_000_000
    /// Endpoints and credentials that may be in trouble at once; more are counted by the metrics alone.
    static let maximumTroubles = 1000

    struct Trouble: Sendable, Hashable {
        var providerID: String
        /// Of the endpoint, or where a credential was refused.
        var endpointID: String
        /// Unix milliseconds.
        var sinceMilliseconds: Int64
        var lastMilliseconds: Int64
        var failures: UInt64
        var last: AttemptResult
        /// What is known beyond the result: the connection's error, or the provider's words, cleaned.
        var detail: String
        /// Monotonic microseconds of the last failure.
        var lastFailure: Int64
        var hasWorkedSince: Bool
    }

    private struct State {
        var endpoints: [String: Trouble] = [:]
        var credentials: [String: Trouble] = [:]
    }

    /// What was refused here, for the control plane's audit trail.
    let refusals = RequestRefusals()
    private let state = Mutex(State())
    /// How many are in trouble: while none is, an attempt that worked looks no further.
    private let troubled = Atomic<Int>(0)
    private let logger: Logger
    private let clock: any WallClock

    init(logger: Logger, clock: any WallClock) {
        self.logger = logger
        self.clock = clock
    }

    /// The end of an attempt, from any loop. Takes a lock only when it failed or something is in trouble.
    /// - Parameters:
    ///   - isFailure: whether the endpoint is to be blamed; nil when the attempt says nothing of it.
    ///   - now: monotonic microseconds.
    func ended(
        _ endpoint: CompiledEndpoint, credentialID: String, _ result: AttemptResult, refusesCredential: Bool, isFailure: Bool?,
        detail: String, now: Int64
    ) {
        if refusesCredential, !credentialID.isEmpty {
            return failed(\.credentials, credentialID, endpoint, result, detail, now)
        }
        switch isFailure {
        case true?: failed(\.endpoints, endpoint.id, endpoint, result, detail, now)
        case false? where troubled.load(ordering: .relaxed) > 0:
            // A complaint about the request may come before anybody looked at the credential.
            worked(endpoint.id, result.isSuccess ? credentialID : "", now)
        case false?, nil: return
        }
    }

    private func failed(
        _ path: WritableKeyPath<State, [String: Trouble]>, _ id: String, _ endpoint: CompiledEndpoint, _ result: AttemptResult,
        _ detail: String, _ now: Int64
    ) {
        let wall = clock.nowMilliseconds()
        let isNew = state.withLock { state -> Bool in
            if var known = state[keyPath: path][id] {
                known.failures &+= 1
                known.last = result
                known.detail = detail
                known.lastMilliseconds = wall
                known.lastFailure = now
                known.hasWorkedSince = false
                state[keyPath: path][id] = known
                return false
            }
            guard state.endpoints.count + state.credentials.count < Self.maximumTroubles else { return false }
            state[keyPath: path][id] = Trouble(
                providerID: endpoint.providerID, endpointID: endpoint.id, sinceMilliseconds: wall, lastMilliseconds: wall, failures: 1,
                last: result, detail: detail, lastFailure: now, hasWorkedSince: false)
            troubled.wrappingAdd(1, ordering: .relaxed)
            return true
        }
        guard isNew else { return }
        var about: Logger.Metadata = [
            "endpoint": "\(endpoint.id)", "provider": "\(endpoint.providerID)", "host": "\(endpoint.host):\(endpoint.port)",
            "reason": "\(detail.isEmpty ? result.words : "\(result.words): \(detail)")", "remedy": "\(result.remedy)",
        ]
        if path == \.credentials {
            about["credential"] = "\(id)"
            logger.error("a provider refuses a credential", metadata: about)
        } else {
            logger.warning("an endpoint is failing", metadata: about)
        }
    }

    private func worked(_ endpointID: String, _ credentialID: String, _ now: Int64) {
        state.withLock { state in
            state.endpoints[endpointID]?.hasWorkedSince = true
            // One accepted request says that a credential is good; there is no half-way about it.
            state.credentials[credentialID]?.hasWorkedSince = true
        }
        settle(now: now)
    }

    /// Says of what works again that it does. Also called now and then when no request comes.
    func settle(now: Int64) {
        guard troubled.load(ordering: .relaxed) > 0 else { return }
        let (endpoints, credentials) = state.withLock { state in
            let endpoints = state.endpoints.filter { $0.value.hasWorkedSince && now &- $0.value.lastFailure >= Self.settleMicroseconds }
            let credentials = state.credentials.filter { $0.value.hasWorkedSince }
            for id in endpoints.keys { state.endpoints[id] = nil }
            for id in credentials.keys { state.credentials[id] = nil }
            troubled.wrappingSubtract(endpoints.count + credentials.count, ordering: .relaxed)
            return (endpoints, credentials)
        }
        let wall = clock.nowMilliseconds()
        func about(_ trouble: Trouble) -> Logger.Metadata {
            [
                "endpoint": "\(trouble.endpointID)", "provider": "\(trouble.providerID)", "failures": "\(trouble.failures)",
                "seconds": "\(max(0, wall &- trouble.sinceMilliseconds) / 1000)",
            ]
        }
        for (_, trouble) in endpoints { logger.notice("an endpoint works again", metadata: about(trouble)) }
        for (id, trouble) in credentials {
            logger.notice(
                "a provider accepts a credential again", metadata: about(trouble).merging(["credential": "\(id)"]) { first, _ in first })
        }
    }

    /// Forgets what is no longer configured, and credentials whose secret was replaced.
    func activated(_ snapshot: RuntimeSnapshot, after previous: RuntimeSnapshot?) {
        guard troubled.load(ordering: .relaxed) > 0 else { return }
        let endpoints = Set(snapshot.configs.values.flatMap(\.endpoints.keys))
        state.withLock { state in
            let before = state.endpoints.count + state.credentials.count
            state.endpoints = state.endpoints.filter { endpoints.contains($0.key) }
            state.credentials = state.credentials.filter { id, _ in
                guard let revision = snapshot.credentials.revisions[id] else { return false }
                return previous.map { $0.credentials.revisions[id] == revision } ?? true
            }
            troubled.wrappingSubtract(before - state.endpoints.count - state.credentials.count, ordering: .relaxed)
        }
    }

    /// What fails at the moment: endpoints and credentials by id.
    var troubles: (endpoints: [String: Trouble], credentials: [String: Trouble]) {
        state.withLock { ($0.endpoints, $0.credentials) }
    }

    /// Sentences for `/health/ready`.
    var warnings: [String] {
        let (endpoints, credentials) = troubles
        let failing = endpoints.sorted { $0.key < $1.key }.map { id, trouble in
            "endpoint \(id) is failing since \(RFC3339.string(milliseconds: trouble.sinceMilliseconds)): \(trouble.last.words); \(trouble.last.remedy)"
        }
        let refused = credentials.sorted { $0.key < $1.key }.map { id, trouble in
            "the provider refuses credential \(id) since \(RFC3339.string(milliseconds: trouble.sinceMilliseconds)) (\(trouble.last.words)); \(trouble.last.remedy)"
        }
        return refused + failing
    }
}
