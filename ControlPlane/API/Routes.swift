package import Domain
package import Telemetry

/// Some routes that belong together.
package protocol RouteGroup: Sendable {
    func addRoutes(to table: inout RouteTable)
}

/// Everything that the control plane serves over HTTP.
package enum AdminRoutes {
    package static func groups(_ services: ControlServices, fleet: FleetAdministration, metrics: MetricsRegistry) -> [any RouteGroup] {
        [
            NounRoutes(services.tenants),
            NounRoutes(services.projects),
            KeyRoutes(keys: services.keys),
            UserRoutes(users: services.users),
            AppRoutes(apps: services.apps),
            SigningSecretRoutes(secrets: services.signingSecrets),
            DIDRoutes(dids: services.dids, documents: services.didDocuments),
            NounRoutes(services.revokedGrants),
            BanRoutes(bans: services.bans),
            WebhookRoutes(webhooks: services.webhooks),
            BudgetRoutes(budgets: services.budgets, states: services.budgetStates),
            BanRoutes(bans: services.killSwitches),
            LimitRoutes(limits: services.limits, uses: LimitUses(services.domain)),
            NounRoutes(services.providers),
            CredentialRoutes(credentials: services.credentials),
            NounRoutes(services.endpoints),
            NounRoutes(services.models),
            NounRoutes(services.routes),
            NounRoutes(services.workflows),
            NounRoutes(services.prices),
            PriceImportRoutes(prices: PriceImport(services.prices)),
            ConfigRoutes(drafts: services.drafts, versions: services.configVersions, testCalls: services.testCalls),
            RolloutRoutes(rollouts: services.rollouts),
            SignOnRoutes(signOn: services.signOn),
            AdministratorRoutes(tokens: services.adminTokens, people: services.people),
            DataPlaneRoutes(dataPlanes: fleet.dataPlanes),
            NounRoutes(fleet.enrollment.nouns, showing: "token") { content, actor in
                let issued = try await fleet.enrollment.create(content, by: actor)
                return (issued.token, issued.text)
            },
            SigningKeyRoutes(keys: fleet.signingKeys),
            EndpointReportRoutes(reports: fleet.endpointReports),
            UsageRoutes(usage: services.usage),
            UsageQuarantineRoutes(quarantine: services.quarantine),
            BillingRoutes(billing: services.billing),
            AuditRoutes(trail: services.auditTrail),
            DeclarativeRoutes(declarative: services.declarative),
            StatusRoutes(status: StatusService(services, fleet: fleet)),
            WhoAmIRoutes(adminTokens: services.adminTokens, names: services.names, signOn: services.signOn.policy),
            SelfServiceRoutes(
                usage: services.usage, billing: services.billing, health: services.health, trail: services.auditTrail),
            HealthRoutes(health: services.health, metrics: metrics),
        ]
    }

    package static func table(_ services: ControlServices, fleet: FleetAdministration, metrics: MetricsRegistry) -> RouteTable {
        var table = RouteTable()
        for group in groups(services, fleet: fleet, metrics: metrics) { group.addRoutes(to: &table) }
        table.describe(HandwrittenRoutes.docs)
        OpenAPIRoutes(routes: table.routes).addRoutes(to: &table)
        return table
    }
}
