package import Contract
import Dispatch
import Foundation
import GRDB
import Logging
import Primitives
import SwiftProtobuf
import Synchronization
package import Trust

extension LocalMigration {
    static let bans = LocalMigration(
        name: "0080 bans",
        sql: """
            -- The newest document of bans, as it came: one row at most.
            CREATE TABLE bans_document (
                id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL,
                envelope BLOB NOT NULL, stored_at INTEGER NOT NULL);
            """)
}

/// Judges, activates and keeps documents of bans. They are judged like all others, but wait for none: a directory of a million keys that is
/// being read delays no ban. In force first and stored then, since here what counts is that it is soon; acknowledged when it is both.
package final class BanStore: Sendable {
    /// Bytes. Far above what a control plane sends.
    private static let maximumBytes = 8 << 20

    private struct State {
        var bans = BanSet.empty
        var hold: DocumentHold?
        var listeners: [@Sendable (BanSet) async -> Void] = []
    }

    private let local: LocalStore
    private let identity: DataPlaneIdentity
    private let clock: any WallClock
    private let logger: Logger
    private let state = Mutex(State())
    private let worker = DispatchQueue(label: "weir.bans", qos: .userInitiated)

    init(local: LocalStore, identity: DataPlaneIdentity, clock: any WallClock, logger: Logger) {
        self.local = local
        self.identity = identity
        self.clock = clock
        self.logger = logger
    }

    package var current: BanSet { state.withLock { $0.bans } }

    /// What is held, for the hello.
    var mark: Weir_V1_DocumentMark? {
        state.withLock { state in
            state.hold.map { hold in
                var mark = Weir_V1_DocumentMark()
                mark.kind = DocumentKind.bans.payloadType
                mark.epoch = hold.version.epoch
                mark.version = hold.version.version
                mark.digest = Data(hold.digest)
                return mark
            }
        }
    }

    /// Calls `listener` with what comes into force from now on. It returns when it has been acted upon.
    package func onActivate(_ listener: @escaping @Sendable (BanSet) async -> Void) {
        state.withLock { $0.listeners.append(listener) }
    }

    /// From the disk. What cannot be used is reported and left out: the control plane sends it again.
    /// - Parameter trust: keys that were believed when it was stored, too.
    func load(trust: TrustStore) {
        do {
            guard
                let envelope = try local.write({ db in
                    try Row.fetchOne(db, sql: "SELECT envelope FROM bans_document").flatMap {
                        ($0["envelope"] as DatabaseValue?).flatMap { Data.fromDatabaseValue($0) }
                    }
                })
            else { return }
            let document = try verifier(trust).verify(Array(envelope))
            let bans = try Self.content(document)
            state.withLock { state in
                state.bans = bans
                state.hold = DocumentHold(version: document.version, digest: document.digest)
            }
        } catch {
            logger.error("the stored bans cannot be used", metadata: ["problem": "\(error)"])
        }
    }

    /// Judges a document, puts it in force and stores it. The answer goes to the control plane as it is.
    package func apply(_ envelope: Weir_V1_Envelope, trust: TrustStore) async -> Weir_V1_Acknowledgement {
        var answer = Weir_V1_Acknowledgement()
        answer.kind = DocumentKind.bans.payloadType
        if envelope.header.count <= 65_536, let header = try? Weir_V1_Header(serializedBytes: envelope.header) {
            answer.epoch = header.epoch
            answer.version = header.version
            answer.digest = header.payloadDigest.prefix(SHA256Digest.byteCount)
        }
        do throws(DocumentRefusal) {
            let document = try judge(envelope, trust)
            if let document { try await activate(document, envelope) }
            answer.accepted = true
        } catch {
            answer.reason = error.code.rawValue
            answer.detail = error.detail
            logger.log(
                level: error.code == .equivocation ? .critical : .error, "document refused",
                metadata: ["kind": "bans", "version": "\(answer.epoch).\(answer.version)", "reason": "\(error.code.rawValue)"])
        }
        return answer
    }

    private func verifier(_ trust: TrustStore) -> DocumentVerifier {
        DocumentVerifier(
            trust: trust, deployment: identity.deployment, dataPlaneID: identity.dataPlaneID.rawValue, maximumBytes: Self.maximumBytes)
    }

    /// Nil: the document that is held.
    private func judge(_ envelope: Weir_V1_Envelope, _ trust: TrustStore) throws(DocumentRefusal) -> VerifiedDocument? {
        let verifier = verifier(trust)
        let document = try verifier.verify(envelope)
        guard document.kind == .bans else { throw DocumentRefusal(.unknownKind, "only bans come this way") }
        guard document.version.version <= Int64.max, document.version.epoch <= Int64.max else {
            throw DocumentRefusal(.malformedHeader, "the version or the epoch is out of range")
        }
        let hold = state.withLock { $0.hold }
        if try verifier.checkVersion(document, mark: hold.map { ($0.version, $0.digest) }) == .same { return nil }
        try verifier.checkTime(document, nowMilliseconds: clock.nowMilliseconds())
        return document
    }

    private static func content(_ document: VerifiedDocument) throws(DocumentRefusal) -> BanSet {
        guard document.kind == .bans, let payload = try? Weir_V1_BansPayload(serializedBytes: document.payload) else {
            throw DocumentRefusal(.malformedPayload, "the payload is not a BansPayload")
        }
        return BanSet(payload)
    }

    private func activate(_ document: VerifiedDocument, _ envelope: Weir_V1_Envelope) async throws(DocumentRefusal) {
        let bans = try Self.content(document)
        let listeners = state.withLock { state in
            state.bans = bans
            return state.listeners
        }
        for listener in listeners { await listener(bans) }
        let hold = DocumentHold(version: document.version, digest: document.digest)
        guard await store(hold, envelope) else { throw DocumentRefusal(.storage, "in force, but the local database took nothing") }
        state.withLock { $0.hold = hold }
        logger.notice("bans active", metadata: ["version": "\(document.version)", "bans": "\(bans.count)"])
    }

    private func store(_ hold: DocumentHold, _ envelope: Weir_V1_Envelope) async -> Bool {
        await withCheckedContinuation { continuation in
            worker.async { [local, clock, logger] in
                do {
                    let bytes: [UInt8] = try envelope.serializedBytes()
                    try local.write { db in
                        try db.execute(
                            sql: """
                                INSERT OR REPLACE INTO bans_document (id, epoch, version, digest, envelope, stored_at)
                                VALUES (1, ?, ?, ?, ?, ?)
                                """, arguments: StatementArguments(hold.arguments + [Data(bytes), clock.nowMilliseconds()]))
                    }
                    continuation.resume(returning: true)
                } catch {
                    logger.error("bans could not be stored", metadata: ["error": "\(error)"])
                    continuation.resume(returning: false)
                }
            }
        }
    }
}
