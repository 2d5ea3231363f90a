import Glibc
import Primitives

/// Ids of requests: the time and 80 random bits. The bits come from the system's generator a page at a time, sixteen system calls for 256
/// requests.
struct RequestIDSource {
    private var words: [UInt64] = []

    /// - Parameter milliseconds: Unix time. It comes first, as in RFC 9562 §5.7: what indexes requests by their id, on this side and on the
    ///   control plane's, then writes to a few pages next to each other instead of to a page of its own for each request.
    mutating func next(milliseconds: Int64) -> RequestID {
        if words.count < 2 { refill() }
        let time = UInt64(truncatingIfNeeded: milliseconds) << 16
        return RequestID(high: time | words.removeLast() & 0xFFFF, low: words.removeLast())
    }

    private mutating func refill() {
        words = Array(repeating: 0, count: 512)
        let isFilled = words.withUnsafeMutableBytes { bytes in
            // 256 bytes a call are what getentropy(3) gives at most.
            stride(from: 0, to: bytes.count, by: 256).allSatisfy { start in
                getentropy(bytes.baseAddress?.advanced(by: start), min(256, bytes.count - start)) == 0
            }
        }
        if isFilled { return }
        var generator = SystemRandomNumberGenerator()
        for index in words.indices { words[index] = generator.next() }
    }
}
