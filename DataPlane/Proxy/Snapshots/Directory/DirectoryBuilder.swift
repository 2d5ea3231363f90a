import Contract
import Trust

/// Makes a directory from nothing or from the one before it. A value whose members are shared with the directory it began from
/// until they change.
struct DirectoryBuilder {
    private var shards: [KeyShard]
    private var projects: [ProjectEntry?]
    private var projectIndex: [IDBits: UInt32]
    private var tenants: [IDBits: TenantEntry]
    private var scopes: [KeyScopes]
    private var scopeIndex: [KeyScopes: UInt32]
    private var principals: PrincipalTable
    private var limits: LimitSet
    /// Those that change; nil: none does.
    private var rules: [IDBits: LimitRule]?
    private var budgets: BudgetTable
    private var documents: [IDBits: [DIDDocument.Method]]
    private var touched: Set<Int> = []
    private var revocations: UInt64
    private let selector: RolloutSelector?

    /// - Parameter selector: the rollout in force, by which `directory` was compiled; decides for each key that is upserted.
    /// - Parameter revocations: what the directory in force has counted, when this one is built from nothing.
    init(from directory: Directory = .empty, selector: RolloutSelector? = nil, revocations: UInt64? = nil) {
        self.selector = selector
        // A directory that is new as a whole may lack anybody.
        self.revocations = revocations.map { $0 &+ 1 } ?? directory.revocations
        shards = directory.shards
        projects = directory.projects
        projectIndex = directory.projectIndex
        tenants = directory.tenants
        scopes = directory.scopes
        principals = directory.principals
        limits = directory.limits
        budgets = directory.budgets
        documents = directory.documents
        scopeIndex = [:]
        for (index, scope) in scopes.enumerated() { scopeIndex[scope] = UInt32(truncatingIfNeeded: index + 1) }
    }

    /// Room for this many keys, spread evenly, so that a large directory is not built in doublings.
    mutating func reserve(keys: Int, principals count: Int = 0) {
        principals.reserve(count)
        guard keys > Directory.shardCount else { return }
        for index in shards.indices { shards[index].reserve(keys / Directory.shardCount) }
    }

    /// - Parameter weight: 0 is one that was not said.
    mutating func upsertTenant(_ id: IDBits, disabled: Bool, weight: UInt64 = 0, newDIDs: NewDIDPolicy? = nil) {
        let known = tenants[id]
        let entry = TenantEntry(bits: id, disabled: disabled, weight: weight, newDIDs: newDIDs)
        if let known, known.disabled == disabled, known.weight == entry.weight, known.newDIDs == newDIDs { return }
        if disabled { revocations &+= 1 }
        tenants[id] = entry
        guard known != nil else { return }
        for index in projects.indices {
            guard let project = projects[index], project.tenant.bits == id else { continue }
            projects[index] = ProjectEntry(bits: project.bits, disabled: project.disabled, tenant: entry)
        }
    }

    mutating func upsertProject(_ id: IDBits, tenant tenantID: IDBits, disabled: Bool) throws(DocumentRefusal) {
        guard let tenant = tenants[tenantID] else {
            throw DocumentRefusal(.brokenReference, "project \(text(id, ProjectEntry.idPrefix)) names an unknown tenant")
        }
        let entry = ProjectEntry(bits: id, disabled: disabled, tenant: tenant)
        if disabled { revocations &+= 1 }
        if let index = projectIndex[id] {
            guard projects[Int(index)]?.tenant.bits == tenantID else {
                throw DocumentRefusal(.malformedPayload, "project \(entry.id) has moved to another tenant")
            }
            projects[Int(index)] = entry
        } else {
            projectIndex[id] = UInt32(truncatingIfNeeded: projects.count)
            projects.append(entry)
        }
    }

    /// Projects, users and apps of the tenant go with it, and so, unnamed, do its keys.
    mutating func removeTenant(_ id: IDBits) {
        guard tenants.removeValue(forKey: id) != nil else { return }
        revocations &+= 1
        principals.removeAll(of: id)
        budgets.removeAll(of: id)
        for did in documents.keys where principals.find(.did, did) == nil { documents[did] = nil }
        for (project, index) in projectIndex where projects[Int(index)]?.tenant.bits == id {
            projects[Int(index)] = nil
            projectIndex[project] = nil
        }
    }

    /// The index is not used again: keys that still carry it must not wake up in another project.
    mutating func removeProject(_ id: IDBits) {
        guard let index = projectIndex.removeValue(forKey: id) else { return }
        revocations &+= 1
        projects[Int(index)] = nil
    }

    struct Key {
        var id: IDBits
        var project: IDBits
        var digest: DigestWords
        var rotated: RotatedSecret?
        var expiresMilliseconds: Int64
        var disabled: Bool
        var scopes: KeyScopes?
        var user: IDBits?
    }

