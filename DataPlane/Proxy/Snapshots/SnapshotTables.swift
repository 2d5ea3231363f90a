package import Contract
import Foundation
import GRDB

extension LocalMigration {
    /// Documents are kept as the envelopes they came in, so that what is on the disk is verified again at each boot.
    static let snapshots = LocalMigration(
        name: "0010 snapshots", .breaking,
        sql: """
            -- Configuration versions that the rollout refers to (or may refer to next).
            CREATE TABLE config_document (
                epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL, envelope BLOB NOT NULL,
                stored_at INTEGER NOT NULL, PRIMARY KEY (version));
            -- Digests of all versions ever activated, also of those that are no longer kept: a version never has two contents.
            CREATE TABLE config_seen (
                epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (epoch, version)) WITHOUT ROWID;
            -- The last rollouts: the one before the newest in case that is damaged.
            CREATE TABLE single_document (
                kind TEXT NOT NULL, epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL, envelope BLOB NOT NULL,
                stored_at INTEGER NOT NULL, PRIMARY KEY (kind, epoch, version));
            -- The last full directory (is_delta 0) and the deltas since, in order of position.
            CREATE TABLE directory_document (
                position INTEGER PRIMARY KEY AUTOINCREMENT, is_delta INTEGER NOT NULL, epoch INTEGER NOT NULL,
                version INTEGER NOT NULL, digest BLOB NOT NULL, envelope BLOB NOT NULL, stored_at INTEGER NOT NULL);
            -- The newest document of each kind ever activated. Never lowered: what keeps an old document from coming back.
            CREATE TABLE document_mark (
                kind TEXT PRIMARY KEY, epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
            -- Retired keys (retired 1) are believed only of documents that were stored while they were trusted.
            CREATE TABLE trusted_key (
                key_id TEXT PRIMARY KEY, public_key BLOB NOT NULL, retired INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
            -- As they travelled: sealed to this data plane.
            CREATE TABLE sealed_secret (
                credential_id TEXT PRIMARY KEY, provider_id TEXT NOT NULL, revision INTEGER NOT NULL,
                encapsulated_key BLOB NOT NULL, ciphertext BLOB NOT NULL, stored_at INTEGER NOT NULL) WITHOUT ROWID;
            """)

    /// A version of the configuration is another one after the data plane's tenants changed.
    static let configRevisions = LocalMigration(
        name: "0011 configuration revisions",
        sql: """
            ALTER TABLE config_document ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE document_mark ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
            CREATE TABLE config_revision_seen (
                epoch INTEGER NOT NULL, version INTEGER NOT NULL, revision INTEGER NOT NULL, digest BLOB NOT NULL,
                PRIMARY KEY (epoch, version, revision)) WITHOUT ROWID;
            INSERT INTO config_revision_seen (epoch, version, revision, digest) SELECT epoch, version, 0, digest FROM config_seen;
            DROP TABLE config_seen;
            """)

    /// What the step before took from releases that know no revisions, and what keeps the two tables the same whoever writes.
    static let configSeenByOlder = LocalMigration(
        name: "0012 configurations seen, for older releases",
        sql: """
            CREATE TABLE config_seen (
                epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (epoch, version)) WITHOUT ROWID;
            INSERT INTO config_seen (epoch, version, digest) SELECT epoch, version, digest FROM config_revision_seen WHERE revision = 0;
            CREATE TRIGGER config_seen_forward AFTER INSERT ON config_seen BEGIN
                INSERT OR IGNORE INTO config_revision_seen (epoch, version, revision, digest)
                VALUES (NEW.epoch, NEW.version, 0, NEW.digest);
            END;
            CREATE TRIGGER config_seen_back AFTER INSERT ON config_revision_seen WHEN NEW.revision = 0 BEGIN
                INSERT OR IGNORE INTO config_seen (epoch, version, digest) VALUES (NEW.epoch, NEW.version, NEW.digest);
            END;
            """)
}

/// Values of a column, or nil for one of another type: GRDB's own subscripts trap on a row that is damaged in that way.
extension Row {
    fileprivate func integer(_ column: String) -> Int64? { (self[column] as DatabaseValue?).flatMap { Int64.fromDatabaseValue($0) } }
    fileprivate func text(_ column: String) -> String? { (self[column] as DatabaseValue?).flatMap { String.fromDatabaseValue($0) } }
    fileprivate func blob(_ column: String) -> [UInt8] {
        (self[column] as DatabaseValue?).flatMap { Data.fromDatabaseValue($0) }.map { Array($0) } ?? []
    }
}

