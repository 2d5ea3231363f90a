import Crypto
import Domain
import Leases
import Nouns
import Primitives
import Storage
import Telemetry
import Testing
import Trust

@Suite("The control plane leases budgets")
struct LeaseServiceTests {
    /// A deployment with a budget of ten and data planes that draw from it.
    private struct Fixture {
        let domain: DomainContext
        let clock: ManualClock
        let service: LeaseService
        let budgets: NounService<BudgetContent>
        let tenant: TenantID
        let budget: Budget

        static let boot = String(repeating: "a", count: 32)

        init(_ database: any Database, limit: String = "10", _ more: (inout BudgetContent) -> Void = { _ in }) async throws {
            clock = ManualClock(milliseconds: 1_800_000_000_000)
            domain = DomainContext(database: database, clock: clock, signal: ChangeSignal())
            service = LeaseService(domain, metrics: MetricsRegistry())
            budgets = NounService(domain)
            let tenant = try await NounService<TenantContent>(domain).create(TenantContent { $0.name = "Acme" }, by: .system("test"))
            self.tenant = tenant.id
            var content = BudgetContent {
                $0.tenantID = tenant.id
                $0.name = "b"
                $0.unit = .requests
                $0.period = .never
                $0.limit = AmountText(limit)
            }
            more(&content)
            budget = try await budgets.create(content, by: .system("test"))
        }

