import Formats

private func meter(_ pieces: [[UInt8]]) -> BodyUsageMeter {
    var meter = BodyUsageMeter()
    for piece in pieces { piece.withUnsafeBytes { meter.consume($0) } }
    meter.finish()
    return meter
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let whole = meter([input.bytes])
    let split = meter(input.pieces)
    require(whole.reading == split.reading, "pieces change no number")
    require(whole.contentBytes == split.contentBytes && whole.sawError == split.sawError, "nor anything else")
    require(whole.totalBytes == Int64(input.bytes.count) && split.totalBytes == whole.totalBytes, "bytes are counted")
    require(whole.contentBytes <= whole.totalBytes, "text is part of the body")
    let reading = whole.reading
    for tokens in [reading.inputTokens, reading.outputTokens, reading.cachedInputTokens, reading.cacheWriteTokens, reading.reasoningTokens]
    {
        require(tokens >= 0 && tokens <= UsageReading.cap, "tokens are within bounds")
    }
    require(reading.cachedInputTokens + reading.cacheWriteTokens <= reading.inputTokens, "parts are no larger than the input")
    require(reading.reasoningTokens <= reading.outputTokens, "parts are no larger than the output")
    return 0
}
