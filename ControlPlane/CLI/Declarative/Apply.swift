import ArgumentParser
import Foundation
import Primitives

struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the whole configuration, by name, as a file for `weir apply`.",
        discussion: """
            Tenants, projects, keys, the draft and everything else that an operator decides; not tokens, data planes and what they reported. \
            What is at its default is left out. Secrets are never in it.

            \(example("export > weir.yaml", "export --only models,prices"))
            """)

    @Option(help: ArgumentHelp("Only these lists, separated by commas.", valueName: "lists"))
    var only: String?

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let answer = try await connection.client().send("GET", "export", query: only.map { [("nouns", $0)] } ?? [])
        try connection.emit(answer) {
            (answer.json.objectValue?.members ?? []).map { JSONValue.object(JSONObject(members: [$0])).yaml }.joined(separator: "\n\n")
        }
    }
}

struct Apply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make what there is as a file says: all of it or, where anything is refused, nothing.",
        discussion: """
            The file is YAML or JSON as `weir export` prints it. An entry says the whole thing: what it leaves out is at its default. Only a \
            secret that is left out stays: it is given as secret, as secret_env (an environment variable) or secret_file (a path from the \
            file's folder). A new key's secret is printed once. Publishing and rolling out are not part of it.

            --prune deletes what the file does not name, of each kind that has a list in the file; what belongs to another (a project, a key, \
            a price) only where the file names that other. Tenants and tokens are never pruned.

            Ends with 0 when all is as the file says, 1 when it was refused, 2 when --dry-run found differences (or the command line is wrong), \
            3 when the control plane cannot be reached.

            \(example("apply -f weir.yaml --dry-run", "apply -f weir.yaml --prune"))
            """)

    @Option(name: [.customShort("f"), .customLong("file")], help: ArgumentHelp("The file; - is standard input.", valueName: "path"))
    var file: String

    @Flag(help: "Only say what would be changed.")
    var dryRun = false

    @Flag(help: "Delete what the file does not name.")
    var prune = false

    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let document: JSONObject
        do {
            document = try read()
        } catch {
            Terminal.printError("error: \(file.visible): \(error.text)")
            throw ExitCode(1)
        }
        let client = try connection.client()
        let compared = try await client.send("POST", "apply", body: body(document, isDryRun: true))
        let differences = Differences(
            answer: compared.json, isColoured: Differences.areColoured(dryRun ? STDOUT_FILENO : STDERR_FILENO))
        if dryRun || differences.isEmpty {
            try connection.emit(compared) { differences.text }
            if !differences.isEmpty { throw ExitCode(2) }
            return
        }
        remark(differences.text)
        try confirmation.ask("Apply this?")
        let applied = try await apply(document, client, over: compared)
        try connection.emit(applied) {
            let done = Differences(answer: applied.json, isColoured: false)
            let secrets = done.secrets.isEmpty ? [] : done.secrets + ["", "Keep these now: they are not shown again.", ""]
            return (secrets + ["Applied: \(done.counts(""))"]).joined(separator: "\n")
        }
    }

    private func apply(_ document: JSONObject, _ client: AdminClient, over compared: Answer) async throws -> Answer {
        do {
            return try await client.send("POST", "apply", body: body(document, isDryRun: false), ifMatch: compared.etag)
        } catch Failure.refused(412, _, _) {
            Terminal.printError("error: something was changed since these differences were found. Nothing was applied: run it again")
            throw ExitCode(1)
        }
    }

    private func body(_ document: JSONObject, isDryRun: Bool) -> JSONValue {
        ["document": .object(document), "dry_run": .bool(isDryRun), "prune": .bool(prune)]
    }

    private func read() throws(FileFault) -> JSONObject {
        guard case .object(let document) = try YAMLFile.parse(try YAMLFile.read(file)) else {
            throw FileFault("is no document: it has to begin with format: weir/1, as `weir export` prints it")
        }
        let folder =
            file == "-"
            ? URL(fileURLWithPath: FileManager.default.currentDirectoryPath) : URL(fileURLWithPath: file).deletingLastPathComponent()
        return try DocumentSecrets.resolved(document, folder: folder, environment: ProcessInfo.processInfo.environment)
    }
}
