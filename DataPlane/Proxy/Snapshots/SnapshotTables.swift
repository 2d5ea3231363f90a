import GRDB

extension LocalMigration {
    /// Documents are kept as the envelopes they came in, so that what is on the disk is verified again at each boot.
    static let snapshots = LocalMigration(
        name: "0010 snapshots",
        sql: """
            -- Configuration versions that the rollout refers to (or may refer to next).
            CREATE TABLE config_document (
                epoch INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL, envelope BLOB NOT NULL,
                stored_at INTEGER NOT NULL, PRIMARY KEY (version));
            -- One row a kind: rollout, keyring, heartbeat; the one before it in case the last is damaged.
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
}
