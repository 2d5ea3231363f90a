import Contract
import Foundation
import Primitives
import Testing
import Trust

@testable import Proxy

@Suite("Apps that ask on behalf of users", .timeLimit(.minutes(10)))
struct AppCallerTests {
    private static let shared = "the-deployment's-shared-secret-of-32-bytes-and-more"
    private static let model = "sim-in10-out5"

    /// A data plane with an app of the fixture's tenant, its owner "ada", and a user "bob" that it asks for.
    private func fixture(
        shared: String? = AppCallerTests.shared, _ change: (inout Weir_V1_DirectoryPayload) -> Void = { _ in }
    ) async throws -> (proxy: ProxyFixture, owner: Weir_V1_User, user: Weir_V1_User, app: Weir_V1_App) {
        let proxy = try await ProxyFixture(models: [Self.model], change: { $0.gatewaySharedSecret = shared })
        let (owner, app) = SnapshotFixture.caller(tenant: proxy.tenant)
        var user = SnapshotFixture.caller(tenant: proxy.tenant).user
        user.oid = "bob"
        var directory = proxy.directory
        directory.users = [owner, user]
        directory.apps = [app]
        change(&directory)
        #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
        return (proxy, owner, user, app)
    }

    private func ask(
        _ proxy: ProxyFixture, secret: String? = nil, app: String? = nil, user: String? = nil,
        path: String = "/internal/v1/chat/completions",
        more: [String] = []
    ) async throws -> RawResponse {
        var headers = more
        if let secret { headers.append("x-gateway-secret: \(secret)") }
        if let app { headers.append("X-App-Id: \(app)") }
        if let user { headers.append("X-User-Oid: \(user)") }
        let body = #"{"model":"\#(Self.model)","messages":[{"role":"user","content":"hello"}]}"#
        return try await proxy.send("POST \(path)", headers: headers + ["content-type: application/json"], body: body, authorised: false)
    }

    struct Row: Sendable, CustomStringConvertible {
        var secret: String?
        var app: String?
        var user: String?
        var status: Int
        var code: String?
        var description: String { "\(secret ?? "-") \(app ?? "-") \(user ?? "-") → \(status) \(code ?? "")" }
    }

