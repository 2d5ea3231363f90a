import Formats

private struct Outcome: Equatable {
    var reading: UsageReading
    var counts: [Int64]
    var flags: [Bool]
    var output: [UInt8]
}

private func run(_ mode: StreamUsageMeter.Mode, _ pieces: [[UInt8]]) -> Outcome {
    var meter = StreamUsageMeter(mode: mode)
    var output: [UInt8] = []
    for piece in pieces {
        piece.withUnsafeBytes { bytes in
            switch mode {
            case .observe: meter.observe(bytes)
            case .strip: meter.relay(bytes) { output.append(contentsOf: $0) }
            }
        }
    }
    meter.finish { output.append(contentsOf: $0) }
    return Outcome(
        reading: meter.reading, counts: [meter.events, meter.contentBytes], flags: [meter.sawDone, meter.sawFinishReason, meter.sawError],
        output: output)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let whole = run(.strip, [input.bytes])
    require(run(.strip, input.pieces) == whole, "pieces change nothing of what is stripped")
    var observed = run(.observe, input.pieces)
    require(observed.output.isEmpty, "observing writes nothing")
    observed.output = whole.output
    require(observed == whole, "observing learns what stripping learns")
    if !whole.flags[2], !input.bytes.contains(0x75) {
        require(whole.output == input.bytes, "without a usage or an error nothing changes")
    }
    for bytes in input.prefixes {
        bytes.withUnsafeBytes { bytes in
            var seen = AnswerOpening.read(bytes, isEnd: false)
            if case .needMore = seen { seen = AnswerOpening.read(bytes, isEnd: true) }
            require(seen != .needMore, "the end decides")
        }
    }
    let reading = whole.reading
    for tokens in [reading.inputTokens, reading.outputTokens, reading.cachedInputTokens, reading.cacheWriteTokens, reading.reasoningTokens]
    {
        require(tokens >= 0 && tokens <= UsageReading.cap, "tokens are within bounds")
    }
    return 0
}
