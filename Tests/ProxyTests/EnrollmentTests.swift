import Foundation
import Primitives
import Testing
import Trust

@testable import Proxy

@Suite("Enrolment", .timeLimit(.minutes(10)))
struct EnrollmentTests {
    let folder = TemporaryFolder()

    private func token(_ json: String) -> String { "wenr_" + Base64URL.encode(Array(json.utf8)) }

    @Test("A token says where the control plane is, and never prints itself")
    func tokens() throws {
        let text = token(#"{"a":"127.0.0.1:7443","t":"abc_def","ca":""}"#)
        let parsed = try EnrollmentTokenText(parsing: "  \(text)\n")
        #expect(parsed.addresses == ["127.0.0.1:7443"])
        #expect(parsed.text == text)
        #expect(!"\(parsed)".contains("abc"))
        #expect(!String(reflecting: parsed).contains("abc"))
        for bad in [
            "", "wenr_", "wenr_!!!", token("[]"), token(#"{"a":"nowhere","t":"x","ca":""}"#), token(#"{"a":"h:1","t":"","ca":""}"#),
        ] {
            #expect(throws: EnrollmentError.self) { try EnrollmentTokenText(parsing: bad) }
        }
    }

    @Test("Addresses are host:port", arguments: ["control.example:7443", "10.0.0.1:1", "[::1]:65535"])
    func addresses(text: String) { #expect(FleetAddress(text)?.description == text) }

    @Test(
        "Anything else is none", arguments: ["", ":1", "host", "host:", "host:0", "host:65536", "::1:7443", "[host]:1", "a b:1", "h/x:1"])
    func badAddresses(text: String) { #expect(FleetAddress(text) == nil) }

    @Test("An installation may have several addresses, all of which have to be ones")
    func severalAddresses() {
        #expect(FleetAddress.list("a:1, [::1]:2,b:3")?.map(\.description) == ["a:1", "[::1]:2", "b:3"])
        for text in ["", "a:1,", "a:1,,b:2", "a:1,b", (1...17).map { "h:\($0)" }.joined(separator: ",")] {
            #expect(FleetAddress.list(text) == nil, "\(text)")
        }
    }

    @Test("Keys are made once, kept private, and a damaged one is never replaced")
    func keys() throws {
        _ = try LocalStore(directory: folder.path)
        let first = try DataPlaneKeys.loadOrCreate(directory: folder.path)
        let second = try DataPlaneKeys.loadOrCreate(directory: folder.path)
        #expect(first.identity.publicKey == second.identity.publicKey)
        #expect(first.sealing.publicKey == second.sealing.publicKey)
        for name in ["identity.key", "sealing.key"] {
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(name)")[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
        try Data("zz".utf8).write(to: URL(fileURLWithPath: folder.path + "/identity.key"))
        #expect(throws: EnrollmentError.self) { try DataPlaneKeys.loadOrCreate(directory: folder.path) }
    }

    @Test("An enrolment is read back as it was written, and a damaged one is refused")
    func saving() throws {
        _ = try LocalStore(directory: folder.path)
        #expect(try Enrollment.load(directory: folder.path) == nil)
        let key = SigningKey()
        let enrollment = Enrollment(
            deployment: "d", dataPlaneID: .random(), region: "eu", address: "h:1", authorityPEM: "pem",
            trustedKeys: [key.keyID: Hex.encode(key.publicKey)])
        try enrollment.save(directory: folder.path)
        #expect(try Enrollment.load(directory: folder.path) == enrollment)
        #expect(enrollment.trust.contains(key.keyID))
        try Data("{".utf8).write(to: URL(fileURLWithPath: folder.path + "/enrollment.json"))
        #expect(throws: EnrollmentError.self) { try Enrollment.load(directory: folder.path) }
    }

    @Test("A signal raised before the wait is not lost, and a wait ends when its time is up")
    func signal() async {
        let signal = LinkSignal()
        signal.raise()
        #expect(await signal.wait(milliseconds: 60_000))
        #expect(await !signal.wait(milliseconds: 1))
        let waiter = Task { await signal.wait(milliseconds: 60_000) }
        signal.raise()
        #expect(await waiter.value)
        let cancelled = Task { await signal.wait(milliseconds: 60_000) }
        cancelled.cancel()
        #expect(await !cancelled.value)
    }
}
