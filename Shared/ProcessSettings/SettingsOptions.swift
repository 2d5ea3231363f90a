package import ArgumentParser
import Foundation

/// The part of a command line that is settings: what the command itself does not know. Parsed by the declared settings, so that a
/// setting is declared once and nowhere repeated as an option.
package struct SettingsOptions: ParsableArguments {
    @Argument(parsing: .allUnrecognized, help: ArgumentHelp(visibility: .hidden))
    package var arguments: [String] = []

    package init() {}

    /// - Throws: `ValidationError`, which ends the command with what is wrong and how it is used.
    package func read<Target>(_ reader: SettingsReader<Target>) throws -> EffectiveSettings<Target> {
        do throws(SettingsError) {
            return try reader.read(arguments: arguments, environment: ProcessInfo.processInfo.environment)
        } catch {
            throw ValidationError(error.description)
        }
    }
}
