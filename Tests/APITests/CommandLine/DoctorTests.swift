import Foundation
import Nouns
import Primitives
import Storage
import Testing

@testable import weir

@Suite("weir status and weir doctor")
struct DoctorTests {
    private static let sqlite = TestDatabases.all.prefix(1)
    private static let target = ConnectionOptions.Target(context: nil, url: "http://127.0.0.1:7080", token: "t")

    @Test("a control plane that cannot be reached, a token that is wrong or missing, a file that others read", arguments: sqlite)
    func here(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            func codes(_ environment: [String: String?]) async throws -> [String] {
                let result = try await h.weir("doctor -o json", environment: environment)
                #expect(result.status == 1)
                return result.json["items"]?.arrayValue?.compactMap { $0["code"]?.stringValue } ?? []
            }
            #expect(try await codes(["WEIR_URL": "http://127.0.0.1:1"]) == ["unreachable"])
            #expect(try await codes(["WEIR_TOKEN": "wadm_wrong"]) == ["token_refused"])
            #expect(try await codes(["WEIR_TOKEN": nil]) == ["token_missing"])
            #expect(try await codes(["WEIR_URL": h.url + "/elsewhere"]) == ["control_plane_old"])
            #expect(try await codes(["WEIR_URL": nil, "WEIR_CONTEXT": "nowhere"]) == ["login_unusable"])
            #expect(try await h.weir("login", input: h.control.token(.owner) + "\n").status == 0)
            let file = h.configuration.appendingPathComponent("weir/config.json").path
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
            #expect(try await codes([:]).first == "login_readable")
        }
    }

    @Test("what the control plane finds is shown with the command that mends it, and the clock of the test is far off", arguments: sqlite)
    func there(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let result = try await h.weir("doctor")
            #expect(result.status == 1 && result.error.isEmpty)
            for words in ["no version is in force", "→ weir config publish", "no data plane is enrolled", "→ weir fleet token create"] {
                #expect(result.output.contains(words), "\(result.output)")
            }
            // The control plane's clock is set by the test, into January 2027.
            #expect(result.output.contains("its clock is") && result.output.contains("timedatectl"))
            let status = try await h.weir("status")
            #expect(status.status == 0)
            for words in [
                "Control plane:", "You are:        owner, owner", "In force:       nothing yet", "Needs attention:", "`weir doctor`",
            ] {
                #expect(status.output.contains(words), "\(status.output)")
            }
            #expect(try await h.field("database", "status") == kind.name)
        }
    }

    @Test("clocks and versions that differ, a token that ends")
    func differences() {
        func codes(_ status: JSONValue) -> [String] { Doctor.findings(of: status, from: 1_000_000, to: 1_002_000).map(\.code) }
        let version = JSONValue.string(weirVersion.description)
        func time(_ milliseconds: Int64) -> JSONValue { .string(RFC3339.string(milliseconds: milliseconds)) }
        #expect(codes(["version": version, "time": time(1_001_000)]).isEmpty)
        #expect(codes(["version": version, "time": time(1_006_000)]).isEmpty)
        #expect(codes(["version": version, "time": time(1_009_000)]) == ["clock"])
        #expect(codes(["version": version, "time": time(900_000)]) == ["clock"])
        #expect(codes(["version": "9.0.0", "time": time(1_001_000)]) == ["version"])
        let ends: JSONValue = ["id": "adm_x", "expires_at": "2027-01-15T08:00:00Z"]
        #expect(Doctor.findings(of: ends, Self.target, now: 1_799_900_000_000).map(\.code) == ["own_token_expires"])
        #expect(Doctor.findings(of: ends, Self.target, now: 1_700_000_000_000).isEmpty)
        #expect(Doctor.findings(of: ["expires_at": .null], Self.target, now: 0).isEmpty)
        let unwell = Failure.refused(status: 503, problem: nil, text: "")
        #expect(Doctor.finding(of: unwell, Self.target).code == "control_plane_unwell")
    }

    @Test("notices alone are nothing wrong")
    func notices() {
        let notice = Doctor.Finding("notice", "draft_differs", "draft", "waits", command: "weir config publish")
        #expect(!notice.isWrong && Doctor.text([notice]).contains("Nothing is wrong; 1 to note."))
        #expect(Doctor.text([]) == "Everything is in order.")
    }
}
