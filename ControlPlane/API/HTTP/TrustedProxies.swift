import Glibc

/// Networks whose hosts pass requests on and say truly from whom (`X-Forwarded-For`). Nobody else is believed: an address that a caller
/// wrote itself would stand in the audit log.
package struct TrustedProxies: Sendable, Hashable {
    private struct Network: Sendable, Hashable {
        let bytes: [UInt8]
        let prefixLength: Int

        func contains(_ address: [UInt8]) -> Bool {
            guard address.count == bytes.count else { return false }
            for bit in 0..<prefixLength where (address[bit / 8] ^ bytes[bit / 8]) & (0x80 >> UInt8(bit % 8)) != 0 { return false }
            return true
        }
    }

    package static let none = TrustedProxies(networks: [])

    private let networks: [Network]

    private init(networks: [Network]) { self.networks = networks }

    /// Reads `10.0.0.0/8, ::1, 192.168.1.7`; nil when a part is no network.
    package init?(_ text: String) {
        var networks: [Network] = []
        for part in text.split(separator: ",").map(\.trimmingSpaces) where !part.isEmpty {
            let halves = part.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = halves.first, let bytes = Self.bytes(String(first)) else { return nil }
            let length = halves.count == 1 ? bytes.count * 8 : Int(halves[1]) ?? -1
            guard (0...bytes.count * 8).contains(length) else { return nil }
            networks.append(Network(bytes: bytes, prefixLength: length))
        }
        self.networks = networks
    }

    /// Whose request it is: the peer, or where the peer is trusted the right-most address in the list that is not.
    /// - Parameters:
    ///   - peer: As the socket knows it.
    ///   - forwardedFor: The values of all `X-Forwarded-For` fields, in order.
    package func client(peer: String, forwardedFor: [String]) -> String {
        var client = peer
        var hops = forwardedFor.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false).map(\.trimmingSpaces) }[...]
        // What a proxy of ours wrote is an address; anything else came from outside and ends the chain.
        while trusts(client), let hop = hops.popLast(), let address = Self.address(String(hop)) { client = address }
        return client
    }

    private func trusts(_ address: String) -> Bool {
        guard let bytes = Self.bytes(address) else { return false }
        return networks.contains { $0.contains(bytes) }
    }

    /// Without the port that some proxies add.
    private static func address(_ hop: String) -> String? {
        if bytes(hop) != nil { return hop }
        guard let colon = hop.lastIndex(of: ":") else { return nil }
        var host = hop[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return bytes(String(host)) == nil ? nil : String(host)
    }

    /// 4 or 16 bytes; an IPv4 address that is written as IPv6 (`::ffff:1.2.3.4`) is itself.
    private static func bytes(_ text: String) -> [UInt8]? {
        var four = [UInt8](repeating: 0, count: 4)
        if inet_pton(AF_INET, text, &four) == 1 { return four }
        var bytes = [UInt8](repeating: 0, count: 16)
        guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
        let isMapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes.suffix(4)) : bytes
    }
}
