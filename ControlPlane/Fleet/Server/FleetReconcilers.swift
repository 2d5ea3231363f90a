import Domain
package import Logging

/// The fleet's background work. Each piece takes no input, looks at the database and sets right what time has made wrong; doing it
/// twice, or on two replicas at once, does no harm.
package struct FleetReconcilers: Sendable {
    private let services: FleetServices
    private let logger: Logger
    private let period: Duration

    package init(services: FleetServices, logger: Logger, period: Duration = .seconds(15)) {
        self.services = services
        self.logger = logger
        self.period = period
    }

    /// Until the task is cancelled.
    package func run() async {
        while !Task.isCancelled {
            await reconcile()
            try? await Task.sleep(for: period)
        }
    }

    /// One round of everything.
    package func reconcile() async {
        await attempt("retire signing keys") { try await services.keys.retireExpired() }
        await attempt("forget silent data planes") { try await services.dataPlanes.forgetSilent() }
        await attempt("purge nonces") { try await services.sessions.purgeNonces() }
    }

    private func attempt(_ what: String, _ work: () async throws -> Void) async {
        do {
            try await work()
        } catch {
            // The next round tries again.
            logger.warning("fleet reconciler failed", metadata: ["work": "\(what)", "error": "\(error)"])
        }
    }
}
