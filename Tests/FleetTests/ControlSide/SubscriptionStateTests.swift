import Contract
import Domain
import Fleet
import Testing

@Suite("What a data plane is sent next")
struct SubscriptionStateTests {
    private static func target(
        epoch: Int64 = 1, keyring: Int64 = 1, configs: [Int64] = [], rollout: Int64 = 0, directory: Int64 = 1, credentials: Int64 = 0
    ) -> FleetTarget {
        FleetTarget(
            epoch: epoch, signingKeyID: "sk_1", keyringEpoch: 1, keyringVersion: keyring, configVersions: configs, rolloutVersion: rollout,
            directory: directory, credentials: credentials, dataPlanes: 0)
    }

    private static func mark(_ kind: DocumentKind, _ version: Int64, epoch: Int64 = 1) -> DocumentMark {
        DocumentMark(kind: kind, epoch: epoch, version: version, digest: [UInt8](repeating: 1, count: 32))
    }

    /// One that holds the keyring and the directory of the default target.
    private static func upToDate() -> SubscriptionState {
        var state = SubscriptionState(held: [mark(.keyring, 1), mark(.directory, 1)], enrolledKeyring: (1, 1), wantsFullDirectory: false)
        state.directoryUnchanged(epoch: 1, covered: 1)
        return state
    }

    @Test("is nothing when it holds everything")
    func nothing() {
        var state = Self.upToDate()
        #expect(state.next(Self.target()) == nil)
    }

    @Test("is a keyring before all else, and nothing until that is answered")
    func keyringFirst() {
        var state = Self.upToDate()
        let target = Self.target(keyring: 3, configs: [1], rollout: 1, directory: 9)
        #expect(state.next(target) == .keyring(afterEpoch: 1, version: 1))
        state.sent(Self.mark(.keyring, 2), atMs: 0)
        #expect(state.next(target) == nil)
        #expect(!state.knowsSigningKey(target))
        state.answered(.keyring, epoch: 1, version: 2, accepted: true)
        #expect(state.next(target) == .keyring(afterEpoch: 1, version: 2))
        state.sent(Self.mark(.keyring, 3), atMs: 0)
        // Refused: it is not sent again, and the others are not held back for ever.
        state.answered(.keyring, epoch: 1, version: 3, accepted: false)
        #expect(state.knowsSigningKey(target))
        #expect(state.next(target) == .config(version: 1))
    }

    @Test("for a new data plane starts with the keyring of its enrolment")
    func enrolled() {
        var state = SubscriptionState(held: [], enrolledKeyring: (1, 7), wantsFullDirectory: true)
        #expect(state.next(Self.target(keyring: 9)) == .keyring(afterEpoch: 1, version: 6))
    }

    @Test("is every configuration the rollout names, oldest first, then the secrets, then the rollout")
    func rollout() {
        var state = Self.upToDate()
        let target = Self.target(configs: [4, 7], rollout: 3)
        #expect(state.next(target) == .config(version: 4))
        state.sent(Self.mark(.config, 4), atMs: 0)
        // One of a kind is in flight; the secrets need not wait.
        #expect(state.next(target) == .secrets)
        state.sentSecrets(target)
        #expect(state.next(target) == nil)
        state.answered(.config, epoch: 1, version: 4, accepted: true)
        #expect(state.next(target) == .config(version: 7))
        state.sent(Self.mark(.config, 7), atMs: 0)
        #expect(state.next(target) == nil, "the rollout waits for both")
        state.answered(.config, epoch: 1, version: 7, accepted: false)
        #expect(state.next(target) == .rollout)
        state.sent(Self.mark(.rollout, 3), atMs: 0)
        state.answered(.rollout, epoch: 1, version: 3, accepted: false)
        #expect(state.next(target) == nil, "what was refused is not sent again")
        #expect(state.next(Self.target(configs: [4, 8], rollout: 4)) == .config(version: 8))
    }

    @Test("is a configuration again when a rollout comes back to it")
    func again() {
        var state = SubscriptionState(
            held: [Self.mark(.keyring, 1), Self.mark(.directory, 1), Self.mark(.config, 1), Self.mark(.config, 2)], enrolledKeyring: (1, 1),
            wantsFullDirectory: false)
        state.directoryUnchanged(epoch: 1, covered: 1)
        let both = Self.target(configs: [1, 2])
        state.sentSecrets(both)
        #expect(state.next(both) == nil)
        let one = Self.target(configs: [1])
        state.sentSecrets(one)
        #expect(state.next(one) == nil)
        #expect(state.next(both) == .config(version: 2))
    }

    @Test("is everything anew in a new epoch")
    func epoch() {
        var state = SubscriptionState(
            held: [Self.mark(.keyring, 1), Self.mark(.directory, 1), Self.mark(.config, 1), Self.mark(.rollout, 1)],
            enrolledKeyring: (1, 1),
            wantsFullDirectory: false)
        state.directoryUnchanged(epoch: 1, covered: 1)
        let old = Self.target(configs: [1], rollout: 1)
        state.sentSecrets(old)
        #expect(state.next(old) == nil)
        let new = Self.target(epoch: 2, configs: [1], rollout: 1)
        #expect(state.next(new) == .config(version: 1))
        state.sent(Self.mark(.config, 1, epoch: 2), atMs: 0)
        #expect(state.next(new) == .directory(full: false))
        state.answered(.config, epoch: 2, version: 1, accepted: true)
        #expect(state.next(new) == .rollout)
    }

