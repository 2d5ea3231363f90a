import Contract
import Domain
import Fleet
import Foundation
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Synchronization
import Testing
import Trust

/// A revoked key is in a delta, and a delta waits for no whole directory, however large and however many are being made.
@Suite("Deltas beside whole directories", .timeLimit(.minutes(10)))
struct DirectoryLaneTests {
    /// Holds what a task reads after its first read: a whole directory is looked up first and built then.
    private final class Hold: Sendable {
        @TaskLocal static var current: Hold?

        private struct State {
            var reads = 0
            var isOpen = false
            var waiting: [CheckedContinuation<Void, Never>] = []
        }

        private let state = Mutex(State())
        private let held: AsyncStream<Void>
        private let holding: AsyncStream<Void>.Continuation

        init() { (held, holding) = AsyncStream.makeStream() }

        var reads: Int { state.withLock { $0.reads } }

        func pass() async {
            let goesOn = state.withLock { state in
                state.reads += 1
                return state.reads == 1 || state.isOpen
            }
            if goesOn { return }
            holding.yield()
            await withCheckedContinuation { continuation in
                let isOpen = state.withLock { state in
                    if !state.isOpen { state.waiting.append(continuation) }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }

        func isHeld() async {
            for await _ in held { return }
        }

        func open() {
            let waiting = state.withLock { state in
                state.isOpen = true
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }

    private struct HoldingDatabase: Database {
        let inner: any Database
        var dialect: SQLDialect { inner.dialect }

        func read<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
            await Hold.current?.pass()
            return try await inner.read(as: scope, body)
        }

        func report<R: Sendable>(as scope: TenantScope, _ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
            try await inner.report(as: scope, body)
        }

        func session<R: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> R) async throws -> R {
            try await inner.session(body)
        }

        func transaction<R: Sendable>(
            as scope: TenantScope, isolation: TransactionIsolation, _ body: @escaping @Sendable (any SQLConnection) throws -> R
        ) async throws -> R {
            try await inner.transaction(as: scope, isolation: isolation, body)
        }

        func close() async { await inner.close() }
    }

    @Test(
        "a revocation overtakes two whole directories that are being made, and a third is not begun beside them",
        arguments: TestDatabases.all)
    func lane(_ kind: TestDatabase) async throws {
        try await kind.with { inner in
            let database = HoldingDatabase(inner: inner)
            let domain = DomainContext(database: database, clock: ManualClock(milliseconds: 1_800_000_000_000), signal: ChangeSignal())
            let cipher = try #require(AtRestCipher(masterKey: [UInt8](repeating: 7, count: 32)))
            let fleet = try await FleetContext.establish(
                domain: domain, cipher: cipher, minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
            let services = ControlServices(domain, cipher: cipher)
            let directory = FleetServices(fleet, credentials: services.credentials) { _, _ in [] }.directory
            try await SigningKeyService(fleet).establish()
            let actor = Actor.system("test")
            var planes: [String] = []
            var keys: [VirtualKey] = []
            for number in 0..<4 {
                let tenant = try await services.tenants.create(TenantContent { $0.name = "t\(number)" }, by: actor)
                let project = try await services.projects.create(
                    ProjectContent {
                        $0.tenantID = tenant.id
                        $0.name = "p"
                    }, by: actor)
                keys.append(
                    try await services.keys.create(
                        VirtualKeyContent {
                            $0.projectID = project.id
                            $0.name = "k"
                        }, by: actor
                    ).key)
                let id = DataPlaneID.random().rawValue
                planes.append(id)
                try await inner.transaction { c in
                    try DataPlanesTable.insert(
                        c,
                        DataPlaneRow(
                            id: id, name: "plane \(number)", region: "eu", tenantIDs: [tenant.id.rawValue],
                            identityPublicKey: [UInt8(number)], sealingPublicKey: [2], version: "0.1.0", keyringEpoch: 1, keyringVersion: 1,
                            createdAt: 1))
                }
            }
            // The one that holds its directory already.
            guard case .document(let held, _, true) = try await directory.next(for: planes[3], held: nil, full: false) else {
                Issue.record("no whole directory")
                return
            }

            let holds = [Hold(), Hold(), Hold()]
            func fetch(_ index: Int) -> Task<Bool, any Error> {
                let (hold, id) = (holds[index], planes[index])
                return Task {
                    try await Hold.$current.withValue(hold) {
                        guard case .document(_, _, true) = try await directory.next(for: id, held: nil, full: true) else { return false }
                        return true
                    }
                }
            }
            let large = [fetch(0), fetch(1)]
            for hold in holds.prefix(2) { await hold.isHeld() }
            let third = fetch(2)
            while holds[2].reads == 0 { await Task.yield() }

            _ = try await services.keys.revoke(keys[3].id, at: nil, by: actor)
            guard case .document(let delta, _, false) = try await directory.next(for: planes[3], held: held.mark, full: false) else {
                Issue.record("no delta")
                return
            }
            let payload = try Weir_V1_DirectoryPayload(serializedBytes: delta.envelope.payload)
            #expect(payload.keys.map(\.id) == [keys[3].id.rawValue] || payload.removedKeyIds.contains(keys[3].id.rawValue))
            // Two at a time: more would be hundreds of megabytes each.
            #expect(holds[2].reads == 1)

            for hold in holds { hold.open() }
            for task in large + [third] { #expect(try await task.value) }
        }
    }
}
