package import Primitives

/// What of a data plane an administrator changes.
package struct DataPlaneChange: Record {
    package var name = ""
    package var tenantIDs = Scope<TenantID>.all

    package init() {}

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field("tenant_ids", \.tenantIDs, "The tenants it serves.", or: .all).option("tenant-id"),
    ]
}
