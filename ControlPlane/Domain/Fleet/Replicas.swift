import Primitives
import Storage

/// Which replicas of the control plane are there. Each says so every few seconds; what a data plane is connected to that has stopped
/// saying so is out of reach, as all others show then.
package struct ReplicaService: Sendable {
    /// How often a replica says that it is there, milliseconds.
    package static let renewalMilliseconds: Int64 = 3000
    /// How long one renewal counts: two may be missed. Clocks of replicas are expected to differ by less than a second.
    package static let leaseMilliseconds: Int64 = 10_000
    /// A replica that is gone is remembered for so long, to tell it from one that never registered.
    private static let memoryMilliseconds: Int64 = 86_400_000

    private let fleet: FleetContext
    private let name: String
    private let address: FleetAddress

    /// - Parameter address: Where data planes reach it: they are told, so that they know where else to go.
    package init(_ fleet: FleetContext, name: String, address: FleetAddress) {
        self.fleet = fleet
        self.name = name
        self.address = address
    }

    package func renew() async throws {
        let now = fleet.domain.clock.nowMilliseconds()
        let addresses = address.reachable.joined(separator: ",")
        try await fleet.observe(as: .all) { [name] c in
            try ControlReplicasTable.renew(c, name, addresses: addresses, now: now, until: now + Self.leaseMilliseconds)
        }
    }

    /// At the end of an orderly shutdown.
    package func leave() async throws {
        try await fleet.observe(as: .all) { [name] c in try ControlReplicasTable.remove(c, name) }
    }

    package func forgetExpired() async throws {
        let before = fleet.domain.clock.nowMilliseconds() - Self.memoryMilliseconds
        try await fleet.observe(as: .all) { c in try ControlReplicasTable.forgetExpired(c, before: before) }
    }
}
