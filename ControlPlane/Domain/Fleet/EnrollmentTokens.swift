package import Contract
import Foundation
package import Primitives
import Storage
import Synchronization
import Trust

/// The text of an enrolment token: where the control plane is, how to know it, and the one-time secret.
package struct EnrollmentTokenText: Sendable, CustomStringConvertible {
    package static let prefix = "wenr_"

    /// `<16>_<52>`: the row's id suffix and 256 random bits.
    package let secret: String
    package let address: String
    /// PEM of the fleet listener's certificate authority; empty: plaintext.
    package let authority: String

    package init(secret: String, address: String, authority: String) {
        self.secret = secret
        self.address = address
        self.authority = authority
    }

    /// Accepts the whole text as well as the secret alone, which is all the control plane needs.
    package init?(parsing text: String) {
        guard text.utf8.count <= 65_536 else { return nil }
        guard text.hasPrefix(Self.prefix) else {
            self.init(secret: text, address: "", authority: "")
            return
        }
        guard let bytes = Base64URL.decode(text.dropFirst(Self.prefix.count)), let json = try? JSONValue(parsing: bytes),
            let secret = json["t"]?.stringValue
        else { return nil }
        self.init(secret: secret, address: json["a"]?.stringValue ?? "", authority: json["ca"]?.stringValue ?? "")
    }

    package var text: String {
        let json: JSONValue = ["a": .string(address), "t": .string(secret), "ca": .string(authority)]
        return Self.prefix + Base64URL.encode(json.bytes)
    }

    package var description: String { "<redacted>" }

    /// The id of the row and the digest that it must carry; nil for what cannot be a secret of ours.
    var reference: (id: EnrollmentTokenID, digest: [UInt8])? {
        let parts = secret.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].utf8.count == 52, Base32.decode(parts[1]) != nil,
            let id = try? EnrollmentTokenID.parse("enr_\(parts[0])")
        else { return nil }
        return (id, SHA256Digest.of(Array(secret.utf8)))
    }
}

/// `host:port` under which data planes reach the fleet listener. Set once the listener is bound, where the port is the system's choice.
package final class FleetAddress: Sendable {
    private let value: Mutex<String>

    package init(_ text: String) { value = Mutex(text) }

    package var text: String { value.withLock { $0 } }
    package func set(_ text: String) { value.withLock { $0 = text } }
}

/// A permission to enrol one data plane, without its secret.
package struct EnrollmentToken: Sendable, Hashable {
    package let id: EnrollmentTokenID
    package let name: String
    package let region: String
    package let tenantIDs: [String]
    package let revision: Int64
    package let createdAt: Int64
    package let updatedAt: Int64
    package let expiresAt: Int64
    package let usedAt: Int64?
    /// Whom it let in.
    package let dataPlaneID: String?

    init(_ row: EnrollmentTokenRow) {
        id = EnrollmentTokenID(row.id)
        name = row.name
        region = row.region
        tenantIDs = row.tenantIDs
        revision = row.revision
        createdAt = row.createdAt
        updatedAt = row.updatedAt
        expiresAt = row.expiresAt
        usedAt = row.usedAt
        dataPlaneID = row.dataPlaneID
    }

    package var json: JSONValue {
        [
            "id": .string(id.rawValue), "name": .string(name), "region": .string(region), "tenant_ids": .strings(tenantIDs),
            "expires_at": .time(expiresAt), "used_at": .time(usedAt), "data_plane_id": .optional(dataPlaneID),
            "created_at": .time(createdAt), "updated_at": .time(updatedAt),
        ]
    }
}

