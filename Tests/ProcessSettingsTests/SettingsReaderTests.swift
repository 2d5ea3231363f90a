import Foundation
import Primitives
import Testing

@testable import ProcessSettings

@Suite("Settings of a process")
struct SettingsReaderTests {
    enum Colour: String, CaseIterable, Sendable { case red, green }

    struct Things: Sendable, Equatable {
        var size = 100
        var title: String? = nil
        var token: String? = nil
        var database: String? = nil
        var colour = Colour.red
        var loud = false
        var listen = ListenAddress(host: "127.0.0.1", port: 80)
    }

    private let reader = SettingsReader(
        [
            Setting<Things>.number("max-size", \.size, .bytes, in: 10...1000, "Of a thing."),
            .text("title", \.title, placeholder: "text", "Shown."),
            .text("token", \.token, placeholder: "token", isSecret: true, alsoNamed: "SHARED_TOKEN", "Kept."),
            .text("database", \.database, placeholder: "url", "Where."),
            .choice("colour", \.colour, "Which."),
            .flag("loud", \.loud, "Whether."),
            .address("listen", \.listen, "Where."),
        ], standard: Things(),
        relations: { $0.loud && $0.size > 500 ? ["--loud and --max-size above 500 do not go together"] : [] })

    private func withFile<R>(_ text: String, _ body: (String) throws -> R) throws -> R {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("weir-settings-" + Hex.encode(SecureRandom.bytes(6))).path
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    private func problems(_ arguments: [String] = [], _ environment: [String: String] = [:]) -> [String] {
        do throws(SettingsError) {
            _ = try reader.read(arguments: arguments, environment: environment)
            return []
        } catch {
            return error.problems
        }
    }

    @Test func anotherNameOfAVariableCountsWhereOursIsNotThere() throws {
        func token(_ environment: [String: String]) throws -> String? {
            try reader.read(arguments: [], environment: environment).target.token
        }
        #expect(try token(["SHARED_TOKEN": "theirs"]) == "theirs")
        #expect(try token(["SHARED_TOKEN": "theirs", "WEIR_TOKEN": "ours"]) == "ours")
        #expect(try token(["SHARED_TOKEN": ""]) == nil)
    }

    @Test func aFlagGoesBeforeTheEnvironmentThatBeforeTheFileThatBeforeTheDefault() throws {
        try withFile(#"{"max-size": 20, "colour": "green", "title": "file", "loud": true}"#) { path in
            let read = try reader.read(
                arguments: ["--title=flag", "--settings-file", path],
                environment: ["WEIR_TITLE": "environment", "WEIR_COLOUR": "red", "WEIR_TOKEN": "", "MAX_SIZE": "999"])
            #expect(read.target == Things(size: 20, title: "flag", colour: .red, loud: true))
            #expect(
                read.sources == [
                    "max-size": .file, "title": .flag, "token": .standard, "database": .standard, "colour": .environment, "loud": .file,
                    "listen": .standard,
                ])
        }
        try withFile(#"{"max-size": 20}"#) { path in
            let read = try reader.read(arguments: [], environment: ["WEIR_SETTINGS_FILE": path])
            #expect(read.target.size == 20)
        }
    }

    @Test func flagsAreWrittenInBothWays() throws {
        let read = try reader.read(arguments: ["--loud", "--max-size", "11", "--listen=[::1]:0"], environment: [:])
        #expect(read.target == Things(size: 11, loud: true, listen: ListenAddress(host: "::1", port: 0)))
        #expect(try !reader.read(arguments: ["--loud=false"], environment: ["WEIR_LOUD": "true"]).target.loud)
    }

    @Test func saysAllThatIsWrongAndWhereItStands() throws {
        #expect(
            problems(["--max-seize", "7", "stray"]) == [
                "--max-seize is no setting; the nearest is --max-size", "\"stray\" is not expected here: settings are written --name value",
            ])
        #expect(problems(["--max-sz"]) == ["--max-sz is no setting; the nearest is --max-size"])
        #expect(problems(["--title"]) == ["--title needs a value"])
        #expect(
            problems(["--max-size", "9", "--colour", "blue"], ["WEIR_LOUD": "perhaps", "WEIR_LISTEN": "nowhere"]) == [
                "--max-size has to be a number from 10 to 1000", "--colour has to be one of red, green",
                "WEIR_LOUD has to be true or false",
                "WEIR_LISTEN has to be host:port, not \"nowhere\"",
            ])
        #expect(problems(["--loud", "--max-size", "501"]) == ["--loud and --max-size above 500 do not go together"])
        #expect(problems(["--settings-file", "/nowhere"]) == ["the settings file /nowhere cannot be read"])
        try withFile(#"{"max-size": "many", "sizes": 1, "title": [1]}"#) { path in
            #expect(
                problems(["--settings-file", path]) == [
                    "\"sizes\" in \(path) is no setting", "\"title\" in \(path) has to be a text (text)",
                ])
        }
        try withFile(#"{"max-size": "many"}"#) { path in
            #expect(problems(["--settings-file", path]) == ["\"max-size\" in \(path) has to be a number from 10 to 1000"])
        }
    }

    @Test func whatIsWrongInOneSourceIsNotPassedOverForAnother() {
        #expect(problems(["--max-size", "many"], ["WEIR_MAX_SIZE": "20"]) == ["--max-size has to be a number from 10 to 1000"])
        #expect(problems([], ["WEIR_MAX_SIZE": "20x"]) == ["WEIR_MAX_SIZE has to be a number from 10 to 1000"])
    }

    @Test func secretsAreNeverShown() throws {
        let read = try reader.read(
            arguments: ["--token", "sk-very-secret"], environment: ["WEIR_DATABASE": "postgresql://weir:pass:w@rd@db:5432/weir"])
        for text in [read.table(reader.settings), read.json(reader.settings)] {
            #expect(!text.contains("sk-very-secret") && !text.contains("pass:w") && !text.contains("rd@db"))
            #expect(text.contains("postgresql://weir:<redacted>@db:5432/weir"))
        }
        #expect(read.table(reader.settings).contains("token     <redacted>"))
        #expect(
            read.table(reader.settings).split(separator: "\n").contains { $0.hasPrefix("max-size  100 bytes") && $0.hasSuffix("default") })
        #expect(reader.help.contains("--max-size <bytes>\n      Of a thing. (default: 100)"))
        #expect(EffectiveSettings<Things>.withoutPassword("sqlite:///a:b@c/d.db") == "sqlite:///a:b@c/d.db")
    }
}
