import Logging
import NIOCore

/// The sixth stage: attempts, one endpoint after the other, until one answers. Nothing here runs once a byte has reached the client.
extension Exchange {
    /// The journal has the intent: the request may leave.
    func intentIsDurable() {
        guard phase == .journaling else { return }
        startAttempt()
    }

    /// The journal could not keep the intent and has forgotten it.
    func intentFailed(_ refusal: JournalRefusal) {
        guard phase == .journaling else { return }
        settlement = .none
        reject(.usageNotStorable(refusal.code))
    }

    private func startAttempt() {
        guard let attempt else { return }
        phase = .connecting
        attempts &+= 1
        let timeouts = attempt.target.endpoint.timeouts
        let connect = timeouts.connectMilliseconds > 0 ? timeouts.connectMilliseconds : Int64(loop.settings.connectTimeout)
        loop.pool(for: attempt.target.endpoint).acquire(for: self, connectTimeout: connect)
    }

    func upstreamReady(_ connection: UpstreamConnection, isReused: Bool) {
        guard let attempt else { return }
        upstream = connection
        isReusedConnection = isReused
        phase = .awaitingHead
        sentUpstream = true
        upstreamStatus = 0
        let timeouts = attempt.target.endpoint.timeouts
        let first = timeouts.firstByteMilliseconds > 0 ? timeouts.firstByteMilliseconds : Int64(loop.settings.firstByteTimeout)
        let total = timeouts.totalMilliseconds > 0 ? timeouts.totalMilliseconds : Int64(loop.settings.upstreamTotalTimeout)
        upstreamDeadlineTotal = loop.nowMicroseconds &+ total &* 1000
        connection.setDeadline(min(loop.nowMicroseconds &+ first &* 1000, upstreamDeadlineTotal))
        let request = Translate.request(self, attempt)
        connection.send(head: request.head, body: request.body)
    }

    func upstreamUnavailable(_ failure: UpstreamPool.Failure) {
        guard let attempt else { return }
        let rejection: Rejection
        switch failure {
        case .exhausted:
            rejection = .overloaded()
        case .connect(let detail):
            rejection = .unreachable(detail)
            coolDown(attempt)
        case .timeout:
            rejection = .upstreamTimeout("no connection in time")
            coolDown(attempt)
        }
        tryNext(after: rejection)
    }

    private func coolDown(_ attempt: RoutePlan.Attempt) {
        let until = loop.nowMicroseconds &+ Int64(loop.settings.endpointCooldown) &* 1000
        loop.recentFailures.endpointFailed(attempt.target.endpoint.id, until: until)
    }

    /// Goes on with the next endpoint, or tells the client why there is none.
    func tryNext(after rejection: Rejection) {
        upstream = nil
        lastFailure = rejection
        guard let next = plan?.next(self) else {
            // `next` may have replaced the failure by "no credential"; what the provider did tells more.
            reject(rejection)
            return
        }
        loop.metrics.retries &+= 1
        attempt = next
        startAttempt()
    }

    /// The connection was one that had served before and was closed without a byte of an answer: the provider had given it up
    /// before the request reached it (RFC 9112 §9.3.1). The same endpoint gets it once more, on another connection.
    func retryOnFreshConnection() {
        upstream = nil
        isReusedConnection = false
        loop.metrics.retries &+= 1
        startAttempt()
    }

    /// The provider refused the credential: out of rotation with it, and on with another, here or elsewhere.
    func credentialRefused(cooldown: Bool) {
        guard let attempt else { return }
        loop.metrics.credentialRefusals &+= 1
        if cooldown, !attempt.credentialID.isEmpty {
            let until = loop.nowMicroseconds &+ Int64(loop.settings.credentialCooldown) &* 1000
            loop.recentFailures.credentialRefused(attempt.credentialID, until: until)
            loop.logger.error(
                "the provider refused a credential: it is out of rotation",
                metadata: [
                    "credential": "\(attempt.credentialID)", "endpoint": "\(attempt.target.endpoint.id)",
                    "provider": "\(attempt.target.endpoint.providerID)",
                ])
            if let other = plan?.retry(attempt.target, self) {
                upstream = nil
                loop.metrics.retries &+= 1
                self.attempt = other
                startAttempt()
                return
            }
        }
        tryNext(after: .credentialRefused())
    }
}
