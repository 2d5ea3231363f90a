package import Nouns
package import Primitives
package import Storage
package import Trust

package typealias Webhook = Entity<WebhookContent>

extension WebhookContent: Administered {
    package static var scope: NounScope { .administration }
    package static var permission: Permission { .manage }
    package static var readPermission: Permission { .readTenants }
    /// It ends with its tenant.
    package static var endsWithItsReferences: Bool { true }

    /// Of a tenant, and of the installation.
    private static let maximum = (tenant: 20, installation: 100)

    package func problems(replacing old: WebhookContent?, now: Int64) -> [FieldProblem] {
        url == old?.url ? [] : BaseURLCheck.address("url", url)
    }

    package func problems(id: WebhookID, replacing old: WebhookContent?, beside c: any SQLConnection) throws -> [FieldProblem] {
        guard old == nil else { return [] }
        let maximum = tenantID == nil ? Self.maximum.installation : Self.maximum.tenant
        let present =
            try tenantID.map { try Self.listed(c, where: "tenant_id", is: $0.rawValue).count }
            ?? Self.table.list(c, condition: "tenant_id IS NULL", limit: maximum + 1).count
        guard present >= maximum else { return [] }
        return [FieldProblem("name", "is one too many: \(maximum) webhooks are there", remedy: "Delete one that is not needed.")]
    }

    /// One that works again begins anew.
    package mutating func willWrite(_ id: WebhookID, replacing old: WebhookContent?, _ change: NounChange) throws {
        if let old, status == .active, old.status != .active || old.url != url {
            failures = 0
            lastError = ""
        }
    }

    package static func willDelete(_ webhook: Webhook, _ change: NounChange) throws {
        try WebhookDeliveriesTable.remove(change.connection, webhookID: webhook.id.rawValue)
    }

    /// A ciphertext opens only in its own row.
    static func binding(_ id: String) -> [UInt8] { Array("webhook\0\(id)".utf8) }

    func wants(_ event: SpendEvent) -> Bool {
        if let tenantID, tenantID.rawValue != event.tenantID { return false }
        return events.named?.contains(event.kind) ?? true
    }
}

/// Webhooks: made, given other secrets, and sent what waits for them.
package struct WebhookService: Sendable {
    package struct Issued: Sendable {
        package let item: Webhook
        package let plaintext: Secret
    }

    package let nouns: NounService<WebhookContent>
    let cipher: AtRestCipher
    let http: any OutboundHTTP
    /// Draws how long to wait beside what the schedule says: 0.8 to 1.2 of it.
    let jitter: @Sendable () -> Double

    package init(
        _ domain: DomainContext, cipher: AtRestCipher, http: any OutboundHTTP,
        jitter: @escaping @Sendable () -> Double = { Double.random(in: 0.8...1.2) }
    ) {
        nouns = NounService(domain)
        self.cipher = cipher
        self.http = http
        self.jitter = jitter
    }

    var domain: DomainContext { nouns.domain }

    /// Who acts for a tenant makes its own.
    package func create(_ content: WebhookContent, by actor: Actor) async throws -> Issued {
        let (id, text) = (WebhookID.random(), WebhookSignature.generate())
        var content = content
        content.tenantID = content.tenantID ?? actor.tenantID
        try seal(SigningSecrets(current: text), id, &content)
        return Issued(item: try await nouns.create(content, id: id, by: actor), plaintext: text)
    }

    /// A new secret. For `graceSeconds` more messages are signed with the one that it replaces, too.
    /// - Parameter force: Ends the grace that an earlier rotation promised.
    /// - Throws: `DomainError.conflict` while that grace lasts, unless forced.
    package func rotate(_ id: WebhookID, at revision: Int64?, graceSeconds: Int64, force: Bool, by actor: Actor) async throws -> Issued {
        let text = WebhookSignature.generate()
        let item = try await nouns.change(id, at: revision, "rotate", by: actor) { [self] content, change in
            if !force, let until = content.previousExpiresAt, until > change.now {
                throw DomainError.conflict(
                    "id",
                    "was rotated already: messages are signed with the secret before its present one until \(RFC3339.string(milliseconds: until))",
                    remedy: "Wait until then. To end that secret at once and rotate again, send \"force\": true.")
            }
            let until = change.now &+ graceSeconds &* 1000
            let present = try secrets(of: content, id)
            content.previousExpiresAt = graceSeconds > 0 ? until : nil
            try seal(graceSeconds > 0 ? present.replaced(by: text, until: until) : SigningSecrets(current: text), id, &content)
        }
        return Issued(item: item, plaintext: text)
    }

    private func seal(_ secrets: SigningSecrets, _ id: WebhookID, _ content: inout WebhookContent) throws {
        content.ciphertext = StoredBytes(try cipher.encrypt(secrets.bytes, aad: WebhookContent.binding(id.rawValue)))
        content.masterKeyID = cipher.keyID
    }

    func secrets(of content: WebhookContent, _ id: WebhookID) throws -> SigningSecrets {
        SigningSecrets(try cipher.decrypt(content.ciphertext.bytes, aad: WebhookContent.binding(id.rawValue)))
    }

    // MARK: What needs attention

    /// So often in a row, and it is no accident.
    private static let manyFailures: Int64 = 3

    static func findings(_ c: any SQLConnection) throws -> [Finding] {
        try WebhookContent.table.list(
            c, matching: [], condition: "status = 'active' AND failures >= \(manyFailures)", limit: StatusService.maximumOfAKind
        ).map { row in
            let webhook = try Webhook(row)
            return Finding(
                .warning, .webhookFailing, "webhook \(webhook.content.name) (\(webhook.id.rawValue))",
                "it has not taken a message \(webhook.content.failures) times in a row: \(webhook.content.lastError)",
                command: "weir webhook deliveries \(webhook.id.rawValue)")
        }
    }
}
