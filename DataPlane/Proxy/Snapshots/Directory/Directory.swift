import Contract
package import Primitives
import Synchronization
import Trust

/// Everybody that this data plane serves: immutable, compiled for lookup of keys by id and of other principals by id and name.
package final class Directory: Sendable {
    package static let shardCount = 256

    /// No other directory of this process has the same.
    let serial = Directory.serials.add(1, ordering: .relaxed).newValue
    private static let serials = Atomic<UInt64>(0)

    let shards: [KeyShard]
    /// Nil where a project was removed while keys still pointed at it: such keys are not found.
    let projects: [ProjectEntry?]
    let projectIndex: [IDBits: UInt32]
    let tenants: [IDBits: TenantEntry]
    let scopes: [KeyScopes]
    let principals: PrincipalTable
    package let limits: LimitSet
    let budgets: BudgetTable
    /// Of each did:web, by its identifier, the keys of its document.
    let documents: [IDBits: [DIDDocument.Method]]
    package let keyCount: Int
    /// Rises whenever somebody lost what he had: what runs for him is looked for then, and at no other change.
    let revocations: UInt64
    /// Tenants that take DIDs that nobody knows: most directories have none.
    private let takingDIDs: [(tenant: TenantEntry, policy: NewDIDPolicy)]

    init(
        shards: [KeyShard], projects: [ProjectEntry?], projectIndex: [IDBits: UInt32], tenants: [IDBits: TenantEntry], scopes: [KeyScopes],
        principals: PrincipalTable, documents: [IDBits: [DIDDocument.Method]] = [:], limits: LimitSet = .empty,
        budgets: BudgetTable = BudgetTable(), revocations: UInt64
    ) {
        self.limits = limits
        self.budgets = budgets
        self.principals = principals
        self.documents = documents
        self.revocations = revocations
        takingDIDs = tenants.values.compactMap { tenant in tenant.newDIDs.map { (tenant, $0) } }
        self.shards = shards
        self.projects = projects
        self.projectIndex = projectIndex
        self.tenants = tenants
        self.scopes = scopes
        keyCount = shards.reduce(0) { $0 + $1.count }
    }

    package static let empty = Directory(
        shards: Array(repeating: KeyShard(), count: shardCount), projects: [], projectIndex: [:], tenants: [:], scopes: [],
        principals: PrincipalTable(), revocations: 0)

    /// Of apps, users and all others that are no keys.
    package var principalCount: Int { principals.count }

    /// The key with this id, in a time that does not depend on how many there are. What it may do is the caller's to check:
    /// `KeyEntry.verdict`.
    package func lookup(_ id: IDBits) -> KeyEntry? {
        let shard = shards[KeyShard.shard(of: id)]
        guard let record = shard.find(id) else { return nil }
        let projectIndex = Int(record.project)
        guard projectIndex < projects.count, let project = projects[projectIndex] else { return nil }
        let scopeIndex = Int(record.scopes) - 1
        let extra = record.extra == 0 ? nil : shard.extra(record)
        return KeyEntry(
            id: id, digest: record.digest, rotated: extra?.rotated, user: extra?.user,
            expiresMilliseconds: record.expiresMilliseconds, disabled: record.flags.contains(.disabled),
            isCandidate: record.flags.contains(.candidate), project: project,
            scopes: scopeIndex >= 0 && scopeIndex < scopes.count ? scopes[scopeIndex] : nil)
    }

    package func lookup(_ id: KeyID) -> KeyEntry? { IDBits(id).flatMap { lookup($0) } }

    /// The same directory with the rollout's choice made for each key. Costs up to one SHA-256 a key: once a rollout document,
    /// off the request path.
    func selecting(_ selector: RolloutSelector?) -> Directory {
        var shards = shards
        for index in shards.indices {
            shards[index].setCandidates { isCandidate($0, selector) }
        }
        var principals = principals
        principals.setCandidates(selector)
        return Directory(
            shards: shards, projects: projects, projectIndex: projectIndex, tenants: tenants, scopes: scopes, principals: principals,
            documents: documents, limits: limits, budgets: budgets, revocations: revocations)
    }

    func app(_ id: IDBits) -> AppEntry? { principals.find(.app, id).flatMap(entry) }
    /// - Parameter name: what X-App-Id says.
    func app(named name: UnsafeRawBufferPointer) -> AppEntry? {
        principals.find(.app, named: PrincipalName.bits(.app, name, tenant: nil)).flatMap(entry)
    }

    func user(_ id: IDBits) -> UserEntry? { principals.find(.user, id).flatMap(entry) }
    /// - Parameter oid: what X-User-Oid says.
    func user(oid: UnsafeRawBufferPointer, of tenant: TenantEntry) -> UserEntry? {
        principals.find(.user, named: PrincipalName.bits(.user, oid, tenant: tenant.bits)).flatMap(entry)
    }

    func did(_ id: IDBits) -> DIDEntry? { principals.find(.did, id).flatMap(entry) }
    /// - Parameter fingerprint: what a DID stands for, however it is spelled (`DID.fingerprint`).
    func did(fingerprint: [UInt8]) -> DIDEntry? { did(named: Self.name(ofDID: fingerprint)) }
    func did(named name: IDBits) -> DIDEntry? { principals.find(.did, named: name).flatMap(entry) }

    static func name(ofDID fingerprint: [UInt8]) -> IDBits {
        fingerprint.withUnsafeBytes { PrincipalName.bits(.did, $0, tenant: nil) }
    }

    /// Whose a DID that nobody knows may become, by the host for which it signs; nil: it is refused.
    func tenant(taking did: String, signingFor host: String) -> TenantEntry? {
        guard !takingDIDs.isEmpty, let tenant = NewDIDPolicy.tenant(for: host, among: takingDIDs) else { return nil }
        return tenant.newDIDs?.takes(did) == true ? tenant : nil
    }

    /// What a grant is revoked by: its id is unique with its issuer.
    static func grantName(_ id: String, issuer fingerprint: [UInt8]) -> IDBits {
        let name = SHA256Digest.of(fingerprint + Array(id.utf8))
        return name.withUnsafeBytes { PrincipalName.bits(.revokedGrant, $0, tenant: nil) }
    }

    func isRevoked(grant name: IDBits) -> Bool { principals.find(.revokedGrant, named: name) != nil }

    private func entry(_ record: PrincipalRecord) -> DIDEntry? {
        guard let tenant = tenants[record.tenant] else { return nil }
        return DIDEntry(id: record.id, tenant: tenant, user: record.link, disabled: record.flags.contains(.disabled))
    }

    /// The keys of a did:web's document, as the control plane read it last.
    func methods(of did: DIDEntry) -> [DIDDocument.Method] { documents[did.id] ?? [] }

    private func entry(_ record: PrincipalRecord) -> AppEntry? {
        guard let tenant = tenants[record.tenant] else { return nil }
        return AppEntry(
            id: record.id, tenant: tenant, owner: record.link, secret: principals.secret(record),
            disabled: record.flags.contains(.disabled),
            isCandidate: record.flags.contains(.candidate))
    }

    private func entry(_ record: PrincipalRecord) -> UserEntry? {
        guard let tenant = tenants[record.tenant] else { return nil }
        return UserEntry(
            id: record.id, tenant: tenant, paidUntilMilliseconds: record.untilMilliseconds, disabled: record.flags.contains(.disabled))
    }

    /// Why nothing may run for a principal any more; nil while it may.
    func interruption(of principal: Principal) -> Interruption? {
        guard let tenant = tenants[principal.tenant.bits], !tenant.disabled else {
            return .disabled("tenant_disabled", "The \(principal.kind.word)'s tenant is disabled.", status: 403)
        }
        if let held = principal.project {
            guard let index = projectIndex[held.bits], let project = projects[Int(index)], !project.disabled else {
                return .disabled("project_disabled", "The key's project is disabled.", status: 403)
            }
        }
        if let user = principal.user {
            guard let user = self.user(user), !user.disabled else {
                return .disabled("user_disabled", "The user is unknown or disabled.", status: 403)
            }
        }
        switch principal.kind {
        case .key:
            guard let key = lookup(principal.id), !key.disabled else {
                return .disabled("key_revoked", "The key was revoked.", status: 401)
            }
        case .app:
            guard let app = app(principal.id), !app.disabled else {
                return .disabled("app_disabled", "The app is unknown or disabled.", status: 403)
            }
        case .user:
            guard let user = user(principal.id), !user.disabled else {
                return .disabled("user_disabled", "The user is unknown or disabled.", status: 403)
            }
        case .revokedGrant: break
        case .did:
            if let grant = principal.grant, isRevoked(grant: grant) {
                return .disabled("grant_revoked", "The grant was revoked.", status: 403)
            }
            if let key = principal.delegate, lookup(key)?.disabled ?? true {
                return .disabled("key_revoked", "The key was revoked.", status: 401)
            }
            guard let did = did(principal.id), !did.disabled else {
                return .disabled("did_disabled", "The DID is unknown or disabled.", status: 403)
            }
        }
        return nil
    }

    private func isCandidate(_ record: KeyRecord, _ selector: RolloutSelector?) -> Bool {
        guard let selector, selector.concernsThisDataPlane else { return false }
        let index = Int(record.project)
        guard index < projects.count, let project = projects[index] else { return false }
        let id = String(decoding: record.id.bytes(prefix: KeyEntry.idPrefix), as: UTF8.self)
        return selector.isCandidate(keyID: id, tenantID: project.tenant.id)
    }
}

