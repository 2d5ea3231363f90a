import ArgumentParser
import Nouns
import Primitives

enum Prices: DeclaredResource {
    typealias Content = PriceContent
    static var subcommands: [any ParsableCommand.Type] { standardSubcommands + [ImportPrices.self] }
}

struct ImportPrices: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take prices of the draft's models from a catalogue, after showing what differs.",
        discussion: """
            The file is LiteLLM's model_prices_and_context_window.json, or has its form. An entry is looked for as provider/model, by the names \
            of the provider and of the model there, then as the model alone; --entry says it where the names do not. Prices that differ count \
            from now on, or from --effective-from on. Publishing and rolling out are not part of it.

            \(example("price import prices.json --dry-run", "price import prices.json --entry smart=gpt-4o"))
            """)

    @Argument(help: "The file; - is standard input.")
    var file: String

    @Option(help: ArgumentHelp("Only this model. May be given several times.", valueName: "name"))
    var model: [String] = []

    @Option(help: ArgumentHelp("Which entry is a model's. May be given several times.", valueName: "model=entry"))
    var entry: [String] = []

    @Option(help: ArgumentHelp("From when on prices that differ count.", valueName: "time"))
    var effectiveFrom: Moment?

    @Flag(help: "Only say what would be changed. Ends with 2 when something would.")
    var dryRun = false

    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        for pair in entry where !pair.dropFirst().dropLast().contains("=") {
            throw ValidationError("--entry \(pair): write it as model=entry")
        }
    }

    func run() async throws {
        let bytes: [UInt8]
        do {
            bytes = try YAMLFile.read(file, atMost: Self.maximumBytes, remedy: nil)
        } catch {
            throw fault(error.text)
        }
        guard let catalogue = try? JSONValue(parsing: bytes), catalogue.objectValue != nil else { throw fault("is not a JSON object") }
        let client = try connection.client()
        let compared = try await client.send("POST", "prices/import", body: body(catalogue, isDryRun: true))
        let changes = compared.json.list("changes")
        let isChanging = changes.contains { ["added", "changed"].contains($0.string("action")) }
        if dryRun || !isChanging {
            try connection.emit(compared) { Self.text(changes) }
            if isChanging { throw ExitCode(2) }
            return
        }
        remark(Self.text(changes))
        try confirmation.ask("Take these prices into the draft?")
        do {
            let done = try await client.send("POST", "prices/import", body: body(catalogue, isDryRun: false), ifMatch: compared.etag)
            try connection.emit(done) { "They are in the draft: `weir config publish` makes a version of it." }
        } catch Failure.refused(412, _, _) {
            Terminal.printError("error: the draft was changed since these differences were found. Nothing was taken: run it again")
            throw ExitCode(1)
        }
    }

    static let maximumBytes = 15 << 20

    private func fault(_ text: String) -> ExitCode {
        Terminal.printError("error: \(file.visible): \(text)")
        return ExitCode(1)
    }

    private func body(_ catalogue: JSONValue, isDryRun: Bool) -> JSONValue {
        var entries = Body()
        for pair in entry {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if let name = parts.first, let value = parts.last { entries.set(String(name), String(value)) }
        }
        var body = Body()
        body.set("catalogue", json: catalogue)
        body.set("dry_run", isDryRun)
        body.set("models", model)
        body.set("entries", entries)
        body.set("effective_from", effectiveFrom?.text)
        return body.json
    }

    /// A line a price, and under it what differs.
    static func text(_ changes: [JSONValue]) -> String {
        changes.flatMap { change -> [String] in
            let place = change.string("endpoint_id").map { " at \($0)" } ?? ""
            let name = (change.string("model") ?? "").visible + place
            let entry = change.string("entry")?.visible
            switch change.string("action") {
            case "unknown":
                let tried = change.list("tried").compactMap(\.stringValue).map(\.visible).joined(separator: ", ")
                return [entry.map { "?  \(name): \($0) has no price per token" } ?? "?  \(name): not in the catalogue (\(tried))"]
            case "unchanged": return ["=  \(name): as \(entry ?? "")"]
            default:
                let (before, after) = (change.at("before")?.objectValue, change.at("after")?.objectValue)
                let lines = (after?.members ?? []).compactMap { member -> String? in
                    let old = before?[member.name] ?? .null
                    if old == member.value || ["model_id", "endpoint_id"].contains(member.name) { return nil }
                    return "     \(member.name): \(old == .null ? "-" : old.plain.visible) -> \(member.value.plain.visible)"
                }
                let leftOut = change.list("left_out").compactMap(\.stringValue)
                let remarks = change.list("remarks").compactMap(\.stringValue).map { "     note: \($0.visible)" }
                let more = leftOut.isEmpty ? [] : ["     not taken over: \(leftOut.joined(separator: ", ").visible)"]
                return ["\(before == nil ? "+" : "~")  \(name): \(entry ?? "")"] + lines + more + remarks
            }
        }.joined(separator: "\n")
    }
}
