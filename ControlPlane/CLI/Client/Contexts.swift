import Foundation

/// Control planes by name, each with its address and a token for it: what `weir login` and `weir context` keep.
struct Contexts: Codable {
    struct Context: Codable, Equatable {
        var name: String
        var url: String
        /// Nil after `weir logout`.
        var token: String?
    }

    /// What is used when nothing else is said.
    var current: String?
    var contexts: [Context] = []

    static let defaultName = "default"

    subscript(name: String) -> Context? { contexts.first { $0.name == name } }

    var currentContext: Context? { current.flatMap { self[$0] } }

    mutating func put(_ context: Context) {
        contexts.removeAll { $0.name == context.name }
        contexts.append(context)
        contexts.sort { $0.name < $1.name }
    }

    mutating func remove(_ name: String) {
        contexts.removeAll { $0.name == name }
        if current == name { current = nil }
    }

    /// - Throws: `Failure.usage` naming those there are.
    func named(_ name: String) throws -> Context {
        guard let context = self[name] else {
            let known = contexts.map(\.name).joined(separator: ", ")
            throw Failure.usage(
                "there is no context \"\(name)\"\(known.isEmpty ? "" : ": there are \(known)"); `weir context add` makes one")
        }
        return context
    }

    /// A token that was kept for this address, of the current context before others. It is sent to no other address.
    func token(for url: String) -> String? {
        ([currentContext].compactMap(\.self) + contexts).first { $0.url == url && $0.token != nil }?.token
    }

    // MARK: The file

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

    static func load() throws -> Contexts {
        guard let data = try? Data(contentsOf: file) else { return Contexts() }
        if let kept = try? JSONDecoder().decode(Contexts.self, from: data) { return kept }
        /// What `weir login` of the first release kept.
        struct Login: Decodable {
            let url: String
            let token: String
        }
        guard let login = try? JSONDecoder().decode(Login.self, from: data) else {
            throw Failure.usage("\(file.path) is not what `weir login` writes; run `weir login` again after removing the file")
        }
        return Contexts(
            current: defaultName, contexts: [Context(name: defaultName, url: login.url, token: login.token)])
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
