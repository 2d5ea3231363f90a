import Contract
import Domain
import GRPCCore
import Logging
import Primitives
import Synchronization

/// One data plane's `Subscribe` stream: feeds `SubscriptionState` with what arrives and carries out the steps it asks for.
///
/// One task reads, one writes. The writer computes each document when its turn comes, from the newest state, and waits until the
/// connection takes it: a data plane that reads slowly costs the memory of one document, however much changes meanwhile.
final class Subscription: Sendable {
    private struct Progress {
        var state: SubscriptionState
        /// Credential id to revision: what the hello said and what was sent since.
        var secrets: [String: UInt64]
        var heartbeatDue = false
        /// The answer to the newest report of rates.
        var shares: Weir_V1_RateShares?
        /// What the other data planes have learnt, to be sent.
        var priors: Weir_V1_ArmPriors?
        /// For whom configurations are made, and the value of the data planes' counter at which that was read.
        var audience: (ConfigAudience, counter: Int64)?
        /// Since when a message has been waiting for the connection to take it.
        var writingSinceMs: Int64?

        mutating func takeHeartbeat() -> Bool {
            defer { heartbeatDue = false }
            return heartbeatDue
        }
    }

    private let stream: FleetHub.Stream
    private let hub: FleetHub
    private let services: FleetServices
    private let settings: FleetSettings
    private let metrics: FleetMetrics
    private let logger: Logger
    private let progress: Mutex<Progress>
    private let takesRevisions: Bool
    private var dataPlaneID: String { stream.dataPlaneID }

    init(
        _ dataPlane: AdmittedDataPlane, hello: Weir_V1_Hello, stream: FleetHub.Stream, hub: FleetHub, services: FleetServices,
        settings: FleetSettings, metrics: FleetMetrics, logger: Logger
    ) {
        self.stream = stream
        self.hub = hub
        self.services = services
        self.settings = settings
        self.metrics = metrics
        self.logger = logger
        takesRevisions = hello.takesRevisions
        let held = hello.held.compactMap { DocumentMark($0) }
        progress = Mutex(
            Progress(
                state: SubscriptionState(
                    held: held, enrolledKeyring: (dataPlane.keyringEpoch, dataPlane.keyringVersion),
                    wantsFullDirectory: hello.wantsFullDirectory, takesRevisions: hello.takesRevisions),
                secrets: Dictionary(hello.secrets.map { ($0.credentialID, $0.revision) }, uniquingKeysWith: max)))
    }

    private var nowMs: Int64 { services.context.domain.clock.nowMilliseconds() }

    // MARK: Reading

    /// - Throws: `RPCError` for a message that has no place here, and when the database does not take the answer.
    func receive(_ message: Weir_V1_SubscribeRequest) async throws {
        switch message.message {
        case .hello: throw RPCError(code: .invalidArgument, message: "a second hello")
        case .acknowledgement(let answer): try await receive(answer)
        case .status(let report):
            stream.told(report)
            do {
                if let priors = try await services.dataPlanes.reported(dataPlaneID, report) {
                    progress.withLock { $0.priors = priors }
                    stream.wake()
                }
            } catch  where DomainError.isTemporary(error) {
                // The next report is as good.
                logger.debug("status report not stored", metadata: ["data_plane": "\(dataPlaneID)"])
            }
        case .rates(let report):
            do {
                let shares = try await services.rateShares.answer(report, from: dataPlaneID)
                progress.withLock { $0.shares = shares }
                if shares != nil { stream.wake() }
            } catch let error as FleetRefusal {
                throw RPCError(error)
            } catch  where DomainError.isTemporary(error) {
                // What it was told last holds.
                logger.debug("no shares of limits", metadata: ["data_plane": "\(dataPlaneID)"])
            }
        // Freezes have a stream of their own, that of the bans.
        case .freezes, nil: break
        }
    }

