package import Primitives

package struct ProjectContent: Noun {
    package typealias Kind = ProjectKind

    package var tenantID = TenantID("")
    package var name = ""
    package var status = Standing.active

    package init() {}

    package static let words = NounWords(
        "project", path: "projects", "Parts of a tenant that hold virtual keys and are billed apart.",
        create: "--tenant-id \(TenantKind.example) --name production", update: "--name staging")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "The tenant it belongs to.").fixed.filter.heading("TENANT"),
        .name(\.name),
        Field("status", \.status, "active or disabled; a disabled project's keys are refused at once.", or: .active).heading("STATUS"),
    ]

    package var title: String { name }
}
