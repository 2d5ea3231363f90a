package import Contract
import Foundation
import Primitives
package import Storage
import SwiftProtobuf
import Synchronization
import Trust

/// A signed document and what it is.
package struct IssuedDocument: Sendable {
    package let mark: DocumentMark
    package let envelope: Weir_V1_Envelope

    package init(mark: DocumentMark, envelope: Weir_V1_Envelope) {
        self.mark = mark
        self.envelope = envelope
    }
}

/// What every data plane should hold now, as numbers: cheap to read, cheap to compare.
package struct FleetTarget: Sendable, Hashable {
    package var epoch: Int64
    /// The key that signs now; the newest keyring names it.
    package var signingKeyID: String
    /// The newest keyring's.
    package var keyringEpoch: Int64
    package var keyringVersion: Int64
    /// The configurations that the rollout document refers to, oldest first.
    package var configVersions: [Int64]
    /// 0: no rollout yet, nothing to send.
    package var rolloutVersion: Int64
    /// Counters, not versions: a data plane is up to date when nothing that concerns it has changed since the one it covers.
    package var directory: Int64
    package var credentials: Int64
    package var dataPlanes: Int64

    package init(
        epoch: Int64, signingKeyID: String, keyringEpoch: Int64, keyringVersion: Int64, configVersions: [Int64], rolloutVersion: Int64,
        directory: Int64,
        credentials: Int64, dataPlanes: Int64
    ) {
        self.epoch = epoch
        self.signingKeyID = signingKeyID
        self.keyringEpoch = keyringEpoch
        self.keyringVersion = keyringVersion
        self.configVersions = configVersions
        self.rolloutVersion = rolloutVersion
        self.directory = directory
        self.credentials = credentials
        self.dataPlanes = dataPlanes
    }

    package static func read(_ c: any SQLConnection) throws -> FleetTarget {
        let counters = try CountersTable.all(c)
        let keyring = try KeyringsTable.latestVersion(c)
        return FleetTarget(
            epoch: max(counters[FleetCounter.epoch] ?? 1, 1), signingKeyID: try SigningKeysTable.active(c)?.id ?? "",
            keyringEpoch: keyring?.epoch ?? 0, keyringVersion: keyring?.version ?? 0, configVersions: try Rollouts.referencedVersions(c),
            rolloutVersion: try Rollouts.currentPayload(c).version,
            directory: counters[FleetCounter.directory] ?? 0, credentials: counters[FleetCounter.credentials] ?? 0,
            dataPlanes: counters[FleetCounter.dataPlanes] ?? 0)
    }
}

