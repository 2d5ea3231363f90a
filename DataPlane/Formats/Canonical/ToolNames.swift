/// What the provider was told of tools in other words than the caller's, to tell the caller in his.
package struct ToolNames: Sendable {
    /// The caller's name by the provider's.
    private var original: [EscapedText: EscapedText] = [:]
    /// Tools that take a text, by the provider's name.
    private var custom: Set<EscapedText> = []
    /// Tools that the caller has in a namespace, by the name in which both are one.
    private let namespaced: [EscapedText: Conversation.NamespacedName]

    init(namespaced: [EscapedText: Conversation.NamespacedName] = [:]) { self.namespaced = namespaced }

    /// The name to use at a provider that takes `limit` bytes.
    mutating func name(_ name: EscapedText, limit: Int) -> EscapedText {
        let portable = PortableName.tool(name, limit: limit)
        if portable != name { original[portable] = name }
        return portable
    }

    mutating func isCustom(_ name: EscapedText) { custom.insert(name) }

    func restored(_ name: EscapedText) -> EscapedText { original.isEmpty ? name : original[name] ?? name }

    /// The call in its caller's words, which knows the provider's name of the tool so far.
    func restored(_ call: Conversation.Call) -> Conversation.Call {
        var call = call
        call.name = restored(call.name)
        if !namespaced.isEmpty, let both = namespaced[call.name] { (call.namespace, call.name) = (both.namespace, both.name) }
        return call
    }

    func wasCustom(_ name: EscapedText) -> Bool { !custom.isEmpty && custom.contains(name) }
}
