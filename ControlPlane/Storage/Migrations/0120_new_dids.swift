/// What becomes of DIDs that nobody knows.
extension Migration {
    static let newDIDs = Migration(120, "new_dids") { _ in
        [
            "ALTER TABLE tenants ADD COLUMN did_policy TEXT NOT NULL DEFAULT 'off'",
            "ALTER TABLE tenants ADD COLUMN did_patterns TEXT NOT NULL DEFAULT '[]'",
            "ALTER TABLE tenants ADD COLUMN did_hosts TEXT NOT NULL DEFAULT '[]'",
            "ALTER TABLE tenants ADD COLUMN did_daily_limit BIGINT NOT NULL DEFAULT 1000",
            // The data plane at which it made its first request; null: an administrator registered it.
            "ALTER TABLE dids ADD COLUMN provisioned_by TEXT",
        ]
    }

    static let newDIDIndexes = Migration(
        121, "new_did_indexes",
        indexes: [OnlineIndex("dids_provisioned", on: "dids", "tenant_id, created_at", where: "provisioned_by IS NOT NULL")])
}
