package import Trust

/// Every service of the control plane, made once at the start. One property a service; the API's route groups and the fleet take
/// from it what they need.
package struct ControlServices: Sendable {
    package let domain: DomainContext

    package let tenants: TenantService
    package let projects: ProjectService
    package let keys: VirtualKeyService
    package let keyAuthentication: KeyAuthentication
    package let credentials: CredentialService
    package let providers: CatalogService<ProviderNoun>
    package let endpoints: CatalogService<EndpointNoun>
    package let models: CatalogService<ModelNoun>
    package let routes: CatalogService<RouteNoun>
    package let prices: CatalogService<PriceNoun>
    package let drafts: Drafts
    package let configVersions: ConfigVersions
    package let rollouts: Rollouts
    package let adminTokens: AdminTokenService
    package let audit: AuditLog
    package let health: HealthService
    package let usage: UsageQueries

    package init(_ domain: DomainContext, cipher: AtRestCipher) {
        self.domain = domain
        tenants = TenantService(domain)
        projects = ProjectService(domain)
        keys = VirtualKeyService(domain)
        keyAuthentication = KeyAuthentication(domain)
        credentials = CredentialService(domain, cipher: cipher)
        providers = CatalogService(domain)
        endpoints = CatalogService(domain)
        models = CatalogService(domain)
        routes = CatalogService(domain)
        prices = CatalogService(domain)
        drafts = Drafts(domain)
        configVersions = ConfigVersions(domain)
        rollouts = Rollouts(domain)
        adminTokens = AdminTokenService(domain)
        audit = AuditLog(domain)
        health = HealthService(domain)
        usage = UsageQueries(domain)
    }
}
