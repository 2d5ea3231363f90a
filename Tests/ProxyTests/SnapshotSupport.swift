import Contract
import Foundation
import Logging
import Primitives
import SwiftProtobuf
import Telemetry
import Trust

@testable import Proxy

/// A folder that goes away with the object.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("weir-" + Hex.encode(SecureRandom.bytes(8))).path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The control plane's side of the signed documents, and the data plane's store that takes them.
struct SnapshotFixture {
    static let now: Int64 = 1_790_000_000_000

    let folder = TemporaryFolder()
    let clock = ManualClock(milliseconds: SnapshotFixture.now)
    var signer = SigningKey()
    var dataPlaneID = DataPlaneID.random()
    let sealing = SealingKey()
    let logger: Logger

    /// Quiet, unless a test wants to read the log.
    init(log: (any LogSink)? = nil) {
        logger =
            log.map { Logger.structured("test", level: .debug, sink: $0) }
            ?? Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    }

    func identity(trusting keys: [SigningKey]? = nil) -> DataPlaneIdentity {
        let trusted = (keys ?? [signer]).map { ($0.keyID, $0.publicKey) }
        return DataPlaneIdentity(
            deployment: "test", dataPlaneID: dataPlaneID, region: "eu", sealingKey: sealing,
            enrolledTrust: TrustStore(Dictionary(trusted, uniquingKeysWith: { first, _ in first })))
    }

    func local() throws -> LocalStore { try LocalStore(directory: folder.path, clock: clock) }

    func store(_ local: LocalStore, revocationGrace: Int64 = 0) throws -> SnapshotStore {
        try SnapshotStore(
            local: local, identity: identity(), clock: clock, logger: logger, revocationGraceMilliseconds: revocationGrace)
    }

    func revocation(audience: String? = nil, with key: SigningKey? = nil) throws -> Weir_V1_Envelope {
        var payload = Weir_V1_RevocationPayload()
        payload.revokedAtMs = SnapshotFixture.now
        return try sign(.revocation, header(1, audience: audience ?? dataPlaneID.rawValue), payload, with: key)
    }

    func header(_ version: UInt64, epoch: UInt64 = 1, audience: String = "*", previous: [UInt8] = []) -> Weir_V1_Header {
        var header = Weir_V1_Header()
        header.deployment = "test"
        header.audience = audience
        header.epoch = epoch
        header.version = version
        header.previousDigest = Data(previous)
        header.notBeforeMs = clock.nowMilliseconds() - 1000
        header.expiresMs = clock.nowMilliseconds() + 600_000
        return header
    }

    func sign(_ kind: DocumentKind, _ header: Weir_V1_Header, _ payload: some Message, with key: SigningKey? = nil) throws
        -> Weir_V1_Envelope
    {
        try SignedDocument.sign(kind: kind, header: header, payload: payload.serializedBytes(), with: key ?? signer)
    }

    func config(_ version: UInt64, _ payload: Weir_V1_ConfigPayload = SnapshotFixture.smallConfig()) throws -> Weir_V1_Envelope {
        try sign(.config, header(version), payload)
    }

    func rollout(_ version: UInt64, baseline: UInt64, candidate: UInt64 = 0, basisPoints: UInt32 = 0) throws -> Weir_V1_Envelope {
        var payload = Weir_V1_RolloutPayload()
        payload.baselineVersion = baseline
        payload.candidateVersion = candidate
        payload.percentageBasisPoints = basisPoints
        payload.salt = "salt"
        return try sign(.rollout, header(version), payload)
    }

    func directory(_ version: UInt64, _ payload: Weir_V1_DirectoryPayload, previous: [UInt8] = []) throws -> Weir_V1_Envelope {
        try sign(.directory, header(version, audience: dataPlaneID.rawValue, previous: previous), payload)
    }

    func heartbeat(_ version: UInt64, latest: [(DocumentKind, UInt64)] = []) throws -> Weir_V1_Envelope {
        var payload = Weir_V1_HeartbeatPayload()
        payload.latest = latest.map { kind, version in
            var mark = Weir_V1_DocumentMark()
            mark.kind = kind.payloadType
            mark.epoch = 1
            mark.version = version
            return mark
        }
        return try sign(.heartbeat, header(version), payload)
    }

