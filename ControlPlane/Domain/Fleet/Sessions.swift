package import Contract
import Foundation
package import Primitives
import Storage
import Trust

/// How a data plane proves who it is: it signs a nonce with its identity key and gets a token for its streams. Nonces and tokens
/// carry their own proof (HMAC under keys derived from the master key), so any replica takes what any other gave out.
package struct SessionService: Sendable {
    package static let nonceLifetimeMilliseconds: Int64 = 60_000
    package static let sessionLifetimeMilliseconds: Int64 = 3_600_000
    private static let nonceRandomBytes = 16

    private let fleet: FleetContext
    /// The first issues; any checks: while the master key is replaced, another replica may derive its keys from the other one.
    private let nonces: [StatementCodec]
    private let sessions: [StatementCodec]

    package init(_ fleet: FleetContext) {
        self.fleet = fleet
        nonces = fleet.cipher.derivedKeys(purpose: "fleet nonce").map { StatementCodec(key: $0, purpose: "nonce") }
        sessions = fleet.cipher.derivedKeys(purpose: "fleet session").map { StatementCodec(key: $0, purpose: "session") }
    }

    /// A nonce for `dataPlaneID`, good for one minute. Says nothing about whether there is such a data plane.
    package func challenge(dataPlaneID: String) throws(FleetRefusal) -> [UInt8] {
        guard let id = try? DataPlaneID.parse(dataPlaneID) else { throw .invalid("\"\(dataPlaneID.prefix(64))\" is no data plane's id") }
        let expires = fleet.domain.clock.nowMilliseconds() + Self.nonceLifetimeMilliseconds
        let claims = "\(id)\u{0}\(expires)\u{0}" + Hex.encode(SecureRandom.bytes(Self.nonceRandomBytes))
        return Array(nonces[0].issue(Array(claims.utf8)).utf8)
    }

    /// What a data plane that proved itself is given.
    package struct Opened: Sendable {
        package let response: Weir_V1_OpenSessionResponse
        /// Of a revoked data plane, whose session is good for shipping its usage alone: what it has to be told. Unix milliseconds, and the
        /// keyring it was enrolled with.
        package let revocation: (revokedAt: Int64, keyringEpoch: Int64, keyringVersion: Int64)?
    }

    /// - Throws: `FleetRefusal`; `DomainError.unavailable` without a database.
    package func open(_ request: Weir_V1_OpenSessionRequest) async throws -> Opened {
        let now = fleet.domain.clock.nowMilliseconds()
        let nonce = Array(request.nonce)
        let expires = try checkNonce(nonce, dataPlaneID: request.dataPlaneID, now: now)
        let row = try await fleet.read(as: .all) { try DataPlanesTable.find($0, id: request.dataPlaneID) }
        // An unknown data plane and a wrong signature get the same answer: it tells nobody which ids exist.
        let body = SessionChallenge.body(deployment: fleet.deployment, dataPlaneID: request.dataPlaneID, nonce: nonce)
        guard let row,
            TrustStore.verify(
                publicKey: row.identityPublicKey, type: SessionChallenge.type, body: body, signature: Array(request.signature))
        else { throw FleetRefusal.unauthenticated("the signature is not that of the data plane \(request.dataPlaneID)") }
        let isRevoked = row.status == .revoked
        // One that is too old to be served is not too old to be told that it is revoked.
        if !isRevoked { try fleet.checkVersion(request.version) }
        let digest = SHA256Digest.of(nonce)
        let fresh = try await fleet.observe(as: .all) { c in
            guard try SessionNoncesTable.use(c, nonce: digest, expiresAt: expires) else { return false }
            try DataPlanesTable.sawVersion(c, id: row.id, version: request.version, now: now)
            return true
        }
        guard fresh else { throw FleetRefusal.unauthenticated("the nonce was used before: ask for a new challenge") }
        let token = SessionToken(dataPlaneID: DataPlaneID(row.id), expiresMilliseconds: now + Self.sessionLifetimeMilliseconds)
        var response = Weir_V1_OpenSessionResponse()
        response.session = token.encoded(with: sessions[0])
        response.expiresMs = token.expiresMilliseconds
        return Opened(
            response: response,
            revocation: isRevoked ? (row.revokedAt ?? row.updatedAt, row.keyringEpoch, row.keyringVersion) : nil)
    }

    /// Whose session it is. Whether that data plane was revoked is not in the token: see `DataPlaneService.admitted`.
    package func verify(_ token: String) throws(FleetRefusal) -> DataPlaneID {
        guard let session = sessions.lazy.compactMap({ SessionToken(token, codec: $0) }).first else {
            throw .unauthenticated("the session is none of this deployment's")
        }
        guard session.expiresMilliseconds > fleet.domain.clock.nowMilliseconds() else {
            throw .unauthenticated("the session has expired: open a new one")
        }
        return session.dataPlaneID
    }

    /// Forgets the nonces that would be refused for their age anyway. For the reconciler.
    package func purgeNonces() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        try await fleet.observe(as: .all) { c in
            // Another replica's clock may be behind.
            try SessionNoncesTable.purge(c, expiredBefore: now - 10 * Self.nonceLifetimeMilliseconds)
        }
    }

    /// When the nonce expires.
    private func checkNonce(_ nonce: [UInt8], dataPlaneID: String, now: Int64) throws(FleetRefusal) -> Int64 {
        let refusal = FleetRefusal.unauthenticated("the nonce is none of this deployment's or has expired: ask for a new challenge")
        guard nonce.count <= 1024,
            let claims = nonces.lazy.compactMap({ $0.verify(String(decoding: nonce, as: UTF8.self)) }).first
        else { throw refusal }
        let parts = claims.split(separator: 0)
        guard parts.count == 3, String(decoding: parts[0], as: UTF8.self) == dataPlaneID,
            let expires = Int64(String(decoding: parts[1], as: UTF8.self)), expires > now
        else { throw refusal }
        return expires
    }
}