/// The newest document of a kind, by what identifies it.
package struct DocumentHold: Hashable, Sendable {
    package let version: DocumentVersion
    /// SHA-256 of the payload.
    package let digest: [UInt8]
}

/// A document as it rests on the disk.
struct StoredDocument: Sendable {
    let hold: DocumentHold
    let isDelta: Bool
    let envelope: [UInt8]

    init(hold: DocumentHold, isDelta: Bool, envelope: [UInt8]) {
        self.hold = hold
        self.isDelta = isDelta
        self.envelope = envelope
    }

    init(_ row: Row) {
        hold = DocumentHold(row)
        isDelta = row.integer("is_delta") == 1
        envelope = row.blob("envelope")
    }

}

extension DocumentHold {
    init(_ row: Row) {
        version = DocumentVersion(
            epoch: UInt64(clamping: row.integer("epoch") ?? 0), version: UInt64(clamping: row.integer("version") ?? 0),
            revision: UInt64(clamping: row.integer("revision") ?? 0))
        digest = row.blob("digest")
    }

    /// Versions are checked to fit when a document comes in.
    var arguments: [any DatabaseValueConvertible] {
        [Int64(clamping: version.epoch), Int64(clamping: version.version), Data(digest)]
    }

    var revisionArguments: [any DatabaseValueConvertible] { arguments + [Int64(clamping: version.revision)] }
}

enum ConfigDocuments {
    static func all(_ db: Database) throws -> [StoredDocument] {
        try Row.fetchAll(
            db, sql: "SELECT epoch, version, revision, digest, envelope FROM config_document ORDER BY version"
        ).map(StoredDocument.init)
    }

    static func put(_ db: Database, _ document: StoredDocument, now: Int64) throws {
        try db.execute(
            sql: """
                INSERT INTO config_document (epoch, version, digest, revision, envelope, stored_at) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (version) DO UPDATE SET epoch = excluded.epoch, digest = excluded.digest, revision = excluded.revision,
                    envelope = excluded.envelope, stored_at = excluded.stored_at
                """, arguments: StatementArguments(document.hold.revisionArguments + [Data(document.envelope), now]))
        try db.execute(
            sql: "INSERT OR IGNORE INTO config_revision_seen (epoch, version, digest, revision) VALUES (?, ?, ?, ?)",
            arguments: StatementArguments(document.hold.revisionArguments))
    }

    static func seen(_ db: Database) throws -> [DocumentVersion: [UInt8]] {
        let rows = try Row.fetchAll(db, sql: "SELECT epoch, version, revision, digest FROM config_revision_seen").map { DocumentHold($0) }
        return Dictionary(rows.map { ($0.version, $0.digest) }, uniquingKeysWith: { first, _ in first })
    }

    static func remove(_ db: Database, versions: Set<UInt64>) throws {
        for version in versions {
            try db.execute(sql: "DELETE FROM config_document WHERE version = ?", arguments: [Int64(clamping: version)])
        }
    }
}

enum SingleDocuments {
    /// Newest first.
    static func all(_ db: Database, _ kind: DocumentKind) throws -> [StoredDocument] {
        try Row.fetchAll(
            db, sql: "SELECT epoch, version, digest, envelope FROM single_document WHERE kind = ? ORDER BY epoch DESC, version DESC",
            arguments: [kind.word]
        ).map(StoredDocument.init)
    }

    /// Stores it and keeps `keeping` of its kind in all.
    static func put(_ db: Database, _ kind: DocumentKind, _ document: StoredDocument, keeping: Int, now: Int64) throws {
        let arguments: [any DatabaseValueConvertible] = [kind.word] + document.hold.arguments + [Data(document.envelope), now]
        try db.execute(
            sql: "INSERT OR REPLACE INTO single_document (kind, epoch, version, digest, envelope, stored_at) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: StatementArguments(arguments))
        try keep(db, kind, keeping)
    }

    /// Drops all but the newest `count` of a kind.
    static func keep(_ db: Database, _ kind: DocumentKind, _ count: Int) throws {
        try db.execute(
            sql: """
                DELETE FROM single_document WHERE kind = ?1 AND rowid NOT IN
                    (SELECT rowid FROM single_document WHERE kind = ?1 ORDER BY epoch DESC, version DESC LIMIT ?2)
                """, arguments: [kind.word, count])
    }
}

enum DirectoryDocuments {
    /// The full one and its deltas, in order. One at a time: the full one may be large.
    static func forEach(_ db: Database, _ body: (StoredDocument) throws -> Bool) throws {
        let rows = try Row.fetchCursor(
            db, sql: "SELECT is_delta, epoch, version, digest, envelope FROM directory_document ORDER BY position")
        while let row = try rows.next() {
            if try !body(StoredDocument(row)) { return }
        }
    }

