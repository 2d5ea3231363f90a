import Primitives
import Storage
import Testing

/// The second wall between tenants: on Postgres it stands when a query forgets its filter.
@Suite("Row-level security", .enabled(if: TestDatabases.postgresURI != nil))
struct RowSecurityTests {
    private static func with(_ body: (any Database) async throws -> Void) async throws {
        let kind = try #require(TestDatabases.all.first { $0.name == "postgres" })
        try await kind.with { database in
            try await database.transaction { c in
                var usage: [UsageRow] = []
                for tenant in ["ten_a", "ten_b"] {
                    try c.execute(
                        "INSERT INTO tenants (id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $1, 'active', 1, 1, 1, 1, NULL)",
                        [.text(tenant)])
                    try c.execute(
                        "INSERT INTO projects (id, tenant_id, name, status, revision, created_at, updated_at, directory_revision, deleted_at) VALUES ($1, $2, 'p', 'active', 1, 1, 1, 1, NULL)",
                        [.text("prj_" + tenant), .text(tenant)])
                    try c.execute(
                        """
                        INSERT INTO virtual_keys (id, project_id, tenant_id, name, sha256, models, capabilities, channels, tags, revision,
                            created_at, updated_at, directory_revision)
                        VALUES ($1, $2, $3, 'k', $4, '[]', '[]', '[]', '{}', 1, 1, 1, 1)
                        """, [.text("key_" + tenant), .text("prj_" + tenant), .text(tenant), .blob([1])])
                    try c.execute(
                        """
                        INSERT INTO users (id, tenant_id, oid, status, synced_status, revision, created_at, updated_at, directory_revision)
                        VALUES ($1, $2, 'u', 'active', 'active', 1, 1, 1, 1)
                        """, [.text("usr_" + tenant), .text(tenant)])
                    try c.execute(
                        """
                        INSERT INTO apps (id, tenant_id, app_id, name, description, owner_id, status, revision, created_at, updated_at,
                            directory_revision)
                        VALUES ($1, $2, $1, 'a', '', $3, 'active', 1, 1, 1, 1)
                        """, [.text("app_" + tenant), .text(tenant), .text("usr_" + tenant)])
                    try c.execute(
                        """
                        INSERT INTO signing_secrets (id, key_id, tenant_id, ciphertext, revision, created_at, updated_at)
                        VALUES ($1, $2, $3, $4, 1, 1, 1)
                        """, [.text("sig_" + tenant), .text("key_" + tenant), .text(tenant), .blob([1])])
                    try c.execute(
                        """
                        INSERT INTO dids (id, tenant_id, did, status, fingerprint, revision, created_at, updated_at, directory_revision)
                        VALUES ($1, $2, 'did:key:z', 'active', $3, 1, 1, 1, 1)
                        """, [.text("did_" + tenant), .text(tenant), .blob(Array(tenant.utf8))])
                    try c.execute(
                        """
                        INSERT INTO revoked_grants (id, did_id, tenant_id, grant_id, grant_name, revision, created_at, updated_at,
                            directory_revision)
                        VALUES ($1, $2, $3, 'g', $4, 1, 1, 1, 1)
                        """, [.text("rvk_" + tenant), .text("did_" + tenant), .text(tenant), .blob(Array(tenant.utf8))])
                    try UpstreamKeysTable.insert(
                        c,
                        UpstreamKeyRow(
                            id: "upk_" + tenant, tenantID: tenant, didID: "did_" + tenant, credentialID: "cred_a", providerID: "prov_a",
                            now: 1
                        ), now: 1)
                    try c.execute(
                        """
                        INSERT INTO admin_tokens (id, tenant_id, name, role, sha256, revision, created_at, updated_at)
                        VALUES ($1, $2, 't', 'owner', $3, 1, 1, 1)
                        """, [.text("tok_" + tenant), .text(tenant), .blob([1])])
                    try c.execute(
                        """
                        INSERT INTO people (id, tenant_id, name, role, status, role_source, revision, created_at, updated_at)
                        VALUES ($1, $2, 'p', 'owner', 'active', 'hand', 1, 1, 1)
                        """, [.text("per_" + tenant), .text(tenant)])
                    try c.execute(
                        "INSERT INTO group_roles VALUES ($1, $2, 'g', 'owner', 1, 1, 1)", [.text("grl_" + tenant), .text(tenant)])
                    try AdminSessionsTable.insert(
                        c,
                        AdminSessionRow(
                            sha256: Array(tenant.utf8), personID: "per_" + tenant, tenantID: tenant, createdAt: 1, expiresAt: 2,
                            lastSeenAt: 1))
                    try c.execute(
                        """
                        INSERT INTO bans (id, subject_id, tenant_id, reason, revision, created_at, updated_at, ban_revision)
                        VALUES ($1, $2, $2, '', 1, 1, 1, 1)
                        """, [.text("ban_" + tenant), .text(tenant)])
                    try c.execute(
                        """
                        INSERT INTO kill_switches (id, subject_id, tenant_id, reason, revision, created_at, updated_at, ban_revision)
                        VALUES ($1, $2, $2, '', 1, 1, 1, 1)
                        """, [.text("kil_" + tenant), .text(tenant)])
                    try c.execute(
                        """
                        INSERT INTO budgets (id, tenant_id, name, unit, limit_text, period, time_zone, kind, mode, revision, created_at,
                            updated_at, directory_revision)
                        VALUES ($1, $2, 'b', 'cost', '1', 'never', 'UTC', 'hard', 'enforce', 1, 1, 1, 1)
                        """, [.text("bgt_" + tenant), .text(tenant)])
                    try BudgetAccountsTable.put(
                        c,
                        BudgetAccountRow(
                            budgetID: "bgt_" + tenant, periodStart: 0, periodEnd: nil, tenantID: tenant, limit: 1, createdAt: 1), now: 1)
                    try BudgetSlicesTable.put(
                        c,
                        BudgetSliceRow(
                            id: tenant == "ten_a" ? 1 : 2, budgetID: "bgt_" + tenant, periodStart: 0, tenantID: tenant, dataPlaneID: "dp_a",
                            boot: "", ask: 0, granted: 1, ceiling: 1, spent: 0, unknown: 0, resolved: 0, charged: 0, state: 0, expiresAt: 1,
                            epoch: 1, findings: 0, grantedAt: 1), now: 1)
                    try SpendEventsTable.insert(
                        c,
                        SpendEventRow(
                            id: "evt_" + tenant, at: 1, kind: "budget_near", tenantID: tenant, budgetID: nil, dataPlaneID: nil,
                            occasion: tenant, detail: "{}"))
                    try c.execute(
                        """
                        INSERT INTO limits (id, name, level, tenant_id, measure, amount, window_seconds, algorithm, burst, mode, revision,
                            created_at, updated_at, directory_revision)
                        VALUES ($1, $1, 'tenant', $2, 'requests', 1, 1, 'sliding_window', 0, 'enforce', 1, 1, 1, 1)
                        """, [.text("lim_" + tenant), .text(tenant)])
                    for statement in [
                        "INSERT INTO usage_chains (tenant_id, data_plane_id, incarnation, number, link) VALUES ($1, 'dp_a', 'i', 1, $2)",
                        """
                        INSERT INTO usage_signed (tenant_id, data_plane_id, incarnation, first_number, last_number, first_day, last_day, records)
                        VALUES ($1, 'dp_a', 'i', 1, 1, 1, 1, $2)
                        """,
                        """
                        INSERT INTO usage_heads (tenant_id, data_plane_id, incarnation, day, is_last, number, link, signed_at, signature)
                        VALUES ($1, 'dp_a', 'i', 1, 1, 1, $2, 1, $2)
                        """,
                    ] {
                        try c.execute(statement, [.text(tenant), .blob([1])])
                    }
                    try c.execute("INSERT INTO budget_observations VALUES ($1, 0, $2, 1)", [.text("bgt_" + tenant), .text(tenant)])
                    try c.execute(
                        "INSERT INTO usage_verdicts VALUES ($1, 'dp_a', 'i', 1, 'charged', 1, 1, 1)", [.text(tenant)])
                    try c.execute(
                        """
                        INSERT INTO webhooks (id, tenant_id, name, url, events, status, failures, last_error, ciphertext, revision, created_at,
                            updated_at)
                        VALUES ($1, $2, 'w', 'https://x', '[]', 'active', 0, '', $3, 1, 1, 1)
                        """, [.text("whk_" + tenant), .text(tenant), .blob([1])])
                    try WebhookDeliveriesTable.insert(
                        c,
                        WebhookDeliveryRow(
                            id: "whd_" + tenant, webhookID: "whk_" + tenant, tenantID: tenant, eventID: "evt_" + tenant,
                            kind: "budget_near",
                            body: "{}", now: 1))
                    try SpendHoursTable.put(
                        c, .init(subjectID: tenant, tenantID: tenant, spent: 1), hour: 1, spent: 1, before: 0)
                    var refusal = RequestRefusalRow()
                    refusal.requestID = Array(tenant.utf8)
                    refusal.tenantID = tenant
                    try RequestRefusalsTable.insert(c, [refusal])
                    try DIDDocumentsTable.put(c, DIDDocumentRow(didID: "did_" + tenant, tenantID: tenant, nextAt: 1))
                    try AuditTable.insert(
                        c,
                        AuditRow(
                            id: "aud_" + tenant, at: 1, actorID: "t", actorName: "t", actorRole: "owner", remoteAddress: "", requestID: "",
                            action: "tenant.create", resourceKind: "tenant", resourceID: tenant, before: nil, after: nil, tenantID: tenant))
                    _ = try LedgerTable.post(
                        c,
                        LedgerEntryRow(
                            id: "led_" + tenant, tenantID: tenant, kind: .topUp, valueDay: 1, postedAt: 1, idempotencyKey: "1",
                            description: "", actorID: "t", actorName: "t"),
                        [LedgerLine(.balance, 1), LedgerLine(.received, -1)])
                    var row = UsageRow()
                    row.requestID = Array(tenant.utf8)
                    row.tenantID = tenant
                    row.admittedAtMicroseconds = 1_795_233_906_000_000
                    usage.append(row)
                }
                try UsagePartitions.ensure(c, [UsageMonth(containingMicroseconds: 1_795_233_906_000_000)])
                var packed = UsageRow.packed()
                for row in usage { try row.append(to: &packed) }
                let stored = try UsageTable.insert(c, packed, at: Array(usage.indices))
                try UsageDailyTable.add(c, UsageGroupSums(packed, at: stored), of: packed)
                try KeyUsesTable.note(
                    c, dataPlaneID: "dp_a", usage.map { KeyUse(keyID: "key_" + $0.tenantID, tenantID: $0.tenantID, usedAt: 1) })
            }
            try await body(database)
        }
    }

