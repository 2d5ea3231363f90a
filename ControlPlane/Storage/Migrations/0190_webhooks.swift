/// Alerts that leave as webhooks: where to, what waits to be sent, what was spent by the hour, and which findings were told.
extension Migration {
    static let webhooks = Migration(190, "webhooks") { dialect in
        [
            """
            CREATE TABLE webhooks (
                id TEXT PRIMARY KEY, tenant_id TEXT, name TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL, status TEXT NOT NULL,
                previous_expires_at BIGINT, failures BIGINT NOT NULL, last_success_at BIGINT, last_failure_at BIGINT,
                last_error TEXT NOT NULL, ciphertext BLOB NOT NULL, master_key_id TEXT,
                revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX webhooks_name ON webhooks (COALESCE(tenant_id, ''), name)",
            "CREATE INDEX webhooks_page ON webhooks (created_at, id)",
            // A message to one webhook. Taken by moving `due_at` on: who has moved it sends it.
            """
            CREATE TABLE webhook_deliveries (
                id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, tenant_id TEXT NOT NULL, event_id TEXT NOT NULL, kind TEXT NOT NULL,
                body TEXT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL, due_at BIGINT NOT NULL, last_status BIGINT NOT NULL,
                last_error TEXT NOT NULL, created_at BIGINT NOT NULL, ended_at BIGINT
            )
            """,
            "CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (webhook_id, event_id)",
            "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE state = 'pending'",
            "CREATE INDEX webhook_deliveries_page ON webhook_deliveries (webhook_id, created_at, id)",
            "CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at)",
            // Whether there are messages of it. What is older than webhooks are is told to nobody.
            "ALTER TABLE spend_events ADD COLUMN dispatched BIGINT NOT NULL DEFAULT 0",
            "UPDATE spend_events SET dispatched = 1",
            "CREATE INDEX spend_events_waiting ON spend_events (at, id) WHERE dispatched = 0",
            // What a tenant or a key spent in an hour (from 1970, UTC), in micro-dollars, and in the hours of that day before.
            """
            CREATE TABLE spend_hours (
                subject_id TEXT NOT NULL, tenant_id TEXT NOT NULL, hour BIGINT NOT NULL, spent BIGINT NOT NULL, before BIGINT NOT NULL,
                PRIMARY KEY (subject_id, hour)
            )
            """,
            "CREATE INDEX spend_hours_hour ON spend_hours (hour)",
            // What the doctor has found, and whether it was told.
            """
            CREATE TABLE told_findings (
                code TEXT NOT NULL, subject TEXT NOT NULL, told_at BIGINT, missing BIGINT NOT NULL, PRIMARY KEY (code, subject)
            )
            """,
        ]
            + RowSecurity.statements(
                dialect, ["webhooks", "webhook_deliveries", "spend_hours"].map { (name: $0, tenantColumn: "tenant_id") })
    }
}
