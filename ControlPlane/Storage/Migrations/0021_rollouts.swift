extension Migration {
    static let rollouts = Migration(21, "rollouts", .breaking) { _ in
        [
            // tenant_ids, regions and data_plane_ids are JSON arrays; an empty one selects all. automatic_rollback is the place for
            // the conditions (error rate, latency against the baseline) under which a candidate is to be withdrawn without an
            // operator; always NULL until the control plane watches them.
            """
            CREATE TABLE rollouts (
                id TEXT PRIMARY KEY,
                version BIGINT NOT NULL REFERENCES config_versions (version),
                baseline_version BIGINT NOT NULL,
                tenant_ids TEXT NOT NULL,
                regions TEXT NOT NULL,
                data_plane_ids TEXT NOT NULL,
                percentage_basis_points BIGINT NOT NULL CHECK (percentage_basis_points BETWEEN 0 AND 10000),
                salt TEXT NOT NULL,
                effective_at BIGINT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('candidate', 'promoted', 'aborted', 'rolled_back')),
                author_id TEXT NOT NULL,
                author_name TEXT NOT NULL,
                revision BIGINT NOT NULL,
                created_at BIGINT NOT NULL,
                updated_at BIGINT NOT NULL,
                ended_at BIGINT,
                ended_by TEXT,
                automatic_rollback TEXT
            )
            """,
            "CREATE INDEX rollouts_created ON rollouts (created_at, id)",
            // One candidate at a time, also when two operators are quicker than our checks.
            "CREATE UNIQUE INDEX rollouts_candidate ON rollouts (state) WHERE state = 'candidate'",
            // What the signed rollout document says now. highest_version is the newest version that any document has ever offered:
            // a data plane refuses older ones after it.
            """
            CREATE TABLE rollout_state (
                id BIGINT PRIMARY KEY CHECK (id = 1),
                document_version BIGINT NOT NULL,
                baseline_version BIGINT NOT NULL,
                candidate_rollout_id TEXT REFERENCES rollouts (id),
                highest_version BIGINT NOT NULL,
                updated_at BIGINT NOT NULL
            )
            """,
            // Every baseline there was. previous_version is what a rollback returns to, 0 when nothing came before; a version
            // published by a rollback takes over the previous_version of the one it restores, so that a second rollback goes
            // further back instead of returning to what was just left.
            """
            CREATE TABLE rollout_baselines (
                version BIGINT PRIMARY KEY REFERENCES config_versions (version),
                document_version BIGINT NOT NULL,
                previous_version BIGINT NOT NULL,
                rollout_id TEXT REFERENCES rollouts (id),
                author_id TEXT NOT NULL,
                author_name TEXT NOT NULL,
                created_at BIGINT NOT NULL
            )
            """,
        ]
    }
}
