import Formats

private func scan(_ bytes: [UInt8]) -> RequestMembers? {
    bytes.withUnsafeBytes { try? ChatRequestScan.scan($0) }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = [UInt8](UnsafeBufferPointer(start: data, count: count))
    guard let members = scan(bytes) else { return 0 }
    require(String(validating: bytes, as: UTF8.self) != nil, "what is accepted is UTF-8")
    if let model = members.model {
        require(bytes[model.value.lowerBound] == 0x22 && bytes[model.value.upperBound - 1] == 0x22, "the model is a string")
        if !model.hasEscapes {
            require(
                bytes.withUnsafeBytes { JSONText.unescape($0, model.content) } == Array(bytes[model.content]),
                "without escapes it is as written")
        }
    }
    // Whatever was accepted can be edited, and is accepted afterwards with the edits in it.
    var edits = UpstreamEdits(members)
    edits.setModel("other\"model")
    let stripsUsage = edits.askForUsage()
    require(stripsUsage == !members.includesUsage, "usage is asked for once")
    edits.limitOutput(to: 77)
    var output: [UInt8] = []
    require(bytes.withUnsafeBytes { Splice.append(edits.sorted(), to: $0, into: &output) }, "edits do not overlap")
    guard let changed = scan(output) else {
        return {
            require(false, "an edited request is a request: \(String(decoding: output, as: UTF8.self))"); return 0
        }()
    }
    require(changed.includesUsage, "usage is asked for")
    require((changed.model != nil) == (members.model != nil), "the model stays")
    require(changed.maxTokens != nil || changed.maxCompletionTokens != nil, "the output is bounded")
    for limit in [changed.maxTokens, changed.maxCompletionTokens] { require(limit?.value ?? 0 <= 77, "the output is bounded in each name") }
    require(changed.isStreaming == members.isStreaming && changed.n?.value == members.n?.value, "the rest stays")
    return 0
}
