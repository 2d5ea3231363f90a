import Contract
import Primitives
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Addresses that lead to the public Internet")
struct LocalNetworkTests {
    private func bytes(_ text: String) -> [UInt8] {
        var four = [UInt8](repeating: 0, count: 4)
        if inet_pton(AF_INET, text, &four) == 1 { return four }
        var six = [UInt8](repeating: 0, count: 16)
        return inet_pton(AF_INET6, text, &six) == 1 ? six : []
    }

    @Test(
        "an address with a special purpose is none of them",
        arguments: [
            "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.169.254", "172.16.0.1",
            "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
            "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::127.0.0.1",
            "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::",
            "2002:c0a8:101::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1",
        ])
    func special(_ text: String) {
        #expect(LocalNetwork.kind(bytes(text)) != .global)
        #expect(!bytes(text).isEmpty)
    }

    @Test(
        "all others are",
        arguments: [
            "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.0.0.1", "128.0.0.1", "169.253.0.1",
            "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111",
            "2a00:1450::1", "2001:4860:4860::8888", "2001:200::1", "2002:808:808::1", "::ffff:8.8.8.8",
        ])
    func open(_ text: String) {
        #expect(LocalNetwork.kind(bytes(text)) == .global)
        #expect(LocalNetwork.text(bytes(text)) == text)
    }

    @Test("what is no address is not public")
    func short() {
        for count in [0, 1, 3, 5, 15, 17] { #expect(LocalNetwork.kind([UInt8](repeating: 8, count: count)) == .reserved) }
    }

    @Test(
        "an address is known in each spelling that a resolver takes",
        arguments: [
            ("127.0.0.1", AddressKind.loopback), ("2130706433", .loopback), ("0x7f000001", .loopback), ("0177.0.0.1", .loopback),
            ("127.1", .loopback), ("127.0.0.1.", .loopback), ("[::1]", .loopback), ("::1", .loopback), ("::ffff:127.0.0.1", .loopback),
            ("LOCALHOST", .loopback), ("localhost.", .loopback), ("a.localhost", .loopback), ("10.0.0.1", .private), ("0xa.1", .private),
            ("167772161", .private), ("::ffff:10.0.0.1", .private), ("[::FFFF:a00:1]", .private), ("172.31.0.1", .private),
            ("192.168.1.1", .private), ("100.64.0.1", .private), ("fd12:3456::1", .private), ("64:ff9b::a00:1", .private),
            ("64:ff9b:1::1", .private), ("2002:a00:1::", .private), ("169.254.169.254", .linkLocal), ("0251.254.1", .linkLocal),
            ("fe80::1%eth0", .linkLocal), ("64:ff9b:1::169.254.169.254", .linkLocal), ("fd00:ec2::254", .metadata),
            ("100.100.100.200", .metadata), ("168.63.129.16", .metadata), ("metadata.google.internal", .metadata), ("0.0.0.0", .reserved),
            ("0", .reserved), ("::", .reserved), ("224.0.0.1", .reserved), ("255.255.255.255", .reserved), ("ff02::1", .reserved),
            ("::1234:808:808", .reserved), ("8.8.8.8", .global), ("134744072", .global), ("2606:4700::1111", .global),
        ] as [(String, AddressKind)])
    func kinds(_ host: String, _ kind: AddressKind) { #expect(LocalNetwork.kind(host: host) == kind) }

    @Test(
        "a name is judged when it is resolved", arguments: ["api.example.com", "localhost.example", "10.0.0.1.example", "1.2.3.4.5", "x"])
    func names(_ host: String) { #expect(LocalNetwork.kind(host: host) == nil) }

    @Test("what may be called is said of each reach, and why not in words")
    func reaches() throws {
        let inside = AddressReach.public(and: try #require(NetworkList("10.1.0.0/16")))
        func refused(_ reach: AddressReach, _ text: String) -> String? { reach.refusal(of: bytes(text))?.description }
        for text in ["8.8.8.8", "10.0.0.1", "127.0.0.1", "::1", "0.0.0.0"] { #expect(refused(.configured, text) == nil) }
        #expect(refused(.configured, "169.254.1.1") == "the link-local address 169.254.1.1")
        #expect(refused(.configured, "fd00:ec2::254") == "fd00:ec2::254, where clouds keep their machines' credentials")
        #expect(refused(.public(and: .none), "::ffff:10.0.0.1") == "the private address ::ffff:10.0.0.1")
        #expect(refused(.public(and: .none), "::1") == "the loopback address ::1")
        #expect(refused(.public(and: .none), "224.0.0.1") == "224.0.0.1, which is no public address")
        #expect(refused(inside, "10.1.2.3") == nil && refused(inside, "::ffff:10.1.2.3") == nil && refused(inside, "10.2.0.1") != nil)
        #expect(AddressReach.configured.refusal(of: []) != nil && AddressReach.public(and: .none).refusal(of: []) != nil)
    }
}
