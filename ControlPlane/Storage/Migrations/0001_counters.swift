extension Migration {
    static let counters = Migration(number: 1, name: "counters") { _ in
        ["CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"]
    }
}
