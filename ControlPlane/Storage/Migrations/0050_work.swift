extension Migration {
    /// Who among the replicas does what only one has to do, and which replicas there are.
    static let work = Migration(50, "work") { _ in
        [
            // A lease that has expired is anybody's.
            """
            CREATE TABLE work_leases (
                name TEXT PRIMARY KEY,
                holder TEXT NOT NULL,
                expires_at BIGINT NOT NULL
            )
            """,
            // A replica writes its row every few seconds; what is connected to one that has stopped doing so is out of reach.
            """
            CREATE TABLE control_replicas (
                name TEXT PRIMARY KEY,
                started_at BIGINT NOT NULL,
                expires_at BIGINT NOT NULL
            )
            """,
        ]
    }

    /// Versions that an operator went back from. Until it is answered, the draft may still hold what they were left for.
    static let rollbacks = Migration(51, "rollbacks") { _ in
        [
            """
            CREATE TABLE rollout_rollbacks (
                left_version BIGINT PRIMARY KEY,
                restored_version BIGINT NOT NULL,
                baseline_version BIGINT NOT NULL,
                rollout_id TEXT,
                author_id TEXT NOT NULL,
                author_name TEXT NOT NULL,
                created_at BIGINT NOT NULL,
                answered_at BIGINT
            )
            """
        ]
    }

    /// What users may ask for, and what is purged, without reading whole tables.
    static let growthIndexes = Migration(
        52, "growth_indexes",
        indexes: [
            OnlineIndex("projects_tenant", on: "projects", "tenant_id, created_at, id"),
            OnlineIndex("audit_log_actor", on: "audit_log", "actor_id, at, id"),
            OnlineIndex("tenants_removed", on: "tenants", "deleted_at", where: "deleted_at IS NOT NULL"),
            OnlineIndex("projects_removed", on: "projects", "deleted_at", where: "deleted_at IS NOT NULL"),
            OnlineIndex("virtual_keys_removed", on: "virtual_keys", "deleted_at", where: "deleted_at IS NOT NULL"),
            OnlineIndex("data_planes_region", on: "data_planes", "region, created_at, id"),
        ])
}
