package import Primitives

/// Whether a tenant or project may send requests. A status that cannot be read shuts out rather than in.
package enum Standing: String, Word {
    case active, disabled

    package static var unknown: Standing? { .disabled }
}

package struct TenantContent: Noun {
    package typealias Kind = TenantKind

    package var name = ""
    package var status = Standing.active

    package init() {}

    package static let words = NounWords(
        "tenant", path: "tenants", "Customers: each has its own projects, keys and usage.", create: "--name Acme",
        update: "--status disabled")

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field("status", \.status, "active or disabled; a disabled tenant's keys are refused at once.", or: .active).heading("STATUS"),
    ]

    package var title: String { name }
}
