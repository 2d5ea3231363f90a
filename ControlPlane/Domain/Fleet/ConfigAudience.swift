import Contract
import Primitives
package import Storage
import Trust

/// For whom a configuration is made: one data plane with its tenants of now, or all those that serve everybody.
package struct ConfigAudience: Sendable, Hashable {
    package let dataPlaneID: String
    package let scope: DirectoryScope
    /// Of the list of tenants: rises with each change, and with it the revision of what the data plane is sent. 0: it serves everybody and
    /// always has, so that it gets the document that is the same for all of them.
    package let revision: Int64

    package init(dataPlaneID: String, scope: DirectoryScope, tenantsRevision: Int64) {
        self.dataPlaneID = dataPlaneID
        self.scope = scope
        revision = scope == .everyone && tenantsRevision <= 1 ? 0 : tenantsRevision
    }

    init(_ row: DataPlaneRow) {
        self.init(dataPlaneID: row.id, scope: DirectoryScope(tenantIDs: row.tenantIDs), tenantsRevision: row.tenantsRevision)
    }

    /// Names the set of tenants, whoever serves it; nil: everybody.
    var tenants: (key: String, ids: [String])? {
        guard case .tenants(let ids) = scope else { return nil }
        let sorted = Set(ids).sorted()
        return (Hex.encode(SHA256Digest.of(Array(sorted.joined(separator: ",").utf8))), sorted)
    }
}
