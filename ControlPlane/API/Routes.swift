package import Domain
package import Telemetry

// How an endpoint is added:
//
// 1. The service goes to `Domain/<area>/<Noun>.swift` and gets a property in `Domain/Operation/ControlServices.swift`.
// 2. `API/Admin/<Noun>.swift` holds `struct <Noun>Routes: RouteGroup`, which keeps the services it needs and adds its routes:
//
//        package struct WidgetRoutes: RouteGroup {
//            let widgets: WidgetService
//
//            package func addRoutes(to table: inout RouteTable) {
//                table.get("/admin/api/widgets", .admin(.read)) { request in
//                    try request.query.allow(["limit", "cursor"])
//                    return .list(try await widgets.list(request.page(of: "widgets"))) { $0.json }
//                }
//                table.post("/admin/api/widgets", .admin(.operate)) { request in
//                    let content = try request.fields { WidgetContent(name: $0.string("name")) }
//                    let widget = try await widgets.create(content, by: request.actor)
//                    return .json(widget.json, status: .created, revision: widget.revision)
//                }
//            }
//        }
//
// 3. One line in `AdminRoutes.groups` below.
//
// A handler throws `DomainError`; the dispatcher turns it into a problem document. The access that a route declares is enforced
// before the handler runs, and `RouteAuthorisationTests` walks this very list.

/// Some routes that belong together.
package protocol RouteGroup: Sendable {
    func addRoutes(to table: inout RouteTable)
}

/// Everything that the control plane serves over HTTP.
package enum AdminRoutes {
    package static func groups(_ services: ControlServices, fleet: FleetAdministration, metrics: MetricsRegistry) -> [any RouteGroup] {
        [
            TenantRoutes(tenants: services.tenants),
            ProjectRoutes(projects: services.projects),
            KeyRoutes(keys: services.keys),
            CatalogRoutes(service: services.providers, path: "providers", form: ProviderForm.self),
            CredentialRoutes(credentials: services.credentials),
            CatalogRoutes(service: services.endpoints, path: "endpoints", form: EndpointForm.self),
            CatalogRoutes(service: services.models, path: "models", form: ModelForm.self),
            CatalogRoutes(service: services.routes, path: "routes", form: RouteForm.self),
            CatalogRoutes(service: services.prices, path: "prices", form: PriceForm.self),
            ConfigRoutes(drafts: services.drafts, versions: services.configVersions),
            RolloutRoutes(rollouts: services.rollouts),
            AdminTokenRoutes(tokens: services.adminTokens),
            DataPlaneRoutes(dataPlanes: fleet.dataPlanes),
            EnrollmentTokenRoutes(enrollment: fleet.enrollment),
            SigningKeyRoutes(keys: fleet.signingKeys),
            UsageRoutes(usage: services.usage),
            AuditRoutes(audit: services.audit),
            SelfServiceRoutes(usage: services.usage, health: services.health),
            HealthRoutes(health: services.health, metrics: metrics),
        ]
    }

    package static func table(_ services: ControlServices, fleet: FleetAdministration, metrics: MetricsRegistry) -> RouteTable {
        var table = RouteTable()
        for group in groups(services, fleet: fleet, metrics: metrics) { group.addRoutes(to: &table) }
        return table
    }
}
