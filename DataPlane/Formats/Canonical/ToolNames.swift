/// What the provider was told of tools in other words than the caller's, to tell the caller in his.
package struct ToolNames: Sendable {
    /// The caller's name by the provider's.
    private var original: [EscapedText: EscapedText] = [:]
    /// Tools that take a text, by the provider's name.
    private var custom: Set<EscapedText> = []

    /// The name to use at a provider that takes `limit` bytes.
    mutating func name(_ name: EscapedText, limit: Int) -> EscapedText {
        let portable = PortableName.tool(name, limit: limit)
        if portable != name { original[portable] = name }
        return portable
    }

    mutating func isCustom(_ name: EscapedText) { custom.insert(name) }

    func restored(_ name: EscapedText) -> EscapedText { original.isEmpty ? name : original[name] ?? name }
    func wasCustom(_ name: EscapedText) -> Bool { !custom.isEmpty && custom.contains(name) }
}
