/// Hosts that somebody allows: `api.example.com` at each port, `10.0.0.5:8000` and `[fd00::1]:8000` at one, `*.example.com` for each name below
/// it.
package struct HostList: Sendable, Hashable {
    private struct Entry: Sendable, Hashable {
        let name: String
        /// Each name that ends so.
        let isSuffix: Bool
        /// Nil: each.
        let port: Int?

        func allows(_ host: String, _ port: Int) -> Bool {
            if let own = self.port, own != port { return false }
            return isSuffix ? host.hasSuffix(name) && host.utf8.count > name.utf8.count : host == name
        }
    }

    package static let none = HostList(entries: [])

    private let entries: Set<Entry>

    private init(entries: Set<Entry>) { self.entries = entries }

    /// Nil when one is no host.
    package init?(_ list: some Sequence<String>) {
        var entries: Set<Entry> = []
        for text in list {
            guard let entry = Self.entry(text.lowercased()) else { return nil }
            entries.insert(entry)
        }
        self.entries = entries
    }

    /// - Parameter host: A name or an address, without brackets.
    package func allows(host: String, port: Int) -> Bool {
        let host = Self.canonical(host.lowercased())
        return entries.contains { $0.allows(host, port) }
    }

    private static func entry(_ text: String) -> Entry? {
        var (name, port) = (text, Int?.none)
        // An IPv6 address has more colons than one, and a port only behind brackets.
        let colons = text.utf8.count { $0 == UInt8(ascii: ":") }
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            name = String(text[text.index(after: text.startIndex)..<close])
            guard NetworkList.bytes(name) != nil else { return nil }
            let rest = text[text.index(after: close)...]
            if !rest.isEmpty {
                guard rest.first == ":", let number = number(rest.dropFirst()) else { return nil }
                port = number
            }
        } else if colons == 1, let colon = text.lastIndex(of: ":") {
            guard let number = number(text[text.index(after: colon)...]) else { return nil }
            (name, port) = (String(text[..<colon]), number)
        } else if colons > 1, NetworkList.bytes(text) == nil {
            return nil
        }
        let isSuffix = name.hasPrefix("*.")
        if isSuffix { name.removeFirst() }
        name = canonical(name)
        let isName = name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"*/[]@?#\\%".utf8.contains($0) }
        guard isName, name.utf8.contains(where: { $0 != UInt8(ascii: ".") }) else { return nil }
        return Entry(name: name, isSuffix: isSuffix, port: port)
    }

    private static func number(_ digits: Substring) -> Int? {
        guard digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let number = Int(digits), (1...65_535).contains(number) else { return nil }
        return number
    }

    /// One spelling of an address, and of a name with a dot at its end (RFC 1034 §3.1).
    private static func canonical(_ host: String) -> String {
        if let bytes = NetworkList.bytes(host) { return bytes.map { String($0) }.joined(separator: bytes.count == 4 ? "." : ",") }
        return host.hasSuffix(".") ? String(host.dropLast()) : host
    }
}
