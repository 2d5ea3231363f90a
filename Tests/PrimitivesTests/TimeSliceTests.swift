import Foundation
import Primitives
import Testing

@Suite("Time slice")
struct TimeSliceTests {
    /// Of the calling thread, in nanoseconds; nil where the kernel does not show it.
    private static func slice() -> UInt64? {
        guard let text = try? String(contentsOfFile: "/proc/thread-self/sched", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("se.slice") }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { UInt64($0) }
    }

    @Test("What a thread asks for is what the kernel gives, and is inherited by its threads alone")
    func asked() async {
        let seen = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let before = Self.slice()
                let isTaken = TimeSlice.long.request()
                let long = Self.slice()
                Thread.detachNewThread {
                    let inherited = Self.slice()
                    TimeSlice.ordinary.request()
                    continuation.resume(returning: (before, isTaken, long, inherited, Self.slice()))
                }
            }
        }
        let (before, isTaken, long, inherited, back) = seen
        // A kernel before 6.12 takes the call and keeps its own slice; a sandbox may refuse it. Neither may do harm.
        guard isTaken, before != nil, long == TimeSlice.long.rawValue else { return }
        #expect(inherited == TimeSlice.long.rawValue)
        #expect(back == before)
    }
}
