import Contract
import Domain
import Fleet
import Foundation
import GRPCCore
import Logging
import Primitives
import Storage
import SwiftProtobuf
import Testing
import Trust

@Suite("Signing keys", .timeLimit(.minutes(10)))
struct SigningKeyTests {
    @Test("are announced by the key they replace; then everything is signed with the new one", arguments: TestDatabases.all)
    func rotation(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let keys = control.server.services.keys
                let first = try #require(try await keys.list().first)
                let plane = try await control.enroll()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        try await link.document(.directory)
                        let second = try await keys.rotate(ControlPlane.administrator, graceSeconds: 60)
                        _ = try await control.release()
                        let keyring = try await link.document(.keyring)
                        #expect(keyring.header.keyID == first.id)
                        let trusted = try Weir_V1_KeyringPayload(serializedBytes: keyring.payload).keys.map(\.keyID)
                        #expect(Set(trusted) == [first.id, second.id])
                        #expect(try await link.document(.rollout).header.keyID == second.id)
                        // When the time of grace is over, the old one is dropped and its private part erased.
                        control.clock.advance(milliseconds: 60_000)
                        for job in control.server.jobs { try await job.work() }
                        let last = try await link.document(.keyring)
                        #expect(try Weir_V1_KeyringPayload(serializedBytes: last.payload).keys.map(\.keyID) == [second.id])
                        #expect(last.header.keyID == second.id)
                    }
                }
                let states = try await keys.list().map(\.status)
                #expect(states.sorted() == ["active", "retired"])
                let kept = try await database.read { try SigningKeysTable.all($0).filter { !$0.encryptedPrivateKey.isEmpty }.count }
                #expect(kept == 1)
            }
        }
    }

    @Test("can be replaced many times while a data plane is away: it walks the chain", arguments: TestDatabases.all)
    func chain(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let keys = control.server.services.keys
                let plane = try await control.enroll()
                try await control.withClient { client in
                    _ = try await plane.subscribed(client) { try await $0.document(.directory) }
                    for _ in 0..<3 {
                        _ = try await keys.rotate(ControlPlane.administrator, graceSeconds: 0)
                        control.clock.advance(milliseconds: 1)
                        try await keys.retireExpired()
                    }
                    try await plane.subscribed(client) { link in
                        _ = try await control.tenant("Acme")
                        try await link.document(.directory)
                        #expect(await link.order.filter { $0 == "keyring" }.count == 6)
                    }
                    // One that enrols now starts with what is trusted now.
                    let late = try await control.enroll()
                    try await late.subscribed(client) { link in
                        try await link.document(.directory)
                        #expect(await link.order.first == "keyring")
                    }
                }
            }
        }
    }

    @Test("rest encrypted: under another master key nothing starts", arguments: TestDatabases.all)
    func atRest(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let rows = try await database.read { try SigningKeysTable.all($0) }
                #expect(rows.count == 1)
                for row in rows {
                    let raw = try AtRestCipher(masterKey: ControlPlane.masterKey)?.decrypt(
                        row.encryptedPrivateKey, aad: Array("signing_keys/\(row.id)".utf8))
                    #expect(raw?.count == 32)
                    #expect(raw != row.encryptedPrivateKey)
                }
                let cipher = try #require(AtRestCipher(masterKey: [UInt8](repeating: 8, count: 32)))
                let other = try await FleetContext.establish(
                    domain: control.domain, cipher: cipher, minimumVersion: weirVersion)
                #expect(other.deployment == control.fleet.deployment)
                await #expect(throws: TrustError.opening) {
                    _ = try await FleetServer(
                        other, credentials: control.credentials, settings: FleetSettings(port: 0), logger: .init(label: "test")
                    ) { _, _ in [] }
                }
            }
        }
    }

    @Test("sign everything anew in a new epoch, which orders before all versions", arguments: TestDatabases.all)
    func epoch(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                try await control.release()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let before = try await link.all(.rollout, .directory)
                        #expect(before.values.allSatisfy { $0.version.epoch == 1 })
                        #expect(try await control.server.services.keys.raiseEpoch(ControlPlane.administrator) == 2)
                        let after = try await link.all(.keyring, .config, .rollout, .directory)
                        #expect(after.values.allSatisfy { $0.kind == .heartbeat || $0.version.epoch == 2 })
                        #expect(after[.directory]?.isDelta == false)
                    }
                }
            }
        }
    }
}
