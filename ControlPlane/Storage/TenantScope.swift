import Primitives

extension TenantScope {
    /// What the session's setting `weir.tenant` says. An id that is none of ours would be no tenant's.
    var setting: String {
        switch self {
        case .all: "*"
        case .tenant(let id):
            id.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == UInt8(ascii: "_") } && !id.isEmpty
                ? id : "-"
        }
    }
}

/// Row-level security on Postgres: the second wall between tenants. Work is done as a role that owns nothing, so that it holds for every
/// statement, whoever the control plane connects as; only migrations and partitions are made as the owner.
package enum RowSecurity {
    /// Tables whose rows belong to tenants, and the column that says to which.
    package static let tables: [(name: String, tenantColumn: String)] =
        first
        + [
            "virtual_key_uses", "users", "apps", "bans", "signing_secrets", "dids", "did_documents", "upstream_keys", "revoked_grants",
            "budgets",
            "kill_switches", "limits",
            "budget_accounts", "budget_slices", "budget_observations", "spend_events", "ledger_entries", "ledger_lines", "ledger_balances",
            "admin_tokens",
            "people",
            "group_roles", "admin_sessions", "usage_chains", "usage_signed", "usage_heads", "usage_verdicts",
            "webhooks", "webhook_deliveries", "spend_hours", "request_refusals", "usage_hourly",
        ].map { (name: $0, tenantColumn: "tenant_id") }

    /// Those that were there when this began; a later table's migration brings its own policy.
    static let first: [(name: String, tenantColumn: String)] = [
        ("tenants", "id"), ("projects", "tenant_id"), ("virtual_keys", "tenant_id"), ("usage_records", "tenant_id"),
        ("usage_daily", "tenant_id"), ("usage_daily_detail", "tenant_id"), ("audit_log", "tenant_id"),
    ]

    /// Tables that name tenants and are nobody's but the installation's: nothing is read of them for a tenant.
    package static let ofTheInstallation: Set<String> = ["usage_quarantine", "data_plane_former_tenants"]

    /// Statements of a migration. A session that says nothing of tenants is the release before, which knows of none; this one always does.
    /// Forced upon the owner, too.
    static func statements(_ dialect: SQLDialect, _ tables: [(name: String, tenantColumn: String)]) -> [String] {
        guard dialect == .postgres else { return [] }
        return tables.flatMap { table in
            let setting = "(SELECT COALESCE(current_setting('weir.tenant', true), '*'))"
            let condition = "\(setting) = '*' OR \(table.tenantColumn) = \(setting)"
            return [
                "ALTER TABLE \(table.name) ENABLE ROW LEVEL SECURITY",
                "CREATE POLICY weir_tenant ON \(table.name) USING (\(condition)) WITH CHECK (\(condition))",
                "ALTER TABLE \(table.name) FORCE ROW LEVEL SECURITY",
            ]
        }
    }

    /// The role's name. Roles are the whole server's: two installations there, or two schemas of tests, have one each.
    static let roleName = "'weir_app_' || substr(md5(current_database() || '/' || current_schema()), 1, 12)"

    static func grant(partition: String) -> String {
        """
        DO $do$
        DECLARE
            app text := \(roleName);
        BEGIN
            IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = app) THEN
                EXECUTE format('GRANT INSERT ON %I TO %I', '\(partition)', app);
            END IF;
        END
        $do$
        """
    }

    /// Makes the role where the user may, and grants it what work needs. Of a partition only INSERT: rows are read through the table whose
    /// policy holds.
    static let establish = """
        DO $do$
        DECLARE
            app text := \(roleName);
            relation record;
        BEGIN
            BEGIN
                IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = app) THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', app);
                END IF;
                EXECUTE format('GRANT %I TO %I', app, current_user);
            EXCEPTION WHEN insufficient_privilege THEN
                -- Somebody else has to make it; until then FORCE holds for an owner that is no superuser.
                NULL;
            END;
            IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = app) THEN
                EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), app);
                EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', current_schema(), app);
                FOR relation IN
                    SELECT c.relname, c.relispartition FROM pg_class c
                    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
                LOOP
                    IF relation.relispartition THEN
                        EXECUTE format('GRANT INSERT ON %I TO %I', relation.relname, app);
                    ELSE
                        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', relation.relname, app);
                    END IF;
                END LOOP;
            END IF;
        END
        $do$
        """
}

extension Migration {
    static let rowSecurity = Migration(46, "row_security") { dialect in
        // The usage records were not forced by this one: the release before copied into them as the owner, which Postgres would refuse.
        RowSecurity.statements(dialect, RowSecurity.first).filter { $0 != forcedRecords }
    }

    /// The release before copies into the partitions by now, which have no policy: nobody but their owner reads them.
    static let forcedRowSecurity = Migration(67, "forced_row_security") { dialect in dialect == .postgres ? [forcedRecords] : [] }

    private static let forcedRecords = "ALTER TABLE usage_records FORCE ROW LEVEL SECURITY"
}
