/// A tool of OpenAI's that takes a text and not an object, as a function with one text: what its caller is shown is a custom call again.
enum CustomTools {
    static let schema = #"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#

    /// The tool's own words, and the form of its text, which only these can tell the model.
    static func description(of tool: Conversation.Tool) -> EscapedText? {
        guard tool.isCustom, let format = tool.schema, format["type"]?.text?.string == "grammar" else { return tool.description }
        let grammar = format["grammar"] ?? format
        guard let definition = grammar["definition"]?.text else { return tool.description }
        var text = tool.description ?? EscapedText()
        if !text.isEmpty { text.append("\n\n") }
        text.append("The member input must follow this grammar (")
        text.append(grammar["syntax"]?.text ?? EscapedText("lark"))
        text.append("):\n")
        text.append(definition)
        return text
    }

    /// The text within the arguments of such a call.
    static func input(_ arguments: EscapedText) -> EscapedText {
        guard let plain = arguments.plain, let view = try? JSONView(checking: plain), let input = view["input"]?.text else {
            return arguments
        }
        return input
    }

    /// The arguments of such a call with this text.
    static func arguments(_ input: EscapedText) -> EscapedText {
        var output = JSONOutput()
        output.object { $0.member("input", input) }
        return EscapedText(plain: output.bytes)
    }
}
