package import Contract
import Foundation
package import Nouns
package import Primitives
import Storage
import Synchronization
import Trust

/// The text of an enrolment token: where the control plane is, how to know it, and the one-time secret.
package struct EnrollmentTokenText: Sendable, CustomStringConvertible {
    package static let prefix = "wenr_"

    /// `<16>_<52>`: the row's id suffix and 256 random bits.
    package let secret: String
    /// `host:port`; several separated by commas, which the data plane tries in turn.
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
        let addresses = address.split(separator: ",").map(String.init)
        var json: JSONObject = ["a": .string(addresses.first ?? ""), "t": .string(secret), "ca": .string(authority)]
        // Data planes of the first release know `a` only.
        if addresses.count > 1 { json["as"] = .strings(addresses) }
        return Self.prefix + Base64URL.encode(JSONValue.object(json).bytes)
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

/// `host:port` under which data planes reach the fleet listener, or those of all replicas, separated by commas. Set once the listener is bound, where the port is the system's choice.
package final class FleetAddress: Sendable {
    private let value: Mutex<String>

    package init(_ text: String) { value = Mutex(text) }

    package var text: String { value.withLock { $0 } }
    package func set(_ text: String) { value.withLock { $0 = text } }

    /// Those that name a host and a port; an address that stands for every interface of this machine leads nowhere from another one.
    var reachable: [String] {
        text.split(separator: ",").map(String.init).filter { address in
            !address.hasSuffix(":0") && !["0.0.0.0:", "[::]:", ":::"].contains { address.hasPrefix($0) }
        }
    }
}

package typealias EnrollmentToken = Entity<EnrollmentTokenContent>

extension EnrollmentTokenContent: Administered {
    package static var scope: NounScope { .fleet }
    /// One that was used or has ended keeps no tenant from being deleted.
    package static var holding: String? { "used_at IS NULL" }
}

/// Letting new data planes in.
package struct EnrollmentService: Sendable {
    package let nouns: NounService<EnrollmentTokenContent>
    private let fleet: FleetContext
    private let keys: SigningKeyService
    /// Where data planes find the fleet listener.
    private let address: FleetAddress
    private let authority: String

    /// - Parameters:
    ///   - authority: PEM of what signed the listener's certificate; empty for plaintext.
    package init(_ fleet: FleetContext, keys: SigningKeyService, address: FleetAddress, authority: String) {
        self.fleet = fleet
        nouns = NounService(fleet.domain)
        self.keys = keys
        self.address = address
        self.authority = authority
    }

    /// A token for one data plane. Its text is given here and never again.
    package func create(_ content: EnrollmentTokenContent, by actor: Actor) async throws -> (token: EnrollmentToken, text: Secret) {
        let id = EnrollmentTokenID.random()
        let secret = "\(id.suffix)_" + Base32.encode(SecureRandom.bytes(32))
        var content = content
        content.expiresAt = nouns.now &+ content.ttlSeconds &* 1000
        content.sha256 = StoredBytes(SHA256Digest.of(Array(secret.utf8)))
        let token = try await nouns.create(content, id: id, by: actor)
        return (token, Secret(EnrollmentTokenText(secret: secret, address: address.text, authority: authority).text))
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
        return try await fleet.write(as: .all) { c in
            guard let token = try EnrollmentTokenContent.find(c, reference.id.rawValue),
                ConstantTime.equal(token.content.sha256.bytes, reference.digest), token.content.expiresAt > now
            else { throw unknown }
            let row: DataPlaneRow
            if let usedBy = token.content.dataPlaneID {
                guard let existing = try DataPlanesTable.find(c, id: usedBy.rawValue), existing.status == .active,
                    existing.identityPublicKey == identity, existing.sealingPublicKey == sealing
                else { throw unknown }
                row = existing
            } else {
                guard try DataPlanesTable.find(c, identityPublicKey: identity) == nil else {
                    throw FleetRefusal.invalid("a data plane with this identity key is enrolled already: start with an empty data folder")
                }
                row = try register(c, request, token: token, id: proposedID, now: now)
                guard try EnrollmentTokensTable.consume(c, id: token.id.rawValue, dataPlaneID: row.id, now: now) else { throw unknown }
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
        _ c: any SQLConnection, _ request: Weir_V1_EnrollRequest, token: EnrollmentToken, id: DataPlaneID, now: Int64
    ) throws -> DataPlaneRow {
        let keyring = try keys.trusted(c).keyring
        // The name is the token's; only one without a name lets the data plane choose.
        let proposed = Text.name("name", request.name).isEmpty ? request.name : id.rawValue
        let given = token.content
        let row = DataPlaneRow(
            id: id.rawValue, name: given.name.isEmpty ? proposed : given.name, region: given.region,
            tenantIDs: given.tenantIDs.named?.map(\.rawValue).sorted() ?? [],
            identityPublicKey: Array(request.identityPublicKey), sealingPublicKey: Array(request.sealingPublicKey),
            version: request.version, keyringEpoch: keyring.epoch, keyringVersion: keyring.version, createdAt: now)
        try DataPlanesTable.insert(c, row)
        try AuditLog.record(
            c, .system("enrolment"), "data_plane.enroll", id: row.id, before: nil,
            after: ["name": .string(row.name), "region": .string(row.region), "enrollment_token_id": .string(token.id.rawValue)], at: now)
        return row
    }
}
