import API
import Dashboard
import Domain
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Nouns
import Primitives
import Storage
import Telemetry
import Testing
import Trust

/// A control plane's HTTP interface over an empty database, with an administrator of each role, called in process.
struct ControlHarness: Sendable {
    let database: any Database
    let clock: ManualClock
    let services: ControlServices
    let fleet: FleetAdministration
    let table: RouteTable
    /// With the pages of the console.
    let routes: RouteTable
    let metrics: MetricsRegistry
    let log: CapturingSink
    /// Where it listens when it was set up `.live`.
    var port: Int? { client.port }
    private let client: any TestClientProtocol
    private let tokens: [Role: String]

    /// An answer, its body read as JSON.
    struct Answer: Sendable {
        let status: Int
        let headers: HTTPFields
        let text: String
        let json: JSONValue

        var etag: String? { headers[.eTag] }
        var id: String { json["id"]?.stringValue ?? "" }
        /// The fields that a problem document names.
        var fields: [String] { (json["errors"]?.arrayValue ?? []).compactMap { $0["field"]?.stringValue } }
    }

    /// Statements and digests of many tests share a busy machine: nothing is too slow here.
    static let patient = {
        var limits = APIResponder.Limits()
        limits.answerDeadline = .seconds(600)
        return limits
    }()

    static func run(
        on kind: TestDatabase, _ setup: TestingSetup = .router, wrapping wrap: @Sendable (any Database) -> any Database = { $0 },
        limits: APIResponder.Limits = patient, providers: any ProviderCaller = NoProviderCalls(),
        outbound: any OutboundHTTP = NoOutboundHTTP(), identities: any IdentityProvider = NoIdentityProvider(),
        signOn: SignOnPolicy = SignOnPolicy(), _ body: @escaping @Sendable (ControlHarness) async throws -> Void
    ) async throws {
        try await kind.with {
            try await run(
                with: wrap($0), setup, limits: limits, providers: providers, outbound: outbound, identities: identities, signOn: signOn,
                body)
        }
    }

    static func run(
        with database: any Database, _ setup: TestingSetup = .router, limits: APIResponder.Limits = patient,
        providers: any ProviderCaller = NoProviderCalls(), outbound: any OutboundHTTP = NoOutboundHTTP(),
        identities: any IdentityProvider = NoIdentityProvider(), signOn: SignOnPolicy = SignOnPolicy(),
        _ body: @escaping @Sendable (ControlHarness) async throws -> Void
    ) async throws {
        let clock = ManualClock(milliseconds: 1_800_000_000_000)
        let log = CapturingSink()
        let logger = Logger.structured("test", level: .trace, sink: log)
        let cipher = try #require(AtRestCipher(masterKey: Array(repeating: 7, count: 32)))
        let domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
        let services = ControlServices(
            domain, cipher: cipher, providers: providers, outbound: outbound, identities: identities, signOn: signOn)
        let context = try await FleetContext.establish(
            domain: domain, cipher: cipher, minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
        let keys = SigningKeyService(context)
        try await keys.establish()
        let fleet = FleetAdministration(
            dataPlanes: DataPlaneService(context),
            enrollment: EnrollmentService(context, keys: keys, address: FleetAddress("127.0.0.1:7443"), authority: ""), signingKeys: keys,
            endpointReports: EndpointReportService(context))
        let metrics = MetricsRegistry()
        let table = AdminRoutes.table(services, fleet: fleet, metrics: metrics)
        var withPages = table
        DashboardRoutes(table, services, hasProvider: !(identities is NoIdentityProvider), clock: clock).addRoutes(to: &withPages)
        let routes = withPages
        let responder = APIResponder(
            routes: routes,
            authentication: Authentication(
                admins: services.adminTokens, keys: services.keyAuthentication, sessions: services.signOn.sessions),
            audit: services.audit, idempotency: services.idempotency, metrics: metrics, logger: logger, limits: limits)

        var tokens: [Role: String] = [:]
        for role in Role.allCases {
            let content = AdminTokenContent {
                $0.name = role.rawValue
                $0.role = role
            }
            tokens[role] = try await services.adminTokens.create(content, by: .system("test")).plaintext.reveal()
        }
        let known = tokens
        var settings = ControlApplication.Settings(host: "127.0.0.1", port: 0, maximumConnections: 64)
        // The tests' own client keeps one connection, also while commands run as processes of their own.
        settings.idleSeconds = 3600
        let application = ControlApplication.make(responder, settings, metrics: metrics, logger: logger)
        try await application.test(setup) { client in
            // A connection that says nothing for long is closed, and who runs commands only would say nothing on the client's own.
            if client.port != nil { _ = try await client.executeRequest(uri: "/health/live", method: .get, headers: [:], body: nil) }
            try await body(
                ControlHarness(
                    database: database, clock: clock, services: services, fleet: fleet, table: table, routes: routes, metrics: metrics,
                    log: log, client: client,
                    tokens: known))
        }
    }

    func token(_ role: Role) -> String { tokens[role] ?? "" }

    /// A new token of an administrator of one tenant.
    func token(_ role: Role, of tenantID: String) async throws -> String {
        let content = AdminTokenContent {
            $0.name = "\(role.rawValue) \(AdminTokenID.random().suffix)"
            $0.role = role
            $0.tenantID = TenantID(tenantID)
        }
        return try await services.adminTokens.create(content, by: .system("test")).plaintext.reveal()
    }

    /// Sends a request as an administrator of `role`, or with `token`; both nil: anonymously.
    func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: JSONValue? = nil, as role: Role? = .owner, token: String? = nil,
        ifMatch: String? = nil, idempotencyKey: String? = nil, headers: HTTPFields = [:]
    ) async throws -> Answer {
        try await sendBytes(
            method, path, body?.bytes, as: role, token: token, ifMatch: ifMatch, idempotencyKey: idempotencyKey, headers: headers)
    }

