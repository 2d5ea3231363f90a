import ArgumentParser
import Foundation

/// Limits of one exchange with a provider. 0 leaves it to the data plane's own setting.
struct TimeoutOptions: ParsableArguments {
    @Option(help: "Milliseconds to connect.")
    var connectMs: Int64?

    @Option(help: "Milliseconds from the request to the answer's first byte.")
    var firstByteMs: Int64?

    @Option(help: "Milliseconds between two pieces of an answer.")
    var idleMs: Int64?

    @Option(help: "Milliseconds for the whole exchange.")
    var totalMs: Int64?

    func body() -> Body {
        var body = Body()
        body.set("connect_ms", connectMs)
        body.set("first_byte_ms", firstByteMs)
        body.set("idle_ms", idleMs)
        body.set("total_ms", totalMs)
        return body
    }
}

enum Providers: EditableNoun {
    static let name = "provider"
    static let abstract = "Whom requests are forwarded to. Part of the draft: publish and roll out for it to take effect."
    static let path = "providers"
    static let columns: [Column] = [
        .id, .name, Column("KIND", "kind"), Column("BASE URL", "base_url"), Column("AUTH", "auth.scheme"), .created,
    ]
    static let exampleID = "prov_aaaaaaaaaaaaaaaa"
    static let createExample = "--name OpenAI --base-url https://api.openai.com/v1 --auth bearer"
    static let updateExample = "--first-byte-ms 30000"

    enum Scheme: String, ExpressibleByArgument, CaseIterable {
        case bearer, header, basic, none
    }

    struct Fields: BodyFields {
        static let required = ["name", "base_url"]

        @Option(help: "What people call it.")
        var name: String?

        @Option(help: "Which API it speaks: openai (and everything compatible).")
        var kind: String?

        @Option(help: "Where its API is, with the version: https://api.openai.com/v1.")
        var baseURL: String?

        @Option(help: "How its credentials are sent: bearer, header, basic or none.")
        var auth: Scheme?

        @Option(help: "The header's name for --auth header, such as api-key.")
        var authHeader: String?

        @Option(help: ArgumentHelp("Trust this certificate authority for it, too.", valueName: "pem-file"))
        var caFile: String?

        @OptionGroup var timeouts: TimeoutOptions

        func body() throws -> Body {
            var body = Body()
            body.set("name", name)
            body.set("kind", kind)
            body.set("base_url", baseURL)
            var auth = Body()
            auth.set("scheme", self.auth)
            auth.set("header", authHeader)
            body.set("auth", auth)
            body.set("ca_pem", try caFile.map(readFile))
            body.set("timeouts", timeouts.body())
            return body
        }
    }
}

func readFile(_ path: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: path), let text = String(data: data, encoding: .utf8) else {
        throw Failure.usage("cannot read \(path) as text")
    }
    return text
}
