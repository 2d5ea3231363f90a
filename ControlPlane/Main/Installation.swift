import Domain
import Foundation
import Logging
import Primitives
import Storage
import Trust

/// The database and the master key, opened and known to belong together: what every subcommand stands on.
struct Installation: Sendable {
    let database: any Database
    let cipher: AtRestCipher
    let domain: DomainContext

    /// Opens the database, waiting for one that is not up yet, migrates it, and loads or makes the master key.
    /// - Throws: `StartupError`, with what to do.
    /// - Parameter keyFiles: In place of those of the settings: what encrypts, and what else is read with.
    static func open(
        _ settings: Settings, keyFiles: (first: String, second: String)? = nil, logger: Logger
    ) async throws -> Installation {
        try PrivateFile.createDirectory(settings.dataDirectory)
        let database = try await openDatabase(settings, logger)
        do {
            let applied = try await MigrationRunner.run(database)
            if !applied.isEmpty {
                logger.notice("database migrated", metadata: ["migrations": .string(applied.map(String.init).joined(separator: ", "))])
            }
            let domain = DomainContext(database: database, clock: SystemClock(), signal: ChangeSignal())
            let check = MasterKeyCheck(domain)
            // A database that knows a key already: a new one could open nothing in it.
            let isNew = try await !check.isBound()
            let cipher = try MasterKey.load(
                keyFiles?.first ?? settings.masterKeyFile, second: keyFiles?.second ?? settings.secondMasterKeyFile,
                orCreate: settings.createMasterKey && isNew && keyFiles == nil)
            guard try await check.bind(cipher) else {
                throw StartupError(
                    "the master key at \(settings.masterKeyFile) is not the one this database is encrypted with",
                    remedy: "restore the right file from a backup or another replica")
            }
            return Installation(database: database, cipher: cipher, domain: domain)
        } catch {
            await database.close()
            throw error
        }
    }

    private static func openDatabase(_ settings: Settings, _ logger: Logger) async throws -> any Database {
        let options = DatabaseOptions(
            maximumConnections: settings.databaseConnections, reportConnections: settings.reportConnections,
            reportTimeoutMilliseconds: settings.reportTimeoutSeconds * 1000)
        let deadline = ContinuousClock.now + .seconds(settings.databasePatienceSeconds)
        while true {
            do {
                return try await DatabaseFactory.open(url: settings.databaseURL, options: options, logger: logger)
            } catch let error as DatabaseError {
                // An embedded database that cannot be opened stays so: another process has it, or the path is wrong.
                guard case .unavailable(let detail) = error, !settings.isEmbedded, ContinuousClock.now < deadline else {
                    throw StartupError("the database cannot be opened (\(error))", remedy: "check --database-url and that it is running")
                }
                logger.warning("waiting for the database", metadata: ["reason": .string(detail)])
                try await Task.sleep(for: .seconds(1))
            }
        }
    }
}
