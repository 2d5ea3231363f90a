import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let limits = HTTPLimits(maxHeadBytes: 2_048, maxFields: 20)
    let method: HTTPMethod = count % 3 == 0 ? .head : .post
    var whole = ResponseHeadParser(limits: limits)
    whole.reset(requestMethod: method)
    let result = input.bytes.withUnsafeBytes { whole.parse($0) }
    var split = ResponseHeadParser(limits: limits)
    split.reset(requestMethod: method)
    var last = ParseStep.needMore
    for prefix in input.prefixes {
        last = prefix.withUnsafeBytes { split.parse($0) }
        if last != .needMore { break }
    }
    switch result {
    case .complete(let head):
        require(last == result, "a head that is valid whole is valid in pieces")
        require(whole.fields == split.fields && whole.framing == split.framing && whole.status == split.status, "and means the same")
        require(whole.keepAlive == split.keepAlive, "and keeps the connection alike")
        require((100...599).contains(whole.status), "the status is one")
        require(head <= input.bytes.count, "the head lies within the bytes")
        if case .untilClose = whole.framing { require(!whole.keepAlive, "what ends with the connection does not keep it") }
        for field in whole.fields { require(field.valueStart <= field.valueEnd && field.valueEnd <= head, "values lie in the head") }
    case .invalid:
        if case .complete = last { require(false, "a head that is invalid whole is invalid in pieces") }
    case .needMore:
        require(last == .needMore, "an unfinished head is unfinished in pieces")
    }
    return 0
}
