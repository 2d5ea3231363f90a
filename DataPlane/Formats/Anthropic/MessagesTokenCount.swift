import Primitives

/// How many input tokens a request in Anthropic's Messages is likely to have, for models whose provider does not count them. An estimate: no
/// tokenizer is at work. English and code come out within some 10 % of OpenAI's tokenizers, JSON a fifth above them, other scripts between two thirds
/// and one and a half of what they count.
///
/// Words are taken for a token each seven letters, numbers for one each three digits, runs of punctuation for one each three characters, characters
/// of scripts without spaces for one each. Pictures, documents and what is only named have a figure of their kind. What a model of another vendor is not sent
/// (thinking) counts nothing.
package enum MessagesTokenCount {
    /// Around each message, and around a tool's declaration.
    static let perMessage: Int64 = 4
    static let perTool: Int64 = 8
    /// Larger bodies are counted by their bytes, in one pass: no turn of a loop is long.
    package static let largestBody = 4 << 20
    /// A document that is only named: nobody here can see how long it is.
    static let namedDocument: Int64 = 3_000

    /// - Parameter body: a request that was checked to be JSON, an object.
    /// - Throws: where the request goes on from a thread that Anthropic keeps: what is in it is not here to be counted.
    package static func estimate(_ members: RequestMembers, of body: [UInt8]) throws(TranslationRefusal) -> Int64 {
        guard body.count <= largestBody, let request = try? JSONView(checking: body) else {
            return max(1, body.withUnsafeBytes { TokenEstimate.input(members, of: $0, contextWindow: 0) })
        }
        if let thread = request["thread"], !thread.isNull {
            throw TranslationRefusal(
                "thread", "The model's provider keeps no thread, and what is in one cannot be counted here: send all of it.",
                code: .threadUnsupported)
        }
        var tokens: Int64 = 3
        if let system = request["system"] { tokens &+= content(system) }
        for message in request["messages"]?.elements ?? [] {
            tokens &+= perMessage
            if let said = message["content"] { tokens &+= content(said) }
        }
        for tool in request["tools"]?.elements ?? [] { tokens &+= perTool &+ words(tool.bytes) }
        return min(tokens, UsageReading.cap)
    }

    /// Levels of blocks in blocks that are told apart: each is read a few times. Below, all is text.
    private static let mostLevels = 4

    /// A text or blocks.
    private static func content(_ view: JSONView, level: Int = 0) -> Int64 {
        if let text = view.text { return words(text.bytes) }
        guard level < mostLevels else { return words(view.bytes) }
        return (view.elements ?? []).reduce(0) { $0 &+ block($1, level: level + 1) }
    }

    private static func block(_ block: JSONView, level: Int) -> Int64 {
        guard let type = block["type"]?.text?.string else { return words(block.bytes) }
        switch type {
        case "text": return block["text"]?.text.map { words($0.bytes) } ?? 0
        case "image": return MediaScan.imageTokens
        case "document": return document(block, level: level)
        case "tool_use":
            return perMessage &+ (block["name"]?.text.map { words($0.bytes) } ?? 0) &+ (block["input"].map { words($0.bytes) } ?? 0)
        case "tool_result": return perMessage &+ (block["content"].map { content($0, level: level) } ?? 0)
        case "thinking", "redacted_thinking": return 0
        default: return words(block.bytes)
        }
    }

    private static func document(_ block: JSONView, level: Int) -> Int64 {
        guard let source = block["source"] else { return 0 }
        switch source["type"]?.text?.string {
        case "text": return source["data"]?.text.map { words($0.bytes) } ?? 0
        case "content": return source["content"].map { content($0, level: level) } ?? 0
        case "base64":
            let bytes = Int64(source["data"]?.text?.bytes.count ?? 0) / 4 &* 3
            return min(bytes / MediaScan.fileBytesPerToken &+ 1, MediaScan.maxFileTokens)
        default: return namedDocument
        }
    }

    private enum Kind { case none, letters, digits, marks }

    /// Of text as it is written in JSON.
    static func words(_ text: ArraySlice<UInt8>) -> Int64 {
        var tokens: Int64 = 0
        var (kind, run): (Kind, Int64) = (.none, 0)
        func end() {
            switch kind {
            case .none: return
            case .letters: tokens &+= (run &+ 6) / 7
            case .digits, .marks: tokens &+= (run &+ 2) / 3
            }
            (kind, run) = (.none, 0)
        }
        func take(_ next: Kind, _ count: Int64 = 1) {
            if next != kind { end() }
            kind = next
            run &+= count
        }
        var index = text.startIndex
        while index < text.endIndex {
            let byte = text[index]
            index += 1
            switch byte {
            case 0x41...0x5A, 0x61...0x7A: take(.letters)
            case 0x30...0x39: take(.digits)
            case UInt8(ascii: "\\"):
                guard index < text.endIndex else { break }
                let escaped = text[index]
                index += 1
                if escaped == UInt8(ascii: "u") {
                    // A character of any script, or half of one.
                    end()
                    tokens &+= 1
                    index = min(index + 4, text.endIndex)
                } else {
                    take(.marks)
                }
            case 0...0x20: end()
            case 0x80...0xBF: break
            // Two bytes: accents within words, and alphabets that are cut finer than Latin's.
            case 0xC0...0xDF: take(.letters, 2)
            case 0xE0...0xEF:
                end()
                tokens &+= 1
            case 0xF0...0xFF:
                end()
                tokens &+= 2
            default: take(.marks)
            }
        }
        end()
        return tokens
    }
}
