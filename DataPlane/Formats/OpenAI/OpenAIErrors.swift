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
        output.append(contentsOf: #"{"error":{"message":"#.utf8)
        JSONText.appendQuoted(message, to: &output)
        output.append(contentsOf: #","type":"#.utf8)
        JSONText.appendQuoted(type, to: &output)
        output.append(contentsOf: #","param":"#.utf8)
        appendOptional(param, to: &output)
        output.append(contentsOf: #","code":"#.utf8)
        appendOptional(code, to: &output)
        output.append(contentsOf: "}}".utf8)
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
