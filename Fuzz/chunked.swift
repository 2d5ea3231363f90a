import Wire

private struct Outcome: Equatable {
    var payload: [UInt8] = []
    var end: Int?
    var violation: HTTPViolation?
}

private func decode(_ pieces: [[UInt8]]) -> Outcome {
    var decoder = ChunkedDecoder()
    var outcome = Outcome()
    var before = 0
    for piece in pieces {
        piece.withUnsafeBytes { bytes in
            var at = 0
            while outcome.end == nil && outcome.violation == nil {
                switch decoder.next(bytes, from: at) {
                case .data(let range):
                    require(range.lowerBound >= at && !range.isEmpty && range.upperBound <= bytes.count, "data lies in the piece")
                    outcome.payload += bytes[range]
                    at = range.upperBound
                case .needMore(let consumed):
                    require(consumed == bytes.count, "a piece is used up")
                    return
                case .end(let consumed): outcome.end = before + consumed
                case .invalid(let violation): outcome.violation = violation
                }
            }
        }
        if outcome.end != nil || outcome.violation != nil { break }
        before += piece.count
    }
    return outcome
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let whole = decode([input.bytes])
    let split = decode(input.pieces)
    require(whole.payload == split.payload && whole.end == split.end, "pieces change nothing")
    require(whole.violation == split.violation, "nor what is wrong")
    return 0
}