    private func receive(_ answer: Weir_V1_Acknowledgement) async throws {
        guard let mark = DocumentMark(answer) else { throw RPCError(code: .invalidArgument, message: "an answer to no document of ours") }
        // Heartbeats come and go; what becomes of them is of no interest.
        guard mark.kind != .heartbeat else { return }
        guard progress.withLock({ $0.state.awaits(mark.kind, epoch: mark.epoch, version: mark.version) }) else { return }
        if !answer.accepted {
            metrics.refused(mark.kind)
            logger.warning(
                "data plane refused a document",
                metadata: [
                    "data_plane": "\(dataPlaneID)", "kind": "\(mark.kind.word)", "version": "\(mark.epoch).\(mark.version)",
                    "reason": "\(answer.reason.prefix(64))", "detail": "\(answer.detail.prefix(300))",
                ])
        }
        try await services.dataPlanes.answered(
            dataPlaneID, mark, accepted: answer.accepted, reason: answer.reason, detail: answer.detail)
        // Only now: what follows from an answer shows that the answer is on record.
        progress.withLock { $0.state.answered(mark.kind, epoch: mark.epoch, version: mark.version, accepted: answer.accepted) }
        stream.wake()
    }

    // MARK: Writing

    /// Sends until the stream ends.
    func send(_ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        let (ticks, tick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    self.progress.withLock { $0.heartbeatDue = true }
                    try self.checkPatience()
                    tick.yield()
                    try? await Task.sleep(for: self.settings.heartbeatInterval)
                }
            }
            group.addTask {
                for await _ in self.stream.wakes { tick.yield() }
            }
            group.addTask {
                for await _ in ticks {
                    try await self.sendShares(writer)
                    try await self.sendPriors(writer)
                    try await self.catchUp(writer)
                    if self.progress.withLock({ $0.takeHeartbeat() }) { try await self.sendHeartbeat(writer) }
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    /// - Throws: ABORTED when the data plane neither answers nor reads: it is not kept for ever what it does not take.
    private func checkPatience() throws {
        let since = progress.withLock { [$0.state.oldestUnansweredMs, $0.writingSinceMs].compactMap { $0 }.min() }
        guard let since, nowMs - since > settings.answerTimeout.milliseconds else { return }
        throw RPCError(code: .aborted, message: "a document was not read or not answered in time")
    }

    /// Takes steps until there is nothing to be done.
    private func catchUp(_ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        progress.withLock { $0.state.retry() }
        while !Task.isCancelled, let target = hub.target {
            var what = "audience"
            do {
                let audience = try await audience(target)
                guard let step = progress.withLock({ $0.state.next(target) }) else { return }
                what = "\(step)"
                do {
                    try await take(step, target, audience, writer)
                } catch  where Self.isOfThisStep(error) {
                    // The others go on: a revoked key does not wait for a credential that cannot be read.
                    progress.withLock { $0.state.failed(step) }
                    logger.error("document not made", metadata: ["data_plane": "\(dataPlaneID)", "step": "\(what)", "error": "\(error)"])
                }
            } catch let error as FleetRefusal {
                throw RPCError(error)
            } catch let error as RPCError {
                throw error
            } catch is Overtaken {
                return
            } catch {
                // The data plane serves on with what it has; the next wake-up or heartbeat tries again.
                logger.error(
                    "document not made", metadata: ["data_plane": "\(dataPlaneID)", "step": "\(what)", "error": "\(error)"])
                return
            }
        }
    }

    /// Whether one document could not be made, and others may be.
    private static func isOfThisStep(_ error: any Error) -> Bool {
        !(error is FleetRefusal || error is RPCError || error is Overtaken || error is CancellationError)
            && !DomainError.isTemporary(error)
    }

    /// For whom configurations are made; read again when a data plane's standing or tenants changed.
    private func audience(_ target: FleetTarget) async throws -> ConfigAudience {
        if let known = progress.withLock({ $0.audience }), known.counter == target.dataPlanes { return known.0 }
        let audience = try await services.factory.audience(of: dataPlaneID)
        progress.withLock { progress in
            progress.audience = (audience, target.dataPlanes)
            progress.state.serves(tenantsRevision: audience.revision)
        }
        return audience
    }

    private func take(
        _ step: SubscriptionState.Step, _ target: FleetTarget, _ audience: ConfigAudience,
        _ writer: RPCWriter<Weir_V1_SubscribeResponse>
    ) async throws {
        switch step {
        case .keyring(let epoch, let version):
            guard let document = try await services.factory.keyrings(afterEpoch: epoch, version: version, limit: 1).first else {
                progress.withLock { $0.state.noKeyring(target) }
                return
            }
            try await send(document, nil, writer)
        case .config(let version):
            let document = try await services.factory.config(version: version, for: audience, withRevision: takesRevisions)
            try await services.dataPlanes.willSend(dataPlaneID, configVersion: version)
            try await send(document, target, writer)
        case .secrets:
            try await sendSecrets(target, writer)
        case .rollout:
            guard let document = try await services.factory.rollout() else { throw Overtaken() }
            try await send(document, target, writer)
        case .directory(let full):
            try await sendDirectory(full: full, target, writer)
        }
    }

    /// Something was changed after the target was read, and the data plane has to hear of something else first: of the keyring that
    /// announces the new signing key, of the configurations that a later rollout names. It will: the newer target, which wakes this stream,
    /// names them.
    private struct Overtaken: Error {}

    private func check(_ document: IssuedDocument, _ target: FleetTarget) throws(Overtaken) {
        guard document.envelope.keyID == target.signingKeyID, progress.withLock({ $0.state.isDue(document.mark, target) }) else {
            throw Overtaken()
        }
    }

    /// Noted as sent first: the answer may arrive before `write` returns. A keyring needs no `target`: it is signed as it is.
    private func send(
        _ document: IssuedDocument, _ target: FleetTarget?, _ writer: RPCWriter<Weir_V1_SubscribeResponse>
    ) async throws {
        if let target { try check(document, target) }
        let now = nowMs
        progress.withLock { $0.state.sent(document.mark, atMs: now) }
        try await write(document, writer)
    }

    private func write(_ document: IssuedDocument, _ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        var response = Weir_V1_SubscribeResponse()
        response.document = document.envelope
        let now = nowMs
        progress.withLock { $0.writingSinceMs = now }
        defer { progress.withLock { $0.writingSinceMs = nil } }
        try await writer.write(response)
        metrics.sent(document.mark.kind, bytes: document.envelope.payload.count)
    }

    private func sendSecrets(_ target: FleetTarget, _ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        while true {
            let held = progress.withLock { $0.secrets }
            guard let next = try await services.secrets.next(for: dataPlaneID, configVersions: target.configVersions, held: held) else {
                break
            }
            var response = Weir_V1_SubscribeResponse()
            response.secrets = next.message
            try await writer.write(response)
            progress.withLock { $0.secrets = next.holds }
        }
        progress.withLock { $0.state.sentSecrets(target) }
    }

    private func sendShares(_ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        let shares = progress.withLock { progress in
            defer { progress.shares = nil }
            return progress.shares
        }
        guard let shares else { return }
        var response = Weir_V1_SubscribeResponse()
        response.rateShares = shares
        try await writer.write(response)
    }

    private func sendPriors(_ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        let priors = progress.withLock { progress in
            defer { progress.priors = nil }
            return progress.priors
        }
        guard let priors else { return }
        var response = Weir_V1_SubscribeResponse()
        response.armPriors = priors
        try await writer.write(response)
    }

    private func sendDirectory(full: Bool, _ target: FleetTarget, _ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        let held = progress.withLock { $0.state.heldDirectory }
        switch try await services.directory.next(for: dataPlaneID, held: held, full: full) {
        case .unchanged(let epoch, let covered):
            progress.withLock { $0.state.directoryUnchanged(epoch: epoch, covered: covered) }
        case .document(let document, let covered, let full):
            try check(document, target)
            let now = nowMs
            progress.withLock { $0.state.sentDirectory(document.mark, covered: covered, full: full, atMs: now) }
            logger.debug(
                "directory sent",
                metadata: [
                    "data_plane": "\(dataPlaneID)", "version": "\(document.mark.version)", "full": "\(full)",
                    "bytes": "\(document.envelope.payload.count)",
                ])
            try await write(document, writer)
        }
    }

    private func sendHeartbeat(_ writer: RPCWriter<Weir_V1_SubscribeResponse>) async throws {
        guard let target = hub.target, progress.withLock({ $0.state.knowsSigningKey(target) }) else { return }
        do {
            let directory = progress.withLock { $0.state.latestDirectory }
            let audience = try await audience(target)
            let latest =
                try await services.factory.latest(target, for: audience, withRevision: takesRevisions) + [directory].compactMap { $0 }
            let document = try await services.factory.heartbeat(for: dataPlaneID, latest: latest)
            try check(document, target)
            try await write(document, writer)
        } catch let error as RPCError {
            throw error
        } catch {
            // No heartbeat without a database: that is what its absence tells the data plane.
            logger.debug("heartbeat not made", metadata: ["data_plane": "\(dataPlaneID)", "error": "\(error)"])
        }
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
