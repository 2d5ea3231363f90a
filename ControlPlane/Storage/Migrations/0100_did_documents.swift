/// What the documents of did:web said when they were read last, and when they are read next.
extension Migration {
    static let didDocuments = Migration(100, "did_documents") { dialect in
        [
            """
            CREATE TABLE did_documents (
                did_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, methods TEXT NOT NULL, read_at BIGINT,
                failure TEXT, failed_at BIGINT, failures BIGINT NOT NULL, next_at BIGINT NOT NULL
            )
            """,
            "CREATE INDEX did_documents_due ON did_documents (next_at)",
        ] + RowSecurity.statements(dialect, [("did_documents", "tenant_id")])
    }
}
