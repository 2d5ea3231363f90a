import Contract
import Foundation
import GRDB
import Logging
import Primitives
import SwiftProtobuf
import Synchronization
import Trust

extension SnapshotStore {
    /// On the store's own thread.
    func applyNow(_ envelope: Weir_V1_Envelope) -> Weir_V1_Acknowledgement {
        let size = envelope.payload.count
        let outcome: Result<VerifiedDocument, DocumentRefusal> = state.withLock { state in
            do throws(DocumentRefusal) {
                return .success(try judge(envelope, &state))
            } catch {
                return .failure(error)
            }
        }
        if size > 1 << 20 { HeapMemory.returnUnused() }
        switch outcome {
        case .success(let document):
            report.withLock { $0.alarm(document.kind, nil) }
            let level: Logger.Level = document.kind == .heartbeat ? .trace : .info
            logger.log(level: level, "document active", metadata: ["kind": "\(document.kind.word)", "version": "\(document.version)"])
            return Self.acknowledge(document)
        case .failure(let refusal):
            return refuse(envelope, refusal)
        }
    }

    private func judge(_ envelope: Weir_V1_Envelope, _ state: inout SnapshotState) throws(DocumentRefusal) -> VerifiedDocument {
        let verifier = DocumentVerifier(
            trust: state.trust, deployment: identity.deployment, dataPlaneID: identity.dataPlaneID.rawValue,
            maximumBytes: maximumDocumentBytes)
        let document = try verifier.verify(envelope)
        guard document.version.version <= Int64.max, document.version.epoch <= Int64.max, document.version.revision <= Int64.max else {
            throw DocumentRefusal(.malformedHeader, "the version or the epoch is out of range")
        }
        // For good, so neither its version nor its time matters.
        if document.kind == .revocation {
            try activateRevocation(document, envelope, &state)
            return document
        }
        if let revocation = state.revocation, revocation.isInForce, document.kind != .keyring {
            throw DocumentRefusal(.wrongAudience, "this data plane is revoked")
        }
        if try checkVersion(document, verifier, state) == .same { return document }
        if document.kind == .directory, document.isDelta, document.header.previousDigest != Data(state.directoryHold?.digest ?? []) {
            state.wantsFullDirectory = true
            throw DocumentRefusal(.wrongPreviousDigest, "the delta does not build on the directory that is active here")
        }
        let now = clock.nowMilliseconds()
        try verifier.checkTime(document, nowMilliseconds: now)
        var next = state
        let hold = DocumentHold(version: document.version, digest: document.digest)
        // An older version that comes again because the disk lost it leaves the mark where it is.
        if next.marks[document.kind].map({ $0.version < hold.version }) ?? true { next.marks[document.kind] = hold }
        switch document.kind {
        case .config: try activateConfig(document, envelope, next, &state)
        case .rollout: try activateRollout(document, envelope, next, &state)
        case .directory: try activateDirectory(document, envelope, next, &state)
        case .keyring: try activateKeyring(document, next, &state)
        case .heartbeat: try hear(document, next, &state, now: now)
        case .revocation: break
        case .bans: throw DocumentRefusal(.unknownKind, "bans have a stream of their own")
        }
        return document
    }

    /// Several configurations are active at once, of which only the newest is the mark. One below it is taken as long as the rollout
    /// could still come to it (it is above the baseline in force), or when the disk lost it; a version with two contents never. One that is
    /// held gives way to its next revision: the part of it that the tenants of now may use.
    private func checkVersion(
        _ document: VerifiedDocument, _ verifier: DocumentVerifier, _ state: SnapshotState
    ) throws(DocumentRefusal) -> DocumentVerifier.VersionVerdict {
        let active = state.active(document.kind, version: document.version.version)
        let mark = state.marks[document.kind].map { (version: $0.version, digest: $0.digest) }
        if document.kind == .config {
            if let seen = state.seenConfigs[document.version], seen != document.digest {
                _ = try verifier.checkVersion(document, mark: (version: document.version, digest: seen))
            }
            if let active, active.version.epoch == document.version.epoch {
                if active.version == document.version { return .same }
                // Signed for the tenants of before: whatever it holds, it is not for those of now.
                return try verifier.checkVersion(document, mark: (version: active.version, digest: active.digest))
            }
            // Nor does one come back that was dropped because it was for the tenants of before.
            if let mark, document.version.epoch == mark.version.epoch, document.version.version <= mark.version.version,
                document.version.revision < state.newestRevision(epoch: mark.version.epoch)
            {
                throw DocumentRefusal(.olderVersion, "version \(document.version) is for the tenants of before")
            }
            if let mark, document.version < mark.version, document.version.epoch == mark.version.epoch {
                let baseline = state.rollout?.payload.baselineVersion ?? .max
                if document.version.version > baseline || state.lostConfigs.contains(document.version.version) { return .newer }
            }
        }
        guard try verifier.checkVersion(document, mark: mark) == .same else { return .newer }
        // Known but not active: the disk lost it.
        return active?.version == document.version ? .same : .newer
    }

