import Crypto
import Domain
import Fleet
import Foundation
import Nouns
import Outbound
import Primitives
import Simulator
import Storage
import Testing
import Trust

@testable import Proxy

/// A DID's first day: its first request makes its user and its key at OpenRouter, it asks for anything there, and reads what it used.
@Suite("DIDs with keys of their own, over both planes", .timeLimit(.minutes(10)), .serialized)
struct UpstreamKeysTests {
    private typealias Holder = NewcomersTests.Holder
    private static let model = "sim-in30-out4-cost1250"

    private struct Planes {
        let provider: SimulatorServer
        let control: RunningControl
        let plane: RunningDataPlane
        let folder: DataFolder
        let tenant: Tenant

        static func start(_ database: any Database) async throws -> Planes {
            var settings = SimulatorSettings()
            settings.managementKeys = ["sk-mgmt"]
            let provider = try await SimulatorServer.start(settings)
            let control = try await RunningControl.start(database, outbound: OutboundClient())
            let actor = RunningControl.administrator
            let url = "http://127.0.0.1:\(provider.port)/v1"
            try await control.release(model: UpstreamKeysTests.model, url: url)
            let openRouter = try #require(try await control.services.providers.items([], PageRequest(), as: .all).items.first)
            let management = try await control.services.credentials.nouns.create(
                CredentialContent {
                    $0.providerID = openRouter.id
                    $0.name = "management"
                    $0.purpose = .management
                    $0.secret = Secret("sk-mgmt")
                }, by: actor)
            let tenant = try await control.services.tenants.create(
                TenantContent {
                    $0.name = "acme"
                    $0.didPolicy = .on
                    $0.didCredentialID = management.id
                    $0.didKeyLimit = NanoDollars(5_000_000_000)
                }, by: actor)
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            let probe = Holder().did
            #expect(await plane.snapshot { $0.isServing && $0.directory.tenant(taking: probe, signingFor: "x") != nil } != nil)
            try await plane.canAsk()
            return Planes(provider: provider, control: control, plane: plane, folder: folder, tenant: tenant)
        }

        func ask(_ holder: Holder, _ method: String, _ path: String, query: String = "", body: String = "") async throws -> (
            status: Int, body: String
        ) {
            try await plane.send(
                method: method, headers: try holder.headers(method, path, query: query, body: body),
                path: query.isEmpty ? path : "\(path)?\(query)", body: body)
        }

        func chat(_ holder: Holder, _ model: String = UpstreamKeysTests.model) async throws -> (status: Int, body: String) {
            let body = #"{"model":"\#(model)","messages":[{"role":"user","content":"hello"}]}"#
            return try await ask(holder, "POST", "/api/v1/openrouter/chat/completions", body: body)
        }

        func stop() async throws {
            await plane.stop()
            await control.stop()
            try await provider.shutdown()
        }
    }

