/// What readers of several dialects have in common.
enum Reading {
    /// An image or file as a URL: a data URL is taken apart, https stays, anything else is refused.
    static func media(url: EscapedText, _ place: Place) throws(TranslationRefusal) -> Conversation.Media {
        let bytes = url.bytes.contains(UInt8(ascii: "\\")) ? EscapedText(plain: url.plain ?? []).bytes : url.bytes
        let head = String(decoding: bytes.prefix(256), as: UTF8.self)
        if head.lowercased().hasPrefix("data:") {
            guard let comma = bytes.firstIndex(of: UInt8(ascii: ",")), comma - bytes.startIndex < 256 else {
                throw TranslationRefusal(place.text, "'\(place.text)' is no data URL.")
            }
            let properties = String(decoding: bytes[bytes.startIndex + 5..<comma], as: UTF8.self).split(separator: ";")
            guard properties.last?.lowercased() == "base64", let type = properties.first, properties.count > 1 else {
                throw TranslationRefusal(place.text, "'\(place.text)' must be a data URL in base64 with a media type.")
            }
            // No registered type, but written often; vendors demand the registered one.
            let registered = type.lowercased() == "image/jpg" ? "image/jpeg" : type.lowercased()
            return .base64(type: EscapedText(registered), data: EscapedText(escaped: bytes[(comma + 1)...]))
        }
        guard head.lowercased().hasPrefix("https://") || head.lowercased().hasPrefix("http://") else {
            throw TranslationRefusal(place.text, "'\(place.text)' must be an https or data URL.")
        }
        return .url(url)
    }

    static func dataURL(type: EscapedText, data: EscapedText) -> EscapedText {
        var url = EscapedText()
        url.append("data:")
        url.append(type)
        url.append(";base64,")
        url.append(data)
        return url
    }

    /// A positive number of tokens.
    static func tokens(_ view: JSONView?, _ place: Place) throws(TranslationRefusal) -> Int64? {
        guard let view else { return nil }
        guard let count = view.integer, count > 0 else { throw .wrongType(place.text, "a positive integer") }
        return count
    }

    static func number(_ view: JSONView?, _ place: Place) throws(TranslationRefusal) -> JSONView? {
        guard let view else { return nil }
        guard view.kind == .number else { throw .wrongType(place.text, "a number") }
        return view
    }

    static func flag(_ view: JSONView?, _ place: Place) throws(TranslationRefusal) -> Bool? {
        guard let view else { return nil }
        guard let flag = view.bool else { throw .wrongType(place.text, "a boolean") }
        return flag
    }

    static func texts(_ view: JSONView?, _ place: Place) throws(TranslationRefusal) -> [EscapedText] {
        guard let view else { return [] }
        var result: [EscapedText] = []
        for (index, element) in try view.requiredElements(place).enumerated() { result.append(try element.requiredText(place[index])) }
        return result
    }

    /// Counts of the provider's `usage`, as they are metered too.
    static func usage(_ view: JSONView?) -> AnswerUsage? {
        guard let view, view.kind == .object, let reading = view.bytes.withUnsafeBytes({ UsageParser.parse($0) }) else { return nil }
        var usage = AnswerUsage()
        usage.input = reading.inputTokens
        usage.cachedInput = reading.cachedInputTokens
        usage.cacheWrite = reading.cacheWriteTokens
        usage.cacheWriteHour = reading.cacheWriteHourTokens
        usage.output = reading.outputTokens
        usage.reasoning = reading.reasoningTokens
        return usage
    }

    /// The texts one behind the other.
    static func joined(_ texts: [EscapedText], by separator: StaticString = "") -> EscapedText {
        guard texts.count != 1 else { return texts[0] }
        var result = EscapedText()
        for (index, text) in texts.enumerated() {
            if index > 0 { result.append(separator) }
            result.append(text)
        }
        return result
    }
}
