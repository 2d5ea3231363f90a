import Contract
import Domain
import Foundation
import Logging
import Nouns
import Primitives
import Storage
import Testing

@testable import Proxy

/// Requests that a data plane refuses, in the control plane's audit trail.
@Suite("Refused requests across both planes", .timeLimit(.minutes(10)), .serialized)
struct RefusalsAcrossPlanesTests {
    @Test("are told of, each once, with whose they were; of nobody's it is said that there were some", arguments: TestDatabases.all)
    func told(database: TestDatabase) async throws {
        try await database.with { (database) async throws -> Void in
            let control = try await RunningControl.start(database)
            try await control.release(model: "m", url: "http://127.0.0.1:9/v1")
            let project = try await control.project()
            let key = try await control.key(project)
            let folder = DataFolder()
            let plane = try await RunningDataPlane.start(folder.path, token: try await control.token())
            #expect(await plane.snapshot { $0.isServing && !$0.configs.isEmpty && $0.directory.lookup(key.id) != nil } != nil)
            for _ in 0..<7 { #expect(try await plane.chat(key: key.text, model: "no-such-model").status == 404) }
            for _ in 0..<3 { #expect(try await plane.chat(key: "weir_nothing", model: "m").status == 401) }
            func rows() async throws -> [RequestRefusalRow] {
                try await database.read { try RequestRefusalsTable.list($0, RequestRefusalFilter(), after: nil, limit: 100) }
            }
            func number(_ rows: [RequestRefusalRow]) -> Int64 { rows.reduce(0) { $0 + 1 + $1.repeated } }
            let deadline = MonotonicClock.nowMicroseconds() + 120_000_000
            while number(try await rows()) < 10, MonotonicClock.nowMicroseconds() < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
            let found = try await rows()
            let own = found.filter { $0.keyID == key.id.rawValue }
            #expect(number(own) == 7 && own.allSatisfy { $0.errorCode == "model_not_found" && $0.httpStatus == 404 })
            #expect(own.allSatisfy { $0.projectID == project.rawValue && $0.tenantID.hasPrefix("ten_") })
            let nobodys = found.filter { $0.tenantID.isEmpty }
            #expect(number(nobodys) == 3 && nobodys.allSatisfy { $0.errorCode == "invalid_api_key" && $0.keyID.isEmpty })
            await plane.stop()
            await control.stop()
        }
    }

    @Test("are bounded where they are made, and none is lost without being counted")
    func bounded() {
        let refusals = RequestRefusals()
        func refuse(_ code: StaticString, _ times: Int) {
            for number in 0..<times {
                refusals.note(
                    principal: nil, channel: "", model: "", RequestID(high: 1, low: UInt64(number)), .forbidden(code, ""), address: "",
                    atMilliseconds: 1)
            }
        }
        refuse("one", 1000)
        for code in ["a", "b", "c", "d", "e", "f", "g", "h"] as [StaticString] { refuse(code, 5) }
        let told = refusals.told()
        #expect(told.count == RequestRefusals.maximum + 1)
        #expect(told.reduce(0) { $0 + 1 + $1.repeated } == 1040 && told.last?.code == "unrecorded")
        #expect(told.count { $0.code == "one" } == RequestRefusals.maximumOfOne)
        // Told until it was in several reports, then no more; until then it waits, and what comes beside it is counted.
        for _ in 0..<100 { refuse("more", 5) }
        for _ in 0..<20 {
            refuse("more", 5)
            _ = refusals.told()
        }
        let waiting = refusals.told()
        #expect(waiting.count <= RequestRefusals.maximumUntold + 1 && waiting.reduce(0) { $0 + 1 + $1.repeated } == 1040 + 600)
        for _ in 0..<RequestRefusals.reports {
            #expect(refusals.told().count == waiting.count)
            refusals.sent()
        }
        #expect(refusals.told().isEmpty)
    }

    @Test("that were not told yet are told by the next process")
    func restored() async throws {
        let folder = DataFolder()
        let store = try LocalStore(directory: folder.path)
        let (refusals, number) = (RequestRefusals(), 7)
        let kept = RefusalStore(store: store, refusals: refusals, logger: Logger(label: "test"))
        #expect(refusals.told().isEmpty)
        for number in 0..<number {
            refusals.note(
                principal: nil, channel: "", model: "", RequestID(high: 2, low: UInt64(number)), .forbidden("no", ""), address: "192.0.2.1",
                atMilliseconds: 1)
        }
        let told = refusals.told()
        await kept.save(told)
        let next = RequestRefusals()
        let again = RefusalStore(store: store, refusals: next, logger: Logger(label: "test"))
        #expect(next.told() == told && told.reduce(0) { $0 + 1 + $1.repeated } == number)
        for _ in 0..<RequestRefusals.reports { next.sent() }
        await again.save(next.told())
        let last = RequestRefusals()
        _ = RefusalStore(store: store, refusals: last, logger: Logger(label: "test"))
        #expect(last.told().isEmpty)
    }
}
