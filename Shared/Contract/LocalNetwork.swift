import Foundation

/// Addresses that mean another thing on each machine.
package enum LocalNetwork {
    /// Whether a host is link-local (169.254.0.0/16, RFC 3927; fe80::/10, RFC 4291 §2.5.6), in any of the forms that a resolver takes:
    /// 2852039166, 0xa9fe.1, ::ffff:169.254.1.1. There clouds answer everybody with a machine's credentials.
    package static func isLinkLocal(host: String) -> Bool {
        var name = host.lowercased()
        if name.hasPrefix("["), name.hasSuffix("]") { name = String(name.dropFirst().dropLast()) }
        if let zone = name.firstIndex(of: "%") { name = String(name[..<zone]) }
        while name.hasSuffix(".") { name.removeLast() }
        if name == "metadata.google.internal" { return true }
        var six = in6_addr()
        if inet_pton(AF_INET6, name, &six) == 1 { return isLinkLocal(withUnsafeBytes(of: six) { Array($0) }) }
        var four = in_addr()
        // Takes what resolvers take: fewer parts, octal and hexadecimal ones.
        if inet_aton(name, &four) != 0 { return isLinkLocal(withUnsafeBytes(of: four) { Array($0) }) }
        return false
    }

    /// - Parameter address: 4 or 16 bytes in network order.
    package static func isLinkLocal(_ address: [UInt8]) -> Bool {
        guard address.count == 16 else { return address.starts(with: [169, 254]) }
        if address[0] == 0xFE, address[1] & 0xC0 == 0x80 { return true }
        // IPv4 in IPv6: mapped and compatible (RFC 4291 §2.5.5), translated (RFC 6052).
        let embeds = address.prefix(10).allSatisfy { $0 == 0 } || address.starts(with: [0, 0x64, 0xFF, 0x9B])
        return embeds && isLinkLocal(Array(address.suffix(4)))
    }

    /// Whether an address is one of the public Internet: none of the IANA special-purpose registries (RFC 6890), and nobody's own network.
    /// Addresses that carry an IPv4 address in them (mapped, compatible, NAT64, 6to4) are judged by that.
    /// - Parameter address: 4 or 16 bytes in network order.
    package static func isPublic(_ address: [UInt8]) -> Bool {
        guard address.count == 16 else { return address.count == 4 && !isSpecial(four: address) }
        if address.prefix(10).allSatisfy({ $0 == 0 }) || address.starts(with: nat64) { return isPublic(Array(address.suffix(4))) }
        if address.starts(with: [0x20, 0x02]) { return isPublic(Array(address[2..<6])) }
        // Global unicast (RFC 4291 §2.4), but for 2001::/23 (protocols, with Teredo's tunnels) and the two prefixes of documentation.
        let isProtocol = address.starts(with: [0x20, 0x01]) && address[2] < 0x02
        let isDocumentation = address.starts(with: [0x20, 0x01, 0x0D, 0xB8]) || (address.starts(with: [0x3F, 0xFF]) && address[2] < 0x10)
        return address[0] & 0xE0 == 0x20 && !isProtocol && !isDocumentation
    }

    /// As it is written (RFC 5952, with an IPv4 address for 4 bytes).
    package static func text(_ address: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: 64)
        guard inet_ntop(address.count == 16 ? AF_INET6 : AF_INET, address.count >= 4 ? address : [0, 0, 0, 0], &text, 64) != nil else {
            return "?"
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The well-known prefix 64:ff9b::/96 (RFC 6052).
    private static let nat64: [UInt8] = [0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0]

    private static func isSpecial(four a: [UInt8]) -> Bool {
        switch (a[0], a[1], a[2]) {
        case (0, _, _), (10, _, _), (127, _, _): true
        case (100, 64...127, _): true  // carriers' NAT, RFC 6598
        case (169, 254, _), (172, 16...31, _), (192, 168, _): true
        case (192, 0, 0), (192, 0, 2), (198, 51, 100), (203, 0, 113): true  // protocols, documentation
        case (192, 88, 99), (198, 18...19, _): true  // 6to4 relays, benchmarks
        case (224..., _, _): true  // multicast, reserved, broadcast
        default: false
        }
    }
}
