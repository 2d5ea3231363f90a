import Primitives
import Testing

@testable import Proxy

@Suite("Ids of requests", .timeLimit(.minutes(10)))
struct RequestIDTests {
    @Test func riseWithTimeAndNeverRepeat() {
        var source = RequestIDSource()
        let times: [Int64] = (0..<2000).map { 1_795_000_000_000 + $0 / 4 }
        let ids = times.map { source.next(milliseconds: $0) }
        #expect(Set(ids).count == ids.count)
        #expect(zip(ids, times).allSatisfy { id, time in Int64(id.high >> 16) == time })
        #expect(Set(ids.map(\.low)).count == ids.count)
        // A clock before 1970 or far in the future makes odd ids, not a trap.
        #expect(source.next(milliseconds: .min) != source.next(milliseconds: .max))
    }
}
