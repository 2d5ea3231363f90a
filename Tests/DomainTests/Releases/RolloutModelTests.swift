import Contract
import Domain
import Primitives
import Storage
import SwiftProtobuf
import Testing

/// What rollouts have to do, in the fewest words: no database, no services.
private struct Model {
    var published: [Int64] = []
    /// The marker of each version's content.
    var content: [Int64: Int] = [:]
    /// Baselines one below the other; the last one is in force, a rollback takes it off.
    var baselines: [Int64] = []
    var candidate: Int64?
    var highestOffered: Int64 = 0
    var documentVersion: Int64 = 0

    var baseline: Int64 { baselines.last ?? 0 }

    mutating func publish(_ marker: Int) -> Int64 {
        let version = (published.last ?? 0) + 1
        published.append(version)
        content[version] = marker
        return version
    }

    func mayCreate(_ version: Int64) -> Bool {
        published.contains(version) && candidate == nil && version > baseline && version >= highestOffered
    }

    mutating func create(_ version: Int64) {
        candidate = version
        highestOffered = max(highestOffered, version)
        documentVersion += 1
    }

    mutating func promote() {
        if let version = candidate { baselines.append(version) }
        candidate = nil
        documentVersion += 1
    }

    mutating func abort() {
        candidate = nil
        documentVersion += 1
    }

    var mayRollBack: Bool { candidate != nil || baselines.count >= 2 }

    mutating func rollBack() {
        if candidate != nil { return abort() }
        baselines.removeLast()
        let restored = baselines.removeLast()
        let version = publish(content[restored] ?? 0)
        baselines.append(version)
        highestOffered = max(highestOffered, version)
        documentVersion += 1
    }
}

@Suite("Rollouts against a model")
struct RolloutModelTests {
    @Test(
        "Any sequence of publishing, rolling out, promoting, aborting and rolling back ends as the model says",
        arguments: TestDatabases.all, [1, 2, 3, 4] as [UInt64])
    func sequences(_ kind: TestDatabase, seed: UInt64) async throws {
        try await kind.with { database in
            let fixture = try await ReleaseFixture(database)
            var random = SeededGenerator(seed: seed)
            var model = Model()
            var lastDocument: Int64 = 0
            for step in 1...60 {
                let before = model.documentVersion
                try await self.step(step, &model, fixture, &random)
                let (payload, document) = try await fixture.document()
                let place: Comment = "seed \(seed), step \(step)"
                #expect(document > lastDocument || model.documentVersion == before, place)
                #expect(document == model.documentVersion, place)
                #expect(payload.baselineVersion == UInt64(model.baseline), place)
                #expect(payload.candidateVersion == UInt64(model.candidate ?? 0), place)
                let referenced = try await database.read { c in try Rollouts.referencedVersions(c) }
                #expect(referenced == Set([model.baseline, model.candidate ?? 0]).subtracting([0]).sorted(), place)
                lastDocument = document
            }
            for (version, marker) in model.content {
                let bytes = try #require(try await fixture.content(version))
                let config = try Weir_V1_ConfigPayload(serializedBytes: bytes)
                #expect(config.providers.first?.baseURL == "https://api\(marker).openai.com/v1")
            }
        }
    }

    private func step(_ step: Int, _ model: inout Model, _ fixture: ReleaseFixture, _ random: inout SeededGenerator) async throws {
        let actor = fixture.actor
        let candidateID = try await fixture.rollouts.standing().candidate?.id
        switch Int.random(in: 0..<10, using: &random) {
        case 0...2:
            #expect(try await fixture.publish(step) == model.publish(step))
        case 3...5:
            // Mostly a version that exists, now and then one that does not.
            let version = Int64.random(in: 1...((model.published.last ?? 0) + 1), using: &random)
            let outcome = await refusal { try await fixture.rollouts.create(wanted(version), by: actor) }.kind
            #expect((outcome == "accepted") == model.mayCreate(version), "version \(version): \(outcome)")
            if model.mayCreate(version) { model.create(version) }
        case 6...7:
            guard let id = candidateID else { return #expect(model.candidate == nil) }
            _ = try await fixture.rollouts.promote(id, by: actor)
            model.promote()
        case 8:
            guard let id = candidateID else { return #expect(model.candidate == nil) }
            _ = try await fixture.rollouts.abort(id, by: actor)
            model.abort()
        default:
            let order = RollbackOrder(undo: model.candidate ?? model.baseline)
            let outcome = await refusal { try await fixture.rollouts.rollback(order, actor: actor) }.kind
            #expect(outcome == (model.mayRollBack ? "accepted" : "conflict"))
            guard model.mayRollBack else { return }
            model.rollBack()
            // Said twice, it is done once.
            #expect(try await fixture.rollouts.rollback(order, actor: actor).repeated)
        }
    }
}