    // MARK: Content, index, transaction, swap

    private func activateConfig(
        _ document: VerifiedDocument, _ envelope: Weir_V1_Envelope, _ next: SnapshotState, _ state: inout SnapshotState
    ) throws(DocumentRefusal) {
        var next = next
        let held = try SnapshotBoot.compile(document, reusing: next.configs.values.map(\.config))
        next.configs[document.version.version] = held
        next.lostConfigs.remove(document.version.version)
        next.seenConfigs[document.version] = document.digest
        let dropped = next.superfluousConfigs().union(next.outdatedConfigs(below: document.version.revision))
            .subtracting([document.version.version])
        for version in dropped { next.configs[version] = nil }
        // What was in force before may have been for other tenants: it is no way back then.
        let losesPrevious = next.previousRollout.map { !$0.versions.isSubset(of: next.configs.keys) } ?? false
        if losesPrevious { next.previousRollout = nil }
        let stored = StoredDocument(hold: held.hold, isDelta: false, envelope: try Self.bytes(envelope))
        try commit(next, .config) { db, now in
            try ConfigDocuments.put(db, stored, now: now)
            try ConfigDocuments.remove(db, versions: dropped)
            if losesPrevious { try SingleDocuments.keep(db, .rollout, 1) }
        }
        activate(next, replacing: &state)
    }

    private func activateRollout(
        _ document: VerifiedDocument, _ envelope: Weir_V1_Envelope, _ next: SnapshotState, _ state: inout SnapshotState
    ) throws(DocumentRefusal) {
        var next = next
        let rollout = try SnapshotBoot.rollout(document, identity)
        for version in rollout.versions.sorted() where next.configs[version] == nil {
            throw DocumentRefusal(.brokenReference, "configuration version \(version) is not held here")
        }
        next.directory = next.directory.selecting(rollout.selector)
        next.previousRollout = next.rollout
        next.rollout = rollout
        let dropped = next.superfluousConfigs()
        for version in dropped { next.configs[version] = nil }
        let stored = StoredDocument(hold: rollout.hold, isDelta: false, envelope: try Self.bytes(envelope))
        try commit(next, .rollout) { db, now in
            try SingleDocuments.put(db, .rollout, stored, keeping: 2, now: now)
            try ConfigDocuments.remove(db, versions: dropped)
        }
        activate(next, replacing: &state)
    }

    private func activateDirectory(
        _ document: VerifiedDocument, _ envelope: Weir_V1_Envelope, _ next: SnapshotState, _ state: inout SnapshotState
    ) throws(DocumentRefusal) {
        var next = next
        next.directory = try SnapshotBoot.directory(document, base: next.directory, selector: next.rollout?.selector)
        let hold = DocumentHold(version: document.version, digest: document.digest)
        next.directoryHold = hold
        let stored = StoredDocument(hold: hold, isDelta: document.isDelta, envelope: try Self.bytes(envelope))
        if document.isDelta {
            next.deltas += 1
            next.deltaBytes += document.payload.count
            if next.isChainLong { next.wantsFullDirectory = true }
        } else {
            next.deltas = 0
            next.deltaBytes = 0
            next.fullBytes = document.payload.count
            next.wantsFullDirectory = false
        }
        try commit(next, .directory) { db, now in try DirectoryDocuments.put(db, stored, now: now) }
        activate(next, replacing: &state)
    }

