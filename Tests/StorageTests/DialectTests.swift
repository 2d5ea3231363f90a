import Storage
import Testing

@Suite("The SQL dialects")
struct DialectTests {
    @Test("number placeholders for SQLite outside quotes and comments")
    func placeholders() {
        let sql = "SELECT $1, '$2 it''s $3', \"a$4\" -- $5\n, $12 /* $6 */ FROM t WHERE x = $1"
        let rewritten = "SELECT ?1, '$2 it''s $3', \"a$4\" -- $5\n, ?12 /* $6 */ FROM t WHERE x = ?1"
        #expect(SQLDialect.sqlite.rewrite(sql) == rewritten)
        #expect(SQLDialect.postgres.rewrite(sql) == sql)
        #expect(SQLDialect.sqlite.rewrite("SELECT 'open $1") == "SELECT 'open $1")
        #expect(SQLDialect.sqlite.rewrite("$1 /* open $2") == "?1 /* open $2")
    }

    @Test("call bytes BYTEA on Postgres where it is the type's name")
    func blobs() {
        let sql = "CREATE TABLE t (blob_id BLOB, b blob NOT NULL, \"BLOB\" TEXT DEFAULT 'BLOB') -- BLOB"
        let rewritten = "CREATE TABLE t (blob_id BYTEA, b BYTEA NOT NULL, \"BLOB\" TEXT DEFAULT 'BLOB') -- BLOB"
        #expect(SQLDialect.postgres.rewrite(sql) == rewritten)
        #expect(SQLDialect.sqlite.rewrite(sql) == sql)
    }

    @Test("quote names")
    func quoting() {
        #expect(SQLDialect.postgres.quoted("a\"b") == "\"a\"\"b\"")
    }
}