    @Test("The first thing that is wrong is told, in the order secret, app id, app, user id, user")
    func order() async throws {
        let (proxy, _, _, _) = try await fixture { directory in
            var disabled = directory.apps[0]
            disabled.id = AppID.random().rawValue
            disabled.appID = "off"
            disabled.disabled = true
            directory.apps.append(disabled)
            var gone = directory.users[1]
            gone.id = UserID.random().rawValue
            gone.oid = "eve"
            gone.disabled = true
            directory.users.append(gone)
        }
        let (good, own, wrong) = (Self.shared, "app-secret", "wrong")
        let rows: [Row] = [
            Row(app: "billing", user: "bob", status: 401, code: "invalid_gateway_secret"),
            Row(secret: wrong, app: "billing", user: "bob", status: 401, code: "invalid_gateway_secret"),
            Row(secret: wrong, status: 401, code: "invalid_gateway_secret"),
            Row(secret: wrong, app: "nobody", status: 401, code: "invalid_gateway_secret"),
            Row(secret: wrong, app: "off", status: 401, code: "invalid_gateway_secret"),
            // Of another app: it says nothing of this one.
            Row(secret: own, app: "nobody", user: "bob", status: 401, code: "invalid_gateway_secret"),
            Row(secret: own, user: "bob", status: 401, code: "invalid_gateway_secret"),
            Row(secret: good, status: 401, code: "missing_app_id"),
            Row(secret: good, user: "nobody", status: 401, code: "missing_app_id"),
            Row(secret: good, app: "nobody", status: 403, code: "unknown_app"),
            Row(secret: good, app: "nobody", user: "bob", status: 403, code: "unknown_app"),
            Row(secret: good, app: "off", status: 403, code: "app_disabled"),
            Row(secret: own, app: "off", user: "bob", status: 403, code: "app_disabled"),
            Row(secret: good, app: "billing", status: 401, code: "missing_user"),
            Row(secret: own, app: "billing", status: 401, code: "missing_user"),
            Row(secret: good, app: "billing", user: "nobody", status: 403, code: "unknown_user"),
            Row(secret: own, app: "billing", user: "nobody", status: 403, code: "unknown_user"),
            Row(secret: good, app: "billing", user: "eve", status: 403, code: "user_disabled"),
            Row(secret: good, app: "billing", user: "bob", status: 200),
            Row(secret: own, app: "billing", user: "bob", status: 200),
        ]
        for path in ["/internal/v1/chat/completions", "/internal/chat/completions", "/chat/completions", "/v1/chat/completions"] {
            for row in rows where row.secret != nil || path.hasPrefix("/internal") {
                let answer = try await ask(proxy, secret: row.secret, app: row.app, user: row.user, path: path)
                #expect(answer.status == row.status && answer.errorCode == row.code, "\(path) \(row): \(answer.status) \(answer.body)")
            }
        }
        // A made-up key beside it counts for nothing, as SDKs send one; without a gateway secret the key is what counts.
        #expect(
            try await ask(proxy, secret: good, app: "billing", user: "bob", path: "/v1/chat/completions", more: ["authorization: Bearer x"])
                .status == 200)
        #expect(try await ask(proxy, app: "billing", user: "bob", path: "/v1/chat/completions").errorCode == "missing_api_key")
        #expect(try await ask(proxy, secret: good, app: "billing", user: "bob", path: "/external/v1/chat/completions").status == 401)
        // Two values of one header are no value.
        #expect(try await ask(proxy, secret: good, app: "billing", user: "bob", more: ["x-app-id: off"]).status == 400)
        _ = try await proxy.finish()
    }

    @Test("The record names the app, the user and the owner who pays, on the internal channel")
    func record() async throws {
        let (proxy, owner, user, app) = try await fixture()
        #expect(try await ask(proxy, secret: "app-secret", app: "billing", user: "bob").status == 200)
        let record = try #require(try await proxy.finish().first)
        #expect(record.appID == app.id && record.userID == user.id && record.ownerID == owner.id)
        #expect(record.channel == "internal" && record.tenantID == proxy.tenant.rawValue)
        #expect(record.keyID.isEmpty && record.projectID.isEmpty && record.costNano > 0)
    }

    @Test("Without a shared secret only the apps' own count; a rotated one counts until its grace is over")
    func ownSecrets() async throws {
        let (proxy, _, _, _) = try await fixture(shared: nil) { directory in
            directory.apps[0].previousSha256 = Data(SHA256Digest.of(Array("old-secret".utf8)))
            directory.apps[0].previousExpiresMs = SnapshotFixture.now + 1000
            var without = directory.apps[0]
            without.id = AppID.random().rawValue
            without.appID = "bare"
            without.sha256 = Data()
            without.previousSha256 = Data()
            directory.apps.append(without)
        }
        #expect(try await ask(proxy, secret: Self.shared, app: "billing", user: "bob").status == 401)
        #expect(try await ask(proxy, secret: "app-secret", app: "billing", user: "bob").status == 200)
        #expect(try await ask(proxy, secret: "old-secret", app: "billing", user: "bob").status == 200)
        #expect(try await ask(proxy, secret: "app-secret", app: "bare", user: "bob").status == 401)
        proxy.snapshots.clock.advance(milliseconds: 1000)
        #expect(try await ask(proxy, secret: "old-secret", app: "billing", user: "bob").status == 401)
        _ = try await proxy.finish()
    }

    @Test("What is paid ends at midnight in UTC, by this data plane's own clock: for the user, for the owner, and for a user's key")
    func payment() async throws {
        let midnight = SnapshotFixture.now - SnapshotFixture.now % 86_400_000 + 86_400_000
        let (proxy, _, _, _) = try await fixture { directory in
            directory.users[1].paidUntilMs = midnight
            directory.keys[0].userID = directory.users[1].id
            var other = directory.users[1]
            other.id = UserID.random().rawValue
            other.oid = "carol"
            other.paidUntilMs = 0
            directory.users.append(other)
            var carols = directory.apps[0]
            carols.id = AppID.random().rawValue
            carols.appID = "bobs-app"
            carols.ownerID = directory.users[1].id
            directory.apps.append(carols)
        }
        func codes() async throws -> [String?] {
            [
                try await ask(proxy, secret: Self.shared, app: "billing", user: "bob").errorCode,
                try await ask(proxy, secret: Self.shared, app: "billing", user: "carol").errorCode,
                try await ask(proxy, secret: Self.shared, app: "bobs-app", user: "carol").errorCode,
                try await proxy.chat(Self.model).errorCode,
            ]
        }
        proxy.snapshots.clock.advance(milliseconds: midnight - SnapshotFixture.now - 1)
        #expect(try await codes() == [nil, nil, nil, nil])
        proxy.snapshots.clock.advance(milliseconds: 1)
        #expect(try await codes() == ["payment_expired", nil, "payment_expired", "payment_expired"])
        #expect(try await ask(proxy, secret: Self.shared, app: "billing", user: "bob").status == 403)
        let records = try await proxy.finish()
        #expect(records.count == 5 && records.contains { $0.userID == $0.ownerID } == false)
    }
}
