import Contract
import Domain
import Fleet
import Foundation
import GRPCCore
import Nouns
import Primitives
import Storage
import Testing
import Trust

@Suite("A data plane enrols", .timeLimit(.minutes(10)))
struct EnrolmentTests {
    @Test("once with a token: another data plane with the same token is refused", arguments: TestDatabases.all)
    func once(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let token = try await control.token(name: "eu-1", region: "eu-west-1")
                try await control.withClient { client in
                    let first = TestDataPlane()
                    try await first.enroll(client, token: token)
                    #expect(first.id.hasPrefix("dp_"))
                    try await expectRefusal(.unauthenticated) { try await TestDataPlane().enroll(client, token: token) }
                    // The first answer may have been lost: the same keys may ask again.
                    let id = first.id
                    try await first.enroll(client, token: token)
                    #expect(first.id == id)
                }
                let planes = try await control.server.services.dataPlanes.nouns.items([], PageRequest(), as: .all)
                #expect(planes.items.map(\.content.name) == ["eu-1"])
                #expect(planes.items.first?.content.region == "eu-west-1")
                #expect(planes.items.first?.content.isConnected == false)
            }
        }
    }

    @Test("when ten race with one token: exactly one is let in", arguments: TestDatabases.all)
    func racers(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let token = try await control.token()
                let admitted = try await control.withClient { client in
                    try await withThrowingTaskGroup(of: Bool.self) { group in
                        for _ in 0..<10 {
                            group.addTask { try await rpcCode { try await TestDataPlane().enroll(client, token: token) } == nil }
                        }
                        return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                    }
                }
                #expect(admitted == 1)
                #expect(try await control.server.services.dataPlanes.nouns.items([], PageRequest(), as: .all).items.count == 1)
            }
        }
    }

    @Test("not with a wrong, expired, withdrawn or garbled token, nor below the minimum version", arguments: TestDatabases.all)
    func refused(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let enrollment = control.server.enrollment
                let good = try await control.token()
                let secret = try #require(EnrollmentTokenText(parsing: good)?.secret)
                let wrong = String(secret.dropLast(4)) + "aaaa"
                let (withdrawn, withdrawnText) = try await enrollment.create(
                    EnrollmentTokenContent { $0.region = "eu" }, by: ControlPlane.administrator)
                try await enrollment.nouns.delete(withdrawn.id, at: withdrawn.revision, by: ControlPlane.administrator)
                let expiring = try await control.token(ttl: 1)
                control.clock.advance(milliseconds: 1001)
                try await control.withClient { client in
                    for token in [wrong, withdrawnText.reveal(), expiring, "", "wenr_x", "wenr_" + Base64URL.encode(Array("{}".utf8))] {
                        try await expectRefusal(.unauthenticated, "\(token.prefix(8))") {
                            try await TestDataPlane().enroll(client, token: token)
                        }
                    }
                    for version in ["0.0.9", "", "latest"] {
                        let code = try await rpcCode { try await TestDataPlane().enroll(client, token: good, version: version) }
                        #expect(code == .failedPrecondition, "\(version)")
                    }
                    // None of it used the token up; the secret alone does as well as the whole text.
                    try await TestDataPlane().enroll(client, token: secret)
                }
            }
        }
    }

    @Test("and its token can be listed but never read again", arguments: TestDatabases.all)
    func tokens(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let text = try await control.token(name: "a")
                let parsed = try #require(EnrollmentTokenText(parsing: text))
                let port = try await control.server.port
                #expect(parsed.address == "127.0.0.1:\(port)")
                #expect(parsed.authority.contains("BEGIN CERTIFICATE"))
                control.clock.advance(milliseconds: 1)
                _ = try await control.token(name: "b")
                let page = try await control.server.enrollment.nouns.items([], PageRequest(limit: 1), as: .all)
                #expect(page.items.map(\.content.name) == ["a"])
                let rest = try await control.server.enrollment.nouns.items([], PageRequest(limit: 5, after: page.next), as: .all)
                #expect(rest.items.map(\.content.name) == ["b"])
                #expect(!(page.items + rest.items).contains { $0.json.text.contains(parsed.secret) })
                await #expect(throws: DomainError.self) {
                    try await control.server.enrollment.create(
                        EnrollmentTokenContent {
                            $0.region = "Not A Region"
                            $0.tenantIDs = .only([TenantID.random()])
                            $0.ttlSeconds = 0
                        }, by: ControlPlane.administrator)
                }
            }
        }
    }
}
