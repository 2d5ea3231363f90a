import Contract
import Domain
import Foundation
import Nouns
import Primitives
import Storage
import Testing

/// Data planes that share a limit, their messages late and lost.
@Suite("Shares of limits", .timeLimit(.minutes(10)))
struct RateShareTests {
    /// A data plane as far as it shares one counter.
    private struct Plane {
        var id: String
        /// Nil: an equal part.
        var share: Int64?
        var planes: Int64 = 1
        var used: Int64 = 0
        var taken: UInt64 = 0
        /// Answers that are under way, in order.
        var answers: [Weir_V1_RateShares] = []
    }

    @Test(
        "Whatever is late or lost, what all may use together never passes the limit; who alone wants it gets nearly all of it",
        arguments: 1...6)
    func simulation(seed: UInt64) async throws {
        try await TestDatabases.all[0].with { database in
            var random = SeededGenerator(seed: seed)
            let clock = ManualClock(milliseconds: 1_800_000_000_000)
            let domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
            let amount = Int64.random(in: 12...1000, using: &random)
            let count = Int.random(in: 2...4, using: &random)
            let limits = NounService<LimitContent>(domain)
            let limit = try await limits.create(
                LimitContent {
                    $0.name = "l"
                    $0.level = .global
                    $0.amount = amount
                }, by: .system("test"))
            let suffix = try #require(Base32.decode(String(limit.id.rawValue.dropFirst(4))))
            let counter = suffix + [UInt8](repeating: 0, count: 16)
            var planes: [Plane] = []
            for index in 0..<count {
                let id = DataPlaneID.random().rawValue
                try await database.transaction { c in
                    try DataPlanesTable.insert(
                        c,
                        DataPlaneRow(
                            id: id, name: "p\(index)", region: "eu", tenantIDs: [], identityPublicKey: [UInt8(index)],
                            sealingPublicKey: [2],
                            version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 1))
                }
                planes.append(Plane(id: id, planes: Int64(count)))
            }
            let service = RateShareService(domain)
            func part(_ plane: Plane) -> Int64 { plane.share ?? max(1, amount / plane.planes) }
            func deliver(_ index: Int) {
                guard !planes[index].answers.isEmpty else { return }
                let answer = planes[index].answers.removeFirst()
                planes[index].taken = answer.number
                for share in answer.shares where Array(share.counter) == counter {
                    planes[index].share = share.amount < 0 ? nil : share.amount
                }
            }
            func report(_ index: Int, wanting: Int64, isLost: Bool = false) async throws {
                clock.advance(milliseconds: 50)
                var report = Weir_V1_RateReport()
                report.taken = planes[index].taken
                if wanting > 0 || planes[index].share != nil {
                    var use = Weir_V1_RateUse()
                    use.counter = Data(counter)
                    use.wanted = wanting
                    use.held = max(part(planes[index]), planes[index].used)
                    report.uses = [use]
                }
                if let answer = try await service.answer(report, from: planes[index].id), !isLost { planes[index].answers.append(answer) }
            }
            func check(_ step: Int) {
                let together = planes.reduce(0) { $0 + max(part($1), $1.used) }
                #expect(together <= amount, "seed \(seed), step \(step): \(together) of \(amount)")
            }
            for step in 0..<120 {
                let index = Int.random(in: 0..<count, using: &random)
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<4:
                    // A connection that breaks loses what is under way; nothing overtakes anything.
                    if Int.random(in: 0..<8, using: &random) == 0 { planes[index].answers = [] }
                    try await report(
                        index, wanting: Int64.random(in: 0...amount, using: &random), isLost: Int.random(in: 0..<6, using: &random) == 0)
                case 4..<7: deliver(index)
                case 7, 8: planes[index].used = Int64.random(in: 0...part(planes[index]), using: &random)
                default: planes[index].used /= 2
                }
                check(step)
            }
            // One wants all, the others nothing.
            for index in planes.indices { planes[index].used = 0 }
            clock.advance(milliseconds: 60_000)
            for step in 0..<8 {
                for index in planes.indices {
                    try await report(index, wanting: index == 0 ? amount : 0)
                    while !planes[index].answers.isEmpty { deliver(index) }
                    check(1000 + step)
                }
            }
            #expect(part(planes[0]) >= amount * 7 / 10, "seed \(seed): \(part(planes[0])) of \(amount)")
            // Nobody wants anything: each has an equal part again, and nothing is remembered.
            clock.advance(milliseconds: 60_000)
            for _ in 0..<8 {
                for index in planes.indices {
                    try await report(index, wanting: 0)
                    while !planes[index].answers.isEmpty { deliver(index) }
                }
            }
            #expect(planes.allSatisfy { $0.share == nil })
            #expect(try await database.read(as: .all) { try RateSharesTable.all($0) }.isEmpty)
        }
    }

    @Test("Data planes that count together in Redis are told what their region may have: all of it where there is no other")
    func regions() async throws {
        try await TestDatabases.all[0].with { database in
            let domain = DomainContext(database: database, clock: ManualClock(milliseconds: 1_800_000_000_000), signal: ChangeSignal())
            let limit = try await NounService<LimitContent>(domain).create(
                LimitContent {
                    $0.name = "l"
                    $0.level = .global
                    $0.amount = 90
                }, by: .system("test"))
            let counter = try #require(Base32.decode(String(limit.id.rawValue.dropFirst(4)))) + [UInt8](repeating: 0, count: 16)
            let service = RateShareService(domain)
            func join(_ region: String) async throws -> String {
                let id = DataPlaneID.random().rawValue
                try await database.transaction { c in
                    try DataPlanesTable.insert(
                        c,
                        DataPlaneRow(
                            id: id, name: id, region: region, tenantIDs: [], identityPublicKey: Array(id.utf8), sealingPublicKey: [2],
                            version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 1))
                }
                return id
            }
            func answer(_ id: String, wanting: Int64, byRegion: Bool = true) async throws -> Weir_V1_RateShares {
                var (report, use) = (Weir_V1_RateReport(), Weir_V1_RateUse())
                report.countsByRegion = byRegion
                use.counter = Data(counter)
                use.wanted = wanting
                use.held = 30
                report.uses = [use]
                return try #require(try await service.answer(report, from: id))
            }
            let (first, second) = (try await join("eu"), try await join("eu"))
            let alone = try await answer(first, wanting: 80)
            #expect(alone.regionDataPlanes == 2 && alone.shares.map(\.regionAmount) == [90])
            let third = try await join("us")
            let told = try await answer(first, wanting: 80)
            let far = try await answer(third, wanting: 1)
            let near = try await answer(second, wanting: 80)
            #expect(told.dataPlanes == 3 && told.regionDataPlanes == 2 && far.regionDataPlanes == 1)
            let (eu, us) = (try #require(near.shares.first?.regionAmount), try #require(far.shares.first?.regionAmount))
            #expect(eu > 0 && us > 0 && eu + us <= 90, "\(eu) and \(us)")
            let without = try await answer(second, wanting: 80, byRegion: false)
            #expect(without.regionDataPlanes == 0 && without.shares.allSatisfy { $0.regionAmount == 0 })
        }
    }
}
