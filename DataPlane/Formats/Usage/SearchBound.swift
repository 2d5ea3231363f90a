import Primitives

/// How often a provider may search the web for a request: it decides by itself, within what the request says.
package enum SearchBound {
    /// Of a request that lets it search and sets no bound. A provider that searches more often is charged for all the same.
    package static let unbounded: Int64 = 16

    /// Looked for by their bytes: a quote within a text is escaped, so what looks like a name is one. What is found in another tool can
    /// make the bound smaller; the provider's own count is charged for all the same.
    package static func most(_ members: RequestMembers, of body: UnsafeRawBufferPointer) -> Int64 {
        let tools = members.tools.flatMap { $0.upperBound <= body.count ? UnsafeRawBufferPointer(rebasing: body[$0]) : nil }
        let isTool = tools.map { contains("\"web_search", in: $0) } ?? false
        guard isTool || contains("\"web_search_options\"", in: body) else { return 0 }
        guard isTool, let tools else { return 1 }
        // Messages bounds each tool, Responses all of them.
        let calls = BodyMembers(body)?.value("max_tool_calls").flatMap { Int64(String(decoding: body[$0].prefix(19), as: UTF8.self)) }
        let bounds = [number(behind: "\"max_uses\"", in: tools), calls.map { min(max(0, $0), 1_000_000) }].compactMap { $0 }
        return bounds.min() ?? unbounded
    }

    private static func contains(_ text: StaticString, in bytes: UnsafeRawBufferPointer) -> Bool {
        offset(of: text, in: bytes, from: 0) != nil
    }

    private static func offset(of text: StaticString, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        let length = text.utf8CodeUnitCount
        var at = start
        while let quote = ByteScan.find(0x22, base, from: at, limit: bytes.count), quote &+ length <= bytes.count {
            if ByteScan.equals(base, quote, length, text) { return quote }
            at = quote &+ 1
        }
        return nil
    }

    /// The sum of what stands behind each of these names.
    private static func number(behind name: StaticString, in bytes: UnsafeRawBufferPointer) -> Int64? {
        var sum: Int64?
        var at = 0
        while let found = offset(of: name, in: bytes, from: at) {
            at = found + name.utf8CodeUnitCount
            while at < bytes.count, bytes[at] == 0x3A || isWhitespace(bytes[at]) { at += 1 }
            var value: Int64 = 0
            var hasDigits = false
            while at < bytes.count, (0x30...0x39).contains(bytes[at]), value < 1_000_000 {
                value = value * 10 + Int64(bytes[at] - 0x30)
                hasDigits = true
                at += 1
            }
            if hasDigits { sum = min((sum ?? 0) + value, 1_000_000) }
        }
        return sum
    }
}
