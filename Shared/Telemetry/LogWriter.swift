import Dispatch
import Foundation
package import Primitives
import Synchronization

/// Writes log lines from a thread of its own, so that whoever logs never waits for whoever reads: a terminal that is paused, a full disk
/// behind a redirection, a pipe that nobody empties.
///
/// Lines wait in memory up to a bound. Above it they are dropped and counted, and once there is room again one line says how many.
package final class LogWriter: LogSink {
    /// Bytes of lines that may wait, by default: some ten thousand lines, which is what a slow disk may fall behind and a stuck one costs.
    package static let defaultMaximumBytes = 4 << 20

    /// The process's own standard error. What waits when the process ends gets a second to be written.
    package static let standardError: LogWriter = {
        atexit { LogWriter.standardError.flush(milliseconds: 1000) }
        return LogWriter(descriptor: STDERR_FILENO)
    }()

    private struct State {
        var waiting: [UInt8] = []
        var waitingLines: UInt64 = 0
        var dropped: UInt64 = 0
        /// How many of `dropped` a line has told of.
        var reported: UInt64 = 0
        var isWriting = false
    }

    private let state = Mutex(State())
    private let hasWork = DispatchSemaphore(value: 0)
    private let descriptor: Int32
    private let maximumBytes: Int
    private let clock: any WallClock

    /// Starts the thread, which lives as long as the process. The descriptor is not closed.
    package init(descriptor: Int32, maximumBytes: Int = LogWriter.defaultMaximumBytes, clock: any WallClock = SystemClock()) {
        self.descriptor = descriptor
        self.maximumBytes = maximumBytes
        self.clock = clock
        let thread = Thread { [self] in writeForever() }
        thread.name = "weir-log"
        thread.stackSize = 256 << 10
        thread.start()
    }

    /// Never waits: takes a lock that is held for the time it takes to copy a line.
    package func write(_ line: String) {
        let wasEmpty = state.withLock { state -> Bool in
            guard state.waiting.count + line.utf8.count <= maximumBytes else {
                state.dropped &+= 1
                return false
            }
            defer {
                state.waiting.append(contentsOf: line.utf8)
                state.waitingLines &+= 1
            }
            return state.waiting.isEmpty
        }
        if wasEmpty { hasWork.signal() }
    }

    /// Lines that were lost: there was no room, or the descriptor took nothing.
    package var dropped: UInt64 { state.withLock { $0.dropped } }

    /// Waits until everything is written, for the end of the process.
    /// - Returns: false when the time passed first.
    @discardableResult
    package func flush(milliseconds: Int64) -> Bool {
        let deadline = MonotonicClock.nowMicroseconds() + milliseconds * 1000
        while state.withLock({ $0.isWriting || !$0.waiting.isEmpty }) {
            if MonotonicClock.nowMicroseconds() >= deadline { return false }
            usleep(1000)
        }
        return true
    }

    private func writeForever() {
        var batch: [UInt8] = []
        while true {
            hasWork.wait()
            while true {
                batch.removeAll(keepingCapacity: true)
                let lines = take(&batch)
                if batch.isEmpty { break }
                let isWritten = writeAll(batch)
                state.withLock { state in
                    state.isWriting = false
                    if !isWritten { state.dropped &+= lines }
                }
            }
        }
    }

    /// Moves what waits into `batch`. What was dropped since was dropped behind it, so that is where the line about it stands.
    private func take(_ batch: inout [UInt8]) -> UInt64 {
        let (lines, lost) = state.withLock { state -> (UInt64, UInt64) in
            swap(&state.waiting, &batch)
            defer {
                state.waitingLines = 0
                state.reported = state.dropped
                state.isWriting = !batch.isEmpty
            }
            return (state.waitingLines, batch.isEmpty ? 0 : state.dropped &- state.reported)
        }
        if lost > 0 {
            let line: JSONObject = [
                "time": .string(RFC3339.string(milliseconds: clock.nowMilliseconds())), "level": "warning", "logger": "weir-log",
                "message": "log lines were dropped: they were not read as fast as they came", "dropped": .int(Int64(clamping: lost)),
            ]
            batch.append(contentsOf: (JSONValue.object(line).text + "\n").utf8)
        }
        return lines
    }

    /// False when the descriptor is closed or takes nothing for another reason that waiting does not mend.
    private func writeAll(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty, let base = rest.baseAddress {
                let count = Foundation.write(descriptor, base, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
                } else if errno == EAGAIN {
                    // Somebody who shares the descriptor made it non-blocking.
                    var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = Foundation.poll(&poll, 1, 1000)
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }
}
