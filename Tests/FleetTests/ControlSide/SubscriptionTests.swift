import Contract
import Domain
import Foundation
import GRPCCore
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Synchronization
import Testing
import Trust

@testable import Fleet

@Suite("A subscription", .timeLimit(.minutes(10)))
struct SubscriptionTests {
    @Test("brings a new data plane up to date, in order", arguments: TestDatabases.all)
    func order(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let tenant = try await control.tenant("Acme")
                let key = try await control.key(in: control.project("web", of: tenant))
                let credential = try await control.credential("main", secret: "sk-provider-secret-1234")
                let version = try await control.release(credentials: [credential])
                let plane = try await control.enroll()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let documents = try await link.all(.rollout, .directory)
                        let directory = try #require(documents[.directory])
                        // The directory waits for nobody's answer to a configuration; the rest has its order.
                        #expect(await link.order.filter { $0 != "directory" } == ["keyring", "config", "secrets", "rollout"])
                        let payload = try directory.directory()
                        #expect(!payload.delta)
                        #expect(payload.tenants.map(\.id) == [tenant.rawValue])
                        #expect(payload.keys.map(\.id) == [key.rawValue])
                        #expect(directory.header.audience == plane.id)
                        #expect(plane.held.withLock { $0.marks[.config]?.map(\.version) } == [version])
                    }
                }
            }
        }
    }

    @Test("sends nothing twice to a data plane that comes back up to date but a heartbeat", arguments: TestDatabases.all)
    func reconnect(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                _ = try await control.key(in: control.project("web", of: control.tenant("Acme")))
                let credential = try await control.credential("main", secret: "sk-provider-secret-1234")
                try await control.release(credentials: [credential])
                let plane = try await control.enroll()
                try await control.withClient { client in
                    _ = try await plane.subscribed(client) { try await $0.all(.rollout, .directory) }
                    let beat = try await plane.subscribed(client) { link in
                        let beat = try await link.document(.heartbeat)
                        #expect(await link.order == [])
                        return beat
                    }
                    let latest = try Weir_V1_HeartbeatPayload(serializedBytes: beat.payload).latest
                    let held = plane.held.withLock { $0.marks.values.flatMap { $0 }.map(\.proto) }
                    #expect(Set(latest) == Set(held))
                    #expect(beat.header.expiresMs - beat.header.notBeforeMs == 60_000)
                }
            }
        }
    }

    @Test("sends the whole directory, then a delta, then the whole again when it is asked for", arguments: TestDatabases.all)
    func directories(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let project = try await control.project("web", of: control.tenant("Acme"))
                let old = try await control.key(in: project)
                let plane = try await control.enroll()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let full = try await link.document(.directory)
                        #expect(try full.directory().keys.map(\.id) == [old.rawValue])
                        let new = try await control.key(in: project)
                        let delta = try await link.document(.directory)
                        #expect(delta.isDelta)
                        #expect(Array(delta.header.previousDigest) == full.digest)
                        #expect(delta.version > full.version)
                        #expect(try delta.directory().keys.map(\.id) == [new.rawValue])
                        #expect(try delta.directory().tenants.isEmpty)
                        let keys = VirtualKeyService(control.domain)
                        try await keys.nouns.delete(old, at: keys.nouns.get(old, as: .all).revision, by: ControlPlane.administrator)
                        #expect(try await link.document(.directory).directory().removedKeyIds == [old.rawValue])
                    }
                    let again = try await plane.subscribed(client, wantsFullDirectory: true) { try await $0.document(.directory) }
                    #expect(!again.isDelta)
                    #expect(try again.directory().keys.count == 1)
                    // What it holds now is of a version that no other content was ever sent under.
                    let more = try await plane.subscribed(client, wantsFullDirectory: true) { try await $0.document(.directory) }
                    #expect(more.version > again.version)
                    // A data plane whose mark is not of ours gets the whole.
                    plane.held.withLock { held in
                        held.marks[.directory] = held.marks[.directory]?.map {
                            DocumentMark(kind: $0.kind, epoch: $0.epoch, version: $0.version, digest: [UInt8](repeating: 1, count: 32))
                        }
                    }
                    #expect(try await !plane.subscribed(client) { try await $0.document(.directory) }.isDelta)
                }
            }
        }
    }

    @Test("a stream that the database does not name yet is not taken for one that was replaced", arguments: TestDatabases.all)
    func recorded(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                let hub = control.server.hub
                try await control.server.administration.dataPlanes.connected(
                    plane.id, replica: "here", connection: "con_before", hello: plane.hello())
                let next = FleetHub.Stream(dataPlaneID: plane.id, connection: "con_next")
                let number = hub.add(next)
                await hub.look(alwaysCheckingStreams: true)
                next.end(RPCError(code: .cancelled, message: "by the test"))
                await #expect(throws: RPCError(code: .cancelled, message: "by the test")) { try await next.waitForEnd() }
                hub.remove(number)
                // One that was named, and is no longer, is.
                let old = FleetHub.Stream(dataPlaneID: plane.id, connection: "con_old")
                old.isRecorded.store(true, ordering: .releasing)
                let oldNumber = hub.add(old)
                await hub.look(alwaysCheckingStreams: true)
                old.end(RPCError(code: .cancelled, message: "by the test"))
                let ended = await #expect(throws: RPCError.self) { try await old.waitForEnd() }
                #expect(ended?.code == .aborted)
                hub.remove(oldNumber)
            }
        }
    }

    @Test("never tells a data plane of a tenant that it does not serve", arguments: TestDatabases.all)
    func tenants(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let mine = try await control.tenant("Mine")
                let others = try await control.tenant("Others")
                let myKey = try await control.key(in: control.project("web", of: mine))
                let otherProject = try await control.project("web", of: others)
                let otherKey = try await control.key(in: otherProject)
                let plane = try await control.enroll(tenants: [mine])
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let full = try await link.document(.directory)
                        #expect(try full.directory().keys.map(\.id) == [myKey.rawValue])
                        #expect(!full.payload.contains(text: others.rawValue))
                        #expect(!full.payload.contains(text: otherKey.rawValue))
                        // Another tenant's change brings nothing; the next one of ours does, and holds only that.
                        _ = try await control.key(in: otherProject)
                        let mineToo = try await control.key(in: control.project("app", of: mine))
                        let delta = try await link.document(.directory)
                        #expect(delta.isDelta)
                        #expect(!delta.payload.contains(text: others.rawValue))
                        var seen = Set(try delta.directory().keys.map(\.id))
                        if seen.isEmpty { seen = Set(try await link.document(.directory).directory().keys.map(\.id)) }
                        #expect(seen == [mineToo.rawValue])
                        // Another list of tenants: the whole directory anew.
                        let dataPlanes = control.server.services.dataPlanes
                        let row = try await dataPlanes.nouns.get(DataPlaneID(plane.id), as: .all)
                        var content = row.content
                        content.tenantIDs = .only([others])
                        _ = try await dataPlanes.nouns.replace(
                            row.id, at: row.revision, with: content, by: ControlPlane.administrator)
                        let moved = try await link.document(.directory)
                        #expect(!moved.isDelta)
                        #expect(try moved.directory().tenants.map(\.id) == [others.rawValue])
                        #expect(try moved.directory().keys.count == 2)
                    }
                }
            }
        }
    }

    @Test("records what is accepted and what is refused, and does not send a refused document again", arguments: TestDatabases.all)
    func answers(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                let id = DataPlaneID(plane.id)
                let dataPlanes = control.server.services.dataPlanes
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        try await link.document(.directory)
                        let bad = try await control.release()
                        guard case .document(let config) = try await link.next() else { throw TestFailure("no document") }
                        #expect(config.kind == .config)
                        await link.refuse(config, DocumentRefusal(.brokenReference, "endpoint x names no provider"))
                        // The rollout follows: it is the data plane's to refuse, too.
                        guard case .document(let rollout) = try await link.next() else { throw TestFailure("no document") }
                        #expect(rollout.kind == .rollout)
                        await link.refuse(rollout, DocumentRefusal(.brokenReference, "no such version"))
                        // Another version is another document.
                        // The next of a kind shows that the answer to the last is on record.
                        let good = try await control.release()
                        _ = try await link.document(.config)
                        guard case .document(let second) = try await link.next() else { throw TestFailure("no document") }
                        #expect(second.kind == .rollout)
                        let answers = try await dataPlanes.nouns.get(id, as: .all).content.documents
                        let refused = answers.filter { !$0.accepted }
                        #expect(refused.map(\.kind).sorted() == ["config", "rollout"])
                        #expect(refused.first?.version == bad)
                        #expect(refused.first?.reason == "broken_reference")
                        #expect(refused.first?.detail == "endpoint x names no provider")
                        #expect(try await dataPlanes.nouns.get(id, as: .all).content.status == "refusing documents")
                        await link.accept(second)
                        // What was overtaken is forgotten.
                        try await control.release()
                        try await link.document(.rollout)
                        let later = try await dataPlanes.nouns.get(id, as: .all).content.documents
                        #expect(later.allSatisfy { $0.accepted })
                        #expect(later.contains { $0.kind == "config" && $0.version >= good })
                        #expect(await link.order.filter { $0 == "config" }.count == 3)
                    }
                }
            }
        }
    }

    @Test("makes a refused delta good with the whole directory", arguments: TestDatabases.all)
    func refusedDelta(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let project = try await control.project("web", of: control.tenant("Acme"))
                let plane = try await control.enroll()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        try await link.document(.directory)
                        _ = try await control.key(in: project)
                        guard case .document(let delta) = try await link.next() else { throw TestFailure("no document") }
                        #expect(delta.isDelta)
                        await link.refuse(delta, DocumentRefusal(.wrongPreviousDigest, ""))
                        let full = try await link.document(.directory)
                        #expect(!full.isDelta)
                        #expect(full.version > delta.version)
                        #expect(try full.directory().keys.count == 1)
                    }
                }
            }
        }
    }

    @Test("leaves out a credential that cannot be decrypted, says so, and sends the others and all else", arguments: TestDatabases.all)
    func undecryptable(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let good = try await control.credential("good", secret: "sk-good-secret-0123456789")
                let bad = try await control.credential("bad", secret: "sk-bad-secret-0123456789")
                try await control.release(credentials: [good, bad])
                try await database.transaction { c in
                    _ = try c.execute("UPDATE credentials SET ciphertext = $1 WHERE id = $2", [.blob([1, 2, 3]), .text(bad.rawValue)])
                }
                let plane = try await control.enroll()
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let secrets = try await link.secrets()
                        #expect(secrets.secrets.map(\.credentialID) == [good.rawValue])
                        _ = try await link.all(.rollout, .directory)
                        let warnings = control.domain.warnings.all
                        #expect(warnings.count == 1 && warnings[0].contains(bad.rawValue), "\(warnings)")
                        // Mended, it follows, and nothing is left to be said.
                        _ = try await control.credentials.rotate(
                            bad, at: nil, secret: Secret("sk-new-secret-0123456789"), by: ControlPlane.administrator)
                        let mended = try await link.secrets()
                        #expect(mended.secrets.map(\.credentialID) == [bad.rawValue])
                        #expect(control.domain.warnings.all == [])
                    }
                }
            }
        }
    }

    @Test("seals the credentials in force to this data plane, and takes back those that are not any more", arguments: TestDatabases.all)
    func secrets(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let used = try await control.credential("used", secret: "sk-used-secret-0123456789")
                _ = try await control.credential("unused", secret: "sk-unused-secret-0123456789")
                try await control.release(credentials: [used])
                let plane = try await control.enroll()
                let credentials = control.credentials
                try await control.withClient { client in
                    try await plane.subscribed(client) { link in
                        let first = try await link.secrets()
                        #expect(first.secrets.map(\.credentialID) == [used.rawValue])
                        #expect(try plane.reveal(first.secrets[0]) == "sk-used-secret-0123456789")
                        // Bound to its row: shown as another's it does not open.
                        var moved = first.secrets[0]
                        moved.credentialID = CredentialID.random().rawValue
                        #expect(throws: TrustError.self) { try plane.reveal(moved) }
                        try await link.document(.directory)
                        _ = try await credentials.rotate(
                            used, at: nil, secret: Secret("sk-rotated-secret-0123"), by: ControlPlane.administrator)
                        let second = try await link.secrets()
                        #expect(try plane.reveal(second.secrets[0]) == "sk-rotated-secret-0123")
                        #expect(second.secrets[0].revision > first.secrets[0].revision)
                    }
                    // No version in force names it any more: taken back, whether or not it is deleted as well.
                    try await control.release()
                    let revision = try await credentials.nouns.get(used, as: .all).revision
                    try await credentials.nouns.delete(used, at: revision, by: ControlPlane.administrator)
                    let last = try await plane.subscribed(client) { try await $0.secrets() }
                    #expect(last.secrets.isEmpty)
                    #expect(last.removedCredentialIds == [used.rawValue])
                }
            }
        }
    }

    @Test("shows the data plane as connected, with its report, and the newer of two connections wins", arguments: TestDatabases.all)
    func presence(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                let id = DataPlaneID(plane.id)
                let dataPlanes = control.server.services.dataPlanes
                try await control.withClient { client in
                    let code = try await rpcCode {
                        try await plane.subscribed(client) { link in
                            try await link.document(.directory)
                            var report = Weir_V1_StatusReport()
                            report.requestsTotal = UInt64.max
                            report.state = "ok"
                            report.ready = true
                            await link.report(report)
                            // Answers are taken in order: once a later one is recorded, so is the report.
                            _ = try await control.release()
                            try await link.document(.rollout)
                            _ = try await control.release()
                            try await link.document(.rollout)
                            let seen = try await dataPlanes.nouns.get(id, as: .all).content
                            #expect(seen.isConnected)
                            #expect(seen.status == "ok")
                            #expect(seen.report?.value["requests_total"]?.intValue == Int64.max)
                            try await plane.subscribed(client) { newer in
                                try await newer.document(.heartbeat)
                                while true { _ = try await link.next() }
                            }
                        }
                    }
                    #expect(code == .aborted)
                }
            }
        }
    }

    @Test("refuses what is no subscription: no hello first, two hellos, an old version", arguments: TestDatabases.all)
    func malformed(_ database: TestDatabase) async throws {
        try await database.with { database in
            try await ControlPlane.with(database) { control in
                let plane = try await control.enroll()
                try await control.withClient { client in
                    let session = try await plane.session(client)
                    var old = plane.hello()
                    old.version = "0.0.1"
                    let hello = old
                    let tooOld = try await rpcCode {
                        try await plane.subscribed(client, session: session, hello: hello) { try await $0.next() }
                    }
                    #expect(tooOld == .failedPrecondition)
                    let request = StreamingClientRequest<Weir_V1_SubscribeRequest>(metadata: ["authorization": "Bearer \(session)"]) {
                        writer in
                        try await writer.write(Weir_V1_SubscribeRequest())
                    }
                    let noHello = try await rpcCode {
                        try await client.subscribe(request: request) { response in for try await _ in response.messages {} }
                    }
                    #expect(noHello == .invalidArgument)
                    let twice = StreamingClientRequest<Weir_V1_SubscribeRequest>(metadata: ["authorization": "Bearer \(session)"]) {
                        writer in
                        var hello = Weir_V1_SubscribeRequest()
                        hello.hello = plane.hello()
                        try await writer.write(hello)
                        try await writer.write(hello)
                    }
                    let doubled = try await rpcCode {
                        try await client.subscribe(request: twice) { response in for try await _ in response.messages {} }
                    }
                    #expect(doubled == .invalidArgument)
                }
            }
        }
    }
}

extension TestDataPlane {
    func reveal(_ secret: Weir_V1_SealedSecret) throws -> String {
        let aad = SealedCredentialBinding.aad(
            deployment: deployment, dataPlaneID: id, credentialID: secret.credentialID, providerID: secret.providerID,
            revision: secret.revision)
        return String(
            decoding: try Sealing.open(Array(secret.ciphertext), encapsulatedKey: Array(secret.encapsulatedKey), with: sealing, aad: aad),
            as: UTF8.self)
    }
}

extension [UInt8] {
    func contains(text: String) -> Bool { String(decoding: self, as: UTF8.self).contains(text) }
}
