import Contract
import Domain
import Primitives
import Storage
import SwiftProtobuf

/// A database with a small draft that can be published, and the services under test.
struct ReleaseFixture {
    static let start: Int64 = 1_800_000_000_000

    let database: any Database
    let clock = ManualClock(milliseconds: Self.start)
    let signal = ChangeSignal()
    let actor = Actor(id: "tok_test", name: "Ada", role: .operator)

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
        try TenantsTable.insert(c, TenantRow(id: tenant, name: "Acme", status: "active", meta: meta, directoryRevision: 1))
        try CredentialsTable.insert(
            c, CredentialRow(id: credential, providerID: provider, name: "main", ciphertext: [1], secretHint: "", meta: meta))
        try ProvidersTable.insert(
            c,
            ProviderRow(
                id: provider, name: "OpenAI", kind: "openai", baseURL: "https://api.openai.com/v1", authScheme: "bearer", authHeader: "",
                caPEM: "", timeouts: TimeoutsColumns(idleMS: 5000), meta: meta))
        try EndpointsTable.insert(
            c,
            EndpointRow(
                id: endpoint, providerID: provider, name: "main", baseURL: nil, credentialIDs: [credential], disabled: false,
                timeouts: TimeoutsColumns(), meta: meta))
        try ModelsTable.insert(
            c,
            ModelRow(
                id: model, name: "gpt", capabilities: ["chat"], contextWindow: 128_000, maxOutputTokens: 0, tenantIDs: [tenant],
                ownedBy: "openai", meta: meta))
        try RoutesTable.insert(
            c,
            RouteRow(
                id: route, modelID: model, name: "default", targets: [.init(endpointID: endpoint, upstreamModel: "", weight: 1)],
                maxAttempts: 0, disabled: false, meta: meta))
        try PricesTable.insert(
            c,
            PriceRow(
                id: price, modelID: model, endpointID: nil, inputNano: 150_000_000, outputNano: 600_000_000, cachedInputNano: 75_000_000,
                cacheWriteNano: 0, perRequestNano: 0, effectiveFrom: Self.start, meta: meta))
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
            guard var row = try ProvidersTable.find(c, provider) else { return }
            let old = row.meta.revision
            row.baseURL = "https://api\(marker).openai.com/v1"
            row.meta.revision += 1
            _ = try ProvidersTable.update(c, row, expecting: old)
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
        try await database.read { c in try AuditTable.list(c, AuditFilter(), before: nil, limit: 1000).map(\.action) }
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
