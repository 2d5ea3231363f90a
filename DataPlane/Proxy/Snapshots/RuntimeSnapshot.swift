package import Contract

/// What a request sees: one consistent, immutable state of everything that was activated. Taken once a request, so that a switch in
/// the middle of it changes nothing for it.
package final class RuntimeSnapshot: Sendable {
    package let directory: Directory
    /// Nil until a rollout document was activated.
    package let rollout: RolloutSelector?
    package let configs: [UInt64: CompiledConfig]
    package let credentials: CredentialVault
    /// Counts activations in this process, from 1; 0 is the empty snapshot.
    package let generation: UInt64
    /// The control plane has shut this data plane out: nothing is served, whatever is held.
    package let isRevoked: Bool
    /// Header fields that templates and workflows in force read, by their lower-case names; mostly none.
    let readHeaders: [String]
    private let baseline: CompiledConfig?
    private let candidate: CompiledConfig?

    init(
        directory: Directory, rollout: RolloutSelector?, configs: [UInt64: CompiledConfig], credentials: CredentialVault,
        generation: UInt64,
        isRevoked: Bool = false
    ) {
        self.directory = directory
        self.rollout = rollout
        self.configs = configs
        self.credentials = credentials
        self.generation = generation
        self.isRevoked = isRevoked
        baseline = rollout.flatMap { configs[$0.baselineVersion] }
        // A candidate that the disk lost is not a reason to serve nobody.
        candidate = rollout.flatMap { configs[$0.candidateVersion] ?? configs[$0.baselineVersion] }
        readHeaders = [baseline, candidate].compactMap(\.self).reduce(into: Set()) { $0.formUnion($1.readHeaders) }.sorted()
    }

    package static let empty = RuntimeSnapshot(directory: .empty, rollout: nil, configs: [:], credentials: .empty, generation: 0)

    /// Whether requests can be served at all: a configuration is in force.
    package var isServing: Bool { !isRevoked && (baseline != nil || candidate != nil) }

    /// The configuration in force for a caller now (Unix milliseconds). Nil when there is none yet. Two comparisons: which keys the
    /// rollout chooses was worked out when it was activated.
    @inline(__always)
    package func config(isCandidate: Bool, nowMs: Int64) -> CompiledConfig? {
        guard let rollout else { return nil }
        return isCandidate && nowMs >= rollout.effectiveAtMs ? candidate : baseline
    }

    /// A price of a version that is still held: for records that an earlier process left open.
    package func price(id: String, configVersion: UInt64) -> CompiledPrice? { configs[configVersion]?.price(id: id) }
}
