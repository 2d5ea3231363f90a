import Contract
import Domain
import Fleet
import Foundation
import GRPCCore
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Testing
import Trust

@Suite("A session", .timeLimit(.minutes(10)))
struct SessionTests {
    @Test("takes a fresh nonce signed by the data plane's own key, once", arguments: TestDatabases.all)
    func nonces(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                let other = try await control.enroll()
                try await control.withClient { client in
                    let nonce = try await plane.nonce(client)
                    try await expectRefusal(.unauthenticated) { try await plane.open(client, nonce: nonce, key: IdentityKey()) }
                    _ = try await plane.open(client, nonce: nonce)
                    try await expectRefusal(.unauthenticated, "replayed") { try await plane.open(client, nonce: nonce) }
                    let foreign = try await other.nonce(client)
                    try await expectRefusal(.unauthenticated, "another's") { try await plane.open(client, nonce: foreign) }
                    let old = try await plane.nonce(client)
                    control.clock.advance(milliseconds: SessionService.nonceLifetimeMilliseconds)
                    try await expectRefusal(.unauthenticated, "too old") { try await plane.open(client, nonce: old) }
                    try await expectRefusal(.unauthenticated) { try await plane.open(client, nonce: [1, 2, 3]) }
                    let fresh = try await plane.nonce(client)
                    try await expectRefusal(.failedPrecondition) { try await plane.open(client, nonce: fresh, version: "0.0.1") }
                }
            }
        }
    }

    @Test("opens streams until it expires; without one no stream opens", arguments: TestDatabases.all)
    func expiry(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                try await control.withClient { client in
                    let session = try await plane.session(client)
                    _ = try await plane.subscribed(client, session: session, hello: plane.hello()) { try await $0.document(.directory) }
                    for token in ["", "x", session + "x"] {
                        let code = try await rpcCode {
                            try await plane.subscribed(client, session: token, hello: plane.hello()) { try await $0.document(.directory) }
                        }
                        #expect(code == .unauthenticated)
                    }
                    control.clock.advance(milliseconds: SessionService.sessionLifetimeMilliseconds)
                    let code = try await rpcCode {
                        _ = try await plane.subscribed(client, session: session, hello: plane.hello()) { try await $0.document(.directory) }
                    }
                    #expect(code == .unauthenticated)
                }
            }
        }
    }

    @Test("ends when the data plane is revoked: its open streams and its next session", arguments: TestDatabases.all)
    func revoked(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                let dataPlanes = control.server.services.dataPlanes
                try await control.withClient { client in
                    let session = try await plane.session(client)
                    let code = try await rpcCode {
                        try await plane.subscribed(client, session: session, hello: plane.hello()) { link in
                            try await link.document(.directory)
                            _ = try await dataPlanes.revoke(DataPlaneID(plane.id), by: ControlPlane.administrator)
                            while true { _ = try await link.next() }
                        }
                    }
                    #expect(code == .permissionDenied)
                    try await expectRefusal(.permissionDenied) {
                        try await plane.subscribed(client, session: session, hello: plane.hello()) { try await $0.document(.directory) }
                    }
                    // The next session says so, signed, and is good for nothing but its usage.
                    let next = try await plane.opened(client, nonce: try await plane.nonce(client))
                    let verifier = DocumentVerifier(trust: plane.trust, deployment: plane.deployment, dataPlaneID: plane.id)
                    let document = try verifier.verify(next.revocation)
                    #expect(document.kind == .revocation)
                    let payload = try Weir_V1_RevocationPayload(serializedBytes: document.payload)
                    #expect(payload.revokedAtMs == control.clock.nowMilliseconds())
                    try await expectRefusal(.permissionDenied) {
                        try await plane.subscribed(client, session: next.session, hello: plane.hello()) {
                            try await $0.document(.directory)
                        }
                    }
                }
                #expect(try await dataPlanes.nouns.get(DataPlaneID(plane.id), as: .all).content.status == "revoked")
            }
        }
    }

    @Test("of a second control plane on the same database is as good", arguments: TestDatabases.all)
    func replicas(_ database: TestDatabase) async throws {
        try await database.withURL { url in
            let first = try await DatabaseFactory.open(url: url)
            try await MigrationRunner.run(first)
            // SQLite belongs to one process; its replicas are those that share a connection.
            let second = first.dialect == .postgres ? try await DatabaseFactory.open(url: url) : first
            try await ControlPlane.with(first) { one in
                try await ControlPlane.with(second) { two in
                    #expect(one.server.authorityPEM == two.server.authorityPEM)
                    let plane = try await one.enroll()
                    let session = try await one.withClient { try await plane.session($0) }
                    let code = try await rpcCode {
                        try await two.withClient { client in
                            try await plane.subscribed(client, session: session, hello: plane.hello()) { link in
                                try await link.document(.directory)
                                // The other replica revokes it: this one finds out by looking.
                                _ = try await one.server.services.dataPlanes.revoke(DataPlaneID(plane.id), by: ControlPlane.administrator)
                                while true { _ = try await link.next() }
                            }
                        }
                    }
                    #expect(code == .permissionDenied)
                }
            }
            await first.close()
            if first.dialect == .postgres { await second.close() }
        }
    }
}
