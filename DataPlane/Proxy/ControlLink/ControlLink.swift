package import Contract
import Dispatch
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
package import Logging
import NIOCore
import NIOPosix
import Primitives
import SwiftProtobuf
import Synchronization
package import Trust

/// How the link to the control plane fares, for the operator.
package struct ControlLinkState: Sendable, Hashable {
    package var isConnected = false
    /// Why it is not, or why it last was not; empty when it never failed.
    package var lastError = ""
    /// Why the last usage stream ended.
    package var usageError = ""
    /// Connections made since the start.
    package var connections: UInt64 = 0
}

/// Keeps one connection to the control plane for as long as the process lives. Nothing on the request path waits for it, and it runs on
/// a thread of its own: a data plane without it serves what it holds and keeps its usage.
package final class ControlLink: Sendable {
    package struct Settings: Sendable {
        /// How often the control plane is told how this data plane fares.
        package var statusSeconds: Int64 = 10
        /// In place of the enrolment's addresses: `host:port`, several separated by commas. Empty: the enrolment's, and those that the
        /// control plane has named since.
        package var address = ""

        package init() {}
    }

    let enrollment: Enrollment
    private let identity: IdentityKey
    let snapshots: SnapshotStore
    private let outbox: any UsageOutbox
    let budgets: BudgetDesk
    let freezes: KeyFreezes
    private let rates: RateSharing?
    private let status: @Sendable () -> Weir_V1_StatusReport
    private let settings: Settings
    /// Which address is spoken to; the next one after a failure.
    private let ring: Mutex<AddressRing>
    var address: FleetAddress { ring.withLock { $0.current } }
    let logger: Logger
    private let current = Mutex(ControlLinkState())
    /// The last rollout that referred to a configuration not held.
    private let brokenRollout = Mutex<DocumentVersion?>(nil)
    /// The last document after which the connection was given up for its size.
    private let largeDocument = Mutex<DocumentVersion?>(nil)
    /// Payload bytes of a document that a connection outlives.
    private static let largestKeptBytes = 8 << 20
    private let worker = DispatchQueue(label: "weir.outbox", qos: .utility)
    private let wake = LinkSignal()

    /// - Parameter status: called every few seconds, from any thread; must not block.
    /// - Throws: `EnrollmentError.token` for an address that is none.
    package init(
        enrollment: Enrollment, identity: IdentityKey, snapshots: SnapshotStore, outbox: any UsageOutbox, settings: Settings = Settings(),
        budgets: BudgetDesk = BudgetDesk(), freezes: KeyFreezes = KeyFreezes(), rates: RateSharing? = nil, logger: Logger,
        status: @escaping @Sendable () -> Weir_V1_StatusReport
    ) throws(EnrollmentError) {
        let wanted = settings.address.isEmpty ? enrollment.addresses.joined(separator: ",") : settings.address
        guard let ring = FleetAddress.list(wanted).flatMap({ AddressRing($0) }) else {
            throw .token("the control plane's address is not of the form host:port")
        }
        self.enrollment = enrollment
        self.identity = identity
        self.snapshots = snapshots
        self.outbox = outbox
        self.budgets = budgets
        self.freezes = freezes
        self.rates = rates
        self.settings = settings
        self.ring = Mutex(ring)
        self.logger = logger
        self.status = status
        outbox.onRecords { [wake] in wake.raise() }
    }

    package var state: ControlLinkState { current.withLock { $0 } }

    /// Connects, and connects again, until the task is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.runLink() }
            // A connection and a thread of their own: what delays the other delays no ban.
            group.addTask { await self.runBans() }
            group.addTask { await self.runLeases() }
        }
    }

    private func runLink() async {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var backoff = Backoff()
        var reported: (text: String, at: Int64) = ("", 0)
        while !Task.isCancelled {
            let start = MonotonicClock.nowMicroseconds()
            do {
                try await connect(group)
            } catch {
                let text = FleetConnection.text(error)
                current.withLock { $0.lastError = text }
                let now = MonotonicClock.nowMicroseconds()
                // The same thing is said once a minute, not at each attempt.
                if !Task.isCancelled, text != reported.text || now - reported.at > 60_000_000 {
                    reported = (text, now)
                    logger.warning("no link to the control plane", metadata: ["address": "\(address)", "reason": "\(text)"])
                }
            }
            let wasConnected = current.withLock { state in
                defer { state.isConnected = false }
                return state.isConnected
            }
            // Addresses that the operator gave are the only ones; else the control plane's own word counts as well.
            let heard = settings.address.isEmpty ? snapshots.controlAddresses.all : []
            let isAnother = ring.withLock { $0.advance(heard: heard) }
            // Another replica is most likely there.
            if isAnother, wasConnected { backoff.reset() }
            try? await backoff.wait(since: start)
        }
        try? await group.shutdownGracefully()
    }

    private func connect(_ group: MultiThreadedEventLoopGroup) async throws {
        let transport = try FleetConnection.transport(to: address, authorityPEM: enrollment.authorityPEM, group: group)
        try await FleetConnection.run(transport) { client in
            let session = try await self.openSession(Weir_V1_Fleet.Client(wrapping: client))
            let metadata: Metadata = ["authorization": "Bearer \(session.session)"]
            if session.hasRevocation, await self.isRevoked(session) {
                // The control plane takes what was served, and has nothing more to say.
                self.didConnect()
                self.current.withLock { $0.lastError = "the control plane has revoked this data plane" }
                return try await self.ship(client, metadata)
            }
            // Whichever ends first takes the other with it.
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await self.subscribe(client, metadata) }
                tasks.addTask { try await self.ship(client, metadata) }
                tasks.addTask { try await self.carryQuestions(client, metadata) }
                defer {
                    client.beginGracefulShutdown()
                    tasks.cancelAll()
                }
                try await tasks.next()
            }
        }
    }

    /// Ships usage for as long as the connection lives. That it does not work (the control plane's database is away) is no reason to
    /// hear nothing either.
    private func ship(_ client: GRPCClient<FleetConnection.Transport>, _ metadata: Metadata) async throws {
        let shipper = UsageShipper(outbox: outbox, logger: logger, worker: worker, wake: wake)
        var backoff = Backoff()
        var reported = ""
        while true {
            let start = MonotonicClock.nowMicroseconds()
            do {
                try await shipper.run(client, metadata: metadata)
            } catch let error as RPCError where error.code == .unauthenticated {
                throw error
            } catch {
                try Task.checkCancellation()
                let text = FleetConnection.text(error)
                current.withLock { $0.usageError = text }
                if text != reported { logger.warning("usage is not shipped for now", metadata: ["reason": "\(text)"]) }
                reported = text
            }
            try await backoff.wait(since: start)
        }
    }

    /// Proves who we are: the control plane's nonce, signed.
    func openSession(
        _ fleet: Weir_V1_Fleet.Client<FleetConnection.Transport>
    ) async throws -> Weir_V1_OpenSessionResponse {
        var challenge = Weir_V1_ChallengeRequest()
        challenge.dataPlaneID = enrollment.dataPlaneID.rawValue
        let nonce = Array(try await fleet.challenge(challenge, options: FleetConnection.callOptions).nonce)
        guard nonce.count <= 4096 else { throw RPCError(code: .invalidArgument, message: "the challenge is \(nonce.count) bytes long") }
        var request = Weir_V1_OpenSessionRequest()
        request.dataPlaneID = enrollment.dataPlaneID.rawValue
        request.nonce = Data(nonce)
        request.version = weirVersion.description
        let body = SessionChallenge.body(deployment: enrollment.deployment, dataPlaneID: enrollment.dataPlaneID.rawValue, nonce: nonce)
        request.signature = Data(try identity.sign(type: SessionChallenge.type, body: body))
        return try await fleet.openSession(request, options: FleetConnection.callOptions)
    }

    /// Whether the session's revocation is signed by a key that this data plane believes, which the keyrings beside it may first lead to.
    /// Nothing less makes it stop serving: not a refusal, not a control plane that cannot be reached.
    private func isRevoked(_ session: Weir_V1_OpenSessionResponse) async -> Bool {
        let known = snapshots.keyring
        for keyring in session.keyrings.prefix(64) {
            guard let header = try? Weir_V1_Header(serializedBytes: keyring.header) else { continue }
            let version = DocumentVersion(epoch: header.epoch, version: header.version)
            if known.map({ $0 < version }) ?? true { _ = await snapshots.apply(keyring) }
        }
        return await snapshots.apply(session.revocation).accepted
    }

    private func subscribe(_ client: GRPCClient<FleetConnection.Transport>, _ metadata: Metadata) async throws {
        let (messages, queue) = AsyncStream<Weir_V1_SubscribeRequest>.makeStream()
        defer { queue.finish() }
        let hello = snapshots.hello()
        var first = Weir_V1_SubscribeRequest()
        first.hello = hello
        queue.yield(first)
        let ticker = Task {
            while !Task.isCancelled {
                var report = Weir_V1_SubscribeRequest()
                report.status = self.status()
                queue.yield(report)
                try await Task.sleep(for: .seconds(self.settings.statusSeconds))
            }
        }
        let sharing = Task {
            guard let rates else { return }
            while !Task.isCancelled {
                // Where nobody is limited there is nothing to be shared.
                if !self.snapshots.current.directory.limits.isEmpty {
                    var report = Weir_V1_SubscribeRequest()
                    report.rates = rates.report(now: MonotonicClock.nowMicroseconds())
                    queue.yield(report)
                }
                try await Task.sleep(for: .milliseconds(RateSharing.periodMilliseconds))
            }
        }
        defer {
            ticker.cancel()
            sharing.cancel()
        }
        let request = StreamingClientRequest<Weir_V1_SubscribeRequest>(metadata: metadata) { writer in
            for await message in messages { try await writer.write(message) }
        }
        let fleet = Weir_V1_Fleet.Client(wrapping: client)
        try await fleet.subscribe(request: request, options: FleetConnection.streamOptions) { response in
            var isFirst = true
            for try await message in response.messages {
                if isFirst {
                    isFirst = false
                    self.didConnect()
                }
                try await self.receive(message, queue, hello)
            }
        }
        throw RPCError(code: .unavailable, message: "the control plane ended the subscription")
    }

    private func receive(
        _ message: Weir_V1_SubscribeResponse, _ queue: AsyncStream<Weir_V1_SubscribeRequest>.Continuation, _ hello: Weir_V1_Hello
    ) async throws {
        switch message.message {
        case .document(let envelope):
            let answer = await snapshots.apply(envelope)
            var message = Weir_V1_SubscribeRequest()
            message.acknowledgement = answer
            queue.yield(message)
            if let reason = reasonToSubscribeAgain(answer, hello) ?? reasonToConnectAgain(answer, bytes: envelope.payload.count) {
                throw RPCError(code: .aborted, message: reason)
            }
        case .secrets(let secrets):
            await snapshots.apply(secrets)
        case .rateShares(let shares):
            rates?.take(shares)
        case .armPriors(let priors):
            snapshots.arms.take(priors, snapshots.current, now: MonotonicClock.nowMicroseconds())
        case nil:
            break
        }
    }

    /// A refused document is not sent again over the same subscription. Where that is not what should happen, a new one is begun, whose
    /// hello says what is held here.
    private func reasonToSubscribeAgain(_ answer: Weir_V1_Acknowledgement, _ hello: Weir_V1_Hello) -> String? {
        // Only a hello can ask for a full directory, and one that has asked is not repeated at once.
        if snapshots.wantsFullDirectory, !hello.wantsFullDirectory { return "a full directory is wanted: subscribing again" }
        if answer.accepted { return nil }
        if answer.reason == DocumentRefusal.Code.storage.rawValue { return "the local database took nothing: subscribing again" }
        // The control plane may think that a configuration is held which was pruned. Asked for once a rollout.
        guard answer.reason == DocumentRefusal.Code.brokenReference.rawValue, answer.kind == DocumentKind.rollout.payloadType else {
            return nil
        }
        let version = DocumentVersion(epoch: answer.epoch, version: answer.version)
        let isNew = brokenRollout.withLock { known in
            defer { known = version }
            return known != version
        }
        return isNew ? "a configuration is missing: subscribing again" : nil
    }

    /// NIO's HTTP/2 decoder keeps a buffer as large as the largest message that came and copies it again and again for the small frames
    /// that follow: after a directory of a million keys, each batch of usage cost 30 ms. A new connection has a new buffer. Once a
    /// version, in case the same one is sent again.
    private func reasonToConnectAgain(_ answer: Weir_V1_Acknowledgement, bytes: Int) -> String? {
        guard bytes > Self.largestKeptBytes, answer.accepted else { return nil }
        let version = DocumentVersion(epoch: answer.epoch, version: answer.version)
        let isNew = largeDocument.withLock { known in
            defer { known = version }
            return known != version
        }
        return isNew ? "a document of \(bytes) bytes came: connecting afresh" : nil
    }

    private func didConnect() {
        let count = current.withLock { state in
            state.isConnected = true
            state.connections &+= 1
            return state.connections
        }
        logger.notice("linked to the control plane", metadata: ["address": "\(address)", "connection": "\(count)"])
    }
}