package final class TenantEntry: Sendable {
    package static let idPrefix: StaticString = "ten_"

    package let bits: IDBits
    package let idBytes: [UInt8]
    package let disabled: Bool
    /// Its share beside other tenants' where requests wait for each other: 1...1000.
    let weight: Int64
    /// Which DIDs that nobody knows may become its; nil: none.
    let newDIDs: NewDIDPolicy?

    init(bits: IDBits, disabled: Bool, weight: UInt64 = 0, newDIDs: NewDIDPolicy? = nil) {
        self.bits = bits
        self.disabled = disabled
        self.weight = Int64(min(max(weight, 1), 1000))
        self.newDIDs = disabled ? nil : newDIDs
        idBytes = bits.bytes(prefix: Self.idPrefix)
    }

    package var id: String { String(decoding: idBytes, as: UTF8.self) }
}

package final class ProjectEntry: Sendable {
    package static let idPrefix: StaticString = "prj_"

    package let bits: IDBits
    package let idBytes: [UInt8]
    package let disabled: Bool
    package let tenant: TenantEntry

    init(bits: IDBits, disabled: Bool, tenant: TenantEntry) {
        self.bits = bits
        self.disabled = disabled
        self.tenant = tenant
        idBytes = bits.bytes(prefix: Self.idPrefix)
    }

    package var id: String { String(decoding: idBytes, as: UTF8.self) }
}

