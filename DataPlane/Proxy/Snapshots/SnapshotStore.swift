package import Contract
import Dispatch
package import Logging
package import Primitives
import Synchronization
package import Trust

/// Who this data plane is, since its enrolment.
package struct DataPlaneIdentity: Sendable {
    package let deployment: String
    package let dataPlaneID: DataPlaneID
    package let region: String
    package let sealingKey: SealingKey
    /// The signing keys given at enrolment: believed until a keyring says otherwise.
    package let enrolledTrust: TrustStore

    package init(deployment: String, dataPlaneID: DataPlaneID, region: String, sealingKey: SealingKey, enrolledTrust: TrustStore) {
        self.deployment = deployment
        self.dataPlaneID = dataPlaneID
        self.region = region
        self.sealingKey = sealingKey
        self.enrolledTrust = enrolledTrust
    }

    package init(_ enrollment: Enrollment, keys: DataPlaneKeys) {
        self.init(
            deployment: enrollment.deployment, dataPlaneID: enrollment.dataPlaneID, region: enrollment.region, sealingKey: keys.sealing,
            enrolledTrust: enrollment.trust)
    }
}

/// Judges, stores and activates what the control plane sends.
///
/// The order is the design's and is the whole point: size → envelope → kind → key → signature → header → audience → digest → version →
/// previous digest → time → content → index in memory → one transaction → one pointer swap → answer. Nothing before the transaction
/// touches anything that lasts, and the swap cannot fail.
package final class SnapshotStore: Sendable {
    let local: LocalStore
    let identity: DataPlaneIdentity
    let clock: any WallClock
    let logger: Logger
    let maximumDocumentBytes: Int
    let state: Mutex<SnapshotState>
    private let publication: Mutex<Publication>
    let report: Mutex<SnapshotReport>
    /// Where its replicas are, as the control plane said last.
    let controlAddresses: ControlAddresses
    /// Documents are applied one after the other on a thread of their own: a directory of a million keys takes seconds.
    /// How long a revoked data plane serves on after it has heard of it.
    let revocationGraceMilliseconds: Int64
    let worker = DispatchQueue(label: "weir.snapshots", qos: .utility)

    /// Who is shut out: documents of their own, which wait for none of these.
    package let bans: BanStore
    /// What requests ask the control plane, whose answers come as documents and secrets.
    package let questions = ControlQuestions()
    /// What routes that learn have learnt.
    let arms: ArmKeeper
    private let trust: Mutex<(trusted: TrustStore, retired: TrustStore)>

    private struct Publication {
        var current = RuntimeSnapshot.empty
        var listeners: [@Sendable (RuntimeSnapshot) -> Void] = []
    }

    /// Loads, verifies and compiles what the disk holds. Damaged documents are left out and reported.
    /// - Throws: SQLite's errors; never because of a document.
    package init(
        local: LocalStore, identity: DataPlaneIdentity, clock: any WallClock = SystemClock(), logger: Logger,
        maximumDocumentBytes: Int = DocumentVerifier.defaultMaximumBytes, revocationGraceMilliseconds: Int64 = 0
    ) throws {
        self.local = local
        arms = ArmKeeper(store: local, logger: logger)
        self.identity = identity
        self.clock = clock
        self.logger = logger
        self.maximumDocumentBytes = maximumDocumentBytes
        self.revocationGraceMilliseconds = max(0, revocationGraceMilliseconds)
        let booted = try SnapshotBoot(local: local, identity: identity, maximumDocumentBytes: maximumDocumentBytes).load()
        for problem in booted.problems { logger.error("a stored document cannot be used", metadata: ["problem": "\(problem.text)"]) }
        state = Mutex(booted.state)
        report = Mutex(
            SnapshotReport(startedMilliseconds: clock.nowMilliseconds(), problems: booted.problems, state: booted.state))
        publication = Mutex(Publication(current: booted.state.snapshot()))
        controlAddresses = try ControlAddresses(local)
        trust = Mutex((booted.state.trust, booted.state.retired))
        bans = BanStore(local: local, identity: identity, clock: clock, logger: logger)
        bans.load(trust: TrustStore(booted.state.trust.keys.merging(booted.state.retired.keys) { first, _ in first }))
        HeapMemory.returnUnused()
        resumeRevocation()
    }

    /// The keys that are believed now. Waits for no document that is being read.
    package var trusted: TrustStore { trust.withLock { $0.trusted } }

    /// What is in force.
    package var current: RuntimeSnapshot { publication.withLock { $0.current } }

    /// Calls `listener` with what is in force, at once, and with each snapshot that takes its place. Calls come from the store's thread
    /// and must neither block nor call the store: hand the snapshot to each event loop and return.
    package func onActivate(_ listener: @escaping @Sendable (RuntimeSnapshot) -> Void) {
        // Called under the lock, so that no listener sees an older snapshot after a newer one.
        publication.withLock { publication in
            publication.listeners.append(listener)
            listener(publication.current)
        }
    }

    /// For `/health/ready` and the state page.
    package func health() -> SnapshotHealth { report.withLock { $0.health(nowMilliseconds: clock.nowMilliseconds()) } }

    /// What the hello tells the control plane.
    package func hello() -> Weir_V1_Hello {
        state.withLock { state in
            var hello = Weir_V1_Hello()
            hello.version = weirVersion.description
            hello.held = state.configs.values.map { Self.mark(.config, $0.hold) }.sorted { $0.version < $1.version }
            if let rollout = state.rollout { hello.held.append(Self.mark(.rollout, rollout.hold)) }
            if let directory = state.directoryHold { hello.held.append(Self.mark(.directory, directory)) }
            if let keyring = state.marks[.keyring] { hello.held.append(Self.mark(.keyring, keyring)) }
            hello.secrets = state.secrets.values.sorted { $0.id < $1.id }.map { entry in
                var mark = Weir_V1_SecretMark()
                mark.credentialID = entry.id
                mark.revision = entry.revision
                return mark
            }
            hello.takesRevisions = true
            hello.wantsFullDirectory = state.wantsFullDirectory || state.directoryHold == nil
            return hello
        }
    }

    /// The newest keyring that was activated.
    var keyring: DocumentVersion? { state.withLock { $0.marks[.keyring]?.version } }

    /// Whether a full directory is wanted on a new subscription: the chain of deltas is long, or broken.
    package var wantsFullDirectory: Bool { state.withLock { $0.wantsFullDirectory } }

    /// Judges a document and, when nothing is wrong with it, activates it. The answer goes to the control plane as it is.
    package func apply(_ envelope: Weir_V1_Envelope) async -> Weir_V1_Acknowledgement {
        await withCheckedContinuation { continuation in
            worker.async { continuation.resume(returning: self.applyNow(envelope)) }
        }
    }

    /// Opens, stores and activates provider credentials. Those that cannot be used are reported; the others are in force.
    package func apply(_ secrets: Weir_V1_SealedSecrets) async {
        await withCheckedContinuation { continuation in
            worker.async {
                self.applyNow(secrets)
                continuation.resume()
            }
        }
    }

    /// Puts `next` in force. The caller has made it durable, and holds the state's lock.
    func activate(_ next: SnapshotState, replacing state: inout SnapshotState) {
        state = next
        state.generation &+= 1
        let snapshot = state.snapshot()
        let settled = state
        trust.withLock { $0 = (settled.trust, settled.retired) }
        report.withLock { $0.update(settled) }
        publication.withLock { publication in
            publication.current = snapshot
            for listener in publication.listeners { listener(snapshot) }
        }
    }

    private static func mark(_ kind: DocumentKind, _ hold: DocumentHold) -> Weir_V1_DocumentMark {
        var mark = Weir_V1_DocumentMark()
        mark.kind = kind.payloadType
        mark.epoch = hold.version.epoch
        mark.version = hold.version.version
        mark.revision = hold.version.revision
        mark.digest = .init(hold.digest)
        return mark
    }
}
