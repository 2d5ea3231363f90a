import Contract
import Foundation
import GRDB
import Logging
import Primitives
import SwiftProtobuf
import Synchronization

/// The control plane's signed word that this data plane was shut out for good.
package struct Revocation: Sendable, Hashable {
    /// By the control plane's clock, Unix milliseconds.
    package let revokedAtMilliseconds: Int64
    /// When this data plane heard of it, Unix milliseconds.
    package let heardAtMilliseconds: Int64
    /// Whether the grace is over: nothing is served any more, and the credentials are gone.
    package var isInForce: Bool

    /// For `/health/ready`.
    func text(graceMilliseconds: Int64) -> String {
        let revoked = "this data plane was revoked by its control plane at \(RFC3339.string(milliseconds: revokedAtMilliseconds))"
        let remedy = "to let this machine in again, enrol it with a new token and an empty data directory"
        if isInForce { return "\(revoked): it serves nothing any more; \(remedy)" }
        let end = heardAtMilliseconds &+ graceMilliseconds
        return "\(revoked): it stops serving at \(RFC3339.string(milliseconds: end)); \(remedy)"
    }
}

extension LocalMigration {
    static let revocation = LocalMigration(
        name: "0030 revocation",
        sql: """
            -- The envelope of the control plane's revocation, one row at most, and when it came: it holds over restarts.
            CREATE TABLE revocation (id INTEGER PRIMARY KEY CHECK (id = 1), envelope BLOB NOT NULL, heard_ms INTEGER NOT NULL);
            """)
}

enum RevocationRow {
    static func read(_ db: Database) throws -> (envelope: [UInt8], heardAtMilliseconds: Int64)? {
        guard let row = try Row.fetchOne(db, sql: "SELECT envelope, heard_ms FROM revocation") else { return nil }
        let envelope = (row["envelope"] as DatabaseValue?).flatMap { Data.fromDatabaseValue($0) } ?? Data()
        let heard = (row["heard_ms"] as DatabaseValue?).flatMap { Int64.fromDatabaseValue($0) } ?? 0
        return (Array(envelope), heard)
    }

    static func write(_ db: Database, envelope: [UInt8], heardAtMilliseconds: Int64) throws {
        try db.execute(
            sql: "INSERT OR IGNORE INTO revocation (id, envelope, heard_ms) VALUES (1, ?, ?)",
            arguments: [Data(envelope), heardAtMilliseconds])
    }
}

extension SnapshotStore {
    /// Takes a revocation that was verified, and acts on it once the grace is over.
    func activateRevocation(
        _ document: VerifiedDocument, _ envelope: Weir_V1_Envelope, _ state: inout SnapshotState
    ) throws(DocumentRefusal) {
        if state.revocation != nil { return }
        guard let payload = try? Weir_V1_RevocationPayload(serializedBytes: document.payload) else {
            throw DocumentRefusal(.malformedPayload, "the payload is not a RevocationPayload")
        }
        let now = clock.nowMilliseconds()
        do {
            let bytes: [UInt8] = try envelope.serializedBytes()
            try local.write { try RevocationRow.write($0, envelope: bytes, heardAtMilliseconds: now) }
        } catch {
            throw DocumentRefusal(.storage, "the local database took nothing: \(error)")
        }
        let revocation = Revocation(revokedAtMilliseconds: payload.revokedAtMs, heardAtMilliseconds: now, isInForce: false)
        logger.critical(
            "this data plane was revoked by its control plane",
            metadata: [
                "revoked_at": "\(RFC3339.string(milliseconds: payload.revokedAtMs))",
                "stops_serving_in_ms": "\(revocationGraceMilliseconds)",
                "remedy": "enrol it with a new token and an empty data directory to let it in again",
            ])
        var next = state
        next.revocation = revocation
        activate(next, replacing: &state)
        if revocationGraceMilliseconds == 0 { enforceRevocation(&state) } else { enforceLater(revocation) }
    }

    /// At the start, for a revocation that is on the disk.
    func resumeRevocation() {
        guard let revocation = state.withLock({ $0.revocation }) else { return }
        logger.critical(
            "this data plane is revoked", metadata: ["state": "\(revocation.text(graceMilliseconds: revocationGraceMilliseconds))"])
        guard clock.nowMilliseconds() &- revocation.heardAtMilliseconds < revocationGraceMilliseconds else {
            return state.withLock { enforceRevocation(&$0) }
        }
        enforceLater(revocation)
    }

    private func enforceLater(_ revocation: Revocation) {
        let left = revocation.heardAtMilliseconds &+ revocationGraceMilliseconds &- clock.nowMilliseconds()
        // A clock that was set back does not lengthen it beyond what the operator chose.
        let wait = min(max(0, left), revocationGraceMilliseconds)
        worker.asyncAfter(deadline: .now() + .milliseconds(Int(clamping: wait))) { [weak self] in
            guard let self else { return }
            state.withLock { self.enforceRevocation(&$0) }
        }
    }

    /// Serves nothing more: forgets the provider credentials and whom it served, in memory and on the disk. Configurations stay, since
    /// what was served is still to be priced, and so does the usage that waits to be shipped.
    private func enforceRevocation(_ state: inout SnapshotState) {
        guard let revocation = state.revocation, !revocation.isInForce else { return }
        var next = state
        next.revocation?.isInForce = true
        next.secrets = [:]
        next.directory = .empty
        next.directoryHold = nil
        activate(next, replacing: &state)
        do {
            try local.forgetSecrets()
        } catch {
            // Refused or not, nothing of it is loaded again while the revocation is on the disk.
            logger.error("credentials could not be removed from the disk; the next start tries again", metadata: ["error": "\(error)"])
        }
        logger.critical("serving has stopped: this data plane is revoked")
    }
}

extension LocalStore {
    /// Removes sealed credentials and the directory so that nothing of them is left in the file, nor the key that opens them.
    func forgetSecrets() throws {
        try queue.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA secure_delete = ON")
            try db.inTransaction {
                try db.execute(sql: "DELETE FROM sealed_secret")
                try db.execute(sql: "DELETE FROM directory_document")
                return .commit
            }
            // Older copies of the pages stand in the WAL until it is written back and cut.
            _ = try db.checkpoint(.truncate)
        }
        let path = directory + "/sealing.key"
        if unlink(path) != 0, errno != ENOENT { throw LocalStoreError.unusable(path: path, detail: Self.errorText()) }
    }
}
