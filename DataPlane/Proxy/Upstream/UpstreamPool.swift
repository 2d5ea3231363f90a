import Contract
import Logging

/// One loop's connections to one origin. The most recently used idle one is taken first, so that a burst's extra connections age out.
final class UpstreamPool {
    private let origin: Transport.Origin
    let loop: LoopContext
    private var idle: [UpstreamConnection] = []
    private var keepAlive: KeepAliveWindow
    /// Open ones and those being opened.
    private var count = 0
    /// Monotonic microseconds before which no failure to connect is logged again.
    private var silentUntil: Int64 = 0
    private static let logPause: Int64 = 10_000_000
    /// Attempts that wait for a connection, since there are as many as there may be.
    private var line: FairLine<PoolWaiter>
    /// Connections that speak HTTP/2: requests share them.
    private var sessions: [HTTP2Session] = []
    /// The provider spoke HTTP/2 when it was last connected to.
    private var expectsHTTP2: Bool
    /// That needs no agreement: the endpoint says so.
    let assumesHTTP2: Bool
    /// Attempts that wait for such a connection that is being opened; nil: none is.
    private var joining: [Attempt]?
    /// As many as any provider lets in at first (RFC 9113 §6.5.2).
    private static let maximumJoining = 100

    init(endpoint: CompiledEndpoint, loop: LoopContext) {
        let key = endpoint.pool
        origin = Transport.Origin(
            host: key.host, port: key.port, isTLS: key.isTLS, caPEM: endpoint.caPEM, offersHTTP2: key.offersHTTP2,
            reach: loop.reach(of: key))
        self.loop = loop
        assumesHTTP2 = key.assumesHTTP2
        expectsHTTP2 = key.assumesHTTP2
        line = FairLine(maximum: loop.settings.maxWaiting)
        keepAlive = KeepAliveWindow(
            assumed: Int64(loop.settings.providerKeepAlive) &* 1000, margin: Int64(loop.settings.providerKeepAliveMargin) &* 1000)
    }

    var isTLS: Bool { origin.isTLS }

    enum Failure: Error {
        /// This data plane's own bounds, or its machine's.
        case exhausted
        case connect(String)
        case timeout(String)
        /// It leads where it must not.
        case forbidden(String, AddressRefusal?)
    }

    /// Gives the attempt a connection: at once when one is idle, else when it is open. Calls `upstreamReady` or `upstreamUnavailable`,
    /// the latter perhaps before this returns.
    /// - Parameter fresh: one that has not served yet.
    func acquire(for attempt: Attempt, connectTimeout: Int64, fresh: Bool) {
        while !fresh, line.isEmpty, let connection = idle.popLast() {
            guard connection.isUsable else { continue }
            guard keepAlive.allows(loop.nowMicroseconds &- connection.restsSince) else {
                connection.close()
                continue
            }
            connection.begin(attempt)
            attempt.upstreamReady(connection, isReused: true)
            return
        }
        guard count < loop.settings.maxUpstreamConnections, line.isEmpty else {
            // Another endpoint first.
            if attempt.hasAlternative { return attempt.upstreamUnavailable(.exhausted) }
            return wait(PoolWaiter(attempt, connectTimeout: connectTimeout, fresh: fresh))
        }
        open(for: attempt, connectTimeout: connectTimeout, fresh: fresh)
    }

    private func wait(_ waiter: PoolWaiter) {
        switch line.join(waiter) {
        case .joined: break
        case .instead(let other): other.attempt.crowdedOut()
        case .refused: return waiter.attempt.upstreamUnavailable(.exhausted)
        }
        waiter.attempt.waits(waiter)
        // What wants a new one takes none of those that rest, nor may it keep others from them.
        if waiter.fresh, let oldest = idle.first { oldest.close() }
    }

    func leave(_ waiter: PoolWaiter) { _ = line.leave(waiter) }

    /// There may be room for who waits.
    private func serveLine() {
        while count < loop.settings.maxUpstreamConnections, let waiter = line.next() {
            waiter.attempt.waitsNoLonger()
            open(for: waiter.attempt, connectTimeout: waiter.connectTimeout, fresh: waiter.fresh)
        }
    }

