import Foundation
import Primitives
import Testing

@Suite("The weir command line: what its help says")
struct CommandHelpTests {
    /// Its lines joined, wherever they were broken.
    private static func help(_ path: [String]) async throws -> CommandLineHarness.Result {
        let help = try await CommandLineHarness.execute(path + ["--help"], input: "", environment: [:])
        let words = help.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return CommandLineHarness.Result(status: help.status, output: words, error: help.error)
    }

    @Test("the help of every command renders, and what prints an answer takes -o")
    func everyCommand() async throws {
        let local = ["logout", "completion", "context use", "context add", "context delete", "invoice verify"]
        for command in try await CommandDescription.all() {
            let help = try await Self.help(command.path)
            let name = command.path.joined(separator: " ")
            #expect(help.status == 0 && help.output.contains("USAGE: weir"), "\(name): \(help.error)")
            guard command.isLeaf, !command.isHidden, !local.contains(name) else { continue }
            #expect(help.output.contains("-o, --format"), "weir \(name) has no -o")
        }
    }

    @Test("required options stand without brackets in the usage, and are said to be required")
    func required() async throws {
        let price = try await Self.help(["price", "create"]).output
        #expect(price.contains("USAGE: weir price create --model-id <id> --input <dollars> --output <dollars> [<options>]"))
        #expect(price.contains("Required."))
        #expect(try await Self.help(["credential", "create"]).output.contains("--provider-id <id> --name <text> [<options>]"))
        let update = try await Self.help(["project", "update"]).output
        // What cannot be changed is not offered, and what is required of a new one is not here.
        #expect(!update.contains("--tenant-id") && !update.contains("Required."))
    }

    @Test("words stand for null and zero, and the grace of a rotation is told")
    func words() async throws {
        #expect(try await Self.help(["route", "create"]).output.contains("(default: all)"))
        #expect(try await Self.help(["provider", "create"]).output.contains("(default: default)"))
        #expect(try await Self.help(["key", "create"]).output.contains("(default: never)"))
        #expect(try await Self.help(["key", "rotate"]).output.contains("(default: 86400, a day)"))
        #expect(try await Self.help(["fleet", "rotate-signing-key"]).output.contains("(default: 604800, a week)"))
    }

    @Test("`show` is a hidden word for `get`")
    func hiddenAlias() async throws {
        let help = try await Self.help(["tenant"]).output
        #expect(help.contains("get ") && !help.contains("show "))
        #expect(try await CommandDescription.all().contains { $0.path == ["tenant", "show"] && $0.isHidden })
    }

    @Test("completion scripts hold every command", arguments: ["bash", "zsh", "fish"])
    func completion(shell: String) async throws {
        let script = try await CommandLineHarness.execute(["completion", shell], input: "", environment: [:])
        #expect(script.status == 0 && script.error.isEmpty)
        for command in try await CommandDescription.all() where !command.path.isEmpty && !command.isHidden {
            let name = command.path.last ?? ""
            #expect(script.output.contains(name), "weir \(command.path.joined(separator: " ")) is not in the script for \(shell)")
        }
        #expect(script.output.contains("--percentage") || script.output.contains("percentage"))
        #expect(try await CommandLineHarness.execute(["completion", "tcsh"], input: "", environment: [:]).status == 2)
    }

    @Test("the bash script is one that bash takes")
    func bashTakesIt() async throws {
        let script = try await CommandLineHarness.execute(["completion", "bash"], input: "", environment: [:])
        let checked = try await CommandLineHarness.execute(["-n"], input: script.output, environment: [:], program: "/bin/bash")
        #expect(checked.status == 0 && checked.error.isEmpty)
    }
}
