import Contract
import Trust

/// What is active, as the store works on it. A value: a document is applied to a copy, which takes the place of this one only when
/// the copy rests on the disk.
struct SnapshotState: Sendable {
    var trust = TrustStore()
    /// Keys that a keyring dropped: believed of stored documents at boot, of nothing that arrives.
    var retired = TrustStore()
    /// The newest of each kind ever activated.
    var marks: [DocumentKind: DocumentHold] = [:]

    var configs: [UInt64: HeldConfig] = [:]
    /// Digests of all versions ever activated.
    var seenConfigs: [DocumentVersion: [UInt8]] = [:]
    /// Versions whose stored document turned out damaged at boot: they may come again although they are older than the mark.
    var lostConfigs: Set<UInt64> = []

    var rollout: HeldRollout?
    /// The rollout before it, whose versions are kept too: what a damaged row falls back to.
    var previousRollout: HeldRollout?

    var directory = Directory.empty
    var directoryHold: DocumentHold?
    /// Deltas since the last full one, and their bytes.
    var deltas = 0
    var deltaBytes = 0
    var fullBytes = 0
    /// The next hello asks for a full directory.
    var wantsFullDirectory = false

    var secrets: [String: CredentialEntry] = [:]
    var generation: UInt64 = 0
    /// The control plane has shut this data plane out.
    var revocation: Revocation?

    struct HeldConfig: Sendable {
        let hold: DocumentHold
        let config: CompiledConfig
    }

    struct HeldRollout: Sendable {
        let hold: DocumentHold
        let payload: Weir_V1_RolloutPayload
        let selector: RolloutSelector

        var versions: Set<UInt64> { Set([payload.baselineVersion, payload.candidateVersion]).subtracting([0]) }
    }

    /// What is active of a kind, which is the mark unless the disk lost it.
    func active(_ kind: DocumentKind, version: UInt64) -> DocumentHold? {
        switch kind {
        case .config: configs[version]?.hold
        case .rollout: rollout?.hold
        case .directory: directoryHold
        case .heartbeat, .keyring, .revocation, .bans: marks[kind]
        }
    }

    /// A long chain of deltas makes a slow boot.
    static let maximumDeltas = 1000
    var isChainLong: Bool { deltas > Self.maximumDeltas || deltaBytes > max(fullBytes, 4 << 20) }

    /// Versions that neither the rollout nor the one before it refers to; the newest of them are kept all the same, since they are
    /// small and may be referred to next.
    static let keptUnreferenced = 32
    func superfluousConfigs() -> Set<UInt64> {
        guard let rollout else { return [] }
        let referenced = rollout.versions.union(previousRollout?.versions ?? [])
        return Set(configs.keys.filter { !referenced.contains($0) }.sorted().dropLast(Self.keptUnreferenced))
    }

    /// Versions cut for the tenants of an earlier revision that the rollout does not refer to. Those that it refers to are replaced one by
    /// one, as their new revisions come.
    func outdatedConfigs(below revision: UInt64) -> Set<UInt64> {
        let referenced = rollout?.versions ?? []
        return Set(configs.filter { $0.value.hold.version.revision < revision && !referenced.contains($0.key) }.keys)
    }

    /// Of the configurations of the epoch that are held.
    func newestRevision(epoch: UInt64) -> UInt64 {
        configs.values.lazy.map(\.hold.version).filter { $0.epoch == epoch }.map(\.revision).max() ?? 0
    }

    func snapshot() -> RuntimeSnapshot {
        RuntimeSnapshot(
            directory: directory, rollout: rollout?.selector, configs: configs.mapValues(\.config), credentials: CredentialVault(secrets),
            generation: generation, isRevoked: revocation?.isInForce ?? false)
    }
}
