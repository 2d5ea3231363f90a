import Foundation
import Primitives
import Synchronization
import Testing

@testable import weir

@Suite("The weir command line: watching")
struct WatchTests {
    /// A clock whose sleep is over at once, and counted.
    private final class Sleepless: Clock, Sendable {
        typealias Instant = ContinuousClock.Instant
        typealias Duration = Swift.Duration
        let slept = Mutex<[Swift.Duration]>([])
        var now: Instant { ContinuousClock.now }
        var minimumResolution: Swift.Duration { .zero }
        func sleep(until deadline: Instant, tolerance: Swift.Duration?) async throws {
            try Task.checkCancellation()
            slept.withLock { $0.append(.zero) }
        }
    }

    private final class Output: Sendable {
        let pieces = Mutex<[String]>([])
        var text: String { pieces.withLock { $0.joined() } }
        func write(_ text: String) { pieces.withLock { $0.append(text) } }
    }

    private static func watcher(_ output: Output, _ clock: Sleepless, isTerminal: Bool, asJSON: Bool = false) -> Watcher<Sleepless> {
        Watcher(
            clock: clock, wallClock: ManualClock(milliseconds: 1_800_000_000_000), period: .seconds(2), isTerminal: isTerminal,
            asJSON: asJSON
        ) { output.write($0) }
    }

    private static func look(_ lines: [(String, String)]) -> Look {
        Look(
            screen: lines.map { "\($0.0) \($0.1)" }.joined(separator: "\n"),
            lines: lines.map { .init(key: $0.0, text: "\($0.0)  \($0.1)", news: $0.1, json: #"{"id":"\#($0.0)"}"#) })
    }

    @Test("elsewhere than at a terminal each change is one line, and a control plane that was away is waited for")
    func lines() async throws {
        let (output, clock) = (Output(), Sleepless())
        let round = Mutex(0)
        try await Self.watcher(output, clock, isTerminal: false).run(rounds: 6) {
            switch round.withLock({
                $0 += 1; return $0
            }) {
            case 1: return Self.look([("a", "ok"), ("b", "ok")])
            case 2: return Self.look([("a", "ok"), ("b", "failing")])
            case 3, 4: throw Failure.unreachable("cannot reach it")
            case 5: return Self.look([("b", "failing"), ("c", "ok")])
            default: return Self.look([("b", "failing"), ("c", "ok")])
            }
        }
        let time = "2027-01-15T08:00:00Z  "
        #expect(
            output.text.split(separator: "\n").map(String.init) == [
                "\(time)a  ok", "\(time)b  ok", "\(time)now: b  failing", "\(time)error: cannot reach it",
                "\(time)the control plane is back", "\(time)new: c  ok", "\(time)gone: a  ok",
            ])
        #expect(clock.slept.withLock(\.count) == 5)
    }

    @Test("at a terminal the screen is drawn in its place, the cursor comes back, and what stood there stays while nobody answers")
    func screen() async throws {
        let (output, clock) = (Output(), Sleepless())
        let round = Mutex(0)
        try await Self.watcher(output, clock, isTerminal: true).run(rounds: 2) {
            if round.withLock({
                $0 += 1; return $0
            }) == 2 {
                throw Failure.refused(status: 503, problem: ["title": "away"], text: "")
            }
            return Self.look([("a", "ok")])
        }
        let text = output.text
        #expect(text.hasPrefix("\u{1B}[?25l\u{1B}[2J") && text.hasSuffix("\u{1B}[?25h"))
        #expect(text.components(separatedBy: "\u{1B}[H").count == 3)
        #expect(text.components(separatedBy: "a ok").count == 3 && text.contains("away (503); trying again"))
    }

    @Test("it ends with what will not pass, and at once when it is told to")
    func ends() async throws {
        let (output, clock) = (Output(), Sleepless())
        await #expect(throws: Failure.self) {
            try await Self.watcher(output, clock, isTerminal: true).run {
                throw Failure.refused(status: 401, problem: nil, text: "")
            }
        }
        #expect(output.text.hasSuffix("\u{1B}[?25h"))
        let task = Task {
            try await Self.watcher(output, clock, isTerminal: false).run {
                withUnsafeCurrentTask { $0?.cancel() }
                return Self.look([("a", "ok")])
            }
        }
        try await task.value
    }

    @Test("as JSON each change is the thing itself on a line")
    func json() async throws {
        let (output, clock) = (Output(), Sleepless())
        try await Self.watcher(output, clock, isTerminal: false, asJSON: true).run(rounds: 2) { Self.look([("a", "ok")]) }
        #expect(output.text == "{\"id\":\"a\"}\n")
    }

    @Test("that time has passed and counters have risen is no news")
    func news() {
        let columns: [Column] = [.id, Column("STATE", "state"), Column("SEEN", "seen", .time), Column("N", "n", .count)]
        func line(_ n: Int64, _ seen: String) -> Look.Line? {
            Look(columns, [["id": "a", "state": "ok", "seen": .string(seen), "n": .int(n)]], Rendering()).lines.first
        }
        #expect(line(1, "2027-01-15T08:00:00Z")?.news == line(2, "2027-01-15T09:00:00Z")?.news)
    }
}