    private func activateKeyring(
        _ document: VerifiedDocument, _ next: SnapshotState, _ state: inout SnapshotState
    ) throws(DocumentRefusal) {
        guard let payload = try? Weir_V1_KeyringPayload(serializedBytes: document.payload) else {
            throw DocumentRefusal(.malformedPayload, "the payload is not a KeyringPayload")
        }
        let keys = Dictionary(payload.keys.map { ($0.keyID, Array($0.publicKey)) }, uniquingKeysWith: { first, _ in first })
        let trust = TrustStore(keys)
        // Without a single key nothing could ever be accepted again.
        guard !trust.keys.isEmpty, trust.keys.count == payload.keys.count else {
            throw DocumentRefusal(.malformedPayload, "a key of the keyring is malformed, there twice, or there is none")
        }
        var next = next
        var retired = next.retired.keys.merging(next.trust.keys) { first, _ in first }
        for id in trust.keys.keys { retired[id] = nil }
        next.retired = TrustStore(retired)
        next.trust = trust
        try commit(next, .keyring) { db, _ in try TrustedKeys.replace(db, trust.keys) }
        activate(next, replacing: &state)
    }

    private func hear(
        _ document: VerifiedDocument, _ next: SnapshotState, _ state: inout SnapshotState, now: Int64
    ) throws(DocumentRefusal) {
        guard let payload = try? Weir_V1_HeartbeatPayload(serializedBytes: document.payload) else {
            throw DocumentRefusal(.malformedPayload, "the payload is not a HeartbeatPayload")
        }
        let addresses = ControlAddresses.usable(payload.controlAddresses)
        let isNews = !addresses.isEmpty && addresses != controlAddresses.all
        try commit(next, .heartbeat) { db, _ in
            if isNews { try ControlAddresses.store(addresses, db) }
        }
        if isNews { controlAddresses.set(addresses) }
        state = next
        var latest: [DocumentKind: DocumentVersion] = [:]
        for mark in payload.latest {
            guard let kind = DocumentKind(rawValue: mark.kind) else { continue }
            let version = DocumentVersion(epoch: mark.epoch, version: mark.version, revision: mark.revision)
            latest[kind] = latest[kind].map { max($0, version) } ?? version
        }
        let known = latest
        report.withLock { $0.heard(known, atMilliseconds: now) }
    }

    /// The one transaction: the document and the mark of its kind.
    private func commit(
        _ next: SnapshotState, _ kind: DocumentKind, _ body: (Database, Int64) throws -> Void
    ) throws(DocumentRefusal) {
        do {
            let now = clock.nowMilliseconds()
            try local.write { db in
                try body(db, now)
                if let mark = next.marks[kind] { try DocumentMarks.put(db, kind, mark) }
            }
        } catch {
            throw DocumentRefusal(.storage, "the local database took nothing: \(error)")
        }
    }

    private static func bytes(_ envelope: Weir_V1_Envelope) throws(DocumentRefusal) -> [UInt8] {
        do {
            return try envelope.serializedBytes()
        } catch {
            throw DocumentRefusal(.malformedEnvelope, "the envelope cannot be written again")
        }
    }

    // MARK: Answers

    private static func acknowledge(_ document: VerifiedDocument) -> Weir_V1_Acknowledgement {
        var answer = Weir_V1_Acknowledgement()
        answer.kind = document.kind.payloadType
        answer.epoch = document.version.epoch
        answer.version = document.version.version
        answer.revision = document.version.revision
        answer.digest = Data(document.digest)
        answer.accepted = true
        return answer
    }

    /// The document's own words about itself, unproven as they are, so that the control plane knows which one is meant.
    private func refuse(_ envelope: Weir_V1_Envelope, _ refusal: DocumentRefusal) -> Weir_V1_Acknowledgement {
        var answer = Weir_V1_Acknowledgement()
        answer.kind = String(envelope.kind.prefix(80))
        if envelope.header.count <= 65_536, let header = try? Weir_V1_Header(serializedBytes: envelope.header) {
            answer.epoch = header.epoch
            answer.version = header.version
            answer.revision = header.revision
            answer.digest = header.payloadDigest.prefix(SHA256Digest.byteCount)
        }
        answer.reason = refusal.code.rawValue
        answer.detail = refusal.detail
        let metadata: Logger.Metadata = [
            "kind": "\(answer.kind)", "version": "\(answer.epoch).\(answer.version)", "reason": "\(refusal.code.rawValue)",
            "detail": "\(refusal.detail)",
        ]
        logger.log(level: refusal.code == .equivocation ? .critical : .error, "document refused", metadata: metadata)
        if let kind = DocumentKind(rawValue: envelope.kind) {
            report.withLock { $0.alarm(kind, "\(kind.word) document refused: \(refusal.code.rawValue)") }
        }
        return answer
    }
}
