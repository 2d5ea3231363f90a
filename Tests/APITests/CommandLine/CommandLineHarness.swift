import Domain
import Foundation
import HummingbirdTesting
import Nouns
import Primitives
import Storage
import Synchronization
import TestSupport
import Testing

/// The real `weir` executable, run against a control plane that listens in this process.
struct CommandLineHarness: Sendable {
    struct Result: Sendable {
        let status: Int32
        let output: String
        let error: String

        var json: JSONValue { (try? JSONValue(parsing: output)) ?? .null }
        /// The output without its last line break.
        var value: String { output.hasSuffix("\n") ? String(output.dropLast()) : output }
    }

    let control: ControlHarness
    /// What `weir` takes for its user's configuration folder.
    let configuration: URL
    private let log = Invocations()

    /// Which commands were run, so that a test can say which were forgotten.
    private final class Invocations: Sendable {
        let lines = Mutex<[[String]]>([])
    }

    var invocations: [[String]] { log.lines.withLock { $0 } }

    /// `weir` is built beside the tests; WEIR_CLI names another one.
    static let executable: URL = {
        if let path = ProcessInfo.processInfo.environment["WEIR_CLI"] { return URL(fileURLWithPath: path) }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("weir")
    }()

    static func run(on kind: TestDatabase, _ body: @escaping @Sendable (CommandLineHarness) async throws -> Void) async throws {
        try await ControlHarness.run(on: kind, .live) { control in
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-cli-\(Hex.encode(SecureRandom.bytes(8)))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            try await body(CommandLineHarness(control: control, configuration: folder))
        }
    }

    var url: String { "http://127.0.0.1:\(control.port ?? 0)" }

    /// Runs `weir` with these words as an owner; `environment` is added to and, by nil, taken from what it gets.
    func weir(_ words: [String], input: String = "", environment: [String: String?] = [:]) async throws -> Result {
        log.lines.withLock { $0.append(words) }
        var variables: [String: String?] = [
            "WEIR_URL": url, "WEIR_TOKEN": control.token(.owner), "XDG_CONFIG_HOME": configuration.path, "HOME": configuration.path,
            "PATH": "/usr/bin:/bin",
        ]
        variables.merge(environment) { _, new in new }
        return try await Self.execute(words, input: input, environment: variables.compactMapValues { $0 })
    }

    /// The words in one string, which must not hold quotes.
    func weir(_ words: String, input: String = "", environment: [String: String?] = [:]) async throws -> Result {
        try await weir(words.split(separator: " ").map(String.init), input: input, environment: environment)
    }

    /// Runs it and expects it to succeed.
    @discardableResult
    func succeed(_ words: String, input: String = "", sourceLocation: SourceLocation = #_sourceLocation) async throws -> Result {
        let result = try await weir(words, input: input)
        #expect(result.status == 0, "weir \(words): \(result.error)", sourceLocation: sourceLocation)
        return result
    }

    /// Runs it and gives one member of its answer.
    func field(_ name: String, _ words: String, input: String = "", sourceLocation: SourceLocation = #_sourceLocation) async throws
        -> String
    {
        try await succeed("\(words) --field \(name)", input: input, sourceLocation: sourceLocation).value
    }

    /// Runs it at a terminal where this is typed; `output` is what stood there.
    func weirAtTerminal(_ words: String, typing input: String) async throws -> Result {
        log.lines.withLock { $0.append(words.split(separator: " ").map(String.init)) }
        var (main, side) = (Int32(-1), Int32(-1))
        try #require(openpty(&main, &side, nil, nil, nil) == 0)
        let terminal = FileHandle(fileDescriptor: side, closeOnDealloc: true)
        let process = try ChildProcess(
            Self.executable.path, words.split(separator: " ").map(String.init),
            environment: [
                "WEIR_URL": url, "WEIR_TOKEN": control.token(.owner), "XDG_CONFIG_HOME": configuration.path, "HOME": configuration.path,
            ], files: (side, side, side))
        // The terminal keeps it until it is read, so it need not be waited for that it is asked for.
        let typed = Array(input.utf8)
        #expect(write(main, typed, typed.count) == typed.count)
        let status = await process.ended()
        try terminal.close()
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(main, &buffer, buffer.count)
            guard count > 0 else { break }
            output += buffer[..<count]
        }
        close(main)
        return Result(status: status, output: String(decoding: output, as: UTF8.self), error: "")
    }

    static func execute(
        _ words: [String], input: String, environment: [String: String], program: String? = nil
    ) async throws -> Result {
        // Files instead of pipes: nothing to drain while it runs, whatever it writes.
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-run-\(Hex.encode(SecureRandom.bytes(8)))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (inFile, outFile, errorFile) = (
            folder.appendingPathComponent("in"), folder.appendingPathComponent("out"), folder.appendingPathComponent("err")
        )
        try Data(input.utf8).write(to: inFile)
        for file in [outFile, errorFile] { try Data().write(to: file) }
        let (reading, writing, failing) = (
            try FileHandle(forReadingFrom: inFile), try FileHandle(forWritingTo: outFile), try FileHandle(forWritingTo: errorFile)
        )
        let process = try ChildProcess(
            program ?? executable.path, words, environment: environment,
            files: (reading.fileDescriptor, writing.fileDescriptor, failing.fileDescriptor))
        for file in [reading, writing, failing] { try file.close() }
        let status = await process.ended()
        return Result(
            status: status, output: String(decoding: try Data(contentsOf: outFile), as: UTF8.self),
            error: String(decoding: try Data(contentsOf: errorFile), as: UTF8.self))
    }
}

/// One command of the tree that `weir` describes itself with.
struct CommandDescription: Sendable {
    /// Without "weir": ["tenant", "create"].
    let path: [String]
    let discussion: String
    let isLeaf: Bool
    /// Not among those that the help of the command above lists.
    let isHidden: Bool

    static func all() async throws -> [CommandDescription] {
        let dump = try await CommandLineHarness.execute(["--experimental-dump-help"], input: "", environment: [:])
        let root = try #require(try JSONValue(parsing: dump.output)["command"])
        var out: [CommandDescription] = []
        func visit(_ command: JSONValue, _ path: [String]) {
            let children = (command["subcommands"]?.arrayValue ?? []).filter { $0["commandName"] != "help" }
            out.append(
                CommandDescription(
                    path: path, discussion: command["discussion"]?.stringValue ?? "", isLeaf: children.isEmpty,
                    isHidden: command["shouldDisplay"] == false))
            for child in children { visit(child, path + [child["commandName"]?.stringValue ?? ""]) }
        }
        visit(root, [])
        return out
    }
}
