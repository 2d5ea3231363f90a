import Primitives

/// One change to a request's body. Values are JSON.
package enum BodyEdit: Sendable, Equatable {
    case set(String, [UInt8])
    /// Where the member is missing or null.
    case fill(String, [UInt8])
    case remove(String)
    /// Instructions before everything else that is said in the conversation.
    case system(String)

    /// The member that the provider might complain of.
    package func member(in dialect: Dialect) -> String {
        switch self {
        case .set(let name, _), .fill(let name, _), .remove(let name): name
        case .system:
            switch dialect {
            case .openAI: "messages"
            case .messages: "system"
            case .responses: "instructions"
            }
        }
    }
}

extension BodyEdit {
    /// The body with the changes made, in their order; members that are not touched keep their bytes and their order.
    /// - Returns: nil where the body is no object.
    package static func apply(_ edits: [BodyEdit], to body: [UInt8], in dialect: Dialect) -> [UInt8]? {
        body.withUnsafeBytes { bytes -> [UInt8]? in
            guard let read = BodyMembers(bytes) else { return nil }
            var members = read.members.map { Written(name: $0.name, quoted: Array(bytes[$0.writtenName]), value: Array(bytes[$0.value])) }
            for edit in edits { edit.apply(to: &members, in: dialect) }
            var out: [UInt8] = []
            out.reserveCapacity(body.count + 256)
            out.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                out += member.quoted
                out.append(UInt8(ascii: ":"))
                out += member.value
            }
            out.append(UInt8(ascii: "}"))
            return out
        }
    }

    private struct Written {
        let name: String
        let quoted: [UInt8]
        var value: [UInt8]

        init(name: String, quoted: [UInt8], value: [UInt8]) {
            self.name = name
            self.quoted = quoted
            self.value = value
        }

        init(_ name: String, _ value: [UInt8]) { self.init(name: name, quoted: JSONText.quoted(name), value: value) }

        var isNull: Bool { value.elementsEqual("null".utf8) }
    }

    private func apply(to members: inout [Written], in dialect: Dialect) {
        switch self {
        case .set(let name, let value): Self.put(name, value, &members)
        case .fill(let name, let value):
            if members.contains(where: { $0.name == name && !$0.isNull }) { return }
            Self.put(name, value, &members)
        case .remove(let name): members.removeAll { $0.name == name }
        case .system(let text):
            switch dialect {
            case .openAI: Self.prepend(Self.chatMessage(text), toArray: "messages", &members)
            case .messages: Self.prependText(text, "system", block: Self.textBlock(text), &members)
            case .responses: Self.prependText(text, "instructions", block: nil, &members)
            }
        }
    }

    /// A name that is there twice is there once afterwards.
    private static func put(_ name: String, _ value: [UInt8], _ members: inout [Written]) {
        guard let first = members.firstIndex(where: { $0.name == name }) else { return members.append(Written(name, value)) }
        members[first].value = value
        let others = members.indices.filter { $0 > first && members[$0].name == name }
        for index in others.reversed() { members.remove(at: index) }
    }

    private static func chatMessage(_ text: String) -> [UInt8] {
        Array(#"{"role":"system","content":"#.utf8) + JSONText.quoted(text) + [UInt8(ascii: "}")]
    }

    private static func textBlock(_ text: String) -> [UInt8] {
        Array(#"{"type":"text","text":"#.utf8) + JSONText.quoted(text) + [UInt8(ascii: "}")]
    }

    private static func prepend(_ element: [UInt8], toArray name: String, _ members: inout [Written]) {
        guard let index = members.firstIndex(where: { $0.name == name }), members[index].value.first == UInt8(ascii: "[") else { return }
        members[index].value = prepended(element, members[index].value)
    }

    private static func prepended(_ element: [UInt8], _ array: [UInt8]) -> [UInt8] {
        let isEmpty = array.dropFirst().first { !($0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D) } == UInt8(ascii: "]")
        return [UInt8(ascii: "[")] + element + (isEmpty ? [] : [UInt8(ascii: ",")]) + array.dropFirst()
    }

    /// Instructions that are a text, or blocks of it.
    private static func prependText(_ text: String, _ name: String, block: [UInt8]?, _ members: inout [Written]) {
        guard let index = members.firstIndex(where: { $0.name == name }), !members[index].isNull else {
            return put(name, JSONText.quoted(text), &members)
        }
        let value = members[index].value
        if value.first == UInt8(ascii: "\"") {
            // Both are escaped: between the quotes they go behind each other.
            members[index].value = JSONText.quoted(text + "\n\n").dropLast() + value.dropFirst()
        } else if value.first == UInt8(ascii: "["), let block {
            members[index].value = prepended(block, value)
        }
    }
}
