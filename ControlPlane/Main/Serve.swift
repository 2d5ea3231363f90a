import ArgumentParser
import Foundation
import Logging
import ProcessSettings
import ServiceLifecycle
import Storage
import Telemetry
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve the admin API and the fleet of data planes until told to stop.",
        discussion: """
            SIGTERM and SIGINT stop it: requests under way are finished first.

            Example, several replicas on one Postgres:
              weir-control serve --database-url postgresql://weir@db/weir --master-key-file /etc/weir/master.key --http-listen 0.0.0.0:7080

            \(ControlOptions.reader.help)
            """)

    @OptionGroup var options: SettingsOptions

    func run() async throws {
        // A peer that hangs up is an error of one write, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
        let settings = try Settings(options.read(ControlOptions.reader).target)
        LoggingSystem.bootstrap { StructuredLogHandler(label: $0, level: max(settings.logLevel, .warning)) }
        let logger = Logger.structured("weir-control", level: settings.logLevel)
        do {
            try await serve(settings, logger)
        } catch let error as StartupError {
            logger.critical("weir-control cannot start", metadata: ["reason": .string(error.description)])
            throw ExitCode.failure
        } catch {
            logger.critical("weir-control has failed", metadata: ["reason": .string(String(describing: error))])
            throw ExitCode.failure
        }
    }

    private func serve(_ settings: Settings, _ logger: Logger) async throws {
        let installation = try await Installation.open(settings, logger: logger)
        do {
            let process = try await ControlProcess(settings, installation, logger: logger)
            var configuration = ServiceGroupConfiguration(
                services: process.services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
            configuration.maximumGracefulShutdownDuration = .seconds(settings.shutdownPatienceSeconds)
            try await ServiceGroup(configuration: configuration).run()
            await installation.database.close()
            logger.notice("weir-control has stopped")
        } catch {
            await installation.database.close()
            throw error
        }
    }
}
