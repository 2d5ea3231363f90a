import Contract
import Foundation
import Primitives
import Testing
import Trust

@testable import Proxy

@Suite("Provider credentials", .timeLimit(.minutes(10)))
struct CredentialVaultTests {
    let fixture = SnapshotFixture()

    private func entry(_ secret: String) -> CredentialEntry {
        CredentialEntry(id: "cred_a", providerID: "prov_a", revision: 1, secret: Array(secret.utf8))
    }

    private func line(_ secret: String, _ scheme: Weir_V1_AuthScheme, header: String = "") -> String? {
        entry(secret).headerLine(scheme: scheme, header: header).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test("Each scheme has its header line")
    func lines() {
        #expect(line("sk-1", .bearer) == "Authorization: Bearer sk-1\r\n")
        #expect(line("sk-1", .header, header: "api-key") == "api-key: sk-1\r\n")
        #expect(line("user:pass", .basic) == "Authorization: Basic dXNlcjpwYXNz\r\n")
        #expect(line("sk-1", .none) == nil)
    }

    @Test("A secret that would begin another header is not sent", arguments: ["", "a\r\nHost: evil", "a\nb", "a\u{0}b", "a\u{7f}", " a"])
    func hostile(secret: String) {
        #expect(line(secret, .bearer) == nil)
        #expect(line(secret, .header, header: "api-key") == nil)
        #expect(line(secret, .basic) == nil)
        #expect(!entry(secret).isUsable)
    }

    @Test("Nothing prints a secret")
    func printing() {
        let vault = CredentialVault(["cred_a": entry("sk-very-secret")])
        var dumped = ""
        dump(vault, to: &dumped)
        dump(entry("sk-very-secret"), to: &dumped)
        for text in ["\(vault)", "\(entry("sk-very-secret"))", String(reflecting: vault), dumped] { #expect(!text.contains("very-secret")) }
    }

    @Test("A credential is sent to its own provider only")
    func provider() async throws {
        let store = try fixture.store(fixture.local())
        #expect(await store.apply(try fixture.config(1)).accepted)
        let endpoint = try #require(store.current.configs[1]?.endpoints["ep_a"])
        var message = Weir_V1_SealedSecrets()
        message.secrets = [try fixture.sealed("sk-a"), try fixture.sealed("sk-b", id: "cred_b", provider: "prov_b")]
        await store.apply(message)
        #expect(store.current.credentials["cred_a"]?.headerLine(at: endpoint) != nil)
        #expect(store.current.credentials["cred_b"]?.headerLine(at: endpoint) == nil)
        #expect(store.current.credentials["cred_c"]?.headerLine(at: endpoint) == nil)
    }

    @Test("Sealed for another row, another provider, another data plane or damaged, it is refused and reported; the others are in force")
    func binding() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        var moved = try fixture.sealed("sk-1", id: "cred_1")
        moved.credentialID = "cred_2"
        var other = try fixture.sealed("sk-3", id: "cred_3")
        other.providerID = "prov_b"
        var revision = try fixture.sealed("sk-4", id: "cred_4")
        revision.revision = 9
        var damaged = try fixture.sealed("sk-5", id: "cred_5")
        damaged.ciphertext[damaged.ciphertext.startIndex] ^= 1
        var elsewhere = SnapshotFixture()
        elsewhere.dataPlaneID = fixture.dataPlaneID
        let foreign = try elsewhere.sealed("sk-6", id: "cred_6")
        var message = Weir_V1_SealedSecrets()
        message.secrets = [
            moved, other, revision, damaged, foreign, try fixture.sealed("sk-7", id: "cred_7"), try fixture.sealed("a\nb", id: "cred_8"),
        ]
        await store.apply(message)
        #expect(store.hello().secrets.map(\.credentialID) == ["cred_7", "cred_8"])
        #expect(store.current.credentials.unusable == ["cred_8"])
        #expect(store.health().problems.count == 6)
        #expect(!store.health().problems.joined().contains("sk-"))
        // Sealed they rest: the plaintext is nowhere in the files.
        let restarted = try fixture.store(local)
        #expect(restarted.current.credentials["cred_7"]?.isUsable == true)
        local.close()
        for name in try FileManager.default.contentsOfDirectory(atPath: fixture.folder.path) {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: fixture.folder.path + "/" + name))
            #expect(bytes.range(of: Data("sk-7".utf8)) == nil)
        }
    }

    @Test("A newer revision takes the place of an older one, never the other way round; removed ones go")
    func revisions() async throws {
        let local = try fixture.local()
        let store = try fixture.store(local)
        var message = Weir_V1_SealedSecrets()
        message.secrets = [try fixture.sealed("new", revision: 3)]
        await store.apply(message)
        message.secrets = [try fixture.sealed("old", revision: 2)]
        await store.apply(message)
        #expect(store.hello().secrets.map(\.revision) == [3])
        message.secrets = []
        message.removedCredentialIds = ["cred_a"]
        await store.apply(message)
        #expect(store.hello().secrets.isEmpty)
        #expect(try fixture.store(local).hello().secrets.isEmpty)
    }
}
