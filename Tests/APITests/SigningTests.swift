import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("Signing secrets and DIDs")
struct SigningTests {
    @Test("a signing secret is shown once, rotates, and is one for a key", arguments: TestDatabases.all)
    func secrets(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k"])
            let made = try await h.create("/admin/api/signing-secrets", ["key_id": .string(key.id)])
            let secret = try #require(made.json["secret"]?.stringValue)
            #expect(secret.hasPrefix("wsig_") && secret.utf8.count == 57)
            let shown = try await h.get("/admin/api/signing-secrets/\(made.id)")
            #expect(!shown.text.contains(secret) && shown.json["ciphertext"] == nil && shown.json["tenant_id"]?.stringValue == c.tenant)
            #expect(try await !h.get("/admin/api/audit").text.contains(secret))

            let second = try await h.post("/admin/api/signing-secrets", ["key_id": .string(key.id)])
            #expect(second.status == 409 && second.text.contains("Rotate"))
            #expect(try await h.post("/admin/api/signing-secrets", ["key_id": "key_aaaaaaaaaaaaaaaa"]).fields == ["key_id"])

            let rotated = try await h.post("/admin/api/signing-secrets/\(made.id)/rotate", ["grace_seconds": 60])
            let next = try #require(rotated.json["secret"]?.stringValue)
            #expect(rotated.status == 200 && next != secret && rotated.json["previous_expires_at"] != .null)
            let again = try await h.post("/admin/api/signing-secrets/\(made.id)/rotate", nil)
            #expect(again.status == 409 && again.text.contains("force"))
            h.clock.advance(milliseconds: 60_000)
            #expect(try await h.post("/admin/api/signing-secrets/\(made.id)/rotate", nil).status == 200)
        }
    }

    @Test("a DID is registered once, whatever its spelling, and only one that can sign", arguments: TestDatabases.all)
    func dids(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            func register(_ did: String) async throws -> ControlHarness.Answer {
                try await h.post("/admin/api/dids", ["tenant_id": .string(c.tenant), "did": .string(did)])
            }
            let address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
            let did = "did:pkh:eip155:1:\(address)"
            let made = try await register(did)
            #expect(made.status == 201 && made.json["did"]?.stringValue == did && made.json["fingerprint"] == nil, "\(made.text)")
            let other = try await register("did:pkh:eip155:137:\(address.lowercased())")
            #expect(other.status == 409 && other.text.contains("another spelling"))
            for bad in [
                "did:web:127.0.0.1", "did:web:Example.org", "did:key:zzz", "did:example:1", "x", "did:pkh:eip155:1:\(address.dropLast())D",
            ] {
                let answer = try await register(bad)
                #expect(answer.fields == ["did"], "\(answer.text)")
            }
            let id = try #require(made.json["id"]?.stringValue)
            #expect(id.hasPrefix("did_"))
            let listed = try await h.get("/admin/api/dids?tenant_id=\(c.tenant)")
            #expect(listed.text.contains(id))
        }
    }

    @Test("a key's networks and domains are checked", arguments: TestDatabases.all)
    func origins(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let key = try await h.create(
                "/admin/api/keys",
                [
                    "project_id": .string(c.project), "name": "k", "networks": ["10.0.0.0/8", "fd00::/16", "192.0.2.7"],
                    "domains": ["*.app.example"],
                ])
            #expect(key.json["networks"]?.arrayValue?.count == 3)
            let bad = try await h.post(
                "/admin/api/keys",
                ["project_id": .string(c.project), "name": "l", "networks": ["10.0.0.0/33"], "domains": ["https://app.example"]])
            #expect(Set(bad.fields) == ["networks[0]", "domains[0]"])
        }
    }
}