    private func open(for attempt: Attempt, connectTimeout: Int64, fresh: Bool) {
        count += 1
        if !fresh, expectsHTTP2 {
            if let session = sessions.last(where: \.hasRoom) { return start(attempt, on: session, isReused: true) }
            if let waiting = joining, waiting.count < Self.maximumJoining {
                joining?.append(attempt)
                return
            }
            if joining == nil {
                joining = []
                return connect(for: attempt, connectTimeout: connectTimeout, leads: true)
            }
        }
        connect(for: attempt, connectTimeout: connectTimeout, leads: false)
    }

    private func start(_ attempt: Attempt, on session: HTTP2Session, isReused: Bool, _ connection: UpstreamConnection? = nil) {
        let connection = connection ?? UpstreamConnection(pool: self, loop: loop)
        session.open(for: connection)
        connection.begin(attempt)
        attempt.upstreamReady(connection, isReused: isReused)
    }

    /// The provider speaks HTTP/2: what was connected carries the attempt that it was opened for, and others.
    private func share(_ connection: UpstreamConnection, _ stream: any ByteStream, _ attempt: Attempt) {
        expectsHTTP2 = true
        let session = HTTP2Session(self, stream)
        // What wanted a new one has its own, which no others will need.
        let isExtra = sessions.contains(where: \.hasRoom)
        // It may be over already: its first bytes are written at once.
        if session.hasRoom { sessions.append(session) }
        if attempt.isConnecting, session.hasRoom {
            start(attempt, on: session, isReused: false, connection)
            if isExtra { session.leave() }
        } else {
            count -= 1
            if attempt.isConnecting { attempt.upstreamUnavailable(.connect("the connection was closed")) }
        }
        serveJoining(with: nil)
    }

    /// A connection that others waited for is there, or is not.
    private func serveJoining(with failure: Failure?) {
        let waiting = joining ?? []
        joining = nil
        for attempt in waiting {
            count -= 1
            guard attempt.isConnecting else { continue }
            if let failure {
                attempt.upstreamUnavailable(failure)
            } else {
                open(for: attempt, connectTimeout: attempt.connectTimeout, fresh: false)
            }
        }
        serveLine()
    }

    func closed(_ session: HTTP2Session) { sessions.removeAll { $0 === session } }

    /// - Parameter leads: others wait for this one.
    private func connect(for attempt: Attempt, connectTimeout: Int64, leads: Bool) {
        let connection = UpstreamConnection(pool: self, loop: loop)
        loop.transport.connect(to: origin, timeout: connectTimeout, user: connection) { failure in
            if let failure {
                self.count -= 1
                self.log(failure)
                if attempt.isConnecting { attempt.upstreamUnavailable(Self.outcome(failure)) }
                if leads { self.serveJoining(with: Self.outcome(failure)) }
                self.serveLine()
                return
            }
            self.loop.metrics.upstreamConnectionsOpened &+= 1
            if let stream = connection.handOver() { return self.share(connection, stream, attempt) }
            if self.expectsHTTP2 {
                self.expectsHTTP2 = false
                self.serveJoining(with: nil)
            }
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
        case .forbidden(let refusal): .forbidden(failure.reason, refusal)
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
        if let waiter = line.next() {
            waiter.attempt.waitsNoLonger()
            // Who wants a new one gets its place.
            guard !waiter.fresh else {
                connection.close()
                return open(for: waiter.attempt, connectTimeout: waiter.connectTimeout, fresh: true)
            }
            connection.begin(waiter.attempt)
            return waiter.attempt.upstreamReady(connection, isReused: true)
        }
        connection.rest(until: loop.nowMicroseconds &+ Int64(loop.settings.upstreamKeepAlive) &* 1000)
        idle.append(connection)
    }

    /// - Parameter byProvider: not by this side.
    func closed(_ connection: UpstreamConnection, byProvider: Bool) {
        count -= 1
        if let index = idle.firstIndex(where: { $0 === connection }) {
            idle.remove(at: index)
            if byProvider { keepAlive.closed(after: loop.nowMicroseconds &- connection.restsSince) }
        }
        if !line.isEmpty { serveLine() }
    }
}

/// An attempt in line for a connection.
final class PoolWaiter: FairWaiter {
    let attempt: Attempt
    let since: Int64
    let connectTimeout: Int64
    let fresh: Bool

    var tenant: IDBits { attempt.admission.caller.tenant.bits }
    var weight: Int64 { attempt.admission.caller.tenant.weight }

    init(_ attempt: Attempt, connectTimeout: Int64, fresh: Bool) {
        self.attempt = attempt
        self.connectTimeout = connectTimeout
        self.fresh = fresh
        since = attempt.loop.nowMicroseconds
    }
}
