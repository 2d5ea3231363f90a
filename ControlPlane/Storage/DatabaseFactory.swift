package import Logging

/// What an operator may set about the database. Relations between values are checked when it is opened.
package struct DatabaseOptions: Sendable {
    /// Connections to Postgres at most, or readers of SQLite (beside its one writer).
    package var maximumConnections: Int
    /// A statement that runs longer is cancelled by Postgres.
    package var statementTimeoutMilliseconds: Int
    /// Connections for reports, beside the others: a report can use up a processor of the database's, so there are few.
    package var reportConnections: Int
    /// A report that runs longer is cancelled by Postgres and interrupted in SQLite.
    package var reportTimeoutMilliseconds: Int
    /// Reports that may wait for one of their connections; more are refused.
    package var maximumWaitingReports: Int
    /// How long one attempt to reach Postgres may take, over all its addresses.
    package var connectTimeoutSeconds: Int
    /// How long SQLite waits for a lock that another process holds.
    package var busyTimeoutMilliseconds: Int

    package init(
        maximumConnections: Int = 8, statementTimeoutMilliseconds: Int = 30_000, reportConnections: Int = 2,
        reportTimeoutMilliseconds: Int = 20_000, maximumWaitingReports: Int = 16, connectTimeoutSeconds: Int = 5,
        busyTimeoutMilliseconds: Int = 5000
    ) {
        self.maximumConnections = maximumConnections
        self.statementTimeoutMilliseconds = statementTimeoutMilliseconds
        self.reportConnections = reportConnections
        self.reportTimeoutMilliseconds = reportTimeoutMilliseconds
        self.maximumWaitingReports = maximumWaitingReports
        self.connectTimeoutSeconds = connectTimeoutSeconds
        self.busyTimeoutMilliseconds = busyTimeoutMilliseconds
    }
}

package enum DatabaseFactory {
    /// Opens `sqlite:///path/to/file.db` (the file and its folder are made when absent) or `postgresql://user@host:port/database`
    /// (every parameter that libpq's connection URIs know). Does not migrate: see `MigrationRunner`.
    /// - Throws: `DatabaseError.invalidAddress` for an address that can never work, `.unavailable` when the database does not answer.
    package static func open(
        url: String, options: DatabaseOptions = DatabaseOptions(), logger: Logger = Logger(label: "weir.storage")
    ) async throws -> any Database {
        guard options.maximumConnections >= 1, options.maximumConnections <= 1000 else {
            throw DatabaseError.invalidAddress("the number of connections must lie between 1 and 1000")
        }
        guard options.reportConnections >= 1, options.reportConnections <= 100 else {
            throw DatabaseError.invalidAddress("the number of connections for reports must lie between 1 and 100")
        }
        if url.hasPrefix("sqlite:") {
            return try SQLiteDatabase.open(path: try sqlitePath(url), options: options, logger: logger)
        }
        if url.hasPrefix("postgresql://") || url.hasPrefix("postgres://") {
            let database = PostgresDatabase(address: try PostgresAddress(uri: url), options: options, logger: logger)
            do {
                try await database.ping()
            } catch {
                await database.close()
                throw error
            }
            return database
        }
        throw DatabaseError.invalidAddress("it must start with sqlite:/// or postgresql://")
    }

    private static func sqlitePath(_ url: String) throws -> String {
        let prefix = "sqlite://"
        guard url.hasPrefix(prefix) else { throw DatabaseError.invalidAddress("write sqlite:///absolute/path/to/file.db") }
        let path = String(url.dropFirst(prefix.count))
        guard path.hasPrefix("/"), !path.hasSuffix("/"), !path.utf8.contains(0) else {
            throw DatabaseError.invalidAddress("sqlite:// needs the absolute path of a file, as in sqlite:///var/lib/weir/weir.db")
        }
        return path
    }
}
