package import Contract
package import Domain

/// What one connected data plane holds, what it was sent, and what it has to be sent next. Pure: events in, steps out; the shell
/// around it (`Subscription`) does the reading, signing and writing.
///
/// Order: keyring → configurations, oldest first → secrets → rollout → directory. A keyring is answered before anything else is
/// sent, since what follows may be signed by the key it announces; a rollout waits for the configurations it refers to. Of each
/// kind one document is in flight. Nothing is queued: each step is decided from the newest target, so a slow data plane skips what
/// was overtaken meanwhile.
package struct SubscriptionState: Sendable {
    package enum Step: Sendable, Hashable {
        /// The next keyring after this one.
        case keyring(afterEpoch: Int64, version: Int64)
        case config(version: Int64)
        case secrets
        case rollout
        case directory(full: Bool)
    }

    private struct Position: Hashable, Comparable {
        var epoch: Int64
        var version: Int64
        /// Of a configuration.
        var revision: Int64 = 0

        static func < (a: Position, b: Position) -> Bool { (a.epoch, a.version, a.revision) < (b.epoch, b.version, b.revision) }
    }

    private struct SecretsPosition: Hashable {
        let credentials: Int64
        let configVersions: [Int64]
        let tenantsRevision: Int64
    }

    private struct InFlight {
        let mark: DocumentMark
        let sentAtMs: Int64
    }

    private var held: [DocumentKind: [DocumentMark]] = [:]
    private var inFlight: [DocumentKind: InFlight] = [:]
    /// Refused documents are not sent again over this connection; a newer version is another document.
    private var refused: [DocumentKind: Set<Position>] = [:]
    private var keyring: Position
    private var secrets: SecretsPosition?
    /// Up to which counter of which epoch the directory was dealt with: sent, or nothing to send.
    private var directory: Position?
    private var directoryInFlight: (covered: Position, full: Bool)?
    private var wantsFullDirectory: Bool
    /// Of the list of tenants that configurations are cut to: what is held of another one is sent anew.
    private var tenantsRevision: Int64 = 0
    private let takesRevisions: Bool
    /// What could not be made when it was tried last.
    private var stalled: Set<Part> = []

    private enum Part: Hashable {
        case keyring, config, secrets, rollout, directory
    }

    /// - Parameters:
    ///   - held: What the hello lists.
    ///   - enrolledKeyring: The keyring whose keys it was given when it enrolled; counts while it holds none.
    package init(
        held: [DocumentMark], enrolledKeyring: (epoch: Int64, version: Int64), wantsFullDirectory: Bool, takesRevisions: Bool = true
    ) {
        self.takesRevisions = takesRevisions
        for mark in held { self.held[mark.kind, default: []].append(mark) }
        // The keyring of the enrolment itself is sent as well: the data plane has its keys but no mark of it.
        let known = self.held[.keyring]?.map { Position(epoch: $0.epoch, version: $0.version) }.max()
        keyring = known ?? Position(epoch: enrolledKeyring.epoch, version: enrolledKeyring.version - 1)
        self.wantsFullDirectory = wantsFullDirectory
    }

    /// What to send now; nil: nothing until the target changes or an answer comes. Call `sent…` for each step taken.
    package mutating func next(_ target: FleetTarget) -> Step? {
        // A data plane drops configurations that no rollout names. Should one be named again it is sent again: held or not, it will
        // do no harm.
        held[.config]?.removeAll { !target.configVersions.contains($0.version) }
        refused[.config] = refused[.config]?.filter { target.configVersions.contains($0.version) }
        if inFlight[.keyring] != nil { return nil }
        if keyring < Position(epoch: target.keyringEpoch, version: target.keyringVersion) {
            if stalled.contains(.keyring) { return nil }
            return .keyring(afterEpoch: keyring.epoch, version: keyring.version)
        }
        if inFlight[.config] == nil, !stalled.contains(.config),
            let version = target.configVersions.first(where: { !isSettled(.config, target.epoch, $0) })
        {
            return .config(version: version)
        }
        if !target.configVersions.isEmpty, !stalled.contains(.secrets),
            secrets != position(ofSecrets: target)
        {
            return .secrets
        }
        if needsRollout(target) { return .rollout }
        if needsDirectory(target) { return .directory(full: wantsFullDirectory) }
        return nil
    }

    private func needsRollout(_ target: FleetTarget) -> Bool {
        guard target.rolloutVersion > 0, inFlight[.rollout] == nil, !stalled.contains(.rollout),
            target.configVersions.allSatisfy({ isSettled(.config, target.epoch, $0) })
        else { return false }
        return !isSettled(.rollout, target.epoch, target.rolloutVersion)
    }

    private func needsDirectory(_ target: FleetTarget) -> Bool {
        guard inFlight[.directory] == nil, !stalled.contains(.directory) else { return false }
        guard !wantsFullDirectory, let directory else { return true }
        return directory < Position(epoch: target.epoch, version: target.directory)
    }

    /// Whether there is nothing to be done about a version: it is held, or was refused.
    private func isSettled(_ kind: DocumentKind, _ epoch: Int64, _ version: Int64) -> Bool {
        let revision = kind == .config && takesRevisions ? tenantsRevision : 0
        if refused[kind]?.contains(Position(epoch: epoch, version: version, revision: revision)) == true { return true }
        return held[kind]?.contains { $0.epoch == epoch && $0.version == version && $0.revision == revision } ?? false
    }

    private func position(ofSecrets target: FleetTarget) -> SecretsPosition {
        SecretsPosition(
            credentials: target.credentials, configVersions: target.configVersions, tenantsRevision: tenantsRevision)
    }

    /// Whether a document that was made for a step is what the target asks for. It is made from what is there when its turn comes, which
    /// may be newer than the target: a later rollout names configurations that have not been sent. It waits for the newer target.
    package func isDue(_ mark: DocumentMark, _ target: FleetTarget) -> Bool {
        switch mark.kind {
        case .rollout: mark.epoch == target.epoch && mark.version == target.rolloutVersion
        default: true
        }
    }

    // MARK: Events

    /// A step could not be carried out: left alone until `retry`, the others go on.
    package mutating func failed(_ step: Step) {
        let part: Part =
            switch step {
            case .keyring: .keyring
            case .config: .config
            case .secrets: .secrets
            case .rollout: .rollout
            case .directory: .directory
            }
        stalled.insert(part)
    }

    package mutating func retry() { stalled = [] }

    /// The data plane's list of tenants is at this revision (`ConfigAudience.revision`). One that does not know revisions keeps what it
    /// holds of a version: another content of the same version it would have to refuse.
    package mutating func serves(tenantsRevision: Int64) { self.tenantsRevision = tenantsRevision }

    package mutating func sent(_ mark: DocumentMark, atMs now: Int64) {
        inFlight[mark.kind] = InFlight(mark: mark, sentAtMs: now)
        if mark.kind == .keyring { keyring = Position(epoch: mark.epoch, version: mark.version) }
    }

    /// The chain of keyrings ended before the target said so: nothing is left to be sent.
    package mutating func noKeyring(_ target: FleetTarget) {
        keyring = max(keyring, Position(epoch: target.keyringEpoch, version: target.keyringVersion))
    }

    package mutating func sentSecrets(_ target: FleetTarget) {
        secrets = position(ofSecrets: target)
    }

    /// A directory document was sent that holds everything up to `covered`.
    package mutating func sentDirectory(_ mark: DocumentMark, covered: Int64, full: Bool, atMs now: Int64) {
        sent(mark, atMs: now)
        directoryInFlight = (Position(epoch: mark.epoch, version: covered), full)
        if full { wantsFullDirectory = false }
    }

    /// Nothing between what it holds and `covered` concerns this data plane.
    package mutating func directoryUnchanged(epoch: Int64, covered: Int64) {
        directory = Position(epoch: epoch, version: covered)
    }

    /// Whether an answer to this document is waited for.
    package func awaits(_ kind: DocumentKind, epoch: Int64, version: Int64) -> Bool {
        guard let mark = inFlight[kind]?.mark else { return false }
        return mark.epoch == epoch && mark.version == version
    }

    /// The data plane's answer; ignored unless it is waited for.
    package mutating func answered(_ kind: DocumentKind, epoch: Int64, version: Int64, accepted: Bool) {
        guard awaits(kind, epoch: epoch, version: version), let mark = inFlight.removeValue(forKey: kind)?.mark else { return }
        if accepted {
            held[kind] = kind == .config ? (held[kind] ?? []).filter { $0.version != version } + [mark] : [mark]
        } else {
            refused[kind, default: []].insert(Position(epoch: epoch, version: version, revision: mark.revision))
        }
        if kind == .directory, let sent = directoryInFlight {
            directoryInFlight = nil
            // A refused delta is made good by the whole directory; a refused whole one only by a change of its content.
            if accepted || sent.full { directory = sent.covered } else { wantsFullDirectory = true }
        }
    }

    // MARK: For the shell

    /// Whether the data plane knows the key that signs at `target`: until then nothing but keyrings may be sent.
    package func knowsSigningKey(_ target: FleetTarget) -> Bool {
        inFlight[.keyring] == nil && keyring >= Position(epoch: target.keyringEpoch, version: target.keyringVersion)
    }

    package var heldDirectory: DocumentMark? { held[.directory]?.last }

    /// The newest directory this data plane was sent or holds.
    package var latestDirectory: DocumentMark? { inFlight[.directory]?.mark ?? heldDirectory }

    /// When the oldest document that is still unanswered was sent; nil: none is.
    package var oldestUnansweredMs: Int64? { inFlight.values.map(\.sentAtMs).min() }
}
