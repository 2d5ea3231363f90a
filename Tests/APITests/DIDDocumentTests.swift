import API
import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Synchronization
import Testing

@Suite("Documents of did:web, read in the background")
struct DIDDocumentTests {
    /// The world outside: what each URL answers.
    private final class World: OutboundHTTP {
        let answers = Mutex<[String: (status: Int, body: String)]>([:])
        let asked = Mutex<[String]>([])

        func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundAnswer {
            asked.withLock { $0.append(request.url) }
            guard let answer = answers.withLock({ $0[request.url] }) else { throw OutboundFailure(.unreachable, "no such host") }
            return OutboundAnswer(status: answer.status, body: Array(answer.body.utf8))
        }

        func set(_ url: String, _ status: Int, _ body: String) { answers.withLock { $0[url] = (status, body) } }
    }

    private static let url = "https://example.org/.well-known/did.json"
    private static let did = "did:web:example.org"

    private static func document(_ id: String = did, fragment: String = "k", x: String = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
        -> String
    {
        """
        {"id":"\(id)","verificationMethod":[{"id":"#\(fragment)","type":"JsonWebKey","controller":"\(id)",
        "publicKeyJwk":{"kty":"OKP","crv":"Ed25519","x":"\(x)"}}],"authentication":["#\(fragment)"]}
        """
    }

    @Test("is read once it is registered, again when due, and kept for a day when it cannot be", arguments: TestDatabases.all)
    func life(kind: TestDatabase) async throws {
        let world = World()
        try await ControlHarness.run(on: kind, outbound: world) { h in
            let c = try await Catalogue(h)
            let made = try await h.create("/admin/api/dids", ["tenant_id": .string(c.tenant), "did": .string(Self.did)])
            #expect(made.json["document_status"] == "pending", "\(made.text)")
            func read() async throws -> JSONValue {
                try await h.services.didDocuments.readDue()
                return try await h.get("/admin/api/dids/\(made.id)").json
            }
            func findings() async throws -> [JSONValue] {
                try await h.get("/admin/api/status").json["findings"]?.arrayValue?.filter { $0["code"] == "did_document" } ?? []
            }
            let unreachable = try await read()
            #expect(unreachable["document_status"] == "unusable" && unreachable["document_failure"] == "no such host")
            #expect(try await findings().first?["severity"] == "error")
            // Not due yet.
            #expect(try await read() == unreachable && world.asked.withLock { $0.count } == 1)

            world.set(Self.url, 200, Self.document())
            h.clock.advance(milliseconds: 60_000)
            let current = try await read()
            #expect(current["document_status"] == "current" && current["document_failure"] == .null, "\(current.text)")
            let keys = current["document_keys"]
            #expect(keys?.arrayValue?.count == 1 && keys?.text.contains("k (EdDSA") == true)
            #expect(try await findings().isEmpty)

            // A rotation is seen when the document is due, and at once when somebody asks for it.
            world.set(Self.url, 200, Self.document(fragment: "next", x: "Cr6TnK5-Xs2TGrBVdzTYD5WD1ZWXBTjfN8xzg_a51KQ"))
            let rotated = try await h.post("/admin/api/dids/\(made.id)/resolve", nil)
            #expect(
                rotated.status == 200 && rotated.json["document_keys"] != keys && rotated.text.contains("next (EdDSA"), "\(rotated.text)")
            #expect(try await h.get("/admin/api/audit?resource_kind=did").text.contains("did.document"))

            for wrong in [(200, Self.document("did:web:evil.example")), (302, ""), (500, ""), (404, ""), (200, "<html>")] {
                world.set(Self.url, wrong.0, wrong.1)
                let stale = try await h.post("/admin/api/dids/\(made.id)/resolve", nil)
                #expect(
                    stale.json["document_status"] == "stale" && stale.json["document_keys"] == rotated.json["document_keys"],
                    "\(stale.text)")
            }
            #expect(try await findings().first?["severity"] == "warning")
            h.clock.advance(milliseconds: 86_400_000)
            #expect(try await read()["document_status"] == "unusable")

            world.set(Self.url, 200, Self.document())
            #expect(try await h.post("/admin/api/dids/\(made.id)/resolve", nil).json["document_status"] == "current")
            world.set(Self.url, 200, #"{"id":"\#(Self.did)"}"#)
            let keyless = try await h.post("/admin/api/dids/\(made.id)/resolve", nil)
            #expect(keyless.json["document_status"] == "unusable" && keyless.text.contains("no key for authentication"))
            world.set(Self.url, 200, Self.document())
            #expect(try await h.post("/admin/api/dids/\(made.id)/resolve", nil).json["document_status"] == "current")
            world.set(Self.url, 410, "")
            #expect(try await h.post("/admin/api/dids/\(made.id)/resolve", nil).json["document_status"] == "unusable")

            let key = try await h.create(
                "/admin/api/dids", ["tenant_id": .string(c.tenant), "did": "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"])
            #expect(key.json["document_status"] == .null)
            #expect(try await h.post("/admin/api/dids/\(key.id)/resolve", nil).status == 409)
            #expect(try await h.send(.post, "/admin/api/dids/\(made.id)/resolve", as: .viewer).status == 403)
            #expect(try await h.send(.delete, "/admin/api/dids/\(made.id)", ifMatch: "*").status == 204)
            let asked = world.asked.withLock { $0.count }
            h.clock.advance(milliseconds: 86_400_000)
            try await h.services.didDocuments.readDue()
            #expect(world.asked.withLock { $0.count } == asked)
        }
    }

    @Test("a tenant with many keeps no other waiting", arguments: TestDatabases.all)
    func fairness(kind: TestDatabase) async throws {
        try await kind.with { database in
            try await database.transaction(as: .all, isolation: .serializable) { c in
                for index in 0..<40 {
                    let tenant = index < 39 ? "ten_greedy" : "ten_other"
                    try c.execute(
                        """
                        INSERT INTO tenants (id, name, status, revision, created_at, updated_at, directory_revision)
                        VALUES ($1, $1, 'active', 1, 1, 1, 1) ON CONFLICT DO NOTHING
                        """, [.text(tenant)])
                    let id = "did_\(10 + index)"
                    try c.execute(
                        """
                        INSERT INTO dids (id, tenant_id, did, status, fingerprint, revision, created_at, updated_at, directory_revision)
                        VALUES ($1, $2, $1, 'active', $3, 1, 1, 1, 1)
                        """, [.text(id), .text(tenant), .blob([UInt8(index)])])
                    try DIDDocumentsTable.put(c, DIDDocumentRow(didID: id, tenantID: tenant, nextAt: Int64(index)))
                }
            }
            let due = try await database.read(as: .all) { try DIDDocumentsTable.due($0, now: 100, ofOneTenant: 4, limit: 32).map(\.id) }
            #expect(due == ["did_10", "did_49", "did_11", "did_12", "did_13"])
        }
    }
}
