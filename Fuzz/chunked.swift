import Wire

private struct Outcome: Equatable {
    var payload: [UInt8] = []
    var end: Int?
    var violation: HTTPViolation?
    var forwarded: [UInt8] = []
}

private func decode(_ pieces: [[UInt8]]) -> Outcome {
    var decoder = ChunkedDecoder()
    var outcome = Outcome()
    var before = 0
    for piece in pieces {
        piece.withUnsafeBytes { bytes in
            decoder.beginPiece()
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
        if let size = decoder.forwardHeader { outcome.forwarded += "\(String(size, radix: 16))\r\n".utf8 }
        outcome.forwarded += piece[decoder.forwardRange]
        if outcome.end != nil || outcome.violation != nil { break }
        before += piece.count
    }
    require(decoder.payloadBytes == Int64(outcome.payload.count), "payload is counted")
    return outcome
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let whole = decode([input.bytes])
    let split = decode(input.pieces)
    require(whole.payload == split.payload && whole.end == split.end, "pieces change nothing")
    require(whole.violation == split.violation, "nor what is wrong")
    if whole.end != nil {
        // Cut out of its splits, what is forwarded decodes to the same payload.
        for forwarded in [whole.forwarded, split.forwarded] {
            let again = decode([forwarded + Array("0\r\n\r\n".utf8)])
            require(again.payload == whole.payload && again.end == forwarded.count + 5, "what is forwarded is what was received")
        }
    }
    return 0
}
