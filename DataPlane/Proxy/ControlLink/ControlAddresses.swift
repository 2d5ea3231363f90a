import GRDB
import Synchronization

/// Where the control plane's replicas are, by its own signed word: kept on the disk, so that a data plane that starts again while the replica
/// of its enrolment is gone knows where else to go.
final class ControlAddresses: Sendable {
    private static let metaKey = "control_addresses"
    private let known: Mutex<[FleetAddress]>

    /// Reads what was kept.
    init(_ local: LocalStore) throws {
        let text = try local.meta(Self.metaKey) ?? ""
        known = Mutex(Self.usable(text.split(separator: ",").map(String.init)))
    }

    var all: [FleetAddress] { known.withLock { $0 } }
    func set(_ addresses: [FleetAddress]) { known.withLock { $0 = addresses } }

    /// Those that are addresses; what a later version may say in another form is left out.
    static func usable(_ texts: [String]) -> [FleetAddress] {
        Array(texts.prefix(FleetAddress.maximumCount).compactMap { FleetAddress($0) })
    }

    static func store(_ addresses: [FleetAddress], _ db: Database) throws {
        try LocalStore.setMeta(db, metaKey, addresses.map(\.description).joined(separator: ","))
    }
}

/// Which address is spoken to, and which comes after it when it fails.
struct AddressRing {
    private(set) var current: FleetAddress
    /// What the operator or the enrolment named.
    private let given: [FleetAddress]

    init?(_ given: [FleetAddress]) {
        guard let first = given.first else { return nil }
        self.given = given
        current = first
    }

    /// Goes on to the next of those that were given and those that were heard since; after the last comes the first.
    /// - Returns: whether it is another one.
    mutating func advance(heard: [FleetAddress]) -> Bool {
        let all = given + heard.filter { !given.contains($0) }
        // One that is named no longer is left; then the first is next.
        let next = all.firstIndex(of: current).map { all[($0 + 1) % all.count] } ?? given.first ?? current
        defer { current = next }
        return next != current
    }
}
