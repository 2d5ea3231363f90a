import Contract
import Primitives
import Storage
import Synchronization

/// Why a record is kept apart instead of being billed: what its data plane may not report.
package enum QuarantineReason: String, CaseIterable, Sendable {
    /// There is no such tenant, and never was.
    case unknownTenant = "unknown_tenant"
    /// The data plane does not serve the tenant, or no longer and has known it for a while.
    case tenantNotServed = "tenant_not_served"
    /// The tenant has no such project, and never had.
    case unknownProject = "unknown_project"
    /// The project has no such key, and never had.
    case unknownKey = "unknown_key"
    /// The tenant has no such app, and never had.
    case unknownApp = "unknown_app"
    /// The tenant has no such user, and never had.
    case unknownUser = "unknown_user"
    /// The tenant has no such DID, and never had.
    case unknownDID = "unknown_did"
    /// The configuration has no such model for this tenant.
    case unknownModel = "unknown_model"
    /// No configuration of this version was published.
    case unknownConfigVersion = "unknown_config_version"
    /// The data plane was never sent that configuration.
    case configVersionNotHeld = "config_version_not_held"
    case revokedDataPlane = "revoked_data_plane"
}

/// Whose virtual keys, apps and users are, and which configurations data planes were sent. A key never changes its project, nor a project, an
/// app or a user its tenant, and what was sent stays sent: what was read once is kept, deleted keys included.
final class UsageParties: Sendable {
    /// About 20 MB of ids.
    private static let capacity = 100_000

    private let database: any Database
    private let keys = Mutex<[String: UsagePartiesTable.Party]>([:])
    private let identities = Mutex<[String: String]>([:])
    private let configs = Mutex<Set<Held>>([])

    private struct Held: Hashable {
        let dataPlaneID: String
        let version: Int64
    }

    init(database: any Database) {
        self.database = database
    }

    /// What is known of the parties that records name.
    struct Known: Sendable {
        var keys: [String: UsagePartiesTable.Party] = [:]
        /// The tenants of apps and users.
        var identities: [String: String] = [:]
        /// Of records whose key is not theirs: those that there are.
        var projects: Set<String> = []
        var tenants: Set<String> = []
        /// The configurations that the data plane was sent, of those that are named.
        var held: Set<Int64> = []
        /// Of the others: those that there are.
        var published: Set<Int64> = []

        func isOf(_ record: Weir_V1_UsageRecord) -> Bool {
            guard record.identities.allSatisfy({ identities[$0] == record.tenantID }) else { return false }
            // The requests of an app or a DID are of no project.
            if record.keyID.isEmpty, record.projectID.isEmpty, !record.appID.isEmpty || record.namesDID { return true }
            return keys[record.keyID].map { $0.projectID == record.projectID && $0.tenantID == record.tenantID } ?? false
        }
    }

    /// - Parameter dataPlaneID: Nil: whose records they are is all that is asked.
    func known(_ records: [Weir_V1_UsageRecord], of dataPlaneID: String?) async throws -> Known {
        let named = Set(records.lazy.map(\.keyID))
        var known = Known()
        keys.withLock { keys in
            for id in named { known.keys[id] = keys[id] }
        }
        let identified = Set(records.lazy.flatMap(\.identities))
        identities.withLock { identities in
            for id in identified { known.identities[id] = identities[id] }
        }
        let missingIdentities = identified.filter { known.identities[$0] == nil && Self.isID($0) }
        let missing = named.filter { known.keys[$0] == nil && Self.isID($0) }
        let versions = dataPlaneID == nil ? [] : Set(records.lazy.compactMap { Int64(exactly: $0.configVersion) })
        configs.withLock { configs in
            known.held = versions.filter { configs.contains(Held(dataPlaneID: dataPlaneID ?? "", version: $0)) }
        }
        let before = known
        if missing.isEmpty, missingIdentities.isEmpty, known.held == versions, records.allSatisfy({ known.isOf($0) }) { return known }
        let read = try await database.read(as: .all) { c in
            var known = before
            known.keys.merge(try UsagePartiesTable.keys(c, missing)) { first, _ in first }
            known.identities.merge(try UsagePartiesTable.identities(c, missingIdentities)) { first, _ in first }
            if let dataPlaneID {
                known.held.formUnion(try DataPlaneConfigsTable.held(c, dataPlaneID: dataPlaneID, among: versions.subtracting(known.held)))
                known.published = try ConfigVersionsTable.existing(c, among: versions.subtracting(known.held))
            }
            let strangers = records.filter { !known.isOf($0) }
            known.projects = try UsagePartiesTable.projects(c, Set(strangers.lazy.map(\.projectID).filter(Self.isID)))
            known.tenants = try UsagePartiesTable.tenants(c, Set(strangers.lazy.map(\.tenantID).filter(Self.isID)))
            return known
        }
        keys.withLock { keys in
            if keys.count + missing.count > Self.capacity { keys.removeAll() }
            keys.merge(read.keys) { first, _ in first }
        }
        identities.withLock { identities in
            if identities.count + missingIdentities.count > Self.capacity { identities.removeAll() }
            identities.merge(read.identities) { first, _ in first }
        }
        if let dataPlaneID {
            configs.withLock { configs in
                if configs.count > Self.capacity { configs.removeAll() }
                for version in read.held { configs.insert(Held(dataPlaneID: dataPlaneID, version: version)) }
            }
        }
        return read
    }

