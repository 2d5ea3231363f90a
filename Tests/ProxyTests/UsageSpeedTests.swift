import Contract
import Foundation
import GRDB
import Logging
import Primitives
import Proxy
import Testing

/// `WEIR_USAGE_SPEED=1 swift test -c release --filter UsageSpeedTests` prints what a request costs the journal and how fast it is folded,
/// in the temporary directory (`TMPDIR`).
@Suite(.enabled(if: ProcessInfo.processInfo.environment["WEIR_USAGE_SPEED"] != nil), .serialized) struct UsageSpeedTests {
    @Test(arguments: [1, 16, 64]) func requestsAreJournaledAndFolded(perTick: Int) throws {
        let requests = 200_000
        let directory = try UsageDirectory()
        let store = try LocalStore(directory: directory.path)
        defer { store.close() }
        let pipeline = try UsagePipeline(
            store: store, journalDirectory: directory.path + "/journal", settings: JournalSettings(), loops: 1,
            logger: Logger(label: "speed"), estimateInterrupted: { _ in [] })
        let journal = try pipeline.journal(loop: 0) { $0() }
        let (intent, completion) = Self.records()
        var random = SeededGenerator(seed: 1)
        var previous: [RequestID] = []
        var spent = Int64(0)
        for tick in 0..<requests / perTick {
            let ids = (0..<perTick).map { _ in RequestID.random(using: &random) }
            let start = MonotonicClock.nowMicroseconds()
            for id in ids { try intent.withUnsafeBytes { try journal.intent(id, $0) } }
            for id in previous { completion.withUnsafeBytes { journal.completion(id, $0) } }
            try journal.flush()
            spent += MonotonicClock.nowMicroseconds() - start
            previous = ids
            if tick % 500 == 0 { pipeline.keeper.step() }
        }
        for id in previous { completion.withUnsafeBytes { journal.completion(id, $0) } }
        journal.close()
        let start = MonotonicClock.nowMicroseconds()
        var records = 0
        var outcome = FoldOutcome()
        repeat {
            outcome = try pipeline.folder.foldOnce()
            records += outcome.records
        } while !outcome.isDrained
        let folding = MonotonicClock.nowMicroseconds() - start
        #expect(records == requests / perTick * perTick)
        let each = String(format: "%.2f", Double(spent) / Double(requests))
        print("\(perTick) a tick: \(each) us a request, \(Int64(records) * 1_000_000 / max(1, folding)) records folded a second")
    }

    /// Of a usual size: 158 and 135 bytes.
    private static func records() -> (intent: [UInt8], completion: [UInt8]) {
        let text = [UInt8]("ten_abcdefghijklmnop".utf8)
        var intent = UsageEncoder()
        intent.field(.requestID, high: 1, low: 2)
        for field in [UsageField.tenantID, .projectID, .keyID, .model, .routeID] { intent.field(field, text) }
        intent.field(.admittedAtUs, Int64(1_700_000_000_000_000))
        intent.field(.requestBytes, Int64(2000))
        intent.field(.traceID, high: 3, low: 4)
        var completion = UsageEncoder()
        completion.always(.status, 1)
        for field in [UsageField.endpointID, .providerID, .credentialID, .priceID] { completion.field(field, text) }
        let numbers: [UsageField] = [
            .httpStatus, .upstreamStatus, .inputTokens, .outputTokens, .costNano, .latencyUs, .timeToFirstByteUs, .responseBytes,
        ]
        for field in numbers { completion.always(field, 123_456) }
        return (intent.buffer, completion.buffer)
    }
}
