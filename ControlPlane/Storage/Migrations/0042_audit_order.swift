/// Whose an audit row is, and its place among all of them: rows of one millisecond have an order, too.
extension Migration {
    static let auditOrder = Migration(42, "audit_order") { dialect in
        let shared = [
            "ALTER TABLE audit_log ADD COLUMN tenant_id TEXT",
            "ALTER TABLE audit_log ADD COLUMN sequence BIGINT",
            """
            UPDATE audit_log SET sequence = numbered.place
            FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY at, id) AS place FROM audit_log) AS numbered WHERE numbered.id = audit_log.id
            """,
            "UPDATE audit_log SET tenant_id = resource_id WHERE resource_kind = 'tenant'",
            "CREATE INDEX audit_log_order ON audit_log (at, sequence)",
            "CREATE INDEX audit_log_tenant ON audit_log (tenant_id, at, sequence)",
        ]
        guard dialect == .postgres else { return shared }
        // The release before writes no number: those rows get theirs here, too.
        return shared + [
            "CREATE SEQUENCE audit_log_sequence OWNED BY audit_log.sequence",
            "SELECT setval('audit_log_sequence', COALESCE((SELECT MAX(sequence) FROM audit_log), 0) + 1, false)",
            "ALTER TABLE audit_log ALTER COLUMN sequence SET DEFAULT nextval('audit_log_sequence')",
            "ALTER TABLE audit_log ALTER COLUMN sequence SET NOT NULL",
        ]
    }
}
