import Contract
import Foundation
import Leases
import Primitives
import Testing

@testable import Proxy

@Suite("Slices on a data plane's disk")
struct LeaseStoreTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("weir-lease-" + Hex.encode(SecureRandom.bytes(8)))
    private static let account = AccountKey(high: 1, low: 2, periodStart: 0)

    private func open(_ path: String) throws -> (local: LocalStore, leases: LeaseStore) {
        let local = try LocalStore(directory: path)
        return (local, try LeaseStore(store: local))
    }

    private func slice(_ id: Int64, _ leases: LeaseStore, _ granted: Int64 = 1000) throws -> HeldSlice {
        HeldSlice(
            SliceReport(
                slice: try #require(SliceID(rawValue: id)), account: Self.account, boot: leases.boot, granted: granted, ceiling: granted,
                spent: 0, unknown: 0, state: .open, expires: .max, epoch: 1))
    }

    /// A record of a request that held `held` of slice 1.
    private func fold(
        _ local: LocalStore, _ leases: LeaseStore, held: Int64, extended: Int64 = 0, cost: Int64 = 0, unheard: Int64 = 0, likely: Int64 = 0,
        charges: (spent: Int64, unknown: Int64)?
    ) throws {
        let record = UsageEncoder.fields { encoder in
            encoder.field(.requestID, high: 1, low: 2)
            encoder.amount(.holds, slice: 1, held, unknown: unheard)
            encoder.field(.likelyCostNano, likely)
            if extended > 0 { encoder.amount(.extensions, slice: 1, extended) }
            encoder.field(.costNano, cost)
            if let charges { encoder.amount(.charges, slice: 1, charges.spent, unknown: charges.unknown) }
        }
        var buffer = RecordBuffer()
        record.withUnsafeBytes { buffer.append(RequestID(high: 1, low: 2), $0, UnsafeRawBufferPointer(start: nil, count: 0)) }
        try local.write { db in try leases.fold(FoldedRecords(buffer: buffer, notes: []), in: db) }
    }

    private func row(_ leases: LeaseStore) throws -> SliceReport { try #require(try leases.reports(.all).reports.first) }

    @Test func spendsWhatRecordsSay() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let (local, leases) = try open(folder.path)
        defer { local.close() }
        #expect(try leases.judge() == 0)
        #expect(try leases.add(try slice(1, leases), unit: Weir_V1_BudgetUnit.nanoDollars.rawValue) != nil)
        #expect(try leases.add(try slice(1, leases), unit: 1) == nil, "a grant that comes twice is one")
        try fold(local, leases, held: 100, charges: (40, 0))
        try fold(local, leases, held: 100, charges: (10, 90))
        #expect(try row(leases).spent == 50 && row(leases).unknown == 90)
        // The process died in the middle: what it cost is spent, the rest of what it held is not known.
        try fold(local, leases, held: 100, extended: 50, cost: 120, charges: nil)
        #expect(try row(leases).spent == 170 && row(leases).unknown == 120)
        // Of a budget that counts what is likely: what a stream was found to have likely come to, and before anything of it came a little.
        try fold(local, leases, held: 100, extended: 50, cost: 20, unheard: 30, charges: nil)
        #expect(try row(leases).spent == 190 && row(leases).unknown == 130)
        try fold(local, leases, held: 100, extended: 50, cost: 20, unheard: 30, likely: 90, charges: nil)
        #expect(try row(leases).spent == 210 && row(leases).unknown == 200)
        // One that may have come to anything holds all the same everything.
        try fold(local, leases, held: 100, extended: 50, cost: 20, unheard: 30, likely: .max, charges: nil)
        #expect(try row(leases).spent == 230 && row(leases).unknown == 330)
        // No budget that counts the worst is helped by what was found.
        try fold(local, leases, held: 10, cost: 10, likely: 5, charges: nil)
        #expect(try row(leases).spent == 240 && row(leases).unknown == 330)
        // It closes when memory knows of nothing more, and stays closed.
        let id = try #require(SliceID(rawValue: 1))
        #expect(try leases.apply([.closing(id, spent: 241, unknown: 330)]).isEmpty)
        #expect(try leases.apply([.lowered(id, ceiling: 600)]).isEmpty && row(leases).ceiling == 600)
        #expect(try leases.apply([.closing(id, spent: 240, unknown: 330)]).count == 1)
        #expect(try row(leases).state == .closed && row(leases).ceiling == 570)
        let (reports, step) = try leases.reports(.changed)
        #expect(reports.count == 1)
        try leases.told([id], through: step, nowMilliseconds: 0)
        #expect(try leases.reports(.held).reports.isEmpty && leases.reports(.all).reports.count == 1)
    }

    @Test func goesOnOnlyWhereMemoryProvesIt() throws {
        let copy = folder.path + "-copy"
        defer {
            try? FileManager.default.removeItem(at: folder)
            try? FileManager.default.removeItem(atPath: copy)
        }
        var (local, leases) = try open(folder.path)
        _ = try leases.judge()
        _ = try leases.add(try slice(1, leases), unit: 1)
        let boot = leases.boot
        local.close()
        // A copy of the folder is another folder.
        try FileManager.default.copyItem(atPath: folder.path, toPath: copy)
        (local, leases) = try open(copy)
        #expect(try leases.judge() == 1 && leases.boot != boot && leases.previousBoot == boot)
        #expect(try row(leases).state == .orphaned && leases.open().isEmpty)
        local.close()
        // The same folder after a kill.
        (local, leases) = try open(folder.path)
        #expect(try leases.judge() == 0 && leases.boot == boot && leases.open().count == 1)
        // Something is written down that is not folded when its disk is put back.
        leases.wroteDown(1)
        local.close()
        (local, leases) = try open(folder.path)
        #expect(try leases.judge() == 1 && leases.boot != boot)
        local.close()
        (local, leases) = try open(folder.path)
        #expect(try leases.judge() == 0)
        try fold(local, leases, held: 1, charges: (1, 0))
        local.close()
        (local, leases) = try open(folder.path)
        #expect(try leases.judge() == 0)
        local.close()
    }
}
