import Primitives
import Testing

@Suite("Hosts that are allowed")
struct HostListTests {
    @Test("names, names below another, addresses and ports")
    func allows() throws {
        let list = try #require(HostList(["api.Example.com", "*.azure.com", "10.0.0.5:8000", "[fd00::1]:8000", "::1", "dotted.example."]))
        for (host, port) in [
            ("api.example.com", 443), ("API.example.com.", 1), ("eu.azure.com", 443), ("a.b.azure.com", 443), ("10.0.0.5", 8000),
            ("fd00:0::1", 8000), ("0:0:0:0:0:0:0:1", 9), ("dotted.example", 9),
        ] { #expect(list.allows(host: host, port: port), "\(host):\(port)") }
        for (host, port) in [
            ("example.com", 443), ("x.api.example.com", 443), ("azure.com", 443), (".azure.com", 443), ("evilazure.com", 443),
            ("10.0.0.5", 80),
            ("10.0.0.5.example", 8000), ("fd00::1", 80), ("fd00::2", 8000), ("", 443),
        ] { #expect(!list.allows(host: host, port: port), "\(host):\(port)") }
        #expect(!HostList.none.allows(host: "a", port: 1))
    }

    @Test(
        "what is no host is refused",
        arguments: [
            "", "*", "*.", ".", "a.*.b", "**.a", "https://a", "a/b", "a:0", "a:65536", "a:x", "a:", "[::1", "[a]", "[::1]x", "1:2:3", "a b",
        ])
    func refuses(_ text: String) { #expect(HostList([text]) == nil) }
}
