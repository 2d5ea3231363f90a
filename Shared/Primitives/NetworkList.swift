#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Networks of IPv4 and IPv6 (`10.0.0.0/8`, `fd00::/16`), and single addresses.
package struct NetworkList: Sendable, Hashable {
    private struct Network: Sendable, Hashable {
        let bytes: [UInt8]
        let prefixLength: Int

        func contains(_ address: [UInt8]) -> Bool {
            guard address.count == bytes.count else { return false }
            for bit in 0..<prefixLength where (address[bit / 8] ^ bytes[bit / 8]) & (0x80 >> UInt8(bit % 8)) != 0 { return false }
            return true
        }
    }

    package static let none = NetworkList(networks: [])

    private let networks: [Network]

    private init(networks: [Network]) { self.networks = networks }

    /// Reads `10.0.0.0/8, ::1, 192.168.1.7`; nil when a part is no network.
    package init?(_ text: String) { self.init(text.split(separator: ",").map { String(Self.trimmed($0)) }.filter { !$0.isEmpty }) }

    /// Nil when one is no network.
    package init?(_ list: some Sequence<String>) {
        var networks: [Network] = []
        for text in list {
            let halves = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = halves.first, let bytes = Self.bytes(String(first)) else { return nil }
            let length = halves.count == 1 ? bytes.count * 8 : Self.number(halves[1])
            guard (0...bytes.count * 8).contains(length) else { return nil }
            networks.append(Network(bytes: bytes, prefixLength: length))
        }
        self.networks = networks
    }

    /// False for what is no address.
    package func contains(_ address: String) -> Bool {
        guard let bytes = Self.bytes(address) else { return false }
        return contains(bytes: bytes)
    }

    /// - Parameter bytes: 4 or 16 in network order; IPv4 in IPv6 (`::ffff:1.2.3.4`) is itself.
    package func contains(bytes: [UInt8]) -> Bool {
        let own = Self.unmapped(bytes)
        return networks.contains { $0.contains(own) }
    }

    private static func number(_ digits: Substring) -> Int {
        guard digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return -1 }
        return Int(digits) ?? -1
    }

    /// 4 or 16 bytes; an IPv4 address that is written as IPv6 (`::ffff:1.2.3.4`) is itself.
    package static func bytes(_ text: String) -> [UInt8]? {
        var four = [UInt8](repeating: 0, count: 4)
        if inet_pton(AF_INET, text, &four) == 1 { return four }
        var bytes = [UInt8](repeating: 0, count: 16)
        guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
        return unmapped(bytes)
    }

    /// An IPv4 address in IPv6 is itself.
    package static func unmapped(_ bytes: [UInt8]) -> [UInt8] {
        let isMapped = bytes.count == 16 && bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes.suffix(4)) : bytes
    }

    fileprivate static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.utf8.first, first == 32 || first == 9 { text.removeFirst() }
        while let last = text.utf8.last, last == 32 || last == 9 { text.removeLast() }
        return text
    }
}

/// Networks whose hosts pass requests on and say truly from whom (`X-Forwarded-For`). Nobody else is believed: an address that a caller
/// wrote itself would stand in the audit log, or in an allow list's way.
package struct TrustedProxies: Sendable, Hashable {
    package static let none = TrustedProxies(.none)

    private let networks: NetworkList

    private init(_ networks: NetworkList) { self.networks = networks }

    /// Reads `10.0.0.0/8, ::1, 192.168.1.7`; nil when a part is no network.
    package init?(_ text: String) {
        guard let networks = NetworkList(text) else { return nil }
        self.networks = networks
    }

    /// Whose request it is: the peer, or where the peer is trusted the right-most address in the list that is not.
    /// - Parameters:
    ///   - peer: As the socket knows it.
    ///   - forwardedFor: The values of all `X-Forwarded-For` fields, in order.
    package func client(peer: String, forwardedFor: [String]) -> String {
        var client = peer
        var hops = forwardedFor.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false).map(NetworkList.trimmed) }[...]
        // What a proxy of ours wrote is an address; anything else came from outside and ends the chain.
        while networks.contains(client), let hop = hops.popLast(), let address = Self.address(String(hop)) { client = address }
        return client
    }

    /// Without the port that some proxies add.
    private static func address(_ hop: String) -> String? {
        if NetworkList.bytes(hop) != nil { return hop }
        guard let colon = hop.lastIndex(of: ":") else { return nil }
        var host = hop[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return NetworkList.bytes(String(host)) == nil ? nil : String(host)
    }
}