    mutating func upsertKey(_ key: Key) throws(DocumentRefusal) {
        guard let project = projectIndex[key.project], let tenant = projects[Int(project)]?.tenant else {
            throw DocumentRefusal(.brokenReference, "key \(text(key.id, KeyEntry.idPrefix)) names an unknown project")
        }
        if let user = key.user, principals.find(.user, user)?.tenant != tenant.bits {
            throw DocumentRefusal(.brokenReference, "key \(text(key.id, KeyEntry.idPrefix)) names an unknown user")
        }
        let shard = KeyShard.shard(of: key.id)
        touched.insert(shard)
        if key.disabled { revocations &+= 1 }
        var flags: KeyRecord.Flags = key.disabled ? .disabled : []
        if let selector, selector.concernsThisDataPlane, selector.isCandidate(keyID: text(key.id, KeyEntry.idPrefix), tenantID: tenant.id) {
            flags.insert(.candidate)
        }
        var scopes: UInt32 = 0
        if let restriction = key.scopes { scopes = intern(restriction) }
        shards[shard].upsert(
            KeyRecord(
                low: key.id.low, digest: key.digest, expiresMilliseconds: key.expiresMilliseconds, project: project,
                scopes: scopes, extra: 0, high: key.id.high, flags: flags),
            KeyExtra(rotated: key.rotated, user: key.user))
    }

    mutating func removeKey(_ id: IDBits) {
        let shard = KeyShard.shard(of: id)
        touched.insert(shard)
        revocations &+= 1
        shards[shard].remove(id)
    }

    /// One that is no key.
    struct Other {
        var kind: Principal.Kind
        var id: IDBits
        var tenant: IDBits
        /// What a request calls it.
        var name: IDBits
        var link: IDBits?
        var untilMilliseconds: Int64 = 0
        var secret: PrincipalSecret?
        var disabled: Bool
        /// Of a did:web.
        var methods: [DIDDocument.Method] = []
    }

    mutating func upsert(_ other: Other) throws(DocumentRefusal) {
        guard tenants[other.tenant] != nil else {
            throw DocumentRefusal(.brokenReference, "\(other.kind.word) \(text(other.id, other.kind.idPrefix)) names an unknown tenant")
        }
        if other.disabled { revocations &+= 1 }
        var record = PrincipalRecord(
            low: other.id.low, tenantLow: other.tenant.low, linkLow: other.link?.low ?? 0, untilMilliseconds: other.untilMilliseconds,
            secret: 0, high: other.id.high, tenantHigh: other.tenant.high, linkHigh: other.link?.high ?? 0, kind: other.kind.rawValue,
            flags: other.disabled ? .disabled : [])
        if record.isChosen(by: selector) { record.flags.insert(.candidate) }
        principals.upsert(record, named: other.name, other.secret)
        // Few have one: the others cost no more than this.
        if !other.methods.isEmpty || documents[other.id] != nil { documents[other.id] = other.methods.isEmpty ? nil : other.methods }
    }

    mutating func remove(_ kind: Principal.Kind, _ id: IDBits) {
        revocations &+= 1
        principals.remove(kind, id)
        if kind == .did, documents[id] != nil { documents[id] = nil }
    }

    mutating func upsert(_ rule: LimitRule) { change(rule.id, rule) }
    mutating func removeLimit(_ id: IDBits) { change(id, nil) }

    private mutating func change(_ id: IDBits, _ rule: LimitRule?) {
        if rules == nil { rules = limits.rules }
        rules?[id] = rule
    }

    mutating func upsert(_ rule: BudgetRule) throws(DocumentRefusal) {
        guard tenants[rule.tenant] != nil else {
            throw DocumentRefusal(.brokenReference, "budget \(text(rule.id, BudgetRule.idPrefix)) names an unknown tenant")
        }
        budgets.upsert(rule)
    }

    mutating func removeBudget(_ id: IDBits) { budgets.remove(id) }

    mutating func finish() -> Directory {
        if let rules { limits = LimitSet(rules) }
        for shard in touched { shards[shard].compactExtras() }
        principals.compact()
        touched = []
        return Directory(
            shards: shards, projects: projects, projectIndex: projectIndex, tenants: tenants, scopes: scopes,
            principals: principals, documents: documents, limits: limits, budgets: budgets, revocations: revocations)
    }

    private mutating func intern(_ scope: KeyScopes) -> UInt32 {
        if let known = scopeIndex[scope] { return known }
        scopes.append(scope)
        let index = UInt32(truncatingIfNeeded: scopes.count)
        scopeIndex[scope] = index
        return index
    }

    private func text(_ id: IDBits, _ prefix: StaticString) -> String { String(decoding: id.bytes(prefix: prefix), as: UTF8.self) }
}