/// Builds and signs the documents that are the same for all data planes, and each one's heartbeat.
///
/// The payload of one version never changes: configurations are signed over the very bytes that were published, the rollout's are
/// made from rows that change only together with the version. Headers may differ between two signatures (times, key).
package final class DocumentFactory: Sendable {
    /// Documents a data plane has not activated by then it never will; an active one stays in force.
    static let lifetimeMilliseconds: Int64 = 24 * 3_600_000
    package static let heartbeatLifetimeMilliseconds: Int64 = 60_000

    private struct CacheKey: Hashable {
        let kind: DocumentKind
        let epoch: Int64
        let version: Int64
        let signingKey: String
    }

    private let fleet: FleetContext
    private let keys: SigningKeyService
    private let cache = Mutex<[CacheKey: (document: IssuedDocument, signedAt: Int64)]>([:])
    private let credentialSets = Mutex<[Int64: Set<String>]>([:])

    package init(_ fleet: FleetContext, keys: SigningKeyService) {
        self.fleet = fleet
        self.keys = keys
    }

    package func target() async throws -> FleetTarget {
        try await fleet.read { try FleetTarget.read($0) }
    }

    package func config(version: Int64) async throws -> IssuedDocument {
        try await fleet.read { c in
            try self.document(c, .config, version: version) {
                guard let payload = try ConfigVersionsTable.payload(c, version) else {
                    throw DomainError.notFound(kind: "configuration version", id: String(version))
                }
                return payload
            }
        }
    }

    /// The rollout document in force; nil before the first.
    package func rollout() async throws -> IssuedDocument? {
        try await fleet.read { c in
            let (payload, version) = try Rollouts.currentPayload(c)
            guard version > 0 else { return nil }
            return try self.document(c, .rollout, version: version) { try payload.serializedBytes() }
        }
    }

    /// The keyrings after (epoch, version), oldest first, at most `limit` of them.
    package func keyrings(afterEpoch epoch: Int64, version: Int64, limit: Int = 4) async throws -> [IssuedDocument] {
        try await fleet.read { c in
            try KeyringsTable.after(c, epoch: epoch, version: version, limit: limit).map { row in
                IssuedDocument(
                    mark: DocumentMark(kind: .keyring, epoch: row.epoch, version: row.version, digest: row.digest),
                    envelope: try Weir_V1_Envelope(serializedBytes: row.envelope))
            }
        }
    }

    /// The documents that are the same for all data planes, as they are at `target`.
    package func latest(_ target: FleetTarget) async throws -> [DocumentMark] {
        var marks: [DocumentMark] = []
        for version in target.configVersions { marks.append(try await config(version: version).mark) }
        if let rollout = try await rollout() { marks.append(rollout.mark) }
        if let keyring = try await fleet.read({ try KeyringsTable.latest($0) }) {
            marks.append(DocumentMark(kind: .keyring, epoch: keyring.epoch, version: keyring.version, digest: keyring.digest))
        }
        return marks
    }

    /// Says to one data plane that we are here and what is the latest. Not cached: each has a version of its own.
    package func heartbeat(for dataPlaneID: String, latest: [DocumentMark]) async throws -> IssuedDocument {
        let now = fleet.domain.clock.nowMilliseconds()
        var payload = Weir_V1_HeartbeatPayload()
        payload.issuedAtMs = now
        payload.latest = latest.map(\.proto)
        let bytes: [UInt8] = try payload.serializedBytes()
        let (key, epoch, version) = try await fleet.observe { c in
            (try self.keys.active(c), try FleetCounter.epoch(c), try CountersTable.next(c, FleetCounter.heartbeat))
        }
        let header = header(
            audience: dataPlaneID, epoch: epoch, version: version, now: now, lifetime: Self.heartbeatLifetimeMilliseconds)
        return IssuedDocument(
            mark: DocumentMark(kind: .heartbeat, epoch: epoch, version: version, digest: SHA256Digest.of(bytes)),
            envelope: try SignedDocument.sign(kind: .heartbeat, header: header, payload: bytes, with: key))
    }

    /// The credentials that the endpoints of these configurations name.
    func credentialIDs(_ c: any SQLConnection, configVersions: [Int64]) throws -> Set<String> {
        var all = Set<String>()
        for version in configVersions {
            if let known = credentialSets.withLock({ $0[version] }) {
                all.formUnion(known)
                continue
            }
            guard let bytes = try ConfigVersionsTable.payload(c, version) else { continue }
            let ids = Set(try Weir_V1_ConfigPayload(serializedBytes: bytes).endpoints.flatMap(\.credentialIds))
            credentialSets.withLock { sets in
                if sets.count >= 16 { sets.removeAll() }
                sets[version] = ids
            }
            all.formUnion(ids)
        }
        return all
    }

    func header(
        audience: String, epoch: Int64, version: Int64, now: Int64, lifetime: Int64 = DocumentFactory.lifetimeMilliseconds
    ) -> Weir_V1_Header {
        var header = Weir_V1_Header()
        header.deployment = fleet.deployment
        header.audience = audience
        header.epoch = UInt64(clamping: epoch)
        header.version = UInt64(clamping: version)
        header.notBeforeMs = now
        header.expiresMs = now + lifetime
        header.minimumDataPlaneVersion = fleet.minimumVersion.description
        return header
    }

    /// From the cache, or signed now. What has used up half its time is signed anew.
    private func document(
        _ c: any SQLConnection, _ kind: DocumentKind, version: Int64, payload: () throws -> [UInt8]
    ) throws -> IssuedDocument {
        let now = fleet.domain.clock.nowMilliseconds()
        let epoch = try FleetCounter.epoch(c)
        let key = try keys.active(c)
        let cacheKey = CacheKey(kind: kind, epoch: epoch, version: version, signingKey: key.keyID)
        if let cached = cache.withLock({ $0[cacheKey] }), abs(now - cached.signedAt) < Self.lifetimeMilliseconds / 2 {
            return cached.document
        }
        let bytes = try payload()
        let header = header(audience: SignedDocument.everyone, epoch: epoch, version: version, now: now)
        let document = IssuedDocument(
            mark: DocumentMark(kind: kind, epoch: epoch, version: version, digest: SHA256Digest.of(bytes)),
            envelope: try SignedDocument.sign(kind: kind, header: header, payload: bytes, with: key))
        cache.withLock { cache in
            if cache.count >= 16 { cache.removeAll() }
            cache[cacheKey] = (document, now)
        }
        return document
    }
}
