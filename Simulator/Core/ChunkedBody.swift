import Wire

/// Collects a request body that came in chunks.
struct ChunkedBody {
    enum Progress { case needMore, complete(end: Int), invalid }

    private var decoder = ChunkedDecoder()
    private var consumed: Int?
    private let maximumBytes: Int
    private(set) var decoded: [UInt8] = []

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// `bytes` are all bytes of the message so far, of which the coding begins at `head`; continues where the last call ended.
    mutating func decode(_ bytes: UnsafeRawBufferPointer, from head: Int) -> Progress {
        var offset = consumed ?? head
        while true {
            switch decoder.next(bytes, from: offset) {
            case .data(let range):
                guard decoded.count + range.count <= maximumBytes else { return .invalid }
                decoded.append(contentsOf: bytes[range])
                offset = range.upperBound
            case .end(let end): return .complete(end: end)
            case .needMore(let end):
                consumed = end
                return .needMore
            case .invalid: return .invalid
            }
        }
    }
}
