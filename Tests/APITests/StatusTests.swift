import API
import Contract
import Domain
import Foundation
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("What is wrong, and what is in force")
struct StatusTests {
    private static let sqlite = TestDatabases.all.prefix(1)

    private static func codes(_ h: ControlHarness, as role: Role = .owner) async throws -> Set<String> {
        let status = try await h.get("/admin/api/status", as: role)
        #expect(status.status == 200, "\(status.text)")
        let findings = status.json["findings"]?.arrayValue ?? []
        for finding in findings {
            #expect(finding["command"]?.stringValue?.contains("weir") == true || finding["code"] == "data_plane_clock", "\(finding.text)")
            #expect(finding["message"]?.stringValue?.isEmpty == false && finding["subject"]?.stringValue?.isEmpty == false)
        }
        return Set(findings.compactMap { $0["code"]?.stringValue })
    }

    /// A version in force that can be served.
    private static func release(_ h: ControlHarness) async throws {
        let revision = try #require(try await h.get("/admin/api/config/draft").etag)
        let published = try await h.send(.post, "/admin/api/config/versions", ["note": "n"], ifMatch: revision)
        #expect(published.status == 201, "\(published.text)")
        let version = try #require(published.json["version"])
        let rollout = try await h.create("/admin/api/rollouts", ["version": version])
        #expect(try await h.post("/admin/api/rollouts/\(rollout.id)/promote", nil).status == 200)
    }

