import Leases
import Primitives
import Testing

@Suite("An account of which slices are leased")
struct LeaseAccountTests {
    static let key = AccountKey(high: 1, low: 2, periodStart: 0)
    static let holder = LeaseHolder(dataPlane: "dp_a", boot: "b1")

    private func lend(_ account: inout LeaseAccount, _ needed: Int64, wanted: Int64, holders: Int = 1) throws -> LeasedSlice {
        var generator = SystemRandomNumberGenerator()
        return try account.grant(
            LeaseAsk(id: 1, account: Self.key, needed: needed, wanted: wanted), as: .random(using: &generator), to: Self.holder,
            holders: holders, epoch: 1, periodEnd: nil, nowMilliseconds: 0)
    }

    private func report(_ slice: LeasedSlice, spent: Int64, unknown: Int64 = 0, ceiling: Int64? = nil, _ state: SliceReport.State = .open)
        -> SliceReport
    {
        SliceReport(
            slice: slice.id, account: slice.account, boot: slice.boot, granted: slice.granted, ceiling: ceiling ?? slice.granted,
            spent: spent, unknown: unknown, state: state, expires: slice.expires, epoch: slice.epoch)
    }

    @Test func takesBackWhatAClosedSliceDidNotSpend() throws {
        var account = LeaseAccount(limit: 100)
        var slice = try lend(&account, 10, wanted: 100)
        #expect(slice.granted == 50 && account.free == 50)
        #expect(account.take(report(slice, spent: 7, unknown: 2), of: &slice, from: Self.holder).isEmpty)
        #expect(account.settled == 7 && account.unknown == 2 && account.leased == 41)
        _ = account.take(report(slice, spent: 7, unknown: 2, .closed), of: &slice, from: Self.holder)
        #expect(account.free == 91 && account.leased == 0)
        account.resolveUnknown(of: &slice, charging: 1)
        #expect(account.free == 92 && account.settled == 8 && account.unknown == 0)
    }

    @Test func neverGivesMoreThanIsFree() throws {
        var account = LeaseAccount(limit: 10)
        #expect(try lend(&account, 6, wanted: 6).granted == 6)
        #expect(throws: LeaseRefusal.held) { try lend(&account, 5, wanted: 5) }
        #expect(throws: LeaseRefusal.exhausted) { try lend(&account, 11, wanted: 11) }
        account.setLimit(3)
        #expect(account.free == -3)
        #expect(throws: LeaseRefusal.exhausted) { try lend(&account, 4, wanted: 4) }
    }

    @Test func believesNoReportThatWouldMakeMoney() throws {
        var account = LeaseAccount(limit: 100)
        var slice = try lend(&account, 20, wanted: 20)
        #expect(account.take(report(slice, spent: .max, unknown: .max), of: &slice, from: Self.holder).contains(.aboveGranted))
        #expect(account.settled == 20 && account.unknown == 0 && account.free == 80)
        #expect(account.take(report(slice, spent: .min, unknown: -5, ceiling: .min), of: &slice, from: Self.holder).contains(.wentBack))
        #expect(account.settled == 20 && account.free == 80)
        let stranger = LeaseHolder(dataPlane: "dp_b", boot: "b1")
        #expect(account.take(report(slice, spent: 0, .closed), of: &slice, from: stranger) == .notTheirs)
    }

    @Test func countsWhatIsSpentAfterItWasWrittenOff() throws {
        var account = LeaseAccount(limit: 100)
        var slice = try lend(&account, 20, wanted: 20)
        let later = LeaseHolder(dataPlane: "dp_a", boot: "b2")
        _ = account.take(report(slice, spent: 0, .orphaned), of: &slice, from: later)
        #expect(slice.state == .orphaned && account.leased == 20)
        account.writeOff(&slice, charging: 3)
        #expect(account.free == 97 && account.settled == 3)
        // It was alive after all.
        #expect(account.take(report(slice, spent: 5), of: &slice, from: Self.holder) == .afterTheEnd)
        #expect(account.free == 92)
    }

    @Test func namesSlicesAndAccountsAsText() throws {
        let slice = try #require(SliceID(rawValue: 0x1f))
        #expect(slice.text == "slc_000000000000001f" && SliceID(text: slice.text) == slice)
        #expect(SliceID(0) == nil && SliceID(1 << 63) == nil && SliceID(text: "slc_+00000000000001f") == nil)
        let budget = BudgetID.random()
        #expect(AccountKey(budget, periodStart: 5)?.budget == budget)
        #expect(AccountKey(BudgetID("bgt_"), periodStart: 5) == nil)
    }
}
