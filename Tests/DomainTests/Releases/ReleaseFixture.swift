import Contract
import Domain
import Nouns
import Primitives
import Storage
import SwiftProtobuf

/// A database with a small draft that can be published, and the services under test.
struct ReleaseFixture {
    static let start: Int64 = 1_800_000_000_000

    let database: any Database
    let clock = ManualClock(milliseconds: Self.start)
    let signal = ChangeSignal()
    let actor = Actor(id: "tok_test", name: "Ada", role: .operator, scope: .all)

    let tenant = TenantID.random().rawValue
    let provider = ProviderID.random().rawValue
    let credential = CredentialID.random().rawValue
    let endpoint = EndpointID.random().rawValue
    let model = ModelID.random().rawValue
    let route = RouteID.random().rawValue
    let price = PriceID.random().rawValue
    let dataPlane = DataPlaneID.random().rawValue

    var context: DomainContext { DomainContext(database: database, clock: clock, signal: signal) }
    var drafts: Drafts { Drafts(context) }
    var versions: ConfigVersions { ConfigVersions(context) }
    var rollouts: Rollouts { Rollouts(context) }

    init(_ database: any Database) async throws {
        self.database = database
        let fixture = self
        try await database.transaction { c in try fixture.fill(c) }
    }

    private func fill(_ c: any SQLConnection) throws {
        let meta = RowMeta(revision: 1, createdAt: Self.start, updatedAt: Self.start)
        func insert<Content: Administered>(_ id: String, _ edit: (inout Content) -> Void) throws {
            try Content.insert(c, Entity(id: id, meta: meta, content: Content(edit), change: 1))
        }
        try insert(tenant) { (tenant: inout TenantContent) in tenant.name = "Acme" }
        try insert(credential) { (credential: inout CredentialContent) in
            credential.providerID = ID(provider)
            credential.name = "main"
            credential.ciphertext = StoredBytes([1])
        }
        try insert(provider) { (provider: inout ProviderContent) in
            provider.name = "OpenAI"
            provider.baseURL = "https://api.openai.com/v1"
            provider.timeouts.idleMS = 5000
        }
        try insert(endpoint) { (endpoint: inout EndpointContent) in
            endpoint.providerID = ID(provider)
            endpoint.name = "main"
            endpoint.credentialIDs = [ID(credential)]
        }
        try insert(model) { (model: inout ModelContent) in
            model.name = "gpt"
            model.capabilities = ["chat"]
            model.contextWindow = 128_000
            model.tenantIDs = .only([ID(tenant)])
            model.ownedBy = "openai"
        }
        try insert(route) { (route: inout RouteContent) in
            route.modelID = ID(model)
            route.name = "default"
            route.targets = [RouteTarget { $0.endpointID = ID(endpoint) }]
        }
        try insert(price) { (price: inout PriceContent) in
            price.modelID = ID(model)
            price.input = NanoDollars(150_000_000)
            price.output = NanoDollars(600_000_000)
            price.cachedInput = NanoDollars(75_000_000)
            price.effectiveFrom = Self.start
        }
        try DataPlanesTable.insert(
            c,
            DataPlaneRow(
                id: dataPlane, name: "eu-1", region: "eu", tenantIDs: [], identityPublicKey: [1], sealingPublicKey: [2], version: "0.1.0",
                keyringEpoch: 1, keyringVersion: 1, createdAt: Self.start))
    }

    func edit(_ body: @escaping @Sendable (any SQLConnection) throws -> Void) async throws {
        try await database.transaction { c in try body(c) }
    }

    /// Changes the draft, so that it differs from everything published so far.
    func touchDraft(_ marker: Int) async throws {
        let provider = provider
        try await edit { c in
            try c.execute(
                "UPDATE providers SET base_url = $1, revision = revision + 1 WHERE id = $2",
                [.text("https://api\(marker).openai.com/v1"), .text(provider)])
        }
    }

    /// Publishes a draft that differs from everything published so far.
    func publish(_ marker: Int) async throws -> Int64 {
        try await touchDraft(marker)
        return try await versions.publish(note: "marker \(marker)", actor: actor).version
    }

    func document() async throws -> (payload: Weir_V1_RolloutPayload, version: Int64) {
        try await database.read { c in try Rollouts.currentPayload(c) }
    }

    func content(_ version: Int64) async throws -> [UInt8]? {
        try await database.read { c in try ConfigVersionsTable.payload(c, version) }
    }

    func auditActions() async throws -> [String] {
        try await database.read { c in try AuditTable.list(c, AuditFilter(), limit: 1000).map(\.action) }
    }
}

/// A rollout that is asked for.
func wanted(_ version: Int64, _ change: (inout RolloutContent) -> Void = { _ in }) -> RolloutContent {
    RolloutContent {
        $0.version = version
        change(&$0)
    }
}

/// The problems of a refusal; fails the test by returning none when something else, or nothing, was thrown.
func refusal(_ work: () async throws -> some Sendable) async -> (kind: String, problems: [FieldProblem]) {
    do {
        _ = try await work()
        return ("accepted", [])
    } catch DomainError.invalid(let problems) {
        return ("invalid", problems)
    } catch DomainError.conflict(_, let problems) {
        return ("conflict", problems)
    } catch DomainError.preconditionFailed {
        return ("preconditionFailed", [])
    } catch DomainError.notFound {
        return ("notFound", [])
    } catch {
        return ("\(error)", [])
    }
}
