import Synchronization

/// Statements as a database wants them. What our code says it says again: a text is rewritten once and, where it may, kept prepared on
/// each connection.
enum StatementTexts {
    struct Text: Sendable {
        let sql: String
        /// Names the text among those that are kept prepared; nil: it is prepared for each run.
        let number: Int?
    }

    /// Texts kept at most. Those of our code and their usual filters are far fewer; lists of a thousand placeholders, each length a
    /// text of its own, must not push them out or pile up on the connections.
    private static let maximumTexts = 512
    /// Bytes of a text that is worth keeping.
    private static let maximumLength = 2048

    private static let sqlite = Mutex<[String: Text]>([:])
    private static let postgres = Mutex<[String: Text]>([:])

    static func of(_ sql: String, _ dialect: SQLDialect) -> Text {
        switch dialect {
        case .sqlite: of(sql, dialect, sqlite)
        case .postgres: of(sql, dialect, postgres)
        }
    }

    private static func of(_ sql: String, _ dialect: SQLDialect, _ cache: borrowing Mutex<[String: Text]>) -> Text {
        if let known = cache.withLock({ $0[sql] }) { return known }
        let rewritten = dialect.rewrite(sql)
        // GRDB notes a kept statement's columns once, and those of `SELECT *` change with the table.
        guard sql.utf8.count <= maximumLength, isRepeated(sql), !(dialect == .sqlite && sql.contains("SELECT *")) else {
            return Text(sql: rewritten, number: nil)
        }
        return cache.withLock { texts in
            if let known = texts[sql] { return known }
            guard texts.count < maximumTexts else { return Text(sql: rewritten, number: nil) }
            let text = Text(sql: rewritten, number: texts.count)
            texts[sql] = text
            return text
        }
    }

    /// Definitions run once, and a plan must not outlive what it was made for.
    private static func isRepeated(_ sql: String) -> Bool {
        let verb = sql.drop { $0 == " " || $0 == "\n" }.prefix { $0 != " " && $0 != "\n" }
        return ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(verb)
    }
}
