/// What the control plane keeps about its data planes, its signing keys and the documents it issued.
extension Migration {
    static let fleet = Migration(30, "fleet", .breaking) { _ in
        [
            // The private key is empty once a key is retired: what cannot be used any more is not kept.
            """
            CREATE TABLE signing_keys (
                id TEXT PRIMARY KEY,
                public_key BLOB NOT NULL,
                private_key BLOB NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('active', 'retiring', 'retired')),
                created_at BIGINT NOT NULL,
                trusted_until BIGINT,
                retired_at BIGINT
            )
            """,
            // Exactly one key signs at any time.
            "CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state = 'active'",
            // Each keyring as it was signed: a data plane that missed several walks from the key it trusts to the present one.
            """
            CREATE TABLE keyrings (
                epoch BIGINT NOT NULL,
                version BIGINT NOT NULL,
                digest BLOB NOT NULL,
                envelope BLOB NOT NULL,
                created_at BIGINT NOT NULL,
                PRIMARY KEY (epoch, version)
            )
            """,
            // Single values that all replicas share: the deployment's name, the fleet listener's authority.
            """
            CREATE TABLE fleet_state (
                name TEXT PRIMARY KEY,
                value BLOB NOT NULL
            )
            """,
            """
            CREATE TABLE data_planes (
                id TEXT PRIMARY KEY,
                name TEXT NOT NULL,
                region TEXT NOT NULL,
                tenant_ids TEXT NOT NULL,
                tenants_revision BIGINT NOT NULL,
                identity_public_key BLOB NOT NULL,
                sealing_public_key BLOB NOT NULL,
                version TEXT NOT NULL,
                status TEXT NOT NULL CHECK (status IN ('active', 'revoked')),
                keyring_epoch BIGINT NOT NULL,
                keyring_version BIGINT NOT NULL,
                revision BIGINT NOT NULL,
                created_at BIGINT NOT NULL,
                updated_at BIGINT NOT NULL,
                revoked_at BIGINT,
                last_seen_at BIGINT,
                replica TEXT,
                connection TEXT,
                connected_at BIGINT,
                report TEXT,
                reported_at BIGINT
            )
            """,
            "CREATE INDEX data_planes_created ON data_planes (created_at, id)",
            "CREATE UNIQUE INDEX data_planes_identity ON data_planes (identity_public_key)",
            """
            CREATE TABLE data_plane_documents (
                data_plane_id TEXT NOT NULL REFERENCES data_planes (id),
                kind TEXT NOT NULL,
                epoch BIGINT NOT NULL,
                version BIGINT NOT NULL,
                digest BLOB NOT NULL,
                accepted BIGINT NOT NULL,
                reason TEXT NOT NULL,
                detail TEXT NOT NULL,
                answered_at BIGINT NOT NULL,
                PRIMARY KEY (data_plane_id, kind, epoch, version)
            )
            """,
            // The documents made for one data plane alone. A delta is only built on one of these.
            """
            CREATE TABLE issued_documents (
                data_plane_id TEXT NOT NULL REFERENCES data_planes (id),
                kind TEXT NOT NULL,
                epoch BIGINT NOT NULL,
                version BIGINT NOT NULL,
                digest BLOB NOT NULL,
                covered BIGINT NOT NULL,
                tenants_revision BIGINT NOT NULL,
                issued_at BIGINT NOT NULL,
                PRIMARY KEY (data_plane_id, kind, epoch, version)
            )
            """,
            """
            CREATE TABLE enrollment_tokens (
                id TEXT PRIMARY KEY,
                token_sha256 BLOB NOT NULL,
                name TEXT NOT NULL,
                region TEXT NOT NULL,
                tenant_ids TEXT NOT NULL,
                revision BIGINT NOT NULL,
                created_at BIGINT NOT NULL,
                updated_at BIGINT NOT NULL,
                expires_at BIGINT NOT NULL,
                used_at BIGINT,
                data_plane_id TEXT,
                deleted_at BIGINT
            )
            """,
            "CREATE INDEX enrollment_tokens_created ON enrollment_tokens (created_at, id)",
            // A signed nonce opens one session; it is remembered until it would be refused for its age.
            """
            CREATE TABLE session_nonces (
                nonce BLOB PRIMARY KEY,
                expires_at BIGINT NOT NULL
            )
            """,
            "CREATE INDEX session_nonces_expiry ON session_nonces (expires_at)",
        ]
    }
}
