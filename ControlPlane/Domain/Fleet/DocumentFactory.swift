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
    package var bans: Int64

    package init(
        epoch: Int64, signingKeyID: String, keyringEpoch: Int64, keyringVersion: Int64, configVersions: [Int64], rolloutVersion: Int64,
        directory: Int64,
        credentials: Int64, dataPlanes: Int64, bans: Int64 = 0
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
        self.bans = bans
    }

    package static func read(_ c: any SQLConnection) throws -> FleetTarget {
        let counters = try CountersTable.all(c)
        let keyring = try KeyringsTable.latestVersion(c)
        return FleetTarget(
            epoch: max(counters[FleetCounter.epoch] ?? 1, 1), signingKeyID: try SigningKeysTable.active(c)?.id ?? "",
            keyringEpoch: keyring?.epoch ?? 0, keyringVersion: keyring?.version ?? 0, configVersions: try Rollouts.referencedVersions(c),
            rolloutVersion: try Rollouts.currentPayload(c).version,
            directory: counters[FleetCounter.directory] ?? 0, credentials: counters[FleetCounter.credentials] ?? 0,
            dataPlanes: counters[FleetCounter.dataPlanes] ?? 0, bans: counters[FleetCounter.bans] ?? 0)
    }
}

/// Builds and signs the documents that are the same for all data planes, the configurations that are cut to some tenants, and each data
/// plane's heartbeat.
///
/// The payload of one version never changes: configurations are signed over the very bytes that were published or, cut to a list of
/// tenants, first made; the rollout's are made from rows that change only together with the version. Headers may differ between two signatures (times, key).
package final class DocumentFactory: Sendable {
    /// Documents a data plane has not activated by then it never will; an active one stays in force.
    static let lifetimeMilliseconds: Int64 = 24 * 3_600_000
    package static let heartbeatLifetimeMilliseconds: Int64 = 60_000
    /// A data plane takes no more.
    private static let maximumAddresses = 16

    private struct CacheKey: Hashable {
        let kind: DocumentKind
        let epoch: Int64
        let version: Int64
        let signingKey: String
    }

    private let fleet: FleetContext
    private let keys: SigningKeyService
    private let cache = Mutex<[CacheKey: (document: IssuedDocument, signedAt: Int64)]>([:])
    private let credentialSets = Mutex<[Part: Set<String>]>([:])
    private let parts = Mutex<[Part: (payload: [UInt8], digest: [UInt8])]>([:])

    /// A version, or what some tenants see of it.
    private struct Part: Hashable {
        let version: Int64
        /// Empty: the whole.
        let tenants: String
    }

    package init(_ fleet: FleetContext, keys: SigningKeyService) {
        self.fleet = fleet
        self.keys = keys
    }

    package func target() async throws -> FleetTarget {
        try await fleet.read(as: .all) { try FleetTarget.read($0) }
    }

    /// For whom the data plane's configurations are made now.
    /// - Throws: `FleetRefusal.revoked`; `DomainError.unavailable`.
    package func audience(of dataPlaneID: String) async throws -> ConfigAudience {
        let row = try await fleet.read(as: .all) { try DataPlanesTable.find($0, id: dataPlaneID) }
        guard let row, row.status == .active else { throw FleetRefusal.revoked }
        return ConfigAudience(row)
    }

    /// A published version, cut to what the audience's tenants may use.
    /// - Parameter withRevision: Whether the data plane knows revisions; one that does not is sent a header without.
    package func config(version: Int64, for audience: ConfigAudience, withRevision: Bool = true) async throws -> IssuedDocument {
        guard audience.revision > 0 else { return try await config(version: version) }
        let now = fleet.domain.clock.nowMilliseconds()
        let (payload, digest) = try await part(of: version, for: audience)
        let (key, epoch) = try await fleet.read(as: .all) { c in (try self.keys.active(c), try FleetCounter.epoch(c)) }
        let revision = withRevision ? audience.revision : 0
        var header = header(audience: audience.dataPlaneID, epoch: epoch, version: version, now: now)
        header.revision = UInt64(clamping: revision)
        return IssuedDocument(
            mark: DocumentMark(kind: .config, epoch: epoch, version: version, revision: revision, digest: digest),
            envelope: try SignedDocument.sign(kind: .config, header: header, payload: payload, with: key))
    }

    /// The bytes that the audience is sent of a version. Those for some tenants are written down when they are first made.
    private func part(of version: Int64, for audience: ConfigAudience) async throws -> (payload: [UInt8], digest: [UInt8]) {
        let tenants = audience.tenants
        let part = Part(version: version, tenants: tenants?.key ?? "")
        if let known = parts.withLock({ $0[part] }) { return known }
        let now = fleet.domain.clock.nowMilliseconds()
        let stored = try await fleet.read(as: .all) { c in
            if let tenants, let stored = try ConfigProjectionsTable.payload(c, version: version, scope: tenants.key) {
                return (payload: stored, isMade: true)
            }
            guard let whole = try ConfigVersionsTable.payload(c, version) else {
                throw DomainError.notFound(kind: "configuration version", id: String(version))
            }
            guard let tenants else { return (payload: whole, isMade: true) }
            let cut = ConfigProjection.of(try Weir_V1_ConfigPayload(serializedBytes: whole), for: tenants.ids)
            return (payload: try cut.serializedBytes() as [UInt8], isMade: false)
        }
        var payload = stored.payload
        if let tenants, !stored.isMade {
            payload = try await fleet.observe(as: .all) { c in
                try ConfigProjectionsTable.putIfAbsent(c, version: version, scope: tenants.key, payload: stored.payload, now: now)
            }
        }
        let made = (payload: payload, digest: SHA256Digest.of(payload))
        // The few that are in force; large ones are read again.
        if payload.count <= 1 << 20 {
            parts.withLock { parts in
                if parts.count >= 32 { parts.removeAll() }
                parts[part] = made
            }
        }
        return made
    }

    private func config(version: Int64) async throws -> IssuedDocument {
        try await fleet.read(as: .all) { c in
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
        try await fleet.read(as: .all) { c in
            let (payload, version) = try Rollouts.currentPayload(c)
            guard version > 0 else { return nil }
            return try self.document(c, .rollout, version: version) { try payload.serializedBytes() }
        }
    }

    /// The keyrings after (epoch, version), oldest first, at most `limit` of them.
    package func keyrings(afterEpoch epoch: Int64, version: Int64, limit: Int = 4) async throws -> [IssuedDocument] {
        try await fleet.read(as: .all) { c in
            try KeyringsTable.after(c, epoch: epoch, version: version, limit: limit).map { row in
                IssuedDocument(
                    mark: DocumentMark(kind: .keyring, epoch: row.epoch, version: row.version, digest: row.digest),
                    envelope: try Weir_V1_Envelope(serializedBytes: row.envelope))
            }
        }
    }

    /// What the data plane should hold at `target`, but for its directory.
    package func latest(_ target: FleetTarget, for audience: ConfigAudience, withRevision: Bool = true) async throws -> [DocumentMark] {
        var marks: [DocumentMark] = []
        for version in target.configVersions {
            if audience.revision == 0 {
                marks.append(try await config(version: version).mark)
            } else {
                marks.append(
                    DocumentMark(
                        kind: .config, epoch: target.epoch, version: version, revision: withRevision ? audience.revision : 0,
                        digest: try await part(of: version, for: audience).digest))
            }
        }
        if let rollout = try await rollout() { marks.append(rollout.mark) }
        if let keyring = try await fleet.read(as: .all, { try KeyringsTable.latest($0) }) {
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
        let (key, epoch, version, addresses) = try await fleet.observe(as: .all) { c in
            (
                try self.keys.active(c), try FleetCounter.epoch(c), try CountersTable.next(c, FleetCounter.heartbeat),
                try ControlReplicasTable.addresses(c, now: now)
            )
        }
        payload.controlAddresses = Array(addresses.prefix(Self.maximumAddresses))
        let bytes: [UInt8] = try payload.serializedBytes()
        let header = header(
            audience: dataPlaneID, epoch: epoch, version: version, now: now, lifetime: Self.heartbeatLifetimeMilliseconds)
        return IssuedDocument(
            mark: DocumentMark(kind: .heartbeat, epoch: epoch, version: version, digest: SHA256Digest.of(bytes)),
            envelope: try SignedDocument.sign(kind: .heartbeat, header: header, payload: bytes, with: key))
    }

    /// Says to one data plane that it was revoked, and when. The same document whenever it is asked for, but for who signs it.
    package func revocation(for dataPlaneID: String, revokedAt: Int64) async throws -> Weir_V1_Envelope {
        var payload = Weir_V1_RevocationPayload()
        payload.revokedAtMs = revokedAt
        let (key, epoch) = try await fleet.read(as: .all) { c in (try self.keys.active(c), try FleetCounter.epoch(c)) }
        var header = header(audience: dataPlaneID, epoch: epoch, version: max(1, revokedAt), now: revokedAt)
        // It is for data planes of every age.
        header.minimumDataPlaneVersion = ""
        return try SignedDocument.sign(kind: .revocation, header: header, payload: payload.serializedBytes(), with: key)
    }

    /// The credentials that the endpoints name of what the audience is sent of these configurations: a data plane gets no others.
    func credentialIDs(_ c: any SQLConnection, configVersions: [Int64], for audience: ConfigAudience) throws -> Set<String> {
        var all = Set<String>()
        let tenants = audience.tenants
        for version in configVersions {
            let part = Part(version: version, tenants: tenants?.key ?? "")
            if let known = credentialSets.withLock({ $0[part] }) {
                all.formUnion(known)
                continue
            }
            guard let bytes = try ConfigVersionsTable.payload(c, version) else { continue }
            var config = try Weir_V1_ConfigPayload(serializedBytes: bytes)
            // Of all tenants: who has nothing kept must not use what others have by the provider's own names either.
            let keeps = config.models.contains { $0.capabilities.contains("files") } || config.endpoints.contains(where: \.keepsResponses)
            if let tenants { config = ConfigProjection.of(config, for: tenants.ids) }
            var ids = Set(config.endpoints.flatMap(\.credentialIds))
            // What kept things are named with is nobody's business where there are none.
            if keeps { ids.insert(SealedCredentialBinding.resourceKeyID) }
            credentialSets.withLock { sets in
                if sets.count >= 32 { sets.removeAll() }
                sets[part] = ids
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
