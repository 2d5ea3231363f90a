package import Contract
import Nouns
import Primitives
import Storage
import Trust

/// Each DID's own key at a provider, made with a management key. What is wanted stands in a row before anybody is asked for anything, so that
/// whatever dies between two steps is taken up again: nothing is made twice, and no key stays that nobody knows of.
///
/// A step is taken by whoever moves the row (`UpstreamKeysTable.update`), for a minute: two replicas, or a caller and the reconciler, never
/// both ask. Every attempt gives its key a name of its own; what became of one whose answer was lost is found by that name, deleted, and
/// asked for anew, since the key's text was in the lost answer only.
package struct UpstreamKeyService: Sendable {
    /// Where a process may die, for tests.
    enum Step: Sendable, CaseIterable { case claimed, made, cleaned, changed, removed }

    private static let claimMilliseconds: Int64 = 60_000
    /// Longer than any provider carries out a request late.
    private static let doubtMilliseconds: Int64 = 900_000
    private static let concurrent = 8
    private static let looks = 40
    private static let maximumSteps = 2000

    private let domain: DomainContext
    private let cipher: AtRestCipher
    private let credentials: CredentialService
    private let http: any OutboundHTTP
    private let deployment: String
    private let reached: @Sendable (Step) throws -> Void
    private let kicks: AsyncStream<Void>
    private let kicked: AsyncStream<Void>.Continuation

    package init(_ fleet: FleetContext, credentials: CredentialService, http: any OutboundHTTP) {
        self.init(fleet.domain, cipher: fleet.cipher, credentials: credentials, http: http, deployment: fleet.deployment)
    }

    init(
        _ domain: DomainContext, cipher: AtRestCipher, credentials: CredentialService, http: any OutboundHTTP, deployment: String,
        reached: @escaping @Sendable (Step) throws -> Void = { _ in }
    ) {
        self.domain = domain
        self.cipher = cipher
        self.credentials = credentials
        self.http = http
        self.deployment = deployment
        self.reached = reached
        (kicks, kicked) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    private var now: Int64 { domain.clock.nowMilliseconds() }

    /// A ciphertext opens only in its own row.
    static func binding(_ id: String, _ didID: String) -> [UInt8] { Array("upstream key\0\(id)\0\(didID)".utf8) }

    // MARK: What is wanted

    /// Notes that a DID is to have a key, where its tenant says with what; in the transaction that makes the DID.
    static func want(_ didID: DIDEntryID, _ tenant: Tenant, _ change: NounChange) throws -> Bool {
        guard let credentialID = tenant.content.didCredentialID,
            let credential = try CredentialContent.find(change.connection, credentialID.rawValue)
        else { return false }
        let row = UpstreamKeyRow(
            id: "upk_" + Base32.encode(SecureRandom.bytes(10)), tenantID: tenant.id.rawValue, didID: didID.rawValue,
            credentialID: credentialID.rawValue, providerID: credential.content.providerID.rawValue, now: change.now)
        try UpstreamKeysTable.insert(change.connection, row, now: change.now)
        return true
    }

    /// A DID asks, at a data plane, for what its key opens, and the data plane has none, or one that the provider refuses.
    /// - Returns: without a code when there is one, or one is being made: it comes with the secrets.
    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    package func wish(_ didID: String, refused: UInt64 = 0, from dataPlaneID: String) async throws -> Weir_V1_Answer {
        let now = now
        let known = try await domain.write(as: .all) { c -> (row: UpstreamKeyRow, wish: String)? in
            guard let plane = try DataPlanesTable.find(c, id: dataPlaneID), plane.status == .active else { throw FleetRefusal.revoked }
            guard let did = try DIDContent.find(c, didID),
                DirectoryScope(tenantIDs: plane.tenantIDs).contains(did.content.tenantID.rawValue)
            else { return nil }
            if let known = try UpstreamKeysTable.find(c, didID: didID, now: now) { return known }
            guard let tenant = try TenantContent.find(c, did.content.tenantID.rawValue) else { return nil }
            let change = NounChange(connection: c, actor: .system("upstream keys"), now: now, number: 0)
            return try Self.want(did.id, tenant, change) ? UpstreamKeysTable.find(c, didID: didID, now: now) : nil
        }
        guard let (first, wish) = known else {
            return .refusal("no_upstream_key", "This DID has no key of its own at the provider: its tenant gives none.", status: 403)
        }
        guard wish == "active" else { return .refusal("did_disabled", "The DID is disabled.", status: 403) }
        var row = first
        if refused != 0, row.state == .active, UInt64(clamping: row.revision) == refused, row.dueAt <= self.now {
            row = try await verify(row) ?? row
        }
        for _ in 0..<4 where row.state != .active && row.dueAt <= self.now {
            guard let next = try await advance(row, wish: wish) else { break }
            row = next
        }
        // Somebody else is at it: what he comes to is told, as far as it takes no longer than the caller waits.
        for _ in 0..<Self.looks where row.state == .creating && row.failures == 0 {
            try await Task.sleep(for: .milliseconds(100))
            let id = row.id
            guard let present = try await domain.read(as: .all, { c in try UpstreamKeysTable.find(c, id: id) }) else { break }
            row = present
        }
        if row.state == .active || row.failures == 0 { return Weir_V1_Answer() }
        return .refusal(
            "upstream_key_failed", "The provider did not give this DID a key. The gateway's operator has been told.",
            retryMilliseconds: max(1000, row.dueAt - self.now))
    }

    // MARK: Working on it

    /// Something is wanted: soon, by this replica.
    func kick() { kicked.yield() }

    /// Until the task is cancelled.
    package func run() async {
        // What fails is taken up by the reconciler.
        for await _ in kicks { try? await reconcile() }
    }

    /// Brings every key a step nearer to what is wanted of it, until nothing is due.
    package func reconcile() async throws {
        var paused: Set<String> = []
        var steps = 0
        while steps < Self.maximumSteps {
            let now = now
            let due = try await domain.read(as: .all) { c in try UpstreamKeysTable.due(c, now: now, limit: 200) }
                .filter { !paused.contains($0.row.credentialID) }
            if due.isEmpty { break }
            steps += due.count
            let failed = try await withThrowingTaskGroup(of: String?.self) { group in
                var failed: Set<String> = []
                for (index, (row, wish)) in due.enumerated() {
                    if index >= Self.concurrent, let credential = try await group.next() ?? nil { failed.insert(credential) }
                    group.addTask {
                        let after = try await advance(row, wish: wish)
                        return after.map { $0.failures > row.failures } ?? false ? row.credentialID : nil
                    }
                }
                for try await credential in group { if let credential { failed.insert(credential) } }
                return failed
            }
            // What went wrong for one goes wrong for the next.
            paused.formUnion(failed)
        }
        try await sweep()
    }

    /// Deletes keys of lost attempts that appeared after they were looked for.
    private func sweep() async throws {
        let now = now
        for credentialID in try await domain.read(as: .all, { c in try UpstreamKeysTable.doubtfulCredentials(c, now: now) }) {
            guard let api = try await management(credentialID), let listed = try? await api.list(prefix: "weir/\(deployment)/") else {
                continue
            }
            for key in listed {
                let parts = key.name.split(separator: "/", omittingEmptySubsequences: false)
                guard parts.count == 4, let attempt = Int64(parts[3]) else { continue }
                // Read after the list: what was made meanwhile is known by now, or somebody is at it.
                let row = try await domain.read(as: .all) { c in try UpstreamKeysTable.find(c, id: String(parts[2])) }
                if let row, row.hash == key.hash || (row.state == .creating && row.attempt == attempt && row.dueAt > self.now) { continue }
                try? await api.delete(key.hash)
            }
        }
    }

    /// One step.
    /// - Returns: how the row stands then; nil: somebody else is at it.
    private func advance(_ row: UpstreamKeyRow, wish: String) async throws -> UpstreamKeyRow? {
        var taken = row
        taken.dueAt = now + Self.claimMilliseconds
        switch (row.state, wish) {
        case (.gone, _): return row
        case (.wanted, "gone"):
            taken.state = .gone
            return try await put(taken, over: row)
        case (.wanted, _):
            taken.state = .creating
            taken.attempt += 1
            taken.doubtfulUntil = now + Self.doubtMilliseconds
        case (.active, "gone"), (.changing, "gone"): taken.state = .ending
        case (.active, _): taken.state = .changing
        case (.creating, _), (.changing, _), (.ending, _): break
        }
        guard let claimed = try await put(taken, over: row) else { return nil }
        try reached(.claimed)
        guard let api = try await management(row.credentialID) else {
            // Its credential is gone: nothing can be made or removed with it any more.
            let failure = KeyManagement.Failure(text: "its credential cannot be read", isUnknown: false)
            return try await put(failed(claimed, as: row.state, failure), over: claimed)
        }
        do {
            switch (row.state, wish) {
            case (.wanted, _): return try await make(claimed, api)
            case (.creating, _):
                for key in try await api.list(prefix: prefix(claimed)) { try await api.delete(key.hash) }
                return try await finish(.cleaned, claimed) { next in
                    next.state = wish == "gone" ? .gone : .wanted
                    next.dueAt = 0
                }
            case (.active, "gone"), (.changing, "gone"), (.ending, _):
                if let hash = claimed.hash { try await api.delete(hash) }
                return try await finish(.removed, claimed) { next in
                    next.state = .gone
                    next.ciphertext = nil
                    next.masterKeyID = nil
                }
            default:
                let isThere = try await api.setDisabled(claimed.hash ?? "", wish == "disabled")
                return try await finish(.changed, claimed) { next in
                    next.state = .active
                    next.isDisabled = isThere && wish == "disabled"
                    next.dueAt = 0
                    if isThere { return }
                    // Somebody deleted it there: another one.
                    next.state = .wanted
                    next.hash = nil
                    next.ciphertext = nil
                    next.masterKeyID = nil
                }
            }
        } catch let failure as KeyManagement.Failure {
            return try await put(failed(claimed, as: row.state == .wanted ? .wanted : claimed.state, failure), over: claimed)
        }
    }

    /// A key that the provider is said to refuse: whether it is there. Asked once a minute for each key, whatever data planes say.
    /// - Returns: the row as it stands then; nil: somebody else is at it, or nobody can tell.
    private func verify(_ row: UpstreamKeyRow) async throws -> UpstreamKeyRow? {
        var taken = row
        taken.dueAt = now + Self.claimMilliseconds
        guard let claimed = try await put(taken, over: row), let api = try await management(row.credentialID) else { return nil }
        guard let isThere = try? await api.setDisabled(claimed.hash ?? "", false), !isThere else { return nil }
        var next = claimed
        next.state = .wanted
        next.hash = nil
        next.ciphertext = nil
        next.masterKeyID = nil
        next.dueAt = 0
        return try await put(next, over: claimed, isSecret: true)
    }

    private func make(_ claimed: UpstreamKeyRow, _ api: KeyManagement) async throws -> UpstreamKeyRow? {
        let tenant = try await domain.read(as: .all) { c in try TenantContent.find(c, claimed.tenantID)?.content }
        let reset = tenant.flatMap { $0.didKeyLimitReset == .never ? nil : $0.didKeyLimitReset.rawValue }
        let made = try await api.create(name: prefix(claimed) + String(claimed.attempt), limit: tenant?.didKeyLimit, reset: reset)
        try reached(.made)
        do {
            var next = claimed
            next.state = .active
            next.hash = made.hash
            next.ciphertext = try cipher.encrypt(Array(made.key.reveal().utf8), aad: Self.binding(claimed.id, claimed.didID))
            next.masterKeyID = cipher.keyID
            next.isDisabled = false
            next.failures = 0
            next.lastError = ""
            next.dueAt = 0
            let stored = try await put(next, over: claimed, isSecret: true)
            if stored != nil { warn(claimed, nil) }
            // Somebody took over since: his is the key.
            if stored == nil { try? await api.delete(made.hash) }
            return stored
        } catch {
            // It could not be kept: it is removed, now or by the reconciler, who finds it by its name.
            try? await api.delete(made.hash)
            throw error
        }
    }

    private func finish(_ step: Step, _ claimed: UpstreamKeyRow, _ edit: (inout UpstreamKeyRow) -> Void) async throws -> UpstreamKeyRow? {
        try reached(step)
        var next = claimed
        edit(&next)
        next.failures = 0
        next.lastError = ""
        let stored = try await put(next, over: claimed, isSecret: step != .cleaned)
        warn(claimed, nil)
        return stored
    }

    /// After a step that went wrong: when it is tried again, and from where.
    private func failed(_ claimed: UpstreamKeyRow, as state: UpstreamKeyRow.State, _ failure: KeyManagement.Failure) -> UpstreamKeyRow {
        var next = claimed
        // One that may have been made is looked for first.
        next.state = state == .wanted && failure.isUnknown ? .creating : state
        next.failures += 1
        next.lastError = failure.text
        let backoff = min(Int64(3_600_000), Int64(2000) << min(next.failures, 10))
        next.dueAt = now + max(backoff, failure.retryMilliseconds ?? 0)
        warn(claimed, failure.text)
        return next
    }

    private func warn(_ row: UpstreamKeyRow, _ text: String?) {
        domain.warnings.set(
            "upstream keys of \(row.credentialID)",
            text.map { "\($0): DIDs wait for their keys; check the management key \(row.credentialID)" })
    }

    /// - Parameter isSecret: data planes have to hear of it.
    /// - Returns: the row as it stands; nil: somebody else moved it.
    private func put(_ next: UpstreamKeyRow, over old: UpstreamKeyRow, isSecret: Bool = false) async throws -> UpstreamKeyRow? {
        let now = now
        return try await domain.write(as: .all, waking: isSecret ? [.credentials] : [], taken: nil) { c in
            var next = next
            if isSecret { next.revision = try ChangeCounter.credentials.next(c) }
            return try UpstreamKeysTable.update(c, next, from: old, now: now) ? next : nil
        }
    }

    private func prefix(_ row: UpstreamKeyRow) -> String { "weir/\(deployment)/\(row.id)/" }

    /// Nil: the credential, or its provider, is gone or cannot be read.
    private func management(_ credentialID: String) async throws -> KeyManagement? {
        let decrypted: DecryptedCredential
        do {
            decrypted = try await credentials.decrypt(CredentialID(credentialID))
        } catch DomainError.notFound {
            return nil
        } catch is TrustError {
            return nil
        }
        let provider = try await domain.read(as: .all) { c in try ProviderContent.find(c, decrypted.providerID.rawValue)?.content }
        return provider.map {
            KeyManagement(http: http, baseURL: $0.baseURL, authorities: $0.caPEM ?? "", secret: decrypted.secret)
        }
    }

    // MARK: For the fleet

    func decrypt(_ row: UpstreamKeyRow) throws -> [UInt8] {
        try cipher.decrypt(row.ciphertext ?? [], aad: Self.binding(row.id, row.didID))
    }
}
