import Contract
import Nouns
import Primitives
import Simulator
import Storage
import Testing

@testable import Proxy

/// What providers state in forms of their own, from the provider's bytes to the bill. The rows are those of the list that the forms were
/// collected in; a million tokens cost $1 in, $2 out and $0.10 from the cache.
@Suite("Usage in odd forms, through both planes", .timeLimit(.minutes(10)))
struct UsageFormsTests {
    private struct Form {
        let row: String
        let model: String
        var stream = true
        /// Nil: estimated and flagged.
        var input: Int64?
        var output: Int64 = 50
        var cached: Int64 = 0
        /// Nano-dollars.
        var cost: Int64?
    }

    private static let forms = [
        Form(row: "U1 inside a choice", model: "sim-in100-out50-usageinchoice", input: 100, cost: 200_000),
        Form(row: "U1 inside a vendor's member", model: "sim-in100-out50-usagevendor", input: 100, cost: 200_000),
        Form(
            row: "U2 hits and misses", model: "sim-in36100-out1200-cached21600-usagedeepseek", input: 36_100, output: 1200,
            cached: 21_600, cost: 19_060_000),
        Form(
            row: "U3 reasoning beside completion", model: "sim-in10120-out4308-reasoning2809-cached128-usagexai", input: 10_120,
            output: 4308, cached: 128, cost: 18_620_800),
        Form(row: "U4 no prompt", model: "sim-out50-usagezeroprompt"),
        Form(row: "U5 choices null", model: "sim-in100-out50-choicesnull", input: 100, cost: 200_000),
        Form(row: "U6 a stream without a label", model: "sim-in100-out50-typenone", input: 100, cost: 200_000),
        Form(row: "U7 an image and no usage", model: "sim-nousage-out4", stream: false),
        Form(row: "U8 compressed", model: "sim-in100-out50-gzip", input: 100, cost: 200_000),
    ]

    private static let image: String = {
        let base64 = String(repeating: "QUJDRA==", count: 15_000)
        return #"[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,\#(base64)"}}]"#
    }()

    @Test("is billed as it is meant", arguments: TestDatabases.all)
    func billed(database: TestDatabase) async throws {
        try await database.with { database in
            let provider = try await SimulatorServer.start()
            let control = try await RunningControl.start(database)
            let version = try await control.release(models: Self.forms.map(\.model), url: "http://127.0.0.1:\(provider.port)/v1") {
                $0.input = NanoDollars(1_000_000_000)
                $0.output = NanoDollars(2_000_000_000)
                $0.cachedInput = NanoDollars(100_000_000)
            }
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let key = try await control.key(try await control.project())
            let isReady = await plane.snapshot {
                $0.rollout?.baselineVersion == UInt64(version) && $0.credentials.count == 1 && $0.directory.lookup(key.id) != nil
            }
            #expect(isReady != nil)
            for form in Self.forms {
                let content = form.row.hasPrefix("U7") ? Self.image : #""hello""#
                let answer = try await plane.chat(key: key.text, model: form.model, stream: form.stream, content: content)
                #expect(answer.status == 200, "\(form.row): \(answer.body.prefix(1000))")
            }
            #expect(try await control.usage(reaching: Int64(Self.forms.count)).records == Int64(Self.forms.count))
            for form in Self.forms { try await Self.check(form, control.database) }
            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }

    private static func check(_ form: Form, _ database: any Database) async throws {
        let sql = """
            SELECT input_tokens AS i, output_tokens AS o, cached_input_tokens AS c, cost_nano AS n, flags AS f
            FROM usage_records WHERE model = $1
            """
        let row = try #require(try await database.read { try $0.first(sql, [.text(form.model)]) }, "\(form.row)")
        let (input, output, cost) = (try row.int("i"), try row.int("o"), try row.int("n"))
        let flags = UsageFlags(rawValue: UInt32(truncatingIfNeeded: try row.int("f")))
        #expect(try row.int("c") == form.cached, "\(form.row)")
        if let expected = form.input {
            #expect(
                input == expected && output == form.output && cost == form.cost && flags == [], "\(form.row): \(input) \(output) \(cost)")
        } else {
            // Some words, or an image's figure: nothing of the 30,000 that its base64 would be as text.
            #expect((1..<1_300).contains(input) && flags.contains(.estimated), "\(form.row): \(input)")
            #expect(cost == input * 1_000 + output * 2_000, "\(form.row): \(cost)")
        }
    }
}
