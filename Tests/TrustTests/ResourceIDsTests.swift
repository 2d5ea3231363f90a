import Testing
import Trust

@Suite("Names of what providers keep for tenants")
struct ResourceIDsTests {
    private let names = ResourceIDs(secret: Array("a secret of the deployment".utf8))
    private let tenant = Array("tenant_a".utf8)
    private let place = ResourceIDs.Place(endpointID: "ep_1", credentialID: "cred_1", id: Array("file-Abc_123".utf8))

    @Test func areTheirTenantsAlone() throws {
        let name = try #require(names.name(of: place, .file, tenant: tenant))
        // No provider's id is shown, nothing has to be encoded in a path, and the same thing has the same name everywhere.
        #expect(name.hasPrefix("file-w1-") && !name.contains("Abc_123"))
        #expect(
            name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D || $0 == 0x5F
            })
        #expect(ResourceIDs(secret: Array("a secret of the deployment".utf8)).name(of: place, .file, tenant: tenant) == name)
        let found = try #require(names.place(named: Array(name.utf8), .file, tenant: tenant))
        #expect(found == place && found.isAt(endpointID: "ep_1") && found.isOf(credentialID: "cred_1"))
        #expect(!found.isAt(endpointID: "ep_2") && !found.isOf(credentialID: ""))
        #expect(names.place(named: Array(name.utf8), .file, tenant: Array("tenant_b".utf8)) == nil)
        // Of the same thing, if it were of another kind.
        #expect(names.place(named: Array(name.utf8), .response, tenant: tenant) == nil)
        let response = try #require(names.name(of: place, .response, tenant: tenant))
        #expect(response.hasPrefix("resp_w1-") && response.dropFirst(8) != name.dropFirst(8))
        #expect(names.place(named: Array(response.utf8), .response, tenant: tenant) == place)
        #expect(ResourceIDs(secret: [1, 2, 3]).place(named: Array(name.utf8), .file, tenant: tenant) == nil)
    }

    @Test func noOtherSpellingIsOne() throws {
        let name = Array(try #require(names.name(of: place, .file, tenant: tenant)).utf8)
        for index in name.indices {
            var changed = name
            for byte in [UInt8(ascii: "A"), 0x62, 0x2D, 0x3D, 0, 0xFF] where byte != name[index] {
                changed[index] = byte
                #expect(names.place(named: changed, .file, tenant: tenant) == nil, "\(index) \(byte)")
            }
            #expect(names.place(named: Array(name[..<index]), .file, tenant: tenant) == nil)
        }
        #expect(names.place(named: name + [0x41], .file, tenant: tenant) == nil)
        #expect(names.place(named: name + [0x3D], .file, tenant: tenant) == nil)
        for id in ["", "a/b", "..", "a b", String(repeating: "a", count: 129)] {
            let place = ResourceIDs.Place(endpointID: "e", credentialID: "c", id: Array(id.utf8))
            #expect(names.name(of: place, .file, tenant: tenant) == nil, "\(id)")
        }
    }
}