    @Test(
        "A first request at OpenRouter makes one user and one key, costs what OpenRouter says, and can be read",
        arguments: TestDatabases.all)
    func firstDay(database: TestDatabase) async throws {
        try await database.with { database in
            let planes = try await Planes.start(database)
            let holder = Holder()
            async let first = planes.chat(holder)
            async let second = planes.chat(holder)
            for answer in try await [first, second] { #expect(answer.status == 200, "\(answer.body)") }
            #expect(planes.provider.managedKeys.made == 1)
            let key = try #require(planes.provider.managedKeys.all.first)
            #expect(Double(key.limit) == 5 && key.name.hasPrefix("weir/"))
            #expect(try await planes.ask(holder, "GET", "/api/v1/openrouter/models").status == 200)
            #expect(try await planes.ask(holder, "GET", "/api/v1/openrouter/keys").status == 403)
            let stored = try await planes.control.usage(reaching: 3)
            #expect(stored.records == 3 && stored.cost == 2_500_000)
            let health = try await planes.ask(holder, "GET", "/api/v1/health")
            #expect(health.status == 200 && health.body.contains(#""upstream_key":true"#), "\(health.body)")
            #expect(try await planes.ask(holder, "GET", "/").body.contains("/api/v1/usage"))
            let usage = try await planes.ask(holder, "GET", "/api/v1/usage", query: "group_by=model")
            #expect(usage.status == 200 && usage.body.contains(#""cost":"0.0025""#), "\(usage.body)")
            #expect(try await planes.ask(holder, "GET", "/api/v1/usage", query: "group_by=tenant").status == 400)
            let trail = try await planes.ask(holder, "GET", "/api/v1/audit", query: "source=all&limit=10")
            #expect(trail.status == 200 && trail.body.contains("request.serve"), "\(trail.body)")
            #expect(try await planes.ask(holder, "GET", "/api/v1/audit", query: "actor_id=x").status == 400)
            let limits = try await planes.ask(holder, "GET", "/api/v1/limits")
            #expect(limits.status == 200 && limits.body.contains(#""rates":["#), "\(limits.body)")
            // Another's usage is another's.
            let stranger = Holder()
            let other = try await planes.ask(stranger, "GET", "/api/v1/usage")
            #expect(other.status == 200 && other.body.contains(#""requests":0"#), "\(other.body)")
            let theirs = try await planes.ask(stranger, "GET", "/api/v1/audit")
            #expect(theirs.status == 200 && !theirs.body.contains("request.serve"), "\(theirs.body)")

            // One that somebody deleted there is made anew.
            planes.provider.managedKeys.remove(key.hash)
            let refused = try await planes.chat(holder)
            #expect(refused.status == 502 && refused.body.contains("upstream_key_refused"), "\(refused.body)")
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while try await planes.chat(holder).status != 200, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
            let again = try #require(planes.provider.managedKeys.all.first { $0.name.hasSuffix("/2") })

            // Disabled here, disabled there; deleted here, deleted there.
            let did = try #require(
                try await planes.control.services.dids.items([("did", .text(holder.did))], PageRequest(), as: .all).items.first)
            var content = did.content
            content.status = .disabled
            let disabled = try await planes.control.services.dids.replace(
                did.id, at: did.revision, with: content, by: RunningControl.administrator)
            try await planes.control.server.services.upstreamKeys.reconcile()
            #expect(planes.provider.managedKeys.all.first { $0.hash == again.hash }?.isDisabled == true)
            try await planes.control.services.dids.delete(did.id, at: disabled.revision, by: RunningControl.administrator)
            try await planes.control.server.services.upstreamKeys.reconcile()
            #expect(planes.provider.managedKeys.all.allSatisfy { $0.hash != again.hash })
            try await planes.stop()
        }
    }

    @Test("A provider that makes no key, and a control plane that is away, keep nobody waiting", arguments: TestDatabases.all)
    func endings(database: TestDatabase) async throws {
        try await database.with { database in
            let planes = try await Planes.start(database)
            planes.provider.managedKeys.fail([.status(500), .lostAnswer])
            let holder = Holder()
            let told = try await planes.chat(holder)
            #expect(told.status == 503 && told.body.lowercased().contains("retry-after"), "\(told.body)")
            #expect(["upstream_key_failed", "upstream_key_pending"].contains { told.body.contains($0) })
            // What the gateway itself serves needs no such key.
            #expect(try await holder.chat(planes.plane, model: Self.model).status == 200)
            await planes.control.stop()
            let away = try await planes.chat(Holder())
            #expect(away.status == 503 && away.body.contains("control_plane_unavailable"), "\(away.body)")
            #expect(try await planes.ask(holder, "GET", "/api/v1/usage").status == 503)
            #expect(try await planes.ask(holder, "GET", "/api/v1/health").body.contains(#""upstream_key":false"#))
            #expect(try await holder.chat(planes.plane, model: Self.model).status == 200)
            await planes.plane.stop()
            try await planes.provider.shutdown()
        }
    }
}
