import Contract
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing
import Trust

@Suite("The fleet over HTTP")
struct FleetRoutesTests {
    @Test("shows an enrolment token's text once, and withdraws it at the revision that was read", arguments: TestDatabases.all)
    func enrollmentTokens(_ database: TestDatabase) async throws {
        try await ControlHarness.run(on: database) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            let created = try await h.create(
                "/admin/api/enrollment-tokens",
                ["name": "eu-1", "region": "eu-west-1", "tenant_ids": [.string(tenant)], "ttl_seconds": 60])
            let text = try #require(created.json["token"]?.stringValue)
            let token = try #require(EnrollmentTokenText(parsing: text))
            #expect(token.address == "127.0.0.1:7443")
            #expect(created.json["expires_at"]?.stringValue == "2027-01-15T08:01:00Z")
            let read = try await h.get("/admin/api/enrollment-tokens/\(created.id)")
            #expect(read.json["tenant_ids"] == [.string(tenant)])
            #expect(read.json["used_at"] == .null)
            #expect(!read.text.contains(token.secret))
            #expect(try await !h.get("/admin/api/enrollment-tokens").text.contains(token.secret))
            let path = "/admin/api/enrollment-tokens/\(created.id)"
            #expect(try await h.send(.delete, path).status == 428)
            #expect(try await h.send(.delete, path, ifMatch: "\"9\"").status == 412)
            #expect(try await h.send(.delete, path, ifMatch: read.etag).status == 204)
            #expect(try await h.get(path).status == 404)
        }
    }

    @Test("names each field of an enrolment token that is wrong", arguments: TestDatabases.all)
    func badTokens(_ database: TestDatabase) async throws {
        try await ControlHarness.run(on: database) { h in
            let answer = try await h.post("/admin/api/enrollment-tokens", ["region": "No Region", "name": "a\nb"])
            #expect(answer.status == 400)
            #expect(answer.fields == ["name", "region"])
            let unknown = try await h.post("/admin/api/enrollment-tokens", ["tenant_ids": [.string(TenantID.random().rawValue)]])
            #expect(unknown.fields == ["tenant_ids[0]"])
            let short = try await h.post("/admin/api/enrollment-tokens", ["ttl_seconds": 0, "typo": true])
            #expect(short.fields.sorted() == ["ttl_seconds", "typo"])
        }
    }

    @Test("renames, moves and revokes a data plane", arguments: TestDatabases.all)
    func dataPlanes(_ database: TestDatabase) async throws {
        try await ControlHarness.run(on: database) { h in
            let tenant = try await h.create("/admin/api/tenants", ["name": "Acme"]).id
            let id = DataPlaneID.random().rawValue
            let now = h.clock.nowMilliseconds()
            try await h.database.transaction { c in
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: id, name: "eu-1", region: "eu", tenantIDs: [], identityPublicKey: [1], sealingPublicKey: [2], version: "0.1.0",
                        keyringEpoch: 1, keyringVersion: 1, createdAt: now))
                try DataPlaneDocumentsTable.put(
                    c,
                    DataPlaneDocumentRow(
                        dataPlaneID: id, kind: "config", epoch: 1, version: 4, digest: [1], accepted: false, reason: "broken_reference",
                        detail: "endpoint x", answeredAt: now))
            }
            let path = "/admin/api/data-planes/\(id)"
            let read = try await h.get(path)
            #expect(read.json["connected"] == false)
            #expect(read.json["status"] == "disconnected")
            #expect(read.json["documents"]?[0]?["reason"] == "broken_reference")
            #expect(read.json["documents"]?[0]?["accepted"] == false)
            let changed = try await h.send(.patch, path, ["name": "eu-2", "tenant_ids": [.string(tenant)]], ifMatch: read.etag)
            #expect(changed.json["name"] == "eu-2")
            #expect(changed.json["tenant_ids"] == [.string(tenant)])
            #expect(changed.etag != read.etag)
            #expect(try await h.send(.patch, path, ["name": "eu-3"], ifMatch: read.etag).status == 412)
            let wrong = try await h.send(.patch, path, ["tenant_ids": ["ten_x"]], ifMatch: changed.etag)
            #expect(wrong.fields == ["tenant_ids"])
            // Emptying the list opens it for nobody; everybody is said in so many words.
            #expect(try await h.send(.patch, path, ["tenant_ids": []], ifMatch: changed.etag).fields == ["tenant_ids"])
            let everybody = try await h.send(.patch, path, ["tenant_ids": "all"], ifMatch: changed.etag)
            #expect(everybody.json["tenant_ids"] == "all")
            #expect(try await h.get("/admin/api/data-planes?region=us").json["items"]?.arrayValue?.isEmpty == true)
            #expect(try await h.get("/admin/api/data-planes?region=eu").json["items"]?[0]?["id"]?.stringValue == id)
            #expect(try await h.post(path + "/revoke", nil).json["status"] == "revoked")
            #expect(try await h.get(path).json["revoked_at"] != .null)
            let audit = try await h.get("/admin/api/audit?resource_id=\(id)").text
            // What was decided, not what it reported.
            #expect(!audit.contains("last_seen_at") && !audit.contains("documents"))
            #expect(audit.contains("data_plane.revoke") && audit.contains("data_plane.update"))
        }
    }

    @Test("shows how endpoints fare at each data plane, by what it said last", arguments: TestDatabases.all)
    func endpoints(_ database: TestDatabase) async throws {
        try await ControlHarness.run(on: database) { h in
            let context = try await FleetContext.establish(
                domain: DomainContext(database: h.database, clock: h.clock, signal: ChangeSignal()),
                cipher: try #require(AtRestCipher(masterKey: Array(repeating: 7, count: 32))),
                minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
            let service = DataPlaneService(context)
            let now = h.clock.nowMilliseconds()
            let ids = [DataPlaneID.random().rawValue, DataPlaneID.random().rawValue, DataPlaneID.random().rawValue]
            for (index, id) in ids.enumerated() {
                try await h.database.transaction { c in
                    try DataPlanesTable.insert(
                        c,
                        DataPlaneRow(
                            id: id, name: "plane-\(index)", region: index == 1 ? "us" : "eu", tenantIDs: [],
                            identityPublicKey: [UInt8(index)], sealingPublicKey: [2], version: "0.1.0", keyringEpoch: 1, keyringVersion: 1,
                            createdAt: now + Int64(index)))
                }
            }
            var report = Weir_V1_StatusReport()
            for (id, attempts) in [("ep_down", 9), ("ep_up", 5), ("ep_idle", 0)] {
                var status = Weir_V1_EndpointStatus()
                status.endpointID = id
                status.providerID = "prv_1"
                status.attempts = UInt64(attempts)
                report.endpoints.append(status)
            }
            report.endpoints[0].failing = true
            report.endpoints[0].sinceMs = now
            report.endpoints[0].failures = .max
            report.endpoints[0].lastFailure = String(repeating: "x", count: 5000)
            var credential = Weir_V1_CredentialStatus()
            credential.credentialID = "crd_1"
            credential.lastRefusal = "status 401"
            report.credentials = [credential]
            for id in ids.prefix(2) { try await service.reported(id, report) }
            // A second report takes the place of the first.
            try await service.reported(ids[0], report)

            let all = try #require(try await h.get("/admin/api/fleet/endpoints").json["items"]?.arrayValue)
            #expect(all.count == 8)
            let eu = try #require(try await h.get("/admin/api/fleet/endpoints?region=eu").json["items"]?.arrayValue)
            #expect(eu.map { $0["status"] } == ["refused", "failing", "ok", "unused"])
            #expect(eu.map { $0["data_plane_id"] } == Array(repeating: .string(ids[0]), count: 4))
            #expect(eu[1]["failures"] == .int(.max) && eu[1]["last"]?.stringValue?.count == 300 && eu[1]["since"] != .null)
            #expect(eu[2]["last"] == .null && eu[2]["since"] == .null)
            let trouble = try await h.get("/admin/api/fleet/endpoints?in_trouble=true&limit=2")
            #expect(trouble.json["items"]?.arrayValue?.count == 2, "the newest two data planes, one of which said nothing")
            let rest = try await h.get(
                "/admin/api/fleet/endpoints?in_trouble=true&cursor=\(try #require(trouble.json["next_cursor"]?.stringValue))")
            #expect(rest.json["items"]?.arrayValue?.count == 2 && rest.json["next_cursor"] == .null)
            #expect(try await h.get("/admin/api/fleet/endpoints?in_trouble=maybe").fields == ["in_trouble"])
            _ = try await h.post("/admin/api/data-planes/\(ids[0])/revoke", nil)
            #expect(try await h.get("/admin/api/fleet/endpoints?region=eu").json["items"]?.arrayValue?.isEmpty == true)
        }
    }

    @Test("a credential that a provider begins to refuse, or takes again, is an event of the audit log, once", arguments: TestDatabases.all)
    func refusals(_ database: TestDatabase) async throws {
        try await ControlHarness.run(on: database) { h in
            let c = try await Catalogue(h)
            let context = try await FleetContext.establish(
                domain: DomainContext(database: h.database, clock: h.clock, signal: ChangeSignal()),
                cipher: try #require(AtRestCipher(masterKey: Array(repeating: 7, count: 32))),
                minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
            let (service, id) = (DataPlaneService(context), DataPlaneID.random().rawValue)
            try await h.database.transaction { connection in
                try DataPlanesTable.insert(
                    connection,
                    DataPlaneRow(
                        id: id, name: "plane", region: "eu", tenantIDs: [], identityPublicKey: [1], sealingPublicKey: [2],
                        version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: h.clock.nowMilliseconds()))
            }
            var report = Weir_V1_StatusReport()
            report.credentials = [c.credential, "crd_none"].map { id in
                var credential = Weir_V1_CredentialStatus()
                credential.credentialID = id
                credential.lastRefusal = "status 401"
                return credential
            }
            func actions() async throws -> [String] {
                let all = try await h.get("/admin/api/audit?resource_kind=credential").json["items"]?.arrayValue ?? []
                return all.compactMap { $0["action"]?.stringValue }.filter { ["credential.refused", "credential.accepted"].contains($0) }
            }
            try await service.reported(id, report)
            report.credentials[0].refusals = 7
            try await service.reported(id, report)
            #expect(try await actions() == ["credential.refused"])
            let event = try await h.get("/admin/api/audit?resource_id=\(c.credential)&limit=1").json["items"]?[0]
            #expect(event?["after"]?["data_plane_id"] == .string(id) && event?["after"]?["last"] == "status 401", "\(event?.text ?? "")")
            try await service.reported(id, Weir_V1_StatusReport())
            #expect(Set(try await actions()) == ["credential.accepted", "credential.refused"])
        }
    }

    @Test("replaces the signing key and raises the epoch, for owners only", arguments: TestDatabases.all)
    func signingKeys(_ database: TestDatabase) async throws {
        try await ControlHarness.run(on: database) { h in
            let first = try await h.get("/admin/api/signing-keys").json["items"]?[0]
            #expect(first?["status"] == "active")
            #expect(try await h.post("/admin/api/signing-keys/rotate", nil, as: .operator).status == 403)
            let second = try await h.create("/admin/api/signing-keys/rotate", ["grace_seconds": 3600])
            #expect(second.id != first?["id"]?.stringValue)
            let states = try await h.get("/admin/api/signing-keys").json["items"]?.arrayValue?.compactMap { $0["status"]?.stringValue }
            #expect(states?.sorted() == ["active", "retiring"])
            #expect(try await h.post("/admin/api/signing-keys/rotate", ["grace_seconds": -1]).fields == ["grace_seconds"])
            #expect(try await h.post("/admin/api/epoch/raise", nil, as: .operator).status == 403)
            #expect(try await h.post("/admin/api/epoch/raise", nil).json["epoch"] == 2)
            // No key's private part is anywhere in the API.
            let raw = try await h.database.read { try SigningKeysTable.all($0).map { Base64.encode($0.encryptedPrivateKey) } }
            let shown = try await h.get("/admin/api/signing-keys").text
            #expect(raw.allSatisfy { !shown.contains($0) })
        }
    }
}
