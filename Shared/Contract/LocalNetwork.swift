import Foundation
package import Primitives

/// What an address is for, as far as that decides whether it is connected to.
package enum AddressKind: Sendable, Hashable {
    /// Of the public Internet: in none of the IANA special-purpose registries (RFC 6890), and nobody's own network.
    case global
    /// 127.0.0.0/8 (RFC 1122 §3.2.1.3), ::1.
    case loopback
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918), 100.64.0.0/10 (RFC 6598), fc00::/7 (RFC 4193).
    case `private`
    /// 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291 §2.5.6).
    case linkLocal
    /// Where clouds answer everybody with a machine's credentials, and it is not link-local.
    case metadata
    /// Unspecified, multicast, documentation, benchmarks, and what nobody was given yet.
    case reserved

    /// Whether nobody may allow it.
    package var isNeverCalled: Bool { self == .linkLocal || self == .metadata }
}

/// Where connections may lead, judged by the address that is really connected to.
package enum AddressReach: Sendable, Hashable {
    /// What the deployment's operators have configured: anywhere but to link-local addresses and the metadata of clouds.
    case configured
    /// The public Internet, and these networks.
    case `public`(and: NetworkList)

    /// Nil: it may be connected to.
    /// - Parameter address: 4 or 16 bytes in network order; anything else is refused.
    package func refusal(of address: [UInt8]) -> AddressRefusal? {
        let kind = LocalNetwork.kind(address)
        let isAllowed =
            switch self {
            case _ where address.count != 4 && address.count != 16: false
            case .configured: !kind.isNeverCalled
            case .public(let networks): kind == .global || networks.contains(bytes: address)
            }
        return isAllowed ? nil : AddressRefusal(kind: kind, address: LocalNetwork.text(address))
    }
}

/// An address that is not connected to.
package struct AddressRefusal: Error, Sendable, Hashable, CustomStringConvertible {
    package let kind: AddressKind
    /// As it is written.
    package let address: String

    /// For operators: `the private address 10.0.0.1`.
    package var description: String {
        switch kind {
        case .global: "the address \(address)"
        case .loopback: "the loopback address \(address)"
        case .private: "the private address \(address)"
        case .linkLocal: "the link-local address \(address)"
        case .metadata: "\(address), where clouds keep their machines' credentials"
        case .reserved: "\(address), which is no public address"
        }
    }
}

/// Addresses that mean another thing on each machine.
package enum LocalNetwork {
    /// The kind of the address that a host is, in any of the forms that a resolver takes: 2852039166, 0xa9fe.1, ::ffff:169.254.1.1, with a zone,
    /// with a dot at its end; names that mean this machine (`localhost` and what is below it, RFC 6761 §6.3) and a cloud's metadata count as the
    /// address. Nil: a name, which may lead anywhere.
    package static func kind(host: String) -> AddressKind? {
        var name = host.lowercased()
        if name.hasPrefix("["), name.hasSuffix("]") { name = String(name.dropFirst().dropLast()) }
        if let zone = name.firstIndex(of: "%") { name = String(name[..<zone]) }
        while name.hasSuffix(".") { name.removeLast() }
        if name == "metadata.google.internal" { return .metadata }
        if name == "localhost" || name.hasSuffix(".localhost") { return .loopback }
        var six = in6_addr()
        if inet_pton(AF_INET6, name, &six) == 1 { return kind(withUnsafeBytes(of: six) { Array($0) }) }
        var four = in_addr()
        // Takes what resolvers take: fewer parts, octal and hexadecimal ones.
        if inet_aton(name, &four) != 0 { return kind(withUnsafeBytes(of: four) { Array($0) }) }
        return nil
    }

    /// Addresses that carry an IPv4 address in them (mapped, compatible, NAT64, 6to4) are judged by that.
    /// - Parameter address: 4 or 16 bytes in network order; anything else is reserved.
    package static func kind(_ address: [UInt8]) -> AddressKind {
        guard address.count == 16 else { return address.count == 4 ? kind(four: address) : .reserved }
        if address.prefix(10).allSatisfy({ $0 == 0 }) {
            if address[10...].elementsEqual([0, 0, 0, 0, 0, 1]) { return .loopback }
            // Mapped and compatible (RFC 4291 §2.5.5).
            let embeds = address[10] == address[11] && (address[10] == 0 || address[10] == 0xFF)
            return embeds ? kind(four: Array(address.suffix(4))) : .reserved
        }
        if address.starts(with: nat64) { return kind(four: Array(address.suffix(4))) }
        // 64:ff9b:1::/48 translates within a network (RFC 8215).
        if address.starts(with: nat64.prefix(4)) { return kind(four: Array(address.suffix(4))).isNeverCalled ? .linkLocal : .private }
        if address.starts(with: [0x20, 0x02]) { return kind(four: Array(address[2..<6])) }
        if address[0] == 0xFE, address[1] & 0xC0 == 0x80 { return .linkLocal }
        if address.elementsEqual(amazonMetadata) { return .metadata }
        if address[0] & 0xFE == 0xFC { return .private }
        // Global unicast (RFC 4291 §2.4), but for 2001::/23 (protocols, with Teredo's tunnels) and the two prefixes of documentation.
        let isProtocol = address.starts(with: [0x20, 0x01]) && address[2] < 0x02
        let isDocumentation = address.starts(with: [0x20, 0x01, 0x0D, 0xB8]) || (address.starts(with: [0x3F, 0xFF]) && address[2] < 0x10)
        return address[0] & 0xE0 == 0x20 && !isProtocol && !isDocumentation ? .global : .reserved
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
    /// fd00:ec2::254.
    private static let amazonMetadata: [UInt8] = [0xFD, 0, 0x0E, 0xC2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54]

    private static func kind(four a: [UInt8]) -> AddressKind {
        switch (a[0], a[1], a[2], a[3]) {
        case (127, _, _, _): .loopback
        case (100, 100, 100, 200), (168, 63, 129, 16), (192, 0, 0, 192): .metadata  // Alibaba's, Azure's, Oracle's
        case (10, _, _, _), (172, 16...31, _, _), (192, 168, _, _): .private
        case (100, 64...127, _, _): .private  // carriers' NAT, RFC 6598
        case (169, 254, _, _): .linkLocal
        case (0, _, _, _): .reserved
        case (192, 0, 0, _), (192, 0, 2, _), (198, 51, 100, _), (203, 0, 113, _): .reserved  // protocols, documentation
        case (192, 88, 99, _), (198, 18...19, _, _): .reserved  // 6to4 relays, benchmarks
        case (224..., _, _, _): .reserved  // multicast, reserved, broadcast
        default: .global
        }
    }
}
