import Foundation
import Logging
import Primitives
import Telemetry
import Testing

@Suite("The log's writer")
struct LogWriterTests {
    private struct Pipe {
        let reading: Int32
        let writing: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            reading = ends[0]
            writing = ends[1]
        }

        /// What arrives until it is enough: the lines written, and how many others were said to be lost.
        func read(until isEnough: (_ lines: Int, _ lost: Int64, _ last: String) -> Bool) throws -> (lines: Int, lost: Int64) {
            var rest: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 65_536)
            var lines = 0
            var lost: Int64 = 0
            while true {
                let count = Foundation.read(reading, &chunk, chunk.count)
                try #require(count > 0)
                rest += chunk[..<count]
                while let end = rest.firstIndex(of: 10) {
                    let line = String(decoding: rest[..<end], as: UTF8.self)
                    rest.removeSubrange(...end)
                    let parsed = try JSONValue(parsing: line)
                    if let dropped = parsed["dropped"]?.intValue { lost += dropped } else { lines += 1 }
                    if isEnough(lines, lost, line) { return (lines, lost) }
                }
            }
        }
    }

    @Test("a pipe that nobody reads stops nobody, and what was lost is counted and told once there is room", .timeLimit(.minutes(10)))
    func unreadPipe() throws {
        let pipe = try Pipe()
        let writer = LogWriter(descriptor: pipe.writing, maximumBytes: 32_768, clock: ManualClock(milliseconds: 0))
        let logger = Logger.structured("test", level: .info, sink: writer)
        // The kernel takes 64 KiB; 32 KiB wait in memory and as much may be in the writer's hands. These are about 1 MB.
        for number in 0..<10_000 {
            logger.warning("a request failed", metadata: ["number": "\(number)", "secret": .redacted(Secret("sk-1"))])
        }
        let dropped = writer.dropped
        #expect(dropped > 5000)
        #expect(!writer.flush(milliseconds: 10), "nobody has read what waits")

        let told = try pipe.read { lines, lost, _ in lines + Int(lost) >= 10_000 }
        #expect(told.lost == Int64(dropped), "each line was written, or counted and told of")
        #expect(writer.flush(milliseconds: 10_000))

        logger.info("here again")
        #expect(try pipe.read { _, _, line in line.contains("here again") }.lines == 1)
        #expect(writer.dropped == dropped)
    }

    @Test("a pipe that was closed loses lines and nothing else", .timeLimit(.minutes(10)))
    func closedPipe() throws {
        signal(SIGPIPE, SIG_IGN)
        let pipe = try Pipe()
        close(pipe.reading)
        let writer = LogWriter(descriptor: pipe.writing)
        writer.write("lost\n")
        #expect(writer.flush(milliseconds: 10_000))
        #expect(writer.dropped == 1)
    }
}

@Suite("What a process says of itself")
struct ProcessMetricsTests {
    @Test("its version, its memory, its descriptors, its age and the log lines it lost")
    func families() throws {
        var out = PrometheusText()
        ProcessMetrics.write(component: "weir-test", log: LogWriter(descriptor: -1), to: &out)
        let lines = out.text.split(separator: "\n")
        #expect(lines.contains("weir_build_info{component=\"weir-test\",version=\"\(weirVersion)\"} 1"))
        #expect(lines.contains("weir_log_dropped_total 0"))
        func value(_ name: String) -> Double {
            lines.first { $0.hasPrefix("\(name) ") }.flatMap { Double($0.dropFirst(name.count + 1)) } ?? 0
        }
        #expect(value("process_resident_memory_bytes") > 1_048_576)
        #expect(value("process_open_fds") >= 3)
        #expect(value("process_max_fds") >= value("process_open_fds"))
        let age = Double(SystemClock().nowMilliseconds()) / 1000 - value("process_start_time_seconds")
        #expect(age > -2 && age < 86_400)
    }
}