    @Test("is one directory at a time, computed from the newest state")
    func directories() {
        var state = Self.upToDate()
        #expect(state.next(Self.target(directory: 5)) == .directory(full: false))
        state.sentDirectory(Self.mark(.directory, 5), covered: 5, full: false, atMs: 0)
        #expect(state.next(Self.target(directory: 9)) == nil, "one is in flight")
        state.answered(.directory, epoch: 1, version: 5, accepted: true)
        #expect(state.heldDirectory?.version == 5)
        #expect(state.next(Self.target(directory: 9)) == .directory(full: false))
        state.directoryUnchanged(epoch: 1, covered: 9)
        #expect(state.next(Self.target(directory: 9)) == nil)
    }

    @Test("after a refused delta is the whole directory; after a refused whole one nothing until it changes")
    func refusedDirectories() {
        var state = Self.upToDate()
        state.sentDirectory(Self.mark(.directory, 5), covered: 5, full: false, atMs: 0)
        state.answered(.directory, epoch: 1, version: 5, accepted: false)
        #expect(state.next(Self.target(directory: 5)) == .directory(full: true))
        state.sentDirectory(Self.mark(.directory, 6), covered: 5, full: true, atMs: 0)
        state.answered(.directory, epoch: 1, version: 6, accepted: false)
        #expect(state.next(Self.target(directory: 5)) == nil)
        #expect(state.next(Self.target(directory: 7)) == .directory(full: false))
    }

    @Test("is never a rollout ahead of its configurations, though it was changed while this one was under way")
    func rolloutChangedMeanwhile() {
        var state = Self.upToDate()
        let target = Self.target(configs: [4], rollout: 3)
        #expect(state.next(target) == .config(version: 4))
        state.sent(Self.mark(.config, 4), atMs: 0)
        state.answered(.config, epoch: 1, version: 4, accepted: true)
        state.sentSecrets(target)
        #expect(state.next(target) == .rollout)
        // Between the target and the making of the document an operator rolled out version 5: the document that is made names it.
        #expect(!state.isDue(Self.mark(.rollout, 4), target))
        #expect(!state.isDue(Self.mark(.rollout, 3, epoch: 2), target))
        #expect(state.isDue(Self.mark(.rollout, 3), target))
        let newer = Self.target(configs: [4, 5], rollout: 4)
        #expect(state.next(newer) == .config(version: 5))
        state.sent(Self.mark(.config, 5), atMs: 0)
        state.sentSecrets(newer)
        #expect(state.next(newer) == nil, "the rollout waits for its configuration")
        state.answered(.config, epoch: 1, version: 5, accepted: true)
        #expect(state.next(newer) == .rollout)
        #expect(state.isDue(Self.mark(.rollout, 4), newer))
    }

    @Test("is not changed by an answer to what was not sent")
    func stray() {
        var state = Self.upToDate()
        let target = Self.target(configs: [1], rollout: 1)
        state.answered(.config, epoch: 1, version: 1, accepted: true)
        state.answered(.directory, epoch: 1, version: 99, accepted: false)
        #expect(!state.awaits(.config, epoch: 1, version: 1))
        #expect(state.next(target) == .config(version: 1))
        state.sent(Self.mark(.config, 1), atMs: 42)
        #expect(state.oldestUnansweredMs == 42)
        state.answered(.config, epoch: 2, version: 1, accepted: true)
        #expect(state.oldestUnansweredMs == 42)
    }

    @Test("is the same version anew when the tenants changed, and its secrets with it; not for one that knows no revisions")
    func revisions() {
        let target = Self.target(configs: [4], rollout: 3)
        for knows in [true, false] {
            var state = SubscriptionState(
                held: [Self.mark(.keyring, 1), Self.mark(.directory, 1), Self.mark(.config, 4), Self.mark(.rollout, 3)],
                enrolledKeyring: (1, 1), wantsFullDirectory: false, takesRevisions: knows)
            state.directoryUnchanged(epoch: 1, covered: 1)
            state.sentSecrets(target)
            #expect(state.next(target) == nil)
            state.serves(tenantsRevision: 2)
            if knows {
                #expect(state.next(target) == .config(version: 4))
                state.sent(DocumentMark(kind: .config, epoch: 1, version: 4, revision: 2, digest: [2]), atMs: 0)
            }
            // What those tenants' credentials are is another matter than before, too.
            #expect(state.next(target) == .secrets)
            state.sentSecrets(target)
            #expect(state.next(target) == nil)
            guard knows else { continue }
            state.answered(.config, epoch: 1, version: 4, accepted: true)
            #expect(state.next(target) == nil)
            state.serves(tenantsRevision: 3)
            #expect(state.next(target) == .config(version: 4))
        }
    }

    @Test("is what else there is when one document cannot be made, and that one again later")
    func failures() {
        var state = Self.upToDate()
        let target = Self.target(configs: [4], rollout: 3, directory: 5)
        #expect(state.next(target) == .config(version: 4))
        state.failed(.config(version: 4))
        #expect(state.next(target) == .secrets)
        state.failed(.secrets)
        #expect(state.next(target) == .directory(full: false))
        state.failed(.directory(full: false))
        #expect(state.next(target) == nil)
        state.retry()
        #expect(state.next(target) == .config(version: 4))
    }
}
