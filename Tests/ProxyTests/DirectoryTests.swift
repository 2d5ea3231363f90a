import Contract
import Foundation
import Primitives
import SwiftProtobuf
import Testing
import Trust

@testable import Proxy

@Suite("Directory", .timeLimit(.minutes(10)))
struct DirectoryTests {
    /// What the directory should say, kept the plain way.
    struct Model {
        var tenants: [TenantID: Weir_V1_Tenant] = [:]
        var projects: [ProjectID: Weir_V1_Project] = [:]
        var keys: [KeyID: Weir_V1_VirtualKey] = [:]
        var users: [UserID: Weir_V1_User] = [:]
        var apps: [AppID: Weir_V1_App] = [:]

        var full: Weir_V1_DirectoryPayload {
            var payload = Weir_V1_DirectoryPayload()
            payload.tenants = tenants.values.sorted { $0.id < $1.id }
            payload.projects = projects.values.sorted { $0.id < $1.id }
            payload.keys = keys.values.sorted { $0.id < $1.id }
            payload.users = users.values.sorted { $0.id < $1.id }
            payload.apps = apps.values.sorted { $0.id < $1.id }
            return payload
        }
    }

    private func read(_ payload: Weir_V1_DirectoryPayload, base: Directory = .empty, selector: RolloutSelector? = nil) throws -> Directory {
        let bytes: [UInt8] = try payload.serializedBytes()
        return try bytes.withUnsafeBytes { try DirectoryReader.read($0, base: base, selector: selector) }
    }

    private func describe(_ entry: KeyEntry?) -> String {
        guard let entry else { return "none" }
        let scopes = entry.scopes.map { "\($0.models?.sorted() ?? []) \($0.capabilities?.rawValue ?? 9) \($0.channels?.sorted() ?? [])" }
        let rotated = entry.rotated.map { "\($0.digest) \($0.expiresMilliseconds)" } ?? "-"
        let user = entry.user.map { "\($0)" } ?? "-"
        return """
            \(String(decoding: entry.idBytes, as: UTF8.self)) \(entry.digest) \(rotated) \(entry.expiresMilliseconds) \(entry.disabled) \
            \(entry.isCandidate) \(entry.project.id) \(entry.project.disabled) \(entry.tenant.id) \(entry.tenant.disabled) \(scopes ?? "-") \(user)
            """
    }

    private func describe(_ app: AppEntry?) -> String {
        guard let app else { return "none" }
        return "\(app.id) \(app.tenant.id) \(String(describing: app.owner)) \(String(describing: app.secret)) \(app.disabled)"
    }

    private func describe(_ user: UserEntry?) -> String {
        guard let user else { return "none" }
        return "\(user.id) \(user.tenant.id) \(user.paidUntilMilliseconds) \(user.disabled)"
    }

