package import ArgumentParser
import Foundation

/// A program whose settings can be shown.
package protocol ConfiguredProgram {
    associatedtype Target: Sendable
    /// As it is called: `weir-proxy`.
    static var program: String { get }
    /// An example of its settings file.
    static var settingsFile: String { get }
    static var reader: SettingsReader<Target> { get }
}

/// The command `config` of a program.
package struct ShowConfig<Program: ConfiguredProgram>: ParsableCommand {
    package static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "config", abstract: "Show the settings in force and where each comes from: flag, environment, file or default.",
            discussion: "Example:\n  \(Program.program) config --settings-file \(Program.settingsFile)")
    }

    @Flag(help: "As JSON.")
    package var json = false
    @OptionGroup package var options: SettingsOptions

    package init() {}

    package func run() throws {
        let reader = Program.reader
        let effective = try options.read(reader)
        let text = json ? effective.json(reader.settings) + "\n" : effective.table(reader.settings)
        try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    }
}
