import ArgumentParser
import Domain
import Foundation
import Primitives
import Trust

/// The key that everything secret in the database is encrypted with. It lives outside of the database: whoever has only one of the
/// two has nothing.
enum MasterKey {
    /// - Throws: `StartupError` when the file is missing and may not be made, or holds something else.
    static func load(_ path: String, second: String? = nil, orCreate mayCreate: Bool = false) throws -> AtRestCipher {
        if !FileManager.default.fileExists(atPath: path) {
            guard mayCreate else {
                throw StartupError(
                    "there is no master key at \(path)",
                    remedy: "copy it from another replica or a backup; for a new installation run `weir-control master-key generate`")
            }
            try PrivateFile.create(path, contents: text(SecureRandom.bytes(32)))
        }
        let key = try read(path)
        guard let cipher = AtRestCipher(masterKey: key, second: try second.map { try read($0) }) else { throw notAKey(path) }
        return cipher
    }

    private static func read(_ path: String) throws -> [UInt8] {
        guard let contents = FileManager.default.contents(atPath: path) else {
            throw StartupError("the master key at \(path) cannot be read", remedy: "check the path and that this user may read it")
        }
        let encoded = String(decoding: contents, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let bytes = Base64.decode(encoded), bytes.count == 32 else { throw notAKey(path) }
        return bytes
    }

    private static func notAKey(_ path: String) -> StartupError {
        StartupError("\(path) is not a master key", remedy: "it holds 32 bytes in base64 and nothing else; restore it from a backup")
    }

    static func text(_ bytes: [UInt8]) -> String { Base64.encode(bytes) + "\n" }
}

/// Files that only their owner may read.
enum PrivateFile {
    /// Makes a new file; one that is there is never overwritten.
    static func create(_ path: String, contents: String) throws { try write(path, contents, flags: O_EXCL) }

    /// Writes a file, over one that is there.
    static func replace(_ path: String, contents: String) throws { try write(path, contents, flags: O_TRUNC) }

    static func createDirectory(_ path: String) throws {
        guard !FileManager.default.fileExists(atPath: path) else { return }
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw StartupError("\(path) cannot be made", remedy: "make the directory and let this user write to it")
        }
    }

    private static func write(_ path: String, _ contents: String, flags: Int32) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0o600)
        guard descriptor >= 0 else {
            throw StartupError(
                "\(path) cannot be written: \(String(cString: strerror(errno)))", remedy: "check the directory and its rights")
        }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        // One that was there keeps its rights through open; what is written now is secret.
        guard fchmod(descriptor, 0o600) == 0 else { throw StartupError("\(path) cannot be made private", remedy: "choose another place") }
        try file.write(contentsOf: Data(contents.utf8))
        try file.synchronize()
    }
}

/// Why the process does not start, and what to do.
struct StartupError: Error, CustomStringConvertible {
    let description: String

    init(_ message: String, remedy: String) {
        description = "\(message): \(remedy)"
    }
}

struct MasterKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "master-key", abstract: "The key that provider credentials are encrypted with.", subcommands: [Generate.self])

    struct Generate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new master key, in a file or on standard output.",
            discussion: "Example:\n  weir-control master-key generate --output /etc/weir/master.key")

        @Option(help: "The file to make; it must not exist. Standard output when left out.")
        var output: String?

        func run() throws {
            let text = MasterKey.text(SecureRandom.bytes(32))
            if let output {
                try PrivateFile.create(output, contents: text)
            } else {
                print(text, terminator: "")
            }
        }
    }
}