/// An app as a request sees it.
struct AppEntry {
    static let idPrefix: StaticString = "app_"

    let id: IDBits
    let tenant: TenantEntry
    /// The user who pays.
    let owner: IDBits?
    /// Nil: it has none of its own.
    let secret: PrincipalSecret?
    let disabled: Bool
    /// Whether the rollout in force gives this app's requests the candidate version.
    let isCandidate: Bool
}

/// A user as a request sees it.
struct UserEntry {
    static let idPrefix: StaticString = "usr_"

    let id: IDBits
    let tenant: TenantEntry
    /// The first millisecond (Unix) that is not paid for; 0: no end.
    let paidUntilMilliseconds: Int64
    let disabled: Bool

    func hasPaid(nowMilliseconds: Int64) -> Bool { paidUntilMilliseconds == 0 || nowMilliseconds < paidUntilMilliseconds }
}

/// A DID that was registered. Its key, or account, is in what it is called by; of a did:web they are beside it (`Directory.methods`).
struct DIDEntry: Sendable {
    static let idPrefix: StaticString = "did_"

    let id: IDBits
    let tenant: TenantEntry
    /// Whose it is; nil: nobody's in particular.
    let user: IDBits?
    let disabled: Bool
}

/// One virtual key as a request sees it.
package struct KeyEntry: Sendable {
    package static let idPrefix: StaticString = "key_"

    package let id: IDBits
    package let digest: DigestWords
    let rotated: RotatedSecret?
    /// Whose key it is; nil: nobody's in particular.
    let user: IDBits?
    /// Unix milliseconds; 0 is never.
    package let expiresMilliseconds: Int64
    package let disabled: Bool
    /// Whether the rollout in force gives this key the candidate version.
    package let isCandidate: Bool
    package let project: ProjectEntry
    /// Nil is unrestricted.
    package let scopes: KeyScopes?

    package var tenant: TenantEntry { project.tenant }
    /// `key_…` as UTF-8, made anew at each call.
    package var idBytes: [UInt8] { id.bytes(prefix: Self.idPrefix) }

    package enum Verdict: Sendable, Hashable {
        case accepted
        /// Not the secret of this key, nor the one it replaced.
        case wrongSecret
        /// The secret was replaced and its grace period is over.
        case rotatedAway
        case expired
        case keyDisabled
        case projectDisabled
        case tenantDisabled
    }

    /// Whether the holder of a plaintext with this SHA-256 may use the key now. The secret is judged first, so that only its
    /// holder learns anything about the key.
    package func verdict(presented: DigestWords, nowMilliseconds: Int64) -> Verdict {
        let current = digest.equalInConstantTime(presented)
        if !current {
            guard let rotated, rotated.digest.equalInConstantTime(presented) else { return .wrongSecret }
            guard nowMilliseconds < rotated.expiresMilliseconds else { return .rotatedAway }
        }
        return standing(nowMilliseconds: nowMilliseconds)
    }

    /// Whether the key may be used now by who has proved to hold it.
    func standing(nowMilliseconds: Int64) -> Verdict {
        if disabled { return .keyDisabled }
        if expiresMilliseconds != 0 && nowMilliseconds >= expiresMilliseconds { return .expired }
        if project.disabled { return .projectDisabled }
        if project.tenant.disabled { return .tenantDisabled }
        return .accepted
    }
}