    private static let tables = RowSecurity.tables

    @Test("covers every table that says whose a row is")
    func coverage() async throws {
        try await Self.with { (database) async throws -> Void in
            let naming = try await database.read { c in
                try c.query(
                    """
                    SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                        AND a.attname = 'tenant_id' AND NOT a.attisdropped
                    """
                ).map { try $0.text("name") }
            }
            let covered = Set(Self.tables.map(\.name)).union(RowSecurity.ofTheInstallation)
            #expect(Set(naming).subtracting(covered).isEmpty, "add it to RowSecurity.tables, with a migration for its policy")
            let policies = try await database.read { c in
                try c.query("SELECT tablename AS name FROM pg_policies WHERE schemaname = current_schema()").map { try $0.text("name") }
            }
            #expect(Set(policies) == Set(Self.tables.map(\.name)))
        }
    }

    @Test("shows a tenant's rows only, without any filter in the query")
    func reads() async throws {
        try await Self.with { (database) async throws -> Void in
            for (table, column) in Self.tables {
                func seen(_ scope: TenantScope) async throws -> [String] {
                    try await database.read(as: scope) { c in
                        try c.query("SELECT DISTINCT \(column) AS tenant FROM \(table) ORDER BY 1").map { try $0.text("tenant") }
                    }
                }
                #expect(try await seen(.tenant("ten_a")) == ["ten_a"], "\(table)")
                #expect(try await seen(.tenant("ten_b")) == ["ten_b"], "\(table)")
                #expect(try await seen(.tenant("ten_none")) == [], "\(table)")
                #expect(try await seen(.tenant("x' OR '1'='1")) == [], "\(table)")
                #expect(try await seen(.tenant("*")) == [], "\(table)")
                #expect(try await seen(.all) == ["ten_a", "ten_b"], "\(table)")
            }
        }
    }

