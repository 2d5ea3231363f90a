import ArgumentParser
import Foundation

/// What `weir login` keeps: which control plane, and a token for it.
struct SavedLogin: Codable {
    var url: String
    var token: String

    /// `$XDG_CONFIG_HOME/weir/config.json`, by default `$HOME/.config/weir/config.json`.
    static var file: URL {
        let environment = ProcessInfo.processInfo.environment
        let base: URL
        if let xdg = environment["XDG_CONFIG_HOME"], xdg.hasPrefix("/") {
            base = URL(fileURLWithPath: xdg, isDirectory: true)
        } else if let home = environment["HOME"], home.hasPrefix("/") {
            // Foundation asks the user database and not the environment, which a person changes to keep things apart.
            base = URL(fileURLWithPath: home, isDirectory: true).appendingPathComponent(".config", isDirectory: true)
        } else {
            base = FileManager.default.homeDirectoryForCurrentUser.appendingPathComponent(".config", isDirectory: true)
        }
        return base.appendingPathComponent("weir/config.json")
    }

    static func load() throws -> SavedLogin? {
        guard let data = try? Data(contentsOf: file) else { return nil }
        guard let saved = try? JSONDecoder().decode(SavedLogin.self, from: data) else {
            throw Failure.usage("\(file.path) is not readable as {\"url\": …, \"token\": …}; run `weir login` again or remove the file")
        }
        return saved
    }

    /// Writes the file readable by its owner only, from its first byte on.
    func save() throws {
        let folder = Self.file.deletingLastPathComponent()
        do {
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let data = try encoder.encode(self)
            let fresh = folder.appendingPathComponent(".config.\(ProcessInfo.processInfo.processIdentifier)")
            guard FileManager.default.createFile(atPath: fresh.path, contents: data, attributes: [.posixPermissions: 0o600]),
                rename(fresh.path, Self.file.path) == 0
            else { throw Failure.usage("cannot write \(Self.file.path)") }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure.usage("cannot write \(Self.file.path): \(error.localizedDescription)")
        }
    }
}

/// The options that every command takes.
struct ConnectionOptions: ParsableArguments {
    static let defaultURL = "http://127.0.0.1:7080"

    @Option(help: ArgumentHelp("The control plane; else WEIR_URL, else what `weir login` saved, else \(defaultURL)."))
    var url: String?

    @Option(help: "An administrator's token; better in WEIR_TOKEN or saved by `weir login`, where other users cannot see it.")
    var token: String?

    @Flag(help: "Print the API's JSON: as -o json.")
    var json = false

    // Not --output, which is a price's.
    @Option(
        name: [.customShort("o"), .customLong("format")],
        help: "How to print the answer: table, json, yaml, or name for the identifiers alone.")
    var output = OutputFormat.table

    @Option(help: "Print only this member of the answer, as it is: `--field id`, `--field timeouts.idle_ms`.")
    var field: String?

    /// Flags win over the environment, the environment over the saved login. A saved token is only ever sent to the address
    /// that it was saved for.
    func client() throws -> AdminClient {
        let environment = ProcessInfo.processInfo.environment
        let saved = try SavedLogin.load()
        let address = url ?? environment["WEIR_URL"].nonEmpty ?? saved?.url ?? Self.defaultURL
        guard let secret = token ?? environment["WEIR_TOKEN"].nonEmpty ?? (saved?.url == address ? saved?.token : nil) else {
            throw Failure.usage("no token for \(address): run `weir login --url \(address)`, or set WEIR_TOKEN")
        }
        return try AdminClient(address: address, token: secret)
    }

    /// The address alone, for `weir login`.
    func address() throws -> String {
        url ?? ProcessInfo.processInfo.environment["WEIR_URL"].nonEmpty ?? Self.defaultURL
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, yaml, name
}

extension String? {
    var nonEmpty: String? { flatMap { $0.isEmpty ? nil : $0 } }
}