/// What a key is restricted to; nil members are unrestricted. And what its records carry. Shared by all keys with the same.
package final class KeyScopes: Sendable, Hashable {
    package let models: Set<String>?
    package let capabilities: CapabilitySet?
    package let channels: Set<String>?
    /// UTF-8: `name=text`.
    let tags: [[UInt8]]
    let origin: OriginLimits?
    /// Identifiers of provider credentials: of an endpoint's own these and no others.
    let credentials: Set<String>?
    let rights: RoutingRights

    init(
        models: Set<String>, capabilities: Set<String>, channels: Set<String>, tags: [[UInt8]] = [], origin: OriginLimits? = nil,
        credentials: Set<String> = [], rights: RoutingRights = []
    ) {
        self.rights = rights
        self.credentials = credentials.isEmpty ? nil : credentials
        self.tags = tags
        self.origin = origin
        self.models = models.isEmpty ? nil : models
        // A restriction to capabilities that this release does not know allows nothing, rather than everything.
        self.capabilities = capabilities.isEmpty ? nil : CapabilitySet(names: capabilities)
        self.channels = channels.isEmpty ? nil : channels
    }

    /// What is left of a caller's own restriction beside other models.
    init(delegated models: [String]?, to scopes: KeyScopes?) {
        self.models = models.map { Set($0) }
        capabilities = scopes?.capabilities
        channels = scopes?.channels
        tags = scopes?.tags ?? []
        origin = scopes?.origin
        credentials = scopes?.credentials
        // What the operator gave to somebody is not that one's to give on.
        rights = []
    }

    package func allows(model: String) -> Bool { models?.contains(model) ?? true }
    func allows(credential id: String) -> Bool { credentials?.contains(id) ?? true }
    package func allows(capability: CapabilitySet) -> Bool { capabilities?.contains(capability) ?? true }
    package func allows(channel: String) -> Bool { channels?.contains(channel) ?? true }

    package static func == (a: KeyScopes, b: KeyScopes) -> Bool {
        a === b
            || (a.models == b.models && a.capabilities == b.capabilities && a.channels == b.channels && a.tags == b.tags
                && a.origin == b.origin && a.credentials == b.credentials && a.rights == b.rights)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(models)
        hasher.combine(capabilities)
        hasher.combine(channels)
        hasher.combine(tags)
        hasher.combine(origin)
        hasher.combine(credentials)
        hasher.combine(rights.rawValue)
    }
}

/// What a model can do, or a key may ask for.
package struct CapabilitySet: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let chat = CapabilitySet(rawValue: 1)
    package static let completions = CapabilitySet(rawValue: 2)
    package static let embeddings = CapabilitySet(rawValue: 4)
    package static let images = CapabilitySet(rawValue: 8)
    /// Speech, transcriptions, translations.
    package static let audio = CapabilitySet(rawValue: 16)
    package static let moderations = CapabilitySet(rawValue: 32)
    /// The account that serves the model keeps files.
    package static let files = CapabilitySet(rawValue: 64)

    /// Names this release does not know are left out.
    package init(names: some Sequence<String>) {
        self = []
        for name in names {
            switch name {
            case "chat": insert(.chat)
            case "completions": insert(.completions)
            case "embeddings": insert(.embeddings)
            case "images": insert(.images)
            case "audio": insert(.audio)
            case "moderations": insert(.moderations)
            case "files": insert(.files)
            default: break
            }
        }
    }
}