    @Test("lets a tenant's transaction change and make rows of that tenant only")
    func writes() async throws {
        try await Self.with { (database) async throws -> Void in
            let changed = try await database.transaction(as: .tenant("ten_a"), isolation: .serializable) { c in
                try c.execute("UPDATE virtual_keys SET name = 'x'") + c.execute("DELETE FROM usage_daily")
            }
            #expect(changed == 2)
            let left = try await database.read { c in
                try c.query("SELECT tenant_id FROM usage_daily").map { try $0.text("tenant_id") }
            }
            #expect(left == ["ten_b"])
            await #expect(throws: DatabaseError.self) {
                try await database.transaction(as: .tenant("ten_a"), isolation: .serializable) { c in
                    _ = try c.execute("UPDATE virtual_keys SET tenant_id = 'ten_b'")
                }
            }
            await #expect(throws: DatabaseError.self) {
                try await database.transaction(as: .tenant("ten_a"), isolation: .serializable) { c in
                    try c.execute(
                        "INSERT INTO projects SELECT 'prj_new', 'ten_b', 'n', status, revision, created_at, updated_at, 1, NULL FROM projects"
                    )
                }
            }
        }
    }

    @Test("holds as a role that owns nothing, cannot read a partition by itself, and is no way round for who connects as the owner")
    func role() async throws {
        try await Self.with { (database) async throws -> Void in
            let row = try await database.read { c in
                try c.first(
                    """
                    SELECT current_user AS name, rolsuper AS super, rolbypassrls AS bypass,
                        (SELECT COUNT(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owned
                    FROM pg_roles WHERE rolname = current_user
                    """)
            }
            let found = try #require(row)
            #expect(try found.text("name").hasPrefix("weir_app_"))
            #expect(try !found.bool("super") && !found.bool("bypass") && found.int("owned") == 0)
            await #expect(throws: DatabaseError.self) {
                try await database.read(as: .tenant("ten_a")) { try $0.query("SELECT tenant_id FROM usage_records_2026_11").count }
            }
            await #expect(throws: DatabaseError.self) {
                try await database.transaction { _ = try $0.execute("ALTER TABLE tenants DISABLE ROW LEVEL SECURITY") }
            }
            let forced = try await database.read { c in
                try c.query(
                    "SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relforcerowsecurity"
                )
                .map { try $0.text("name") }
            }
            #expect(Set(forced) == Set(Self.tables.map(\.0)))
        }
    }
}