    static func put(_ db: Database, _ document: StoredDocument, now: Int64) throws {
        if !document.isDelta { try db.execute(sql: "DELETE FROM directory_document") }
        let arguments: [any DatabaseValueConvertible] =
            [document.isDelta ? 1 : 0] + document.hold.arguments + [Data(document.envelope), now]
        try db.execute(
            sql: "INSERT INTO directory_document (is_delta, epoch, version, digest, envelope, stored_at) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: StatementArguments(arguments))
    }
}

enum DocumentMarks {
    static func all(_ db: Database) throws -> [DocumentKind: DocumentHold] {
        var marks: [DocumentKind: DocumentHold] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT kind, epoch, version, revision, digest FROM document_mark") {
            let word = row.text("kind")
            if let kind = DocumentKind.allCases.first(where: { $0.word == word }) { marks[kind] = DocumentHold(row) }
        }
        return marks
    }

    static func put(_ db: Database, _ kind: DocumentKind, _ hold: DocumentHold) throws {
        let arguments: [any DatabaseValueConvertible] = [kind.word] + hold.revisionArguments
        try db.execute(
            sql: "INSERT OR REPLACE INTO document_mark (kind, epoch, version, digest, revision) VALUES (?, ?, ?, ?, ?)",
            arguments: StatementArguments(arguments))
    }
}

enum TrustedKeys {
    static func all(_ db: Database) throws -> (trusted: [String: [UInt8]], retired: [String: [UInt8]]) {
        var trusted: [String: [UInt8]] = [:]
        var retired: [String: [UInt8]] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT key_id, public_key, retired FROM trusted_key") {
            guard let id = row.text("key_id") else { continue }
            let key = row.blob("public_key")
            if row.integer("retired") == 0 { trusted[id] = key } else { retired[id] = key }
        }
        return (trusted, retired)
    }

    /// From now on exactly these are trusted.
    static func replace(_ db: Database, _ keys: [String: [UInt8]]) throws {
        try db.execute(sql: "UPDATE trusted_key SET retired = 1")
        for (id, key) in keys {
            try db.execute(
                sql: "INSERT OR REPLACE INTO trusted_key (key_id, public_key, retired) VALUES (?, ?, 0)", arguments: [id, Data(key)])
        }
    }
}

enum SealedSecretRows {
    static func all(_ db: Database) throws -> [Weir_V1_SealedSecret] {
        let sql = "SELECT credential_id, provider_id, revision, encapsulated_key, ciphertext FROM sealed_secret ORDER BY credential_id"
        return try Row.fetchAll(db, sql: sql).map { row in
            var secret = Weir_V1_SealedSecret()
            secret.credentialID = row.text("credential_id") ?? ""
            secret.providerID = row.text("provider_id") ?? ""
            secret.revision = UInt64(clamping: row.integer("revision") ?? 0)
            secret.encapsulatedKey = Data(row.blob("encapsulated_key"))
            secret.ciphertext = Data(row.blob("ciphertext"))
            return secret
        }
    }

    static func put(_ db: Database, _ secret: Weir_V1_SealedSecret, now: Int64) throws {
        try db.execute(
            sql: """
                INSERT OR REPLACE INTO sealed_secret (credential_id, provider_id, revision, encapsulated_key, ciphertext, stored_at)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                secret.credentialID, secret.providerID, Int64(clamping: secret.revision), secret.encapsulatedKey, secret.ciphertext, now,
            ])
    }

    static func remove(_ db: Database, _ credentialID: String) throws {
        try db.execute(sql: "DELETE FROM sealed_secret WHERE credential_id = ?", arguments: [credentialID])
    }
}
