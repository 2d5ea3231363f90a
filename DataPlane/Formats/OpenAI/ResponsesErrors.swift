/// Errors inside a stream of OpenAI's Responses: flat events. Bodies are those of `OpenAIErrors`.
package enum ResponsesErrors {
    /// - Parameter sequence: the event's number in its stream.
    package static func event(message: String, code: String, param: String? = nil, sequence: Int64) -> [UInt8] {
        var output = Array("event: error\ndata: ".utf8)
        append(message: message, code: code, param: param, sequence: sequence, to: &output)
        output.append(contentsOf: "\n\n".utf8)
        return output
    }

    /// The data of an event in which a provider reports an error: its words where they may be shown.
    static func inStream(_ data: UnsafeRawBufferPointer, sequence: Int64, _ hidden: HiddenTexts) -> [UInt8] {
        let shown = ProviderErrorSanitiser.sanitise(data, hiding: hidden)
        var output: [UInt8] = []
        append(
            message: shown?.message ?? "The provider reported an error.", code: shown?.code ?? "server_error", param: shown?.param,
            sequence: sequence, to: &output)
        return output
    }

    /// The value of `error` in a failed response.
    static func inResponse(_ error: UnsafeRawBufferPointer, _ hidden: HiddenTexts) -> [UInt8] {
        let shown = ProviderErrorSanitiser.sanitise(error, hiding: hidden)
        var output = Array(#"{"code":"#.utf8)
        JSONText.appendQuoted(shown?.code ?? "server_error", to: &output)
        output.append(contentsOf: #","message":"#.utf8)
        JSONText.appendQuoted(shown?.message ?? "The provider reported an error.", to: &output)
        output.append(0x7D)
        return output
    }

    private static func append(message: String, code: String, param: String?, sequence: Int64, to output: inout [UInt8]) {
        output.append(contentsOf: #"{"type":"error","code":"#.utf8)
        JSONText.appendQuoted(code, to: &output)
        output.append(contentsOf: #","message":"#.utf8)
        JSONText.appendQuoted(message, to: &output)
        output.append(contentsOf: #","param":"#.utf8)
        if let param { JSONText.appendQuoted(param, to: &output) } else { output.append(contentsOf: "null".utf8) }
        output.append(contentsOf: #","sequence_number":\#(sequence)}"#.utf8)
    }
}
