package import Primitives
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One request that reached the provider.
package struct LedgerEntry: Sendable {
    package enum Outcome: String, Sendable {
        /// Not over yet.
        case pending
        /// Sent to its end, as far as the provider's kernel took it.
        case complete
        /// Cut or spoilt because the script says so.
        case cut
        /// The caller closed first.
        case abandoned
    }

    /// 1, 2, 3, … since the last reset.
    package var sequence: Int
    /// The x-request-id header that came with it; empty when none did.
    package var requestID: String
    package var operation: Operation
    package var model: String
    package var stream: Bool
    /// 0: no head was sent.
    package var status: Int
    /// What the answer stated, once the part that states it was sent; nil: nothing that can be taken at its word.
    package var usage: StatedUsage?
    package var outcome: Outcome
    /// Of a stream: pieces of text that were written, whoever read them.
    package var events = 0
    package var startedMicroseconds: Int64
    package var endedMicroseconds: Int64

    func appendJSON(to text: inout String) {
        text += #"{"sequence":\#(sequence),"request_id":"\#(requestID)","operation":"\#(operation.rawValue)","model":"\#(model)","#
        text += #""stream":\#(stream),"status":\#(status),"outcome":"\#(outcome.rawValue)","usage":"#
        if let usage {
            text += #"{"input":\#(usage.input),"output":\#(usage.output),"cached":\#(usage.cached),"#
            text += #""cache_write":\#(usage.cacheWrite),"reasoning":\#(usage.reasoning)}"#
        } else {
            text += "null"
        }
        text += #","events":\#(events),"started_us":\#(startedMicroseconds),"ended_us":\#(endedMicroseconds)}"#
    }
}

/// The truth about what the simulator served, to be compared with what a gateway recorded. Kept in memory; with a file, each entry is
/// also appended to it as one JSON line when it is over.
package final class Ledger: Sendable {
    private struct State {
        var entries: [LedgerEntry] = []
        /// Raised by a reset, so that what was begun before it writes nowhere.
        var generation = 0
    }

    /// Where an exchange finds its entry again.
    struct Ticket: Sendable {
        let index: Int
        let generation: Int
    }

    package struct Sums: Sendable, Hashable {
        package var requests = 0
        package var complete = 0
        package var stated = 0
        package var input: Int64 = 0
        package var output: Int64 = 0
        package var cached: Int64 = 0
    }

    package struct LedgerFileFailure: Error {
        package let path: String
        package let code: Int32
    }

    package let isEnabled: Bool
    private let state = Mutex(State())
    private let file: Int32?
    private let clock: any WallClock

    /// Throws ``LedgerFileFailure`` when the file cannot be opened.
    package init(enabled: Bool = true, file path: String? = nil, clock: any WallClock = SystemClock()) throws(LedgerFileFailure) {
        isEnabled = enabled
        self.clock = clock
        guard let path else {
            file = nil
            return
        }
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LedgerFileFailure(path: path, code: errno) }
        file = descriptor
    }

    deinit {
        if let file { close(file) }
    }

    func begin(requestID: String, operation: Operation, model: String, stream: Bool) -> Ticket? {
        guard isEnabled else { return nil }
        let now = clock.nowMicroseconds()
        return state.withLock { state in
            state.entries.append(
                LedgerEntry(
                    sequence: state.entries.count + 1, requestID: requestID, operation: operation, model: model, stream: stream, status: 0,
                    usage: nil, outcome: .pending, startedMicroseconds: now, endedMicroseconds: 0))
            return Ticket(index: state.entries.count - 1, generation: state.generation)
        }
    }

    func end(_ ticket: Ticket?, status: Int, usage: StatedUsage?, outcome: LedgerEntry.Outcome, events: Int = 0) {
        guard let ticket else { return }
        let now = clock.nowMicroseconds()
        let ended: LedgerEntry? = state.withLock { state in
            guard state.generation == ticket.generation, state.entries.indices.contains(ticket.index) else { return nil }
            state.entries[ticket.index].status = status
            state.entries[ticket.index].usage = usage
            state.entries[ticket.index].outcome = outcome
            state.entries[ticket.index].events = events
            state.entries[ticket.index].endedMicroseconds = now
            return state.entries[ticket.index]
        }
        if let ended, let file {
            var line = ""
            ended.appendJSON(to: &line)
            line += "\n"
            // One write to a descriptor opened with O_APPEND: lines of several loops do not mix.
            _ = line.withUTF8 { write(file, $0.baseAddress, $0.count) }
        }
    }

    /// Every request so far, in the order of arrival.
    package var entries: [LedgerEntry] { state.withLock { $0.entries } }

    package var count: Int { state.withLock { $0.entries.count } }

    package func entries(after sequence: Int, limit: Int) -> [LedgerEntry] {
        state.withLock { state in
            let start = min(max(0, sequence), state.entries.count)
            return Array(state.entries[start..<min(state.entries.count, start + max(0, limit))])
        }
    }

    package func reset() {
        state.withLock { state in
            state.entries.removeAll()
            state.generation += 1
        }
    }

    /// Tokens of answers that stated them and were sent to their end, by model.
    package func sums() -> [String: Sums] {
        var sums: [String: Sums] = [:]
        for entry in entries {
            var sum = sums[entry.model] ?? Sums()
            sum.requests += 1
            if entry.outcome == .complete { sum.complete += 1 }
            if let usage = entry.usage {
                sum.stated += 1
                sum.input &+= usage.input
                sum.output &+= usage.output
                sum.cached &+= usage.cached
            }
            sums[entry.model] = sum
        }
        return sums
    }
}
