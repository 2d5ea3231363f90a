package import Nouns
package import Trust

/// Every service of the control plane, made once at the start. One property a service; the API's route groups and the fleet take
/// from it what they need.
package struct ControlServices: Sendable {
    package let domain: DomainContext

    package let tenants: NounService<TenantContent>
    package let projects: NounService<ProjectContent>
    package let keys: VirtualKeyService
    package let users: UserService
    package let apps: AppService
    package let bans: BanService<BanContent>
    package let limits: NounService<LimitContent>
    package let killSwitches: BanService<KillSwitchContent>
    package let keyAuthentication: KeyAuthentication
    package let credentials: CredentialService
    package let signingSecrets: SigningSecretService
    package let dids: NounService<DIDContent>
    package let didDocuments: DIDDocuments
    package let freezes: FreezeService
    package let revokedGrants: NounService<RevokedGrantContent>
    package let budgets: NounService<BudgetContent>
    package let budgetStates: BudgetStateService
    package let webhooks: WebhookService
    package let spendRises: SpendRises
    package let providers: NounService<ProviderContent>
    package let endpoints: NounService<EndpointContent>
    package let models: NounService<ModelContent>
    package let routes: NounService<RouteContent>
    package let workflows: NounService<WorkflowContent>
    package let prices: NounService<PriceContent>
    package let drafts: Drafts
    package let testCalls: TestCalls
    package let configVersions: ConfigVersions
    package let rollouts: Rollouts
    package let adminTokens: AdminTokenService
    package let people: PeopleService
    package let signOn: SignOnService
    package let audit: AuditLog
    package let auditTrail: AuditTrail
    package let names: NameService
    /// Names the master key that secrets are encrypted with.
    package let masterKeyID: String
    package let health: HealthService
    package let usage: UsageQueries
    package let idempotency: IdempotencyService
    package let quarantine: UsageQuarantine
    package let billing: Billing
    package let declarative: DeclarativeService
    package let outbound: any OutboundHTTP

    /// - Parameters:
    ///   - providers: Makes the calls to providers that an operator asks for.
    ///   - identities: Signs people on.
    ///   - outbound: Makes the calls to addresses that tenants and administrators give.
    package init(
        _ domain: DomainContext, cipher: AtRestCipher, providers caller: any ProviderCaller = NoProviderCalls(),
        outbound: any OutboundHTTP = NoOutboundHTTP(), identities: any IdentityProvider = NoIdentityProvider(),
        signOn policy: SignOnPolicy = SignOnPolicy()
    ) {
        self.domain = domain
        self.outbound = outbound
        tenants = NounService(domain)
        projects = NounService(domain)
        keys = VirtualKeyService(domain)
        users = UserService(domain)
        apps = AppService(domain)
        bans = BanService(domain)
        limits = NounService(domain)
        killSwitches = BanService(domain)
        keyAuthentication = KeyAuthentication(domain)
        credentials = CredentialService(domain, cipher: cipher)
        signingSecrets = SigningSecretService(domain, cipher: cipher)
        dids = .dids(domain)
        didDocuments = DIDDocuments(domain, outbound: outbound)
        freezes = FreezeService(domain)
        revokedGrants = .revokedGrants(domain)
        budgets = NounService(domain)
        budgetStates = BudgetStateService(domain)
        webhooks = WebhookService(domain, cipher: cipher, http: outbound)
        spendRises = SpendRises(domain)
        providers = NounService(domain)
        endpoints = NounService(domain)
        models = NounService(domain)
        routes = NounService(domain)
        workflows = NounService(domain)
        prices = NounService(domain)
        drafts = Drafts(domain)
        testCalls = TestCalls(domain, credentials: credentials, caller: caller)
        configVersions = ConfigVersions(domain)
        rollouts = Rollouts(domain)
        adminTokens = AdminTokenService(domain)
        people = PeopleService(domain)
        signOn = SignOnService(domain, people: people, cipher: cipher, provider: identities, policy: policy)
        audit = AuditLog(domain)
        auditTrail = AuditTrail(domain)
        names = NameService(domain)
        masterKeyID = cipher.keyID
        health = HealthService(domain)
        usage = UsageQueries(domain)
        idempotency = IdempotencyService(domain, cipher: cipher)
        quarantine = UsageQuarantine(domain)
        billing = Billing(domain)
        declarative = DeclarativeService(domain, services: [keys.nouns, credentials.nouns, apps.nouns, dids])
    }
}