    private func bits<Kind>(_ id: ID<Kind>) throws -> IDBits { try #require(IDBits(id)) }

    @Test("Deltas applied one after the other say what a full directory says", arguments: 1...25)
    func equivalence(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var model = Model()
        var directory = Directory.empty
        var rollout = Weir_V1_RolloutPayload()
        rollout.candidateVersion = 2
        rollout.percentageBasisPoints = 4000
        rollout.salt = "s\(seed)"
        let selector = RolloutSelector(payload: rollout, region: "eu", dataPlane: "dp")
        var everSeen: Set<KeyID> = []
        var others: (users: Set<UserID>, apps: Set<AppID>) = ([], [])
        var names: Set<String> = []
        for step in 0..<60 {
            var delta = Weir_V1_DirectoryPayload()
            delta.delta = true
            for _ in 0..<Int.random(in: 1...12, using: &random) { change(&model, &delta, &random) }
            everSeen.formUnion(model.keys.keys)
            others.users.formUnion(model.users.keys)
            others.apps.formUnion(model.apps.keys)
            names.formUnion(model.apps.values.map(\.appID))
            directory = try read(delta, base: directory, selector: selector)
            if step % 7 == 0 { directory = directory.selecting(nil).selecting(selector) }
            guard step % 5 == 4 else { continue }
            let whole = try read(model.full, selector: selector)
            #expect(directory.keyCount == whole.keyCount)
            #expect(whole.keyCount == model.keys.count)
            for key in everSeen {
                #expect(describe(directory.lookup(key)) == describe(whole.lookup(key)), "seed \(seed) step \(step)")
                #expect((whole.lookup(key) != nil) == (model.keys[key] != nil))
            }
            #expect(directory.principalCount == whole.principalCount && whole.principalCount == model.users.count + model.apps.count)
            for id in others.users {
                #expect(describe(directory.user(try bits(id))) == describe(whole.user(try bits(id))), "seed \(seed) step \(step)")
                guard let user = model.users[id], let tenant = whole.tenants[try bits(TenantID(user.tenantID))] else { continue }
                let found = user.oid.withBytes { (directory.user(oid: $0, of: tenant), whole.user(oid: $0, of: tenant)) }
                #expect(found.0?.id == (try bits(id)) && found.1?.id == found.0?.id && found.0?.tenant.id == user.tenantID)
            }
            for id in others.apps { #expect(describe(directory.app(try bits(id))) == describe(whole.app(try bits(id)))) }
            for name in names {
                let found = name.withBytes { (directory.app(named: $0), whole.app(named: $0)) }
                #expect(describe(found.0) == describe(found.1))
                #expect((found.0 != nil) == model.apps.values.contains { $0.appID == name })
            }
        }
    }

    /// One change of the model, noted in the delta as the control plane would.
    private func change(_ model: inout Model, _ delta: inout Weir_V1_DirectoryPayload, _ random: inout SeededGenerator) {
        func touchTenant(_ id: TenantID, _ tenant: Weir_V1_Tenant) {
            model.tenants[id] = tenant
            delta.tenants.removeAll { $0.id == id.rawValue }
            delta.tenants.append(tenant)
        }
        func touchKey(_ id: KeyID, _ key: Weir_V1_VirtualKey) {
            model.keys[id] = key
            delta.keys.removeAll { $0.id == id.rawValue }
            delta.keys.append(key)
        }
        func removeKey(_ id: KeyID) {
            model.keys[id] = nil
            delta.keys.removeAll { $0.id == id.rawValue }
            delta.removedKeyIds.append(id.rawValue)
        }
        func removeApp(_ id: AppID) {
            model.apps[id] = nil
            delta.apps.removeAll { $0.id == id.rawValue }
            delta.removedAppIds.append(id.rawValue)
        }
        switch Int.random(in: 0..<28, using: &random) {
        case 20, 21:
            guard let tenant = model.tenants.keys.sorted().randomElement(using: &random) else { return }
            let id = UserID.random()
            var user = Weir_V1_User()
            user.id = id.rawValue
            user.tenantID = tenant.rawValue
            // The same in several tenants.
            user.oid = "oid-\(model.users.values.count { $0.tenantID == tenant.rawValue })-\(random.next() % 3)"
            guard !model.users.values.contains(where: { $0.tenantID == user.tenantID && $0.oid == user.oid }) else { return }
            user.paidUntilMs = Int64.random(in: 0...9, using: &random)
            model.users[id] = user
            delta.users.append(user)
        case 22:
            guard let id = model.users.keys.sorted().randomElement(using: &random) else { return }
            model.users[id]?.disabled.toggle()
            delta.users.removeAll { $0.id == id.rawValue }
            if let user = model.users[id] { delta.users.append(user) }
        case 23:
            guard let id = model.users.keys.sorted().randomElement(using: &random) else { return }
            for (key, value) in model.keys where value.userID == id.rawValue { removeKey(key) }
            for (app, value) in model.apps where value.ownerID == id.rawValue { removeApp(app) }
            model.users[id] = nil
            delta.users.removeAll { $0.id == id.rawValue }
            delta.removedUserIds.append(id.rawValue)
        case 24, 25:
            guard let owner = model.users.values.sorted(by: { $0.id < $1.id }).randomElement(using: &random) else { return }
            let id = AppID.random()
            var app = Weir_V1_App()
            app.id = id.rawValue
            app.tenantID = owner.tenantID
            app.ownerID = owner.id
            app.appID = "app-\(random.next() % 40)"
            // A name is free again once its app is gone.
            guard !model.apps.values.contains(where: { $0.appID == app.appID }) else { return }
            if Bool.random(using: &random) { app.sha256 = Data(SHA256Digest.of(Array("\(random.next())".utf8))) }
            model.apps[id] = app
            delta.apps.append(app)
        case 26:
            guard let id = model.apps.keys.sorted().randomElement(using: &random), var app = model.apps[id] else { return }
            app.disabled.toggle()
            app.previousSha256 = app.sha256
            app.previousExpiresMs = 7
            app.sha256 = Data(SHA256Digest.of(Array("\(random.next())".utf8)))
            model.apps[id] = app
            delta.apps.removeAll { $0.id == id.rawValue }
            delta.apps.append(app)
        case 27:
            if let id = model.apps.keys.sorted().randomElement(using: &random) { removeApp(id) }
        case 0:
            let id = TenantID.random()
            var tenant = Weir_V1_Tenant()
            tenant.id = id.rawValue
            touchTenant(id, tenant)
        case 1:
            guard let id = model.tenants.keys.sorted().randomElement(using: &random), var tenant = model.tenants[id] else { return }
            tenant.disabled.toggle()
            touchTenant(id, tenant)
        case 2, 3:
            guard let tenant = model.tenants.keys.sorted().randomElement(using: &random) else { return }
            let id = ProjectID.random()
            var project = Weir_V1_Project()
            project.id = id.rawValue
            project.tenantID = tenant.rawValue
            model.projects[id] = project
            delta.projects.append(project)
        case 4:
            guard let id = model.projects.keys.sorted().randomElement(using: &random) else { return }
            model.projects[id]?.disabled.toggle()
            delta.projects.removeAll { $0.id == id.rawValue }
            if let project = model.projects[id] { delta.projects.append(project) }
        case 5:
            guard let id = model.projects.keys.sorted().randomElement(using: &random) else { return }
            for (key, value) in model.keys where value.projectID == id.rawValue { removeKey(key) }
            model.projects[id] = nil
            delta.projects.removeAll { $0.id == id.rawValue }
            delta.removedProjectIds.append(id.rawValue)
        case 6, 7, 8:
            if let id = model.keys.keys.sorted().randomElement(using: &random) { removeKey(id) }
        case 9, 10:
            guard let id = model.keys.keys.sorted().randomElement(using: &random), var key = model.keys[id] else { return }
            key.previousSha256 = key.sha256
            key.previousExpiresMs = Int64.random(in: 1...1000, using: &random)
            key.sha256 = Data(SHA256Digest.of(Array("\(random.next())".utf8)))
            key.disabled = Bool.random(using: &random)
            key.expiresMs = Int64.random(in: -5...5, using: &random)
            touchKey(id, key)
        default:
            guard let project = model.projects.keys.sorted().randomElement(using: &random) else { return }
            let id = KeyID.random()
            var key = SnapshotFixture.key(id, project: project, secret: "\(random.next())")
            if Bool.random(using: &random) { key.models = [["a", "b"], ["c"]].randomElement(using: &random) ?? [] }
            if Bool.random(using: &random) { key.capabilities = [["chat"], ["telepathy"]].randomElement(using: &random) ?? [] }
            if Bool.random(using: &random) { key.channels = ["external"] }
            let home = model.projects[project]?.tenantID
            let owners = model.users.values.filter { $0.tenantID == home }.sorted { $0.id < $1.id }
            if Bool.random(using: &random) { key.userID = owners.randomElement(using: &random)?.id ?? "" }
            touchKey(id, key)
        }
    }

    @Test("A removed project takes its keys along, also when nobody names them, and gives its place to nobody")
    func removedProject() throws {
        let (tenant, project, key) = (TenantID.random(), ProjectID.random(), KeyID.random())
        var directory = try read(SnapshotFixture.smallDirectory([key], tenant: tenant, project: project))
        var delta = Weir_V1_DirectoryPayload()
        delta.delta = true
        delta.removedProjectIds = [project.rawValue]
        directory = try read(delta, base: directory)
        #expect(directory.lookup(key) == nil)
        delta = SnapshotFixture.smallDirectory([], tenant: tenant, project: project)
        delta.delta = true
        directory = try read(delta, base: directory)
        #expect(directory.lookup(key) == nil, "the project came back, its old keys did not")
    }

    @Test("A rotated key accepts the old secret until its grace is over; expiry and disabling are told to the holder alone")
    func verdicts() throws {
        let (tenant, project, id) = (TenantID.random(), ProjectID.random(), KeyID.random())
        var payload = SnapshotFixture.smallDirectory([id], tenant: tenant, project: project)
        payload.keys[0].previousSha256 = Data(SHA256Digest.of(Array("old".utf8)))
        payload.keys[0].previousExpiresMs = 1000
        payload.keys[0].expiresMs = 2000
        func verdict(_ secret: String, at time: Int64) throws -> KeyEntry.Verdict {
            try #require(try read(payload).lookup(id)).verdict(presented: try #require(digestWords(secret)), nowMilliseconds: time)
        }
        #expect(try verdict("secret", at: 0) == .accepted)
        #expect(try verdict("old", at: 999) == .accepted)
        #expect(try verdict("old", at: 1000) == .rotatedAway)
        #expect(try verdict("secret", at: 2000) == .expired)
        payload.tenants[0].disabled = true
        #expect(try verdict("secret", at: 0) == .tenantDisabled)
        payload.projects[0].disabled = true
        #expect(try verdict("secret", at: 0) == .projectDisabled)
        payload.keys[0].disabled = true
        #expect(try verdict("secret", at: 0) == .keyDisabled)
        #expect(try verdict("wrong", at: 0) == .wrongSecret)
    }

    @Test("No bytes whatever trap the reader", arguments: 1...20)
    func hostile(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let (tenant, project) = (TenantID.random(), ProjectID.random())
        var payload = SnapshotFixture.smallDirectory((0..<3).map { _ in KeyID.random() }, tenant: tenant, project: project)
        let (user, app) = SnapshotFixture.caller(tenant: tenant)
        payload.users = [user]
        payload.apps = [app]
        payload.keys[0].userID = user.id
        let good: [UInt8] = try payload.serializedBytes()
        for _ in 0..<500 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.removeSubrange(Int.random(in: bytes.indices, using: &random)...)
                default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: Int.random(in: bytes.indices, using: &random))
                }
                if bytes.isEmpty { bytes = [0] }
            }
            _ = bytes.withUnsafeBytes { try? DirectoryReader.read($0, base: .empty, selector: nil) }
        }
    }

    @Test("A key, an app and its user: who lost his standing is found by his principal")
    func standing() throws {
        let (tenant, project, key) = (TenantID.random(), ProjectID.random(), KeyID.random())
        var payload = SnapshotFixture.smallDirectory([key], tenant: tenant, project: project)
        let (user, app) = SnapshotFixture.caller(tenant: tenant)
        payload.users = [user]
        payload.apps = [app]
        payload.keys[0].userID = user.id
        let directory = try read(payload)
        let found = try #require("billing".withBytes { directory.app(named: $0) })
        let held = try #require(directory.lookup(key))
        #expect(held.user == IDBits(UserID(user.id)) && found.owner == held.user)
        let byKey = Principal(kind: .key, id: held.id, tenant: held.tenant, project: held.project, user: held.user)
        let byApp = Principal(kind: .app, id: found.id, tenant: found.tenant, project: nil, user: held.user, owner: found.owner)
        #expect(directory.interruption(of: byKey) == nil && directory.interruption(of: byApp) == nil)
        func codes(_ change: (inout Weir_V1_DirectoryPayload) -> Void) throws -> [String?] {
            var delta = Weir_V1_DirectoryPayload()
            delta.delta = true
            change(&delta)
            let next = try read(delta, base: directory)
            #expect(next.revocations > directory.revocations)
            return [byKey, byApp].map { next.interruption(of: $0).map { "\($0.code)" } }
        }
        var disabledUser = user
        disabledUser.disabled = true
        #expect(try codes { $0.users = [disabledUser] } == ["user_disabled", "user_disabled"])
        #expect(try codes { $0.removedUserIds = [user.id] } == ["user_disabled", "user_disabled"])
        var disabledApp = app
        disabledApp.disabled = true
        #expect(try codes { $0.apps = [disabledApp] } == [nil, "app_disabled"])
        #expect(try codes { $0.removedAppIds = [app.id] } == [nil, "app_disabled"])
    }

    @Test("A user or app of nobody's tenant, or a key of another tenant's user, is refused")
    func brokenReferences() throws {
        let (tenant, project, key) = (TenantID.random(), ProjectID.random(), KeyID.random())
        let (stranger, app) = SnapshotFixture.caller(tenant: .random())
        var payload = SnapshotFixture.smallDirectory([key], tenant: tenant, project: project)
        for change: (inout Weir_V1_DirectoryPayload) -> Void in [
            { $0.users = [stranger] }, { $0.apps = [app] }, { $0.keys[0].userID = stranger.id },
        ] {
            var broken = payload
            change(&broken)
            #expect(throws: DocumentRefusal.self) { try read(broken) }
        }
        payload.users = [SnapshotFixture.caller(tenant: tenant).user]
        #expect(throws: Never.self) { try read(payload) }
    }

    @Test("A hundred thousand users and apps beside the keys are found as fast, in few bytes each")
    func others() throws {
        let count = 100_000
        var random = SeededGenerator(seed: 9)
        var builder = DirectoryBuilder()
        builder.reserve(keys: 0, principals: count)
        let tenant = IDBits(high: 1, low: 1)
        builder.upsertTenant(tenant, disabled: false)
        func name(_ index: Int) -> IDBits { "oid-\(index)".withBytes { PrincipalName.bits(.user, $0, tenant: tenant) } }
        var ids: [IDBits] = []
        for index in 0..<count {
            let id = IDBits(high: UInt16(truncatingIfNeeded: random.next()), low: random.next())
            ids.append(id)
            try builder.upsert(
                .init(kind: .user, id: id, tenant: tenant, name: name(index), untilMilliseconds: Int64(index), disabled: false))
        }
        let directory = builder.finish()
        #expect(directory.principalCount == count)
        let home = try #require(directory.tenants[tenant])
        for index in stride(from: 0, to: count, by: 100) {
            let user = "oid-\(index)".withBytes { directory.user(oid: $0, of: home) }
            #expect(user?.id == ids[index] && user?.paidUntilMilliseconds == Int64(index))
        }
        #expect("oid-\(count)".withBytes { directory.user(oid: $0, of: home) } == nil)
        let bytes = directory.principals.shards.reduce(0) {
            $0 + $1.records.slots.count * MemoryLayout<PrincipalRecord>.stride + $1.names.slots.count * MemoryLayout<NameRecord>.stride
        }
        #expect(MemoryLayout<PrincipalRecord>.stride == 48 && MemoryLayout<NameRecord>.stride <= 32)
        #expect(bytes < count * 130, "\(bytes / count) bytes each")
    }

    @Test("Of a million keys each is found in its place, few steps from its home")
    func million() throws {
        let count = 1_000_000
        var random = SeededGenerator(seed: 7)
        var builder = DirectoryBuilder()
        builder.reserve(keys: count)
        let tenant = IDBits(high: 1, low: 1)
        let project = IDBits(high: 2, low: 2)
        builder.upsertTenant(tenant, disabled: false)
        try builder.upsertProject(project, tenant: tenant, disabled: false)
        var sample: [(IDBits, UInt64)] = []
        for index in 0..<count {
            let id = IDBits(high: UInt16(truncatingIfNeeded: random.next()), low: random.next())
            let digest = DigestWords(UInt64(index), 0, 0, 0)
            try builder.upsertKey(
                .init(id: id, project: project, digest: digest, rotated: nil, expiresMilliseconds: 0, disabled: false, scopes: nil))
            if index % 1000 == 0 { sample.append((id, UInt64(index))) }
        }
        let directory = builder.finish()
        #expect(directory.keyCount == count)
        for (id, word) in sample { #expect(directory.lookup(id)?.digest.a == word) }
        #expect(directory.lookup(IDBits(high: 3, low: random.next())) == nil)
        let slots = directory.shards.reduce(0) { $0 + $1.slots.count }
        #expect(MemoryLayout<KeyRecord>.stride == 64)
        #expect(slots * 64 < 110_000_000, "at most 110 bytes a key")
        #expect(directory.shards.allSatisfy { $0.count * 10 <= $0.slots.count * 8 }, "no table is nearly full")
    }
}
