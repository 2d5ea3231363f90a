import Contract
import Foundation
import Primitives
import Testing

@testable import Proxy

@Suite("Where the control plane is")
struct ControlAddressesTests {
    private static func list(_ text: String) throws -> [FleetAddress] { try #require(FleetAddress.list(text)) }

    @Test("after a failure comes the next address: those that were given, then those that were heard of")
    func ring() throws {
        var ring = try #require(AddressRing(try Self.list("a:1,b:2")))
        let heard = try Self.list("b:2,c:3")
        var order = [ring.current]
        for _ in 0..<4 {
            let isAnother = ring.advance(heard: heard)
            #expect(isAnother)
            order.append(ring.current)
        }
        #expect(order.map(\.description) == ["a:1", "b:2", "c:3", "a:1", "b:2"])
        // One that is heard of no longer is left.
        _ = ring.advance(heard: heard)
        #expect(ring.current.description == "c:3")
        _ = ring.advance(heard: [])
        #expect(ring.current.description == "a:1")
        var single = try #require(AddressRing(try Self.list("a:1")))
        let isAnother = single.advance(heard: [])
        #expect(!isAnother && single.current.description == "a:1")
        #expect(AddressRing([]) == nil)
    }

    @Test("what the control plane names is kept over a restart, and what is no address is left out")
    func kept() async throws {
        let fixture = SnapshotFixture()
        let local = try fixture.local()
        let store = try fixture.store(local)
        #expect(store.controlAddresses.all.isEmpty)
        func hear(_ version: UInt64, _ addresses: [String]) async throws -> Bool {
            var payload = Weir_V1_HeartbeatPayload()
            payload.controlAddresses = addresses
            return await store.apply(try fixture.sign(.heartbeat, fixture.header(version), payload)).accepted
        }
        #expect(try await hear(1, ["one.example:7443", "not an address", "[::1]:7443"]))
        #expect(store.controlAddresses.all.map(\.description) == ["one.example:7443", "[::1]:7443"])
        // One that says nothing of it, as the release before, takes nothing away.
        #expect(try await hear(2, []))
        #expect(store.controlAddresses.all.count == 2)
        #expect(try await hear(3, (1...40).map { "r\($0).example:1" }))
        #expect(store.controlAddresses.all.count == FleetAddress.maximumCount)
        #expect(try ControlAddresses(local).all == store.controlAddresses.all)
    }
}
