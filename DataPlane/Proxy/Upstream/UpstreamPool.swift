import Logging

/// One loop's connections to one origin. The most recently used idle one is taken first, so that a burst's extra connections age out.
final class UpstreamPool {
    private let origin: Transport.Origin
    let loop: LoopContext
    private var idle: [UpstreamConnection] = []
    /// Open ones and those being opened.
    private var count = 0
    /// Monotonic microseconds before which no failure to connect is logged again.
    private var silentUntil: Int64 = 0
    private static let logPause: Int64 = 10_000_000

    init(endpoint: CompiledEndpoint, loop: LoopContext) {
        let key = endpoint.pool
        origin = Transport.Origin(host: key.host, port: key.port, isTLS: key.isTLS, caPEM: endpoint.caPEM)
        self.loop = loop
    }

    var isTLS: Bool { origin.isTLS }

    enum Failure: Error {
        /// This data plane's own bounds, or its machine's.
        case exhausted
        case connect(String)
        case timeout(String)
    }

    /// Gives the attempt a connection: at once when one is idle, else when it is open. Calls `upstreamReady` or `upstreamUnavailable`,
    /// the latter perhaps before this returns.
    /// - Parameter fresh: one that has not served yet.
    func acquire(for attempt: Attempt, connectTimeout: Int64, fresh: Bool) {
        while !fresh, let connection = idle.popLast() {
            if connection.isUsable {
                connection.begin(attempt)
                attempt.upstreamReady(connection, isReused: true)
                return
            }
        }
        guard count < loop.settings.maxUpstreamConnections else {
            attempt.upstreamUnavailable(.exhausted)
            return
        }
        open(for: attempt, connectTimeout: connectTimeout)
    }

    private func open(for attempt: Attempt, connectTimeout: Int64) {
        count += 1
        let connection = UpstreamConnection(pool: self, loop: loop)
        loop.transport.connect(to: origin, timeout: connectTimeout, user: connection) { failure in
            if let failure {
                self.count -= 1
                self.log(failure)
                if attempt.isConnecting { attempt.upstreamUnavailable(Self.outcome(failure)) }
                return
            }
            self.loop.metrics.upstreamConnectionsOpened &+= 1
            if attempt.isConnecting {
                connection.begin(attempt)
                attempt.upstreamReady(connection, isReused: false)
            } else {
                self.release(connection)
            }
        }
    }

    private static func outcome(_ failure: ConnectFailure) -> Failure {
        switch failure {
        case .timeout: .timeout(failure.reason)
        case .refused, .tls, .misconfigured: .connect(failure.reason)
        case .exhausted: .exhausted
        }
    }

    /// One line for many: an endpoint that is down fails with each request.
    private func log(_ failure: ConnectFailure) {
        guard loop.nowMicroseconds >= silentUntil else { return }
        silentUntil = loop.readClock() &+ Self.logPause
        loop.logger.warning(
            "no connection to a provider",
            metadata: [
                "host": "\(origin.host)", "port": "\(origin.port)", "reason": "\(failure.reason)", "remedy": "\(failure.remedy)",
            ])
    }

    /// Takes a connection back after an attempt, or closes it when it cannot serve another.
    func release(_ connection: UpstreamConnection) {
        guard connection.isUsable, !loop.isDraining else {
            connection.close()
            return
        }
        connection.rest(until: loop.nowMicroseconds &+ Int64(loop.settings.upstreamKeepAlive) &* 1000)
        idle.append(connection)
    }

    func closed(_ connection: UpstreamConnection) {
        count -= 1
        if let index = idle.firstIndex(where: { $0 === connection }) { idle.remove(at: index) }
    }
}
