import ArgumentParser
import Dispatch
import Foundation
import Primitives

/// What a command showed at one moment.
struct Look: Sendable {
    /// One thing of it: what identifies it, what is shown of it, and what of that is news when it is another.
    struct Line: Sendable, Hashable {
        let key: String
        let text: String
        let news: String
        let json: String
    }

    let screen: String
    let lines: [Line]

    init(screen: String, lines: [Line]) {
        self.screen = screen
        self.lines = lines
    }

    /// A list's.
    init(_ columns: [Column], _ items: [JSONValue], _ rendering: Rendering) {
        screen = items.isEmpty ? "Nothing there." : Table.render(columns, items, rendering)
        lines = items.enumerated().map { index, item in
            let news = columns.filter(\.tellsNews).map { $0.text(of: item, rendering) }.joined(separator: "  ")
            return Line(
                key: item.string("id") ?? Self.key(item) ?? String(index), text: news, news: news, json: item.text)
        }
    }

    /// Of what has no id of its own: the ids in it.
    private static func key(_ item: JSONValue) -> String? {
        let ids = (item.objectValue?.members ?? []).filter { $0.name.hasSuffix("_id") || $0.name == "version" }.map(\.value.plain)
        return ids.isEmpty ? nil : ids.joined(separator: " ")
    }
}

/// Looks again and again. At a terminal the screen is drawn anew in its place; elsewhere each change is a line. A control plane that is away
/// is waited for.
struct Watcher<C: Clock<Duration>>: Sendable {
    let clock: C
    let wallClock: any WallClock
    let period: Duration
    let isTerminal: Bool
    var asJSON = false
    let write: @Sendable (String) -> Void

    /// - Parameter rounds: How often at most; nil: until the task is cancelled.
    /// - Throws: A `Failure` that will not pass.
    func run(rounds: Int? = nil, _ look: () async throws -> Look) async throws {
        var before: [String: Look.Line]?
        var screen = ""
        var away = false
        var round = 0
        if isTerminal { write(Self.hideCursor + Self.clear) }
        defer { if isTerminal { write("\n" + Self.showCursor) } }
        while !Task.isCancelled {
            do {
                let seen = try await look()
                if isTerminal {
                    screen = seen.screen
                    draw(screen, "")
                } else {
                    if away { say("the control plane is back") }
                    tell(seen, before)
                    before = Dictionary(seen.lines.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
                }
                away = false
            } catch let failure as Failure where failure.mayPass {
                if Task.isCancelled { break }
                let words = failure.message(json: false).split(separator: "\n").first.map(String.init) ?? ""
                if isTerminal { draw(screen, "\(time) \(words); trying again") } else if !away { say(words) }
                away = true
            } catch is CancellationError {
                break
            }
            round += 1
            if let rounds, round >= rounds { break }
            do { try await clock.sleep(for: period) } catch { break }
        }
    }

    private static var hideCursor: String { "\u{1B}[?25l" }
    private static var showCursor: String { "\u{1B}[?25h" }
    private static var clear: String { "\u{1B}[2J" }

    private var time: String { RFC3339.string(milliseconds: wallClock.nowMilliseconds() / 1000 * 1000) }

    /// From the top left corner, each line to its end, nothing below.
    private func draw(_ screen: String, _ note: String) {
        var lines = screen.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if let height = Terminal.height, lines.count > height - 2 { lines = lines.prefix(max(1, height - 3)) + ["…"] }
        lines += ["", note.isEmpty ? "\(time)  Ctrl-C ends." : note]
        write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
    }

    private func tell(_ seen: Look, _ before: [String: Look.Line]?) {
        for line in seen.lines {
            let old = before?[line.key]
            guard old?.news != line.news else { continue }
            if asJSON { write(line.json + "\n") } else { say(before == nil ? line.text : (old == nil ? "new: " : "now: ") + line.text) }
        }
        let keys = Set(seen.lines.map(\.key))
        for (key, line) in (before ?? [:]).sorted(by: { $0.key < $1.key }) where !keys.contains(key) && !asJSON {
            say("gone: \(line.text)")
        }
    }

    private func say(_ text: String) { if !asJSON { write("\(time)  \(text)\n") } }
}

struct WatchOptions: ParsableArguments {
    @Flag(help: "Look again and again until Ctrl-C: at a terminal in place, elsewhere a line for each change (-o json: as JSON).")
    var watch = false

    @Option(help: ArgumentHelp("With --watch: how long between two looks. (default: 2)", valueName: "seconds"))
    var interval: Int?

    /// - Parameter format: A table, or JSON lines.
    func run(_ format: OutputFormat, _ look: @escaping @Sendable () async throws -> Look) async throws {
        guard [.table, .json].contains(format) else { throw Failure.usage("--watch prints a table, or lines with -o json") }
        guard (1...3600).contains(interval ?? 2) else { throw Failure.usage("--interval is from 1 to 3600 seconds") }
        let watcher = Watcher(
            clock: ContinuousClock(), wallClock: SystemClock(), period: .seconds(interval ?? 2),
            isTerminal: Terminal.width != nil && format == .table, asJSON: format == .json
        ) { text in
            FileHandle.standardOutput.write(Data(text.utf8))
        }
        try await untilInterrupted { try await watcher.run(look) }
    }
}

/// Runs until it ends by itself or somebody presses Ctrl-C, which is how it is meant to end.
private func untilInterrupted(_ work: @escaping @Sendable () async throws -> Void) async throws {
    let task = Task { try await work() }
    // Reading on where the other end of a pipe has gone is no use, either: SIGPIPE ends it by default.
    signal(SIGINT, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    source.setEventHandler { task.cancel() }
    source.resume()
    defer { source.cancel() }
    try await task.value
}