    func keyring(_ version: UInt64, _ keys: [SigningKey], signedBy key: SigningKey) throws -> Weir_V1_Envelope {
        var payload = Weir_V1_KeyringPayload()
        payload.keys = keys.map { key in
            var trusted = Weir_V1_TrustedKey()
            trusted.keyID = key.keyID
            trusted.publicKey = Data(key.publicKey)
            return trusted
        }
        return try sign(.keyring, header(version), payload, with: key)
    }

    func sealed(_ secret: String, id: String = "cred_a", provider: String = "prov_a", revision: UInt64 = 1) throws -> Weir_V1_SealedSecret {
        let aad = SealedCredentialBinding.aad(
            deployment: "test", dataPlaneID: dataPlaneID.rawValue, credentialID: id, providerID: provider, revision: revision)
        let (key, ciphertext) = try Sealing.seal(Array(secret.utf8), to: sealing.publicKey, aad: aad)
        var message = Weir_V1_SealedSecret()
        message.credentialID = id
        message.providerID = provider
        message.revision = revision
        message.encapsulatedKey = Data(key)
        message.ciphertext = Data(ciphertext)
        return message
    }

    /// One provider, endpoint, model, route and price.
    static func smallConfig(model: String = "gpt-small", url: String = "https://api.example.com/v1") -> Weir_V1_ConfigPayload {
        var config = Weir_V1_ConfigPayload()
        var provider = Weir_V1_Provider()
        provider.id = "prov_a"
        provider.name = "example"
        provider.kind = "openai"
        provider.baseURL = url
        provider.authScheme = .bearer
        config.providers = [provider]
        var endpoint = Weir_V1_Endpoint()
        endpoint.id = "ep_a"
        endpoint.name = "first"
        endpoint.providerID = "prov_a"
        endpoint.credentialIds = ["cred_a"]
        config.endpoints = [endpoint]
        var entry = Weir_V1_Model()
        entry.id = "mdl_a"
        entry.name = model
        entry.capabilities = ["chat"]
        config.models = [entry]
        var target = Weir_V1_RouteTarget()
        target.endpointID = "ep_a"
        target.weight = 1
        var route = Weir_V1_Route()
        route.id = "rt_a"
        route.modelID = "mdl_a"
        route.targets = [target]
        config.routes = [route]
        var price = Weir_V1_Price()
        price.id = "price_a"
        price.modelID = "mdl_a"
        price.input = 2_500_000_000
        price.output = 10_000_000_000
        config.prices = [price]
        return config
    }

    /// A directory of one tenant, one project and these keys.
    static func smallDirectory(_ keys: [KeyID], tenant: TenantID, project: ProjectID) -> Weir_V1_DirectoryPayload {
        var payload = Weir_V1_DirectoryPayload()
        var tenantEntry = Weir_V1_Tenant()
        tenantEntry.id = tenant.rawValue
        payload.tenants = [tenantEntry]
        var projectEntry = Weir_V1_Project()
        projectEntry.id = project.rawValue
        projectEntry.tenantID = tenant.rawValue
        payload.projects = [projectEntry]
        payload.keys = keys.map { key($0, project: project) }
        return payload
    }

    static func key(_ id: KeyID, project: ProjectID, secret: String = "secret") -> Weir_V1_VirtualKey {
        var key = Weir_V1_VirtualKey()
        key.id = id.rawValue
        key.projectID = project.rawValue
        key.sha256 = Data(SHA256Digest.of(Array(secret.utf8)))
        return key
    }

    /// A user, and an app of the same tenant that the user owns and that has the secret "app-secret".
    static func caller(tenant: TenantID) -> (user: Weir_V1_User, app: Weir_V1_App) {
        var user = Weir_V1_User()
        user.id = UserID.random().rawValue
        user.tenantID = tenant.rawValue
        user.oid = "ada"
        var app = Weir_V1_App()
        app.id = AppID.random().rawValue
        app.tenantID = tenant.rawValue
        app.appID = "billing"
        app.ownerID = user.id
        app.sha256 = Data(SHA256Digest.of(Array("app-secret".utf8)))
        return (user, app)
    }
}

extension String {
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { try Array(utf8).withUnsafeBytes(body) }
}

extension Weir_V1_Envelope {
    /// The digest of the payload: what a delta names as its base.
    var digest: [UInt8] { SHA256Digest.of(Array(payload)) }
}

func digestWords(_ secret: String) -> DigestWords? {
    SHA256Digest.of(Array(secret.utf8)).withUnsafeBytes { DigestWords($0) }
}