    func sendBytes(
        _ method: HTTPRequest.Method, _ path: String, _ body: [UInt8]?, as role: Role? = .owner, token: String? = nil,
        ifMatch: String? = nil, idempotencyKey: String? = nil, headers: HTTPFields = [:]
    ) async throws -> Answer {
        var headers = headers
        if let token = token ?? role.flatMap({ tokens[$0] }) { headers[.authorization] = "Bearer \(token)" }
        if let ifMatch { headers[.ifMatch] = ifMatch }
        if let idempotencyKey, let name = HTTPField.Name("idempotency-key") { headers[name] = idempotencyKey }
        return try await client.execute(uri: path, method: method, headers: headers, body: body.map { ByteBuffer(bytes: $0) }) { response in
            let bytes = Array(response.body.readableBytesView)
            return Answer(
                status: response.status.code, headers: response.headers, text: String(decoding: bytes, as: UTF8.self),
                json: (try? JSONValue(parsing: bytes)) ?? .null)
        }
    }

    func get(_ path: String, as role: Role? = .owner, token: String? = nil) async throws -> Answer {
        try await send(.get, path, as: role, token: token)
    }

    func post(_ path: String, _ body: JSONValue?, as role: Role? = .owner) async throws -> Answer {
        try await send(.post, path, body, as: role)
    }

    /// Creates and expects it to work.
    func create(_ path: String, _ body: JSONValue, sourceLocation: SourceLocation = #_sourceLocation) async throws -> Answer {
        let answer = try await post(path, body)
        #expect(answer.status == 201, "\(answer.text)", sourceLocation: sourceLocation)
        return answer
    }
}

/// A small catalogue: what most tests start from.
struct Catalogue: Sendable {
    let tenant: String
    let project: String
    let provider: String
    let credential: String
    let endpoint: String
    let model: String
    let route: String
    let price: String

    static let secret = "sk-proj-THIS-IS-A-SECRET-0123456789-wxyz"

    init(_ h: ControlHarness) async throws {
        tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
        project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "Chatbot"]).id
        provider = try await h.create(
            "/admin/api/providers", ["name": "openai", "base_url": "https://api.openai.com/v1", "auth": ["scheme": "bearer"]]
        ).id
        credential = try await h.create(
            "/admin/api/credentials", ["provider_id": .string(provider), "name": "main", "secret": .string(Self.secret)]
        ).id
        endpoint = try await h.create(
            "/admin/api/endpoints", ["provider_id": .string(provider), "name": "openai-1", "credential_ids": [.string(credential)]]
        ).id
        model = try await h.create("/admin/api/models", ["name": "gpt-x", "capabilities": ["chat"], "context_window": 128_000]).id
        route = try await h.create(
            "/admin/api/routes",
            ["model_id": .string(model), "name": "gpt-x", "targets": [["endpoint_id": .string(endpoint), "weight": 3]]]
        ).id
        price = try await h.create("/admin/api/prices", ["model_id": .string(model), "input": "2.50", "output": 10]).id
    }

    var paths: [String] {
        [
            "/admin/api/tenants/\(tenant)", "/admin/api/projects/\(project)", "/admin/api/providers/\(provider)",
            "/admin/api/credentials/\(credential)", "/admin/api/endpoints/\(endpoint)", "/admin/api/models/\(model)",
            "/admin/api/routes/\(route)", "/admin/api/prices/\(price)",
        ]
    }
}
