import ArgumentParser
import Domain
import Foundation
import Logging
import Primitives
import ProcessSettings
import Storage
import Telemetry

struct RotateMasterKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate-master-key",
        abstract: "Encrypt everything in the database with a new master key.",
        discussion: """
            With the embedded database, stop weir-control, run this, and put the new file in the old one's place. Several replicas on \
            Postgres serve on:

              1. weir-control master-key generate --output new.key, and copy it to each replica.
              2. Restart each with --master-key-file old.key --second-master-key-file new.key: it reads either.
              3. weir-control rotate-master-key --master-key-file old.key --new-master-key-file new.key
              4. Restart each with --master-key-file new.key --second-master-key-file old.key: it writes with the new one.
              5. Run step 3 again, for what was written meanwhile; then old.key is of no use, but for old backups.

            It can be interrupted and run again.
            """)

    @OptionGroup var options: SettingsOptions
    @Option(
        name: .customLong("new-master-key-file"), help: "File with the new master key; make it with `weir-control master-key generate`.")
    var newMasterKeyFile: String

    func run() async throws {
        let settings = try Settings(options.read(ControlOptions.reader).target)
        let logger = Logger.structured("weir-control", level: max(settings.logLevel, .warning))
        do {
            let installation = try await Installation.open(settings, keyFiles: (newMasterKeyFile, settings.masterKeyFile), logger: logger)
            do {
                let rotation = MasterKeyRotation(installation.domain, cipher: installation.cipher)
                let result = try await rotation.run(by: .system("rotate-master-key"))
                await installation.database.close()
                print("Encrypted \(result.reencrypted) secrets with the master key of \(newMasterKeyFile).")
                guard result.unreadable.isEmpty else {
                    throw ValidationError(
                        "Neither key opens: \(result.unreadable.joined(separator: ", ")). They were left as they are: rotate those credentials."
                    )
                }
            } catch {
                await installation.database.close()
                throw error
            }
        } catch let error as StartupError {
            throw ValidationError(error.description)
        }
    }
}
