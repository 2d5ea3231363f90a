import Contract

/// Makes a directory from nothing or from the one before it. A value whose members are shared with the directory it began from
/// until they change.
struct DirectoryBuilder {
    private var shards: [KeyShard]
    private var projects: [ProjectEntry?]
    private var projectIndex: [IDBits: UInt32]
    private var tenants: [IDBits: TenantEntry]
    private var scopes: [KeyScopes]
    private var scopeIndex: [KeyScopes: UInt32]
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
        scopeIndex = [:]
        for (index, scope) in scopes.enumerated() { scopeIndex[scope] = UInt32(truncatingIfNeeded: index + 1) }
    }

    /// Room for this many keys, spread evenly, so that a large directory is not built in doublings.
    mutating func reserve(keys: Int) {
        guard keys > Directory.shardCount else { return }
        for index in shards.indices { shards[index].reserve(keys / Directory.shardCount) }
    }

    mutating func upsertTenant(_ id: IDBits, disabled: Bool) {
        let known = tenants[id]
        if let known, known.disabled == disabled { return }
        if disabled { revocations &+= 1 }
        let entry = TenantEntry(bits: id, disabled: disabled)
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

    /// Projects of the tenant go with it, and so, unnamed, do their keys.
    mutating func removeTenant(_ id: IDBits) {
        guard tenants.removeValue(forKey: id) != nil else { return }
        revocations &+= 1
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
    }

    mutating func upsertKey(_ key: Key) throws(DocumentRefusal) {
        guard let project = projectIndex[key.project], let tenant = projects[Int(project)]?.tenant else {
            throw DocumentRefusal(.brokenReference, "key \(text(key.id, KeyEntry.idPrefix)) names an unknown project")
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
                scopes: scopes, rotation: 0, high: key.id.high, flags: flags),
            rotated: key.rotated)
    }

    mutating func removeKey(_ id: IDBits) {
        let shard = KeyShard.shard(of: id)
        touched.insert(shard)
        revocations &+= 1
        shards[shard].remove(id)
    }

    mutating func finish() -> Directory {
        for shard in touched { shards[shard].compactRotations() }
        touched = []
        return Directory(
            shards: shards, projects: projects, projectIndex: projectIndex, tenants: tenants, scopes: scopes,
            revocations: revocations)
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
