import Wire

private struct Seen: Equatable {
    var head: Int
    var fields: [HTTPField]
    var target: Range<Int>
    var path: Range<Int>
    var query: Range<Int>
    var contentLength: Int64?
    var isChunked: Bool
    var keepAlive: Bool

    init(_ parser: borrowing RequestHeadParser, head: Int) {
        self.head = head
        fields = parser.fields
        target = parser.target
        path = parser.path
        query = parser.query
        contentLength = parser.contentLength
        isChunked = parser.isChunked
        keepAlive = parser.keepAlive
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let limits = HTTPLimits(maxHeadBytes: 2_048, maxFields: 20, maxTargetBytes: 256)
    var whole = RequestHeadParser(limits: limits)
    let result = input.bytes.withUnsafeBytes { whole.parse($0) }
    var split = RequestHeadParser(limits: limits)
    var last = ParseStep.needMore
    for prefix in input.prefixes {
        last = prefix.withUnsafeBytes { split.parse($0) }
        if last != .needMore { break }
    }
    switch result {
    case .complete(let head):
        require(last == result, "a head that is valid whole is valid in pieces")
        require(Seen(whole, head: head) == Seen(split, head: head), "and means the same")
        require(head <= input.bytes.count && head <= limits.maxHeadBytes, "the head lies within the bytes")
        require(!(whole.isChunked && whole.contentLength != nil), "one framing")
        require((whole.contentLength ?? 0) >= 0, "no negative length")
        for field in whole.fields {
            require(0 < field.nameStart && field.nameStart < field.nameEnd, "names are not empty")
            require(
                field.nameEnd < field.valueStart && field.valueStart <= field.valueEnd && field.valueEnd <= head, "values lie in the head")
            for byte in input.bytes[field.value] { require(byte >= 0x20 && byte != 0x7F || byte == 9, "values hold no control characters") }
        }
        require(whole.target.upperBound <= head && whole.path.upperBound <= whole.target.upperBound, "the path lies in the target")
        require(whole.query.upperBound <= whole.target.upperBound, "the query lies in the target")
    case .invalid:
        // In pieces it may be found out later: a line is read when it is complete.
        if case .complete = last { require(false, "a head that is invalid whole is invalid in pieces") }
    case .needMore:
        require(last == .needMore, "an unfinished head is unfinished in pieces")
    }
    return 0
}