/// Letting new data planes in.
package struct EnrollmentService: Sendable {
    package static let list = "enrollment-tokens"
    package static let defaultTTLSeconds: Int64 = 3600
    package static let maximumTTLSeconds: Int64 = 30 * 86_400

    private let fleet: FleetContext
    private let keys: SigningKeyService
    /// Where data planes find the fleet listener.
    private let address: FleetAddress
    private let authority: String

    /// - Parameters:
    ///   - authority: PEM of what signed the listener's certificate; empty for plaintext.
    package init(_ fleet: FleetContext, keys: SigningKeyService, address: FleetAddress, authority: String) {
        self.fleet = fleet
        self.keys = keys
        self.address = address
        self.authority = authority
    }

    /// A token for one data plane; region and tenants are fixed by it, not by who enrols. Its text is shown here and never again.
    package func create(
        _ actor: Actor, name: String, region: String, tenantIDs: [TenantID], ttlSeconds: Int64
    ) async throws -> (token: EnrollmentToken, text: String) {
        var validation = Validation()
        if !name.isEmpty { validation.name("name", name) }
        validation.add(FleetFields.problems(region: region))
        validation.range("ttl_seconds", ttlSeconds, 1...Self.maximumTTLSeconds)
        try validation.throwIfAny()
        let now = fleet.domain.clock.nowMilliseconds()
        let id = EnrollmentTokenID.random()
        let secret = "\(id.suffix)_" + Base32.encode(SecureRandom.bytes(32))
        let row = EnrollmentTokenRow(
            id: id.rawValue, tokenSHA256: SHA256Digest.of(Array(secret.utf8)), name: name, region: region,
            tenantIDs: FleetFields.sorted(tenantIDs), createdAt: now, expiresAt: now + ttlSeconds * 1000)
        try await fleet.write { c in
            try FleetFields.checkTenants(c, tenantIDs)
            try EnrollmentTokensTable.insert(c, row)
            try AuditLog.record(c, actor, "enrollment_token.create", id: row.id, before: nil, after: EnrollmentToken(row).json, at: now)
        }
        return (EnrollmentToken(row), EnrollmentTokenText(secret: secret, address: address.text, authority: authority).text)
    }

    package func list(_ page: PageRequest) async throws -> Page<EnrollmentToken> {
        let rows = try await fleet.read { c in
            try EnrollmentTokensTable.list(c, after: page.after.map { ($0.time, $0.id) }, limit: page.fetchLimit).map(EnrollmentToken.init)
        }
        return Page(fetched: rows, page) { Cursor(list: Self.list, time: $0.createdAt, id: $0.id.rawValue) }
    }

    package func get(_ id: EnrollmentTokenID) async throws -> EnrollmentToken {
        try await fleet.read { EnrollmentToken(try Self.require($0, id)) }
    }

    /// Withdraws a token. One that was used stays used: the data plane it let in is revoked by itself.
    package func delete(_ actor: Actor, _ id: EnrollmentTokenID, expecting: Int64) async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.write { c in
            let row = try Self.require(c, id)
            try checkRevision(expecting, current: row.revision)
            try EnrollmentTokensTable.delete(c, id: row.id, now: now)
            try AuditLog.record(c, actor, "enrollment_token.delete", id: row.id, before: EnrollmentToken(row).json, after: nil, at: now)
        }
    }

    /// Registers a data plane. The same identity and sealing keys may come again with the same token, since the first answer may
    /// have been lost on its way; anybody else is refused.
    /// - Throws: `FleetRefusal`, or `DomainError.unavailable`.
    package func enroll(_ request: Weir_V1_EnrollRequest) async throws -> Weir_V1_EnrollResponse {
        let unknown = FleetRefusal.unauthenticated("the enrolment token is unknown, used, withdrawn or expired: create a new one")
        guard let reference = EnrollmentTokenText(parsing: request.token)?.reference else { throw unknown }
        let identity = Array(request.identityPublicKey)
        let sealing = Array(request.sealingPublicKey)
        guard identity.count == 32, sealing.count == 32, (try? Sealing.seal([0], to: sealing, aad: [])) != nil else {
            throw FleetRefusal.invalid("the identity and sealing keys have to be 32 bytes each")
        }
        try fleet.checkVersion(request.version)
        let now = fleet.domain.clock.nowMilliseconds()
        let proposedID = DataPlaneID.random()
        return try await fleet.write { c in
            guard let token = try EnrollmentTokensTable.find(c, id: reference.id.rawValue),
                ConstantTime.equal(token.tokenSHA256, reference.digest), token.expiresAt > now
            else { throw unknown }
            let row: DataPlaneRow
            if let usedBy = token.dataPlaneID {
                guard let existing = try DataPlanesTable.find(c, id: usedBy), existing.status == .active,
                    existing.identityPublicKey == identity, existing.sealingPublicKey == sealing
                else { throw unknown }
                row = existing
            } else {
                guard try DataPlanesTable.find(c, identityPublicKey: identity) == nil else {
                    throw FleetRefusal.invalid("a data plane with this identity key is enrolled already: start with an empty data folder")
                }
                row = try register(c, request, token: token, id: proposedID, now: now)
                guard try EnrollmentTokensTable.consume(c, id: token.id, dataPlaneID: row.id, now: now) else { throw unknown }
            }
            var response = Weir_V1_EnrollResponse()
            response.dataPlaneID = row.id
            response.deployment = fleet.deployment
            response.region = row.region
            response.trustedKeys = try keys.trusted(c).keys
            return response
        }
    }

    private func register(
        _ c: any SQLConnection, _ request: Weir_V1_EnrollRequest, token: EnrollmentTokenRow, id: DataPlaneID, now: Int64
    ) throws -> DataPlaneRow {
        let keyring = try keys.trusted(c).keyring
        // The name is the token's; only one without a name lets the data plane choose.
        var validation = Validation()
        validation.name("name", request.name)
        let proposed = validation.problems.isEmpty ? request.name : id.rawValue
        let row = DataPlaneRow(
            id: id.rawValue, name: token.name.isEmpty ? proposed : token.name, region: token.region, tenantIDs: token.tenantIDs,
            identityPublicKey: Array(request.identityPublicKey), sealingPublicKey: Array(request.sealingPublicKey),
            version: request.version, keyringEpoch: keyring.epoch, keyringVersion: keyring.version, createdAt: now)
        try DataPlanesTable.insert(c, row)
        try AuditLog.record(
            c, .system("enrolment"), "data_plane.enroll", id: row.id, before: nil,
            after: ["name": .string(row.name), "region": .string(row.region), "enrollment_token_id": .string(token.id)], at: now)
        return row
    }

    private static func require(_ c: any SQLConnection, _ id: EnrollmentTokenID) throws -> EnrollmentTokenRow {
        guard let row = try EnrollmentTokensTable.find(c, id: id.rawValue) else {
            throw DomainError.notFound(kind: "enrollment token", id: id.rawValue)
        }
        return row
    }
}

/// The rules for the fields that people give to data planes and their tokens.
enum FleetFields {
    static func problems(region: String) -> [FieldProblem] {
        let allowed = region.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
            default: false
            }
        }
        guard !allowed || region.isEmpty || region.utf8.count > 63 else { return [] }
        return [
            FieldProblem("region", "is not a region's name", remedy: "Give 1 to 63 lower-case letters, digits and hyphens, like eu-west-1.")
        ]
    }

    static func sorted(_ ids: [TenantID]) -> [String] { Set(ids.map(\.rawValue)).sorted() }

    /// - Throws: `DomainError.invalid` naming each tenant that is not there.
    static func checkTenants(_ c: any SQLConnection, _ ids: [TenantID]) throws {
        var problems: [FieldProblem] = []
        for (index, id) in ids.enumerated() {
            let found = try c.first("SELECT id FROM tenants WHERE id = $1 AND deleted_at IS NULL", [.text(id.rawValue)])
            if found == nil {
                problems.append(
                    FieldProblem("tenant_ids[\(index)]", "names no tenant", remedy: "Give ids of existing tenants, or none for all."))
            }
        }
        if !problems.isEmpty { throw DomainError.invalid(problems) }
    }
}