    @discardableResult
    private static func enrol(_ h: ControlHarness, _ edit: @escaping @Sendable (inout DataPlaneRow) -> Void = { _ in }) async throws
        -> String
    {
        let now = h.clock.nowMilliseconds()
        var row = DataPlaneRow(
            id: DataPlaneID.random().rawValue, name: "eu-1", region: "eu", tenantIDs: [], identityPublicKey: SecureRandom.bytes(32),
            sealingPublicKey: [2], version: weirVersion.description, keyringEpoch: 1, keyringVersion: 1, createdAt: now)
        edit(&row)
        let made = row
        try await h.database.transaction { c in
            try DataPlanesTable.insert(c, made)
            try DataPlanesTable.connected(c, id: made.id, replica: "r", connection: "c", version: made.version, now: now)
            try DataPlanesTable.reported(
                c, id: made.id, report: #"{"state":"ok","outbox_batches":0,"clock_ahead_ms":12}"#, now: now)
            let state = try RolloutStateTable.get(c)
            try DataPlaneDocumentsTable.put(
                c,
                DataPlaneDocumentRow(
                    dataPlaneID: made.id, kind: DocumentKind.rollout.word, epoch: 1, version: state.documentVersion, digest: [1],
                    accepted: true, reason: "", detail: "", answeredAt: now))
        }
        return made.id
    }

    @Test("an empty installation says that nothing is in force and nobody serves", arguments: TestDatabases.all)
    func empty(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await Self.codes(h) == ["nothing_in_force", "no_data_plane"])
            let status = try await h.get("/admin/api/status", as: .viewer).json
            #expect(status["baseline_version"] == .null && status["candidate"] == .null && status["data_planes"] == [])
            #expect(status["version"] == .string(weirVersion.description) && status["time"] == .time(h.clock.nowMilliseconds()))
        }
    }

    @Test("one that works says nothing but that an endpoint was never used", arguments: TestDatabases.all)
    func healthy(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            try await Self.release(h)
            let id = try await Self.enrol(h)
            #expect(try await Self.codes(h) == ["endpoint_untested"])
            // A test call, or use at any data plane, is enough.
            try await h.database.transaction { connection in
                try EndpointReportsTable.put(
                    connection,
                    EndpointReportRow(
                        dataPlaneID: id, endpoints: #"[{"endpoint_id":"\#(c.endpoint)","failing":false,"attempts":3,"failures":0}]"#,
                        credentials: "[]", reportedAt: 1))
            }
            #expect(try await Self.codes(h).isEmpty)
            let plane = try await h.get("/admin/api/status").json["data_planes"]?.arrayValue?.first
            #expect(plane?["behind"] == false && plane?["clock_ahead_ms"] == 12 && plane?["outbox_batches"] == 0)
        }
    }

    @Test("endpoints that fail and credentials that are refused are named with where", arguments: sqlite)
    func endpoints(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            try await Self.release(h)
            let id = try await Self.enrol(h)
            try await h.database.transaction { connection in
                try EndpointReportsTable.put(
                    connection,
                    EndpointReportRow(
                        dataPlaneID: id,
                        endpoints: #"[{"endpoint_id":"\#(c.endpoint)","failing":true,"attempts":3,"failures":3,"last":"no connection"}]"#,
                        credentials: #"[{"credential_id":"\#(c.credential)","failures":1,"last":"401"}]"#, reportedAt: 1))
            }
            let status = try await h.get("/admin/api/status").json
            let findings = status["findings"]?.arrayValue ?? []
            #expect(Set(findings.compactMap { $0["code"] }) == ["endpoint_failing", "credential_refused"])
            #expect(findings.contains { $0["command"] == .string("weir credential rotate \(c.credential)") })
            #expect(findings.contains { $0["subject"] == .string("endpoint openai-1 (\(c.endpoint))") })
            #expect(status["endpoints_in_trouble"]?.arrayValue?.count == 2)
            // The same answer says so on the screen that is described for programs.
            #expect(try await h.get("/admin/api/fleet/endpoints?in_trouble=true").json["items"]?.arrayValue?.count == 2)
        }
    }

    @Test("the draft: what waits, what cannot be published, and by whom", arguments: sqlite)
    func draft(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            try await Self.release(h)
            try await Self.enrol(h)
            _ = try await h.create("/admin/api/models", ["name": "lonely", "capabilities": ["chat"]])
            let status = try await h.get("/admin/api/status").json
            #expect(status["draft"]?["changes"] == 1 && status["draft"]?["authors"] == ["owner"])
            #expect(try await Self.codes(h) == ["draft_differs", "endpoint_untested"])
            // Endpoints need a credential where the provider wants one.
            let path = "/admin/api/endpoints/\(c.endpoint)"
            let revision = try #require(try await h.get(path).etag)
            #expect(try await h.send(.patch, path, ["credential_ids": []], ifMatch: revision).status == 200)
            #expect(try await Self.codes(h).contains("draft_invalid"))
        }
    }

    @Test("a version that is in force: models without a price or a route, and what was deleted since", arguments: sqlite)
    func inForce(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            _ = try await h.create("/admin/api/models", ["name": "lonely", "capabilities": ["chat"]])
            try await Self.release(h)
            try await Self.enrol(h)
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            let warnings = findings.filter { $0["code"] == "model_warning" }.compactMap { $0["message"]?.stringValue }
            #expect(warnings.contains { $0.contains("no enabled route") } && warnings.contains { $0.contains("no price") })
            _ = try await h.database.transaction { connection in
                try connection.execute(
                    "UPDATE credentials SET deleted_at = 1 WHERE id = $1", [.text(c.credential)])
            }
            #expect(try await Self.codes(h).contains("version_cannot_be_served"))
        }
    }

    @Test("what was published and rolled out to nobody, a rollout that was forgotten, a rollback that the draft repeats", arguments: sqlite)
    func releases(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            try await Self.release(h)
            try await Self.enrol(h)
            let path = "/admin/api/endpoints/\(c.endpoint)"
            let revision = try #require(try await h.get(path).etag)
            _ = try await h.send(.patch, path, ["name": "other"], ifMatch: revision)
            let draft = try #require(try await h.get("/admin/api/config/draft").etag)
            #expect(try await h.send(.post, "/admin/api/config/versions", ["note": "n"], ifMatch: draft).status == 201)
            #expect(try await Self.codes(h).contains("version_not_rolled_out"))
            _ = try await h.create("/admin/api/rollouts", ["version": 2, "percentage": 5])
            #expect(try await h.get("/admin/api/status").json["candidate"]?["version"] == 2)
            h.clock.advance(milliseconds: 20 * 86_400_000)
            let codes = try await Self.codes(h)
            #expect(codes.contains("rollout_stands") && !codes.contains("version_not_rolled_out"))
            #expect(codes.contains("data_plane_away"))
            #expect(try await h.post("/admin/api/rollouts/rollback", ["undo": 2]).status == 200)
            _ = try await h.create("/admin/api/models", ["name": "new", "capabilities": ["chat"]])
            #expect(try await Self.codes(h).contains("draft_holds_rollback"))
        }
    }

    @Test("a data plane that refuses, is behind, old, full, ahead of its time, in trouble, or revoked and still there", arguments: sqlite)
    func planes(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            _ = try await Catalogue(h)
            try await Self.release(h)
            let now = h.clock.nowMilliseconds()
            let id = try await Self.enrol(h)
            func put(_ version: Int64, accepted: Bool) async throws {
                try await h.database.transaction { c in
                    try DataPlaneDocumentsTable.removeAll(c, dataPlaneID: id)
                    try DataPlaneDocumentsTable.put(
                        c,
                        DataPlaneDocumentRow(
                            dataPlaneID: id, kind: DocumentKind.rollout.word, epoch: 1, version: version, digest: [1], accepted: accepted,
                            reason: "digest", detail: "another digest", answeredAt: now))
                }
            }
            try await put(99, accepted: false)
            #expect(try await Self.codes(h).contains("data_plane_refuses"))
            try await put(0, accepted: true)
            // It is given the time to follow.
            #expect(try await !Self.codes(h).contains("data_plane_behind"))
            h.clock.advance(milliseconds: 40_000)
            #expect(try await Self.codes(h).contains("data_plane_behind"))
            try await h.database.transaction { c in
                try DataPlanesTable.reported(
                    c, id: id, report: #"{"state":"disk full","outbox_batches":5000,"clock_ahead_ms":-9000}"#,
                    now: now + 40_000)
                try DataPlanesTable.sawVersion(c, id: id, version: "0.0.1", now: now + 40_000)
            }
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            let codes = Set(findings.compactMap { $0["code"]?.stringValue })
            #expect(codes.isSuperset(of: ["data_plane_trouble", "data_plane_usage", "data_plane_clock", "data_plane_old"]))
            #expect(findings.contains { $0["message"]?.stringValue?.contains("9 s behind the control plane's") == true })
            #expect(try await h.post("/admin/api/data-planes/\(id)/revoke", nil).status == 200)
            h.clock.advance(milliseconds: 1000)
            try await h.database.transaction { c in
                try DataPlanesTable.sawVersion(c, id: id, version: "0.1.0", now: now + 41_000)
            }
            #expect(try await Self.codes(h).contains("data_plane_revoked"))
        }
    }

    @Test(
        "what ends soon: tokens for owners only, keys, certificates; secrets under an old master key; what the process warns of",
        arguments: sqlite)
    func endings(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let c = try await Catalogue(h)
            let soon = RFC3339.string(milliseconds: h.clock.nowMilliseconds() + 86_400_000)
            _ = try await h.create("/admin/api/tokens", ["name": "ci", "role": "viewer", "expires_at": .string(soon)])
            _ = try await h.create("/admin/api/keys", ["project_id": .string(c.project), "name": "k", "expires_at": .string(soon)])
            #expect(try await Self.codes(h).isSuperset(of: ["token_expires", "key_expires"]))
            #expect(try await !Self.codes(h, as: .viewer).contains("token_expires"))
            _ = try await h.database.transaction { connection in
                try connection.execute("UPDATE credentials SET master_key_id = 'other'")
            }
            h.services.domain.warnings.expires("certificate x.pem", at: h.clock.nowMilliseconds() + 1000)
            h.services.domain.warnings.set("credential cred_x", "cannot be read")
            #expect(try await Self.codes(h).isSuperset(of: ["master_key_old", "certificate_expires", "operator_warning"]))
        }
    }

    @Test("usage that is kept apart", arguments: sqlite)
    func quarantine(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let id = try await Self.enrol(h)
            try await h.database.transaction { c in
                try UsageQuarantineTable.insert(
                    c,
                    [
                        QuarantinedUsageRow(
                            id: "q1", receivedAt: 1, reason: "tenant_not_served", dataPlaneID: id, incarnation: "i", sequence: 1,
                            position: 0,
                            tenantID: "ten_aaaaaaaaaaaaaaaa", record: [])
                    ])
            }
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            #expect(findings.contains { $0["command"] == .string("weir usage quarantine list --data-plane-id \(id)") })
        }
    }
}
