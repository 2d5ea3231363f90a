import Contract

/// What the operator is told about the snapshots.
package struct SnapshotHealth: Sendable, Hashable {
    /// Whether a configuration is in force: without one no request can be served.
    package var isServing: Bool
    /// Seconds since a heartbeat of the control plane was verified, or since the start when none was.
    package var secondsSinceHeartbeat: Int64
    package var hasHeardSinceStart: Bool
    /// Kinds of which the control plane has a newer document than is active here, by its last heartbeat.
    package var behind: [String]
    /// Stored documents found damaged, refused documents of note, credentials that cannot be used. For people.
    package var problems: [String]
    package var keyCount: Int
    package var configVersions: [UInt64]
    package var baselineVersion: UInt64
    package var candidateVersion: UInt64
    package var directoryVersion: UInt64
    package var credentialCount: Int
    package var revocation: Revocation?

    /// Heartbeats come every few seconds; this many without one is worth saying.
    package static let staleSeconds: Int64 = 60

    /// "ok", or what is wrong, in a few words. None of it stops the data plane from serving what it holds.
    package var state: String {
        if let revocation, revocation.isInForce { return "revoked" }
        if !isServing { return "no configuration is in force yet" }
        if secondsSinceHeartbeat > Self.staleSeconds { return "control plane not heard for \(secondsSinceHeartbeat) s" }
        if let first = problems.first { return first }
        return "ok"
    }
}

/// What the health is worked out from; small, so that asking never waits for a document that is being compiled.
struct SnapshotReport: Sendable {
    private let startedMilliseconds: Int64
    /// Kind → what was wrong with its last document, or with those found on the disk, until one of the kind is accepted.
    private var alarms: [DocumentKind: [String]] = [:]
    private var secretProblems: [String: String] = [:]
    private var heartbeatMilliseconds: Int64?
    private var latest: [DocumentKind: DocumentVersion] = [:]
    private var active: [DocumentKind: DocumentVersion] = [:]
    private var health = SnapshotHealth(
        isServing: false, secondsSinceHeartbeat: 0, hasHeardSinceStart: false, behind: [], problems: [], keyCount: 0, configVersions: [],
        baselineVersion: 0, candidateVersion: 0, directoryVersion: 0, credentialCount: 0)

    init(startedMilliseconds: Int64, problems: [BootProblem], state: SnapshotState) {
        self.startedMilliseconds = startedMilliseconds
        for problem in problems {
            switch problem.subject {
            case .document(let kind): alarms[kind, default: []].append(problem.text)
            case .credential(let id): secretProblems[id] = problem.text
            }
        }
        update(state)
    }

    mutating func update(_ state: SnapshotState) {
        health.revocation = state.revocation
        health.isServing = state.snapshot().isServing
        health.keyCount = state.directory.keyCount
        health.configVersions = state.configs.keys.sorted()
        health.baselineVersion = state.rollout?.payload.baselineVersion ?? 0
        health.candidateVersion = state.rollout?.payload.candidateVersion ?? 0
        health.directoryVersion = state.directoryHold?.version.version ?? 0
        health.credentialCount = state.secrets.count
        active[.rollout] = state.rollout?.hold.version
        active[.directory] = state.directoryHold?.version
        active[.config] = state.configs.values.map(\.hold.version).max()
        active[.keyring] = state.marks[.keyring]?.version
    }

    mutating func heard(_ latest: [DocumentKind: DocumentVersion], atMilliseconds now: Int64) {
        heartbeatMilliseconds = now
        self.latest = latest
    }

    mutating func alarm(_ kind: DocumentKind, _ text: String?) { alarms[kind] = text.map { [$0] } }

    mutating func secretProblem(_ credentialID: String, _ text: String?) { secretProblems[credentialID] = text }

    func health(nowMilliseconds now: Int64) -> SnapshotHealth {
        var health = health
        // A clock that was set back must not make it negative.
        health.secondsSinceHeartbeat = max(0, (now &- (heartbeatMilliseconds ?? startedMilliseconds)) / 1000)
        health.hasHeardSinceStart = heartbeatMilliseconds != nil
        health.behind = latest.filter { kind, version in active[kind].map { $0 < version } ?? true }.map(\.key.word).sorted()
        health.problems =
            alarms.sorted { $0.key.word < $1.key.word }.flatMap(\.value) + secretProblems.sorted { $0.key < $1.key }.map(\.value)
        return health
    }
}