        func plane(_ tenants: [String] = []) async throws -> String {
            let id = DataPlaneID.random().rawValue
            let now = clock.nowMilliseconds()
            try await domain.database.transaction(as: .all, isolation: .serializable) { c in
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: id, name: id, region: "eu", tenantIDs: tenants, identityPublicKey: Array(id.utf8), sealingPublicKey: [1],
                        version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: now))
            }
            return id
        }

        func account(_ start: Int64 = 0) throws -> AccountKey { try #require(AccountKey(budget.id, periodStart: start)) }

        func hello(
            _ plane: String, boot: String = Fixture.boot, _ number: UInt64 = 1, told: UInt64 = 1, _ slices: [SliceReport] = []
        ) async throws -> LeaseService.Welcome {
            try await service.hello(plane, boot: boot, number: number, toldEpoch: told, slices: slices)
        }

        func ask(_ session: inout LeaseSession, _ id: UInt64, needed: Int64 = 1, wanted: Int64 = 1, start: Int64 = 0) async throws -> String
        {
            switch try await service.ask(&session, LeaseAsk(id: id, account: account(start), needed: needed, wanted: wanted)) {
            case .granted(let slice): "\(slice.granted)"
            case .refused(let reason, _): "\(reason)"
            }
        }

        func slice(_ session: inout LeaseSession, _ id: UInt64, _ amount: Int64, start: Int64 = 0) async throws -> LeasedSlice {
            let answer = try await service.ask(&session, LeaseAsk(id: id, account: account(start), needed: amount, wanted: amount))
            guard case .granted(let slice) = answer else { throw DomainError.forbidden(detail: "\(answer)") }
            return slice
        }

        /// settled, unknown, leased, free: always what the slices say, and the limit in sum.
        func sums(_ start: Int64 = 0, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [Int64] {
            let id = budget.id.rawValue
            let (row, slices) = try await domain.database.read(as: .all) { c in
                (
                    try BudgetAccountsTable.find(c, budgetID: id, periodStart: start),
                    try BudgetSlicesTable.list(c, budgetID: id, periodStart: start, limit: 1000)
                )
            }
            let account = try #require(row)
            #expect(account.settled == slices.reduce(0) { $0 + $1.spent + $1.charged }, sourceLocation: sourceLocation)
            #expect(account.unknown == slices.reduce(0) { $0 + $1.unknown - $1.resolved }, sourceLocation: sourceLocation)
            let held = slices.filter { $0.state == 0 || $0.state == 2 }
            #expect(account.leased == held.reduce(0) { $0 + $1.ceiling - $1.spent - $1.unknown }, sourceLocation: sourceLocation)
            return [account.settled, account.unknown, account.leased, account.limit - account.settled - account.unknown - account.leased]
        }
    }

    private func report(
        _ slice: LeasedSlice, spent: Int64 = 0, unknown: Int64 = 0, ceiling: Int64? = nil, _ state: SliceReport.State = .open
    ) -> SliceReport {
        SliceReport(
            slice: slice.id, account: slice.account, boot: slice.boot, granted: slice.granted, ceiling: ceiling ?? slice.granted,
            spent: spent, unknown: unknown, state: state, expires: slice.expires, epoch: slice.epoch)
    }

    @Test("what is given, spent, returned and refused adds up, and the same ask gets the same slice", arguments: TestDatabases.all)
    func account(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database)
            let (first, second) = (try await f.plane(), try await f.plane())
            var a = try await f.hello(first).session
            var b = try await f.hello(second).session
            let slice = try await f.slice(&a, 1, 6)
            #expect(try await f.slice(&a, 1, 6) == slice)
            #expect(try await f.sums() == [0, 0, 6, 4])
            #expect(try await f.ask(&b, 1, needed: 5, wanted: 5) == "held")
            #expect(try await f.service.recalls().keys.map { $0 } == [LeaseService.Recall(dataPlaneID: first, account: try f.account())])
            // Lost, late and doubled reports do no harm.
            for _ in 0..<2 { #expect(try await f.service.report(&a, [report(slice, spent: 2, unknown: 1)], completeEpoch: 0) == []) }
            #expect(try await f.sums() == [2, 1, 3, 4])
            _ = try await f.service.report(&a, [report(slice, spent: 2, unknown: 1, ceiling: 4)], completeEpoch: 0)
            #expect(try await f.sums() == [2, 1, 1, 6])
            #expect(try await f.ask(&b, 2, needed: 5, wanted: 9) == "5")
            _ = try await f.service.report(&a, [report(slice, spent: 3, unknown: 1, ceiling: 4, .closed)], completeEpoch: 0)
            #expect(try await f.sums() == [3, 1, 5, 1])
            #expect(try await f.ask(&b, 3, needed: 8) == "exhausted")
        }
    }

    @Test("however many ask at once, no more is given than there is", arguments: TestDatabases.all)
    func atOnce(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database)
            var sessions: [LeaseSession] = []
            for _ in 0..<3 { sessions.append(try await f.hello(try await f.plane()).session) }
            let started = sessions
            let granted = try await withThrowingTaskGroup(of: Int64.self) { group in
                for number in 0..<18 {
                    group.addTask {
                        var session = started[number % 3]
                        return Int64(try await f.ask(&session, UInt64(number + 1))) ?? 0
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(granted == 10)
            #expect(try await f.sums() == [0, 0, 10, 0])
        }
    }

    @Test("a boot that does not name a slice did not get it; another boot's slices stay counted", arguments: TestDatabases.all)
    func boots(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database)
            let plane = try await f.plane()
            var session = try await f.hello(plane).session
            let (lost, held) = (try await f.slice(&session, 1, 2), try await f.slice(&session, 2, 3))
            #expect(try await f.hello(plane, 2, [report(held, spent: 1)]).void == [])
            #expect(try await f.sums() == [1, 0, 2, 7])
            // The stream before does not count any more.
            await #expect(throws: LeaseRefusal.superseded) { try await f.ask(&session, 3) }
            await #expect(throws: LeaseRefusal.superseded) { _ = try await f.hello(plane, 2) }
            // What was never received is not to be spent from when it turns up.
            #expect(try await f.hello(plane, 3, [report(held, spent: 1), report(lost)]).void == [lost.id])
            // A start that cannot prove that it goes on: nothing becomes free.
            let other = String(repeating: "b", count: 32)
            var second = try await f.hello(plane, boot: other, 1, [report(held, spent: 1, .orphaned)]).session
            #expect(try await f.sums() == [1, 0, 2, 7])
            #expect(try await f.ask(&second, 1, needed: 8) == "held")
            #expect(try await f.ask(&second, 2, needed: 7) == "7")
            // That it was closed stands on the disk, whichever boot reads it there. What was spent all the same counts.
            _ = try await f.service.report(&second, [report(held, spent: 1, .closed)], completeEpoch: 0)
            #expect(try await f.sums() == [1, 0, 7, 2])
            var first = try await f.hello(plane, 4, [report(held, spent: 1)]).session
            _ = try await f.service.report(&first, [report(held, spent: 2, .closed)], completeEpoch: 0)
            #expect(try await f.sums() == [2, 0, 7, 1])
        }
    }

    @Test("a data plane speaks for its own slices and its own tenants only, and no lie makes anything free", arguments: TestDatabases.all)
    func hostile(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database)
            let (honest, hostile, foreign) = (
                try await f.plane(), try await f.plane(), try await f.plane([TenantID.random().rawValue])
            )
            var good = try await f.hello(honest).session
            let slice = try await f.slice(&good, 1, 4)
            var bad = try await f.hello(hostile).session
            #expect(try await f.service.report(&bad, [report(slice, spent: 4, .closed)], completeEpoch: 0) == [slice.id])
            #expect(try await f.sums() == [0, 0, 4, 6])
            // More than was given is not more than was given; less than before is an older disk.
            _ = try await f.service.report(&good, [report(slice, spent: .max, unknown: .max)], completeEpoch: 0)
            #expect(try await f.sums() == [4, 0, 0, 6])
            _ = try await f.service.report(&good, [report(slice, spent: 1)], completeEpoch: 0)
            #expect(try await f.sums() == [4, 0, 0, 6])
            var away = try await f.hello(foreign).session
            #expect(try await f.ask(&away, 1) == "noSuchAccount")
            // One that is not known: of a tenant of its own it counts, of others it is nobody's.
            let invented = LeasedSlice(
                id: try #require(SliceID(77)), account: try f.account(), dataPlane: foreign, boot: Fixture.boot, ask: 0, granted: 3,
                ceiling: 3,
                spent: 0, unknown: 0, resolved: 0, charged: 0, state: .open, expires: slice.expires, epoch: 1)
            #expect(try await f.service.report(&away, [report(invented, spent: 1)], completeEpoch: 0) == [invented.id])
            #expect(try await f.sums() == [4, 0, 0, 6])
            #expect(try await f.service.report(&bad, [report(invented, spent: 1)], completeEpoch: 0) == [])
            #expect(try await f.sums() == [5, 0, 2, 3])
            let events = try await database.read(as: .all) { c in
                try SpendEventsTable.list(c, since: 0, kind: "slice_alarm", after: nil, limit: 100)
            }
            let findings = events.compactMap { (try? JSONValue(parsing: $0.detail))?["finding"]?.stringValue }
            #expect(Set(findings) == ["not_theirs", "above_granted", "went_back", "unknown", "adopted"])
        }
    }

    @Test("after the database was put back nothing is given until all have told what they hold", arguments: TestDatabases.all)
    func restored(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database)
            let (first, second) = (try await f.plane(), try await f.plane())
            try await database.transaction(as: .all, isolation: .serializable) { c in try CountersTable.raise(c, FleetCounter.epoch, to: 2)
            }
            let welcome = try await f.hello(first, told: 1)
            #expect(welcome.epoch == 2)
            var a = welcome.session
            #expect(try await f.ask(&a, 1) == "recovering")
            f.clock.advance(milliseconds: 1000)
            _ = try await f.plane()
            // It was given six before; nobody here remembers.
            let before = LeasedSlice(
                id: try #require(SliceID(99)), account: try f.account(), dataPlane: first, boot: Fixture.boot, ask: 0, granted: 6,
                ceiling: 6,
                spent: 0, unknown: 0, resolved: 0, charged: 0, state: .open, expires: .max, epoch: 1)
            _ = try await f.service.report(&a, [report(before, spent: 2)], completeEpoch: 2)
            #expect(try await f.sums() == [2, 0, 4, 4])
            #expect(try await f.ask(&a, 2) == "recovering")
            var b = try await f.hello(second, told: 0).session
            #expect(try await f.ask(&b, 1) == "recovering")
            _ = try await f.service.report(&b, [], completeEpoch: 2)
            #expect(try await f.ask(&b, 2, needed: 5) == "held")
            #expect(try await f.ask(&b, 3, needed: 4) == "4")
            #expect(try await f.sums() == [2, 0, 8, 0])
        }
    }

    @Test("a limit that is lowered, a budget and a tenant that go, and the next period", arguments: TestDatabases.all)
    func changes(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database) {
                $0.period = .daily
                $0.timeZone = "Europe/Berlin"
            }
            let plane = try await f.plane()
            var session = try await f.hello(plane).session
            let period = f.budget.content.period(at: f.clock.nowMilliseconds())
            let end = try #require(period.end)
            #expect((end - period.start) == 86_400_000 && (period.start + 3_600_000) % 86_400_000 == 0)
            let slice = try await f.slice(&session, 1, 6, start: period.start)
            #expect(slice.expires <= end)
            #expect(try await f.ask(&session, 2, start: period.start + 1) == "noSuchAccount")
            #expect(try await f.ask(&session, 3, start: end) == "noSuchAccount")
            // Lowered below what is out: what is out stays out, and nothing is given.
            var lower = f.budget.content
            lower.limit = AmountText("5")
            let changed = try await f.budgets.replace(f.budget.id, at: f.budget.revision, with: lower, by: .system("test"))
            #expect(try await f.ask(&session, 4, start: period.start) == "held")
            _ = try await f.service.report(&session, [report(slice, spent: 6, .closed)], completeEpoch: 0)
            #expect(try await f.ask(&session, 5, start: period.start) == "exhausted")
            // Ten minutes before its beginning the next period may be asked for; what was admitted in the one before belongs to that.
            f.clock.advance(milliseconds: end - f.clock.nowMilliseconds() - 600_000)
            #expect(try await f.ask(&session, 6, needed: 5, wanted: 5, start: end) == "5")
            #expect(try await f.sums(end) == [0, 0, 5, 0])
            f.clock.advance(milliseconds: 1_200_000)
            #expect(try await f.ask(&session, 7, start: period.start) == "exhausted")
            f.clock.advance(milliseconds: 600_000)
            #expect(try await f.ask(&session, 8, start: period.start) == "noSuchAccount")
            try await f.budgets.delete(changed.id, at: changed.revision, by: .system("test"))
            #expect(try await f.ask(&session, 9, start: end) == "noSuchAccount")
            // What is spent of it all the same is known.
            _ = try await f.service.report(&session, [report(slice, spent: 6, .closed)], completeEpoch: 0)
            #expect(try await f.sums(period.start)[0] == 6)
        }
    }

    @Test("a soft budget gives on and tells; each threshold is told once", arguments: TestDatabases.all)
    func soft(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database) { $0.kind = .soft }
            var session = try await f.hello(try await f.plane()).session
            let slice = try await f.slice(&session, 1, 20)
            for spent: Int64 in [7, 8, 9, 10, 11, 12] {
                _ = try await f.service.report(&session, [report(slice, spent: spent)], completeEpoch: 0)
            }
            let events = try await database.read(as: .all) { c in
                try SpendEventsTable.list(c, since: 0, kind: nil, after: nil, limit: 100).map(\.kind)
            }
            #expect(events.sorted() == ["budget_exceeded", "budget_exhausted", "budget_near"])
            #expect(try await f.sums() == [12, 0, 8, -10])
        }
    }

    @Test("data planes hear of a budget's next period before it begins", arguments: TestDatabases.all)
    func rolling(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database) { $0.period = .monthly }
            let id = f.budget.id
            let periods = BudgetPeriodService(f.domain)
            try await periods.roll()
            let made = try await f.budgets.get(id, as: .all)
            #expect(made.change == f.budget.change)
            let end = try #require(made.content.period(at: f.clock.nowMilliseconds()).end)
            f.clock.advance(milliseconds: end - f.clock.nowMilliseconds() - 1)
            try await periods.roll()
            #expect(try await f.budgets.get(id, as: .all).change == made.change)
            f.clock.advance(milliseconds: 1)
            for _ in 0..<2 { try await periods.roll() }
            let rolled = try await f.budgets.get(id, as: .all)
            #expect(rolled.change > made.change && rolled.revision == made.revision)
        }
    }

    /// A DID of the tenant, a key, and grants of the one to the other.
    private struct Granting {
        let signer = Curve25519.Signing.PrivateKey()
        let did: Entity<DIDContent>
        let key: KeyID
        let dids: NounService<DIDContent>

        init(_ f: Fixture) async throws {
            let project = try await NounService<ProjectContent>(f.domain).create(
                ProjectContent {
                    $0.tenantID = f.tenant
                    $0.name = "p"
                }, by: .system("test"))
            key = try await VirtualKeyService(f.domain).create(
                VirtualKeyContent {
                    $0.projectID = project.id
                    $0.name = "k"
                }, by: .system("test")
            ).key.id
            dids = .dids(f.domain)
            let text = Self.issuer(signer)
            did = try await dids.create(
                DIDContent {
                    $0.tenantID = f.tenant
                    $0.did = text
                }, by: .system("test"))
        }

        private static func issuer(_ signer: Curve25519.Signing.PrivateKey) -> String {
            let x = Base64URL.encode(Array(signer.publicKey.rawRepresentation))
            return "did:jwk:" + Base64URL.encode(Array(#"{"kty":"OKP","crv":"Ed25519","x":"\#(x)"}"#.utf8))
        }

        func grant(_ amount: String, id: String = "grant-0001", key other: KeyID? = nil, by another: Curve25519.Signing.PrivateKey? = nil)
            throws
            -> String
        {
            let claims =
                #"{"iss":"\#(Self.issuer(another ?? signer))","sub":"\#((other ?? key).rawValue)","jti":"\#(id)","exp":1800003600,"#
                + #""amount":"\#(amount)"}"#
            let header = Base64URL.encode(Array(#"{"alg":"EdDSA","typ":"weir-grant+jwt"}"#.utf8))
            let signed = header + "." + Base64URL.encode(Array(claims.utf8))
            return signed + "." + Base64URL.encode(Array(try (another ?? signer).signature(for: Array(signed.utf8))))
        }
    }

    @Test("a grant's amount is one account, wherever its requests are sent, and nobody else's", arguments: TestDatabases.all)
    func grants(kind: TestDatabase) async throws {
        try await kind.with { database in
            let f = try await Fixture(database)
            let g = try await Granting(f)
            var a = try await f.hello(try await f.plane()).session
            var b = try await f.hello(try await f.plane()).session
            let text = try g.grant("0.000000010")
            let name = try Grant(text, nowMilliseconds: f.clock.nowMilliseconds()).budgetID
            let account = try #require(AccountKey(name, periodStart: 0))
            func ask(_ session: inout LeaseSession, _ id: UInt64, _ amount: Int64, _ grant: String) async throws -> String {
                switch try await f.service.ask(
                    &session, LeaseAsk(id: id, account: account, needed: amount, wanted: amount), grant: grant)
                {
                case .granted(let slice): "\(slice.granted)"
                case .refused(let reason, _): "\(reason)"
                }
            }
            #expect(try await ask(&a, 1, 7, "") == "noSuchAccount")
            #expect(try await ask(&a, 2, 7, text) == "7")
            #expect(try await ask(&b, 1, 4, text) == "held")
            #expect(try await ask(&b, 2, 3, text) == "3")
            // The same id with more in it is the same grant.
            #expect(try await ask(&b, 3, 1, try g.grant("5")) == "held")
            // Another's key, another grant's account, somebody else's signature.
            #expect(try await ask(&b, 4, 1, try g.grant("5", key: KeyID.random())) == "noSuchAccount")
            #expect(try await ask(&b, 5, 1, try g.grant("5", id: "grant-0002")) == "noSuchAccount")
            #expect(try await ask(&b, 6, 1, try g.grant("5", by: Curve25519.Signing.PrivateKey())) == "noSuchAccount")
            _ = try await NounService<RevokedGrantContent>.revokedGrants(f.domain).create(
                RevokedGrantContent {
                    $0.didID = g.did.id
                    $0.grantID = "grant-0001"
                }, by: .system("test"))
            #expect(try await ask(&b, 7, 1, text) == "noSuchAccount")
        }
    }
}
