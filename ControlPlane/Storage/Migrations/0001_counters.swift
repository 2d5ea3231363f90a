extension Migration {
    static let counters = Migration(1, "counters", .breaking) { _ in
        ["CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"]
    }
}
