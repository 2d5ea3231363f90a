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
}
