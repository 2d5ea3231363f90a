import Contract
import Leases
import Primitives
import SwiftProtobuf
import Testing

@testable import Proxy

@Suite("Budgets in the directory")
struct BudgetTableTests {
    private func entry(_ id: BudgetID, _ tenant: TenantID, _ subject: String) -> Weir_V1_BudgetEntry {
        var entry = Weir_V1_BudgetEntry()
        entry.id = id.rawValue
        entry.tenantID = tenant.rawValue
        entry.name = "monthly"
        entry.subjectID = subject
        entry.unit = .nanoDollars
        entry.periods = ([(1000, 2000), (2000, 3000)] as [(Int64, Int64)]).map { start, end in
            var period = Weir_V1_BudgetPeriod()
            period.startMs = start
            period.endMs = end
            return period
        }
        return entry
    }

    @Test func comeAndGoWithDeltas() throws {
        let (tenant, project) = (TenantID.random(), ProjectID.random())
        let (first, second) = (BudgetID.random(), BudgetID.random())
        var payload = SnapshotFixture.smallDirectory([], tenant: tenant, project: project)
        payload.budgets = [entry(first, tenant, tenant.rawValue), entry(second, tenant, "xyz_" + String(repeating: "a", count: 16))]
        let whole = try payload.serializedBytes() as [UInt8]
        let directory = try whole.withUnsafeBytes { try DirectoryReader.read($0, base: .empty, selector: nil) }
        #expect(directory.budgets.rules.count == 1, "one about what is not known here is passed over")
        let home = try #require(IDBits(tenant).flatMap { directory.tenants[$0] })
        #expect(directory.budgets.concerns(home))
        let rule = try #require(directory.budgets.rules.values.first)
        #expect(rule.account(atMilliseconds: 999) == nil && rule.account(atMilliseconds: 3000) == nil)
        #expect(rule.account(atMilliseconds: 1999)?.periodStart == 1000 && rule.account(atMilliseconds: 2000)?.periodStart == 2000)
        #expect(rule.account(atMilliseconds: 2000)?.budget == first)
        var delta = Weir_V1_DirectoryPayload()
        delta.delta = true
        delta.removedBudgetIds = [first.rawValue]
        let change = try delta.serializedBytes() as [UInt8]
        let after = try change.withUnsafeBytes { try DirectoryReader.read($0, base: directory, selector: nil) }
        #expect(after.budgets.isEmpty && !after.budgets.concerns(home))
    }
}
