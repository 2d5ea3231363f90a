/// The chains of tenants' usage records, as data planes signed them: what a bill is proved by. See docs/invoices.md.
extension Migration {
    static let usageChains = Migration(200, "usage chains") { dialect in
        [
            // How far each chain goes here. number: records in it; -1: not known until a signed head tells. broken: what was found wrong first.
            """
            CREATE TABLE usage_chains (
                tenant_id TEXT NOT NULL,
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                number BIGINT NOT NULL,
                link BLOB NOT NULL,
                signed_at BIGINT NOT NULL DEFAULT 0,
                broken TEXT,
                broken_at BIGINT,
                PRIMARY KEY (data_plane_id, incarnation, tenant_id)
            )
            """,
            "CREATE INDEX usage_chains_tenant ON usage_chains (tenant_id, data_plane_id, incarnation)",
            "CREATE INDEX usage_chains_broken ON usage_chains (broken_at) WHERE broken_at IS NOT NULL",
            // The chains' records, some in each row, as they were signed, and what was charged for each: see SignedUsage.
            """
            CREATE TABLE usage_signed (
                tenant_id TEXT NOT NULL,
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                first_number BIGINT NOT NULL,
                last_number BIGINT NOT NULL,
                first_day BIGINT NOT NULL,
                last_day BIGINT NOT NULL,
                records BLOB NOT NULL,
                PRIMARY KEY (tenant_id, data_plane_id, incarnation, first_number)
            )
            """,
            "CREATE INDEX usage_signed_days ON usage_signed (tenant_id, last_day)",
            // The heads of each day (UTC, when they were signed): its first and its last.
            """
            CREATE TABLE usage_heads (
                tenant_id TEXT NOT NULL,
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                day BIGINT NOT NULL,
                is_last BIGINT NOT NULL,
                number BIGINT NOT NULL,
                link BLOB NOT NULL,
                signed_at BIGINT NOT NULL,
                signature BLOB NOT NULL,
                PRIMARY KEY (tenant_id, data_plane_id, incarnation, day, is_last)
            )
            """,
            // What became of records of a chain that were not charged when they came.
            """
            CREATE TABLE usage_verdicts (
                tenant_id TEXT NOT NULL,
                data_plane_id TEXT NOT NULL,
                incarnation TEXT NOT NULL,
                number BIGINT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('charged', 'repeated', 'discarded')),
                charged_nano BIGINT NOT NULL,
                day BIGINT NOT NULL,
                decided_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, data_plane_id, incarnation, number)
            )
            """,
            "ALTER TABLE usage_quarantine ADD COLUMN chain_number BIGINT",
            // What was stored last, each as its number (8 bytes) and the first 16 bytes of its digest: by it a copied disk is known.
            "ALTER TABLE usage_watermarks ADD COLUMN recent BLOB",
            // The last batch whose records were followed in their chains, and from which one that was not on no chain begins at its beginning.
            "ALTER TABLE usage_watermarks ADD COLUMN followed BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE usage_watermarks ADD COLUMN lost BIGINT NOT NULL DEFAULT 0",
        ]
            // Digests and text that is read seldom: compressing it would cost the intake more than it saves.
            + (dialect == .postgres ? ["ALTER TABLE usage_signed ALTER COLUMN records SET STORAGE EXTERNAL"] : [])
            + RowSecurity.statements(
                dialect, ["usage_chains", "usage_signed", "usage_heads", "usage_verdicts"].map { (name: $0, tenantColumn: "tenant_id") })
    }
}
