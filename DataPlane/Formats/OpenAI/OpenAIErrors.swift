/// Error bodies in OpenAI's shape, which its SDKs turn into their exception classes.
package enum OpenAIErrors {
    /// `{"error":{"message":…,"type":…,"param":…,"code":…}}`, with null for what is not given.
    package static func body(message: String, type: String, param: String? = nil, code: String? = nil) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(96 + message.utf8.count)
        append(message: message, type: type, param: param, code: code, to: &output)
        return output
    }

    /// The same, appended: for a caller that has put a head in front.
    package static func append(message: String, type: String, param: String?, code: String?, to output: inout [UInt8]) {
        output.append(contentsOf: #"{"error":"#.utf8)
        appendObject(message: message, type: type, param: param, code: code, to: &output)
        output.append(0x7D)
    }

    /// The value of `error` alone.
    static func appendObject(message: String, type: String, param: String?, code: String?, to output: inout [UInt8]) {
        output.append(contentsOf: #"{"message":"#.utf8)
        JSONText.appendQuoted(message, to: &output)
        output.append(contentsOf: #","type":"#.utf8)
        JSONText.appendQuoted(type, to: &output)
        output.append(contentsOf: #","param":"#.utf8)
        appendOptional(param, to: &output)
        output.append(contentsOf: #","code":"#.utf8)
        appendOptional(code, to: &output)
        output.append(0x7D)
    }

    /// The value of `error` for a chunk of a stream in which a provider reports one: its words where they may be shown.
    static func inStream(_ chunk: UnsafeRawBufferPointer, _ hidden: HiddenTexts) -> [UInt8] {
        let shown = ProviderErrorSanitiser.sanitise(chunk, hiding: hidden)
        var output: [UInt8] = []
        appendObject(
            message: shown?.message ?? "The provider reported an error.", type: shown?.type ?? "upstream_error", param: shown?.param,
            code: shown?.code, to: &output)
        return output
    }

    /// The same as an event of a stream that has begun: SDKs raise on any data with a top-level error.
    package static func event(message: String, type: String, param: String? = nil, code: String? = nil) -> [UInt8] {
        var output: [UInt8] = Array("data: ".utf8)
        append(message: message, type: type, param: param, code: code, to: &output)
        output.append(contentsOf: "\n\n".utf8)
        return output
    }

    private static func appendOptional(_ text: String?, to output: inout [UInt8]) {
        if let text {
            JSONText.appendQuoted(text, to: &output)
        } else {
            output.append(contentsOf: "null".utf8)
        }
    }
}