    /// What could be an id of ours: others are not asked for.
    private static func isID(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }
}

extension Weir_V1_UsageRecord {
    /// The app, the users and the DID that it names.
    fileprivate var identities: [String] { [appID, userID, ownerID, namesDID ? did : ""].filter { !$0.isEmpty } }
    /// A registered one, by its identifier.
    fileprivate var namesDID: Bool { did.hasPrefix(DIDKind.prefix) }
}

/// Judges what a data plane reports by what it may report.
enum UsageConfinement {
    /// A data plane that was told that it no longer serves a tenant needs a moment to act on it, and the clocks of the planes differ.
    static let graceMilliseconds: Int64 = 15 * 60_000
    /// For how long records from before that are waited for: an outage of days, with room.
    static let lateMilliseconds: Int64 = 14 * 86_400_000

    /// What does not depend on the data plane.
    static func reason(
        _ record: Weir_V1_UsageRecord, _ known: UsageParties.Known, _ config: PublishedConfig?
    ) -> QuarantineReason? {
        if !known.isOf(record) {
            // A key that exists says of its own whose it is.
            if known.keys[record.keyID]?.tenantID != record.tenantID, !known.tenants.contains(record.tenantID) { return .unknownTenant }
            if !record.appID.isEmpty, known.identities[record.appID] != record.tenantID { return .unknownApp }
            if record.namesDID, known.identities[record.did] != record.tenantID { return .unknownDID }
            if record.identities.contains(where: { known.identities[$0] != record.tenantID }) { return .unknownUser }
            if known.keys[record.keyID]?.projectID != record.projectID, !known.projects.contains(record.projectID) {
                return .unknownProject
            }
            return .unknownKey
        }
        let version = Int64(exactly: record.configVersion) ?? -1
        guard known.held.contains(version) else { return known.published.contains(version) ? .configVersionNotHeld : .unknownConfigVersion }
        guard let config else { return .unknownConfigVersion }
        // What is handed on as it came names the provider's own models, which no configuration of ours has.
        if record.capability == .forward, record.namesDID { return nil }
        guard record.model.isEmpty || config.hasModel(named: record.model, visibleTo: record.tenantID) else { return .unknownModel }
        return nil
    }

    /// Whether the data plane may report for the tenant. One from which the tenant was taken serves it in good faith until it hears of
    /// that, and ships what it served later still.
    /// - Parameter now: Unix milliseconds.
    static func serves(_ scope: DataPlaneScope, _ tenantID: String, admittedAtMicroseconds: Int64, now: Int64) -> Bool {
        if scope.serves.contains(tenantID) { return true }
        return [tenantID, DataPlaneScope.everyTenant].contains { tenant in
            guard let former = scope.former[tenant] else { return false }
            // What it ships now, it is in contact now.
            let told = former.toldAt ?? now
            return admittedAtMicroseconds / 1000 <= told &+ graceMilliseconds && now <= told &+ lateMilliseconds
        }
    }
}
