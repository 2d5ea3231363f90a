import Domain
import Nouns
import Primitives
import Storage
import Testing
import Trust

@Suite("Replacing the master key")
struct MasterKeyRotationTests {
    private static let old = [UInt8](repeating: 1, count: 32)
    private static let new = [UInt8](repeating: 2, count: 32)
    private static let actor = Actor(id: "tok_a", name: "Ada", role: .owner, scope: .all)

    /// What of an installation stands under a master key.
    private struct Secrets {
        let domain: DomainContext
        let cipher: AtRestCipher
        var credentials: CredentialService { CredentialService(domain, cipher: cipher) }

        init(_ database: any Database, _ key: [UInt8], second: [UInt8]? = nil) throws {
            domain = DomainContext(database: database, clock: ManualClock(milliseconds: 1_795_233_906_000), signal: ChangeSignal())
            cipher = try #require(AtRestCipher(masterKey: key, second: second))
        }

        /// Whether everything can be read.
        func works(_ credentials: [CredentialID]) async throws -> Bool {
            guard try await MasterKeyCheck(domain).bind(cipher) else { return false }
            let fleet = try await FleetContext.establish(
                domain: domain, cipher: cipher, minimumVersion: SoftwareVersion(major: 0, minor: 1, patch: 0))
            _ = try await FleetAuthorityStore(fleet).loadOrCreate { ("certificate", "private key") }
            let keys = SigningKeyService(fleet)
            try await keys.establish()
            _ = try await keys.rotate(actor, graceSeconds: 60)
            for id in credentials { _ = try await self.credentials.decrypt(id) }
            return true
        }
    }

    @Test("re-encrypts everything, is done when it says so, and can be stopped and begun again", arguments: TestDatabases.all)
    func rotation(_ kind: TestDatabase) async throws {
        try await kind.with { database in
            let before = try Secrets(database, Self.old)
            var ids: [CredentialID] = []
            let services = ControlServices(before.domain, cipher: before.cipher)
            let provider = try await services.providers.create(
                ProviderContent {
                    $0.name = "p"
                    $0.baseURL = "https://example.com/v1"
                }, by: Self.actor)
            for name in ["a", "b", "c"] {
                ids.append(
                    try await before.credentials.nouns.create(
                        CredentialContent {
                            $0.providerID = provider.id
                            $0.name = name
                            $0.secret = Secret("sk-\(name)")
                        }, by: Self.actor
                    ).id)
            }
            #expect(try await before.works(ids))
            // An answer that is kept for who asks again: it holds a secret that was shown once.
            let request = Array("POST keys".utf8)
            guard case .attempt(let attempt) = try await services.idempotency.begin(Self.actor, key: "a b", request: request) else {
                Issue.record("no attempt")
                return
            }
            try await services.idempotency.finish(attempt, answer: Array("weir_secret".utf8))
            func answered(_ secrets: Secrets) async throws -> [UInt8]? {
                let service = IdempotencyService(secrets.domain, cipher: secrets.cipher)
                guard case .answered(let bytes) = try await service.begin(Self.actor, key: "a b", request: request) else { return nil }
                return bytes
            }
            // Both keys are known everywhere while it goes on, whichever comes first.
            let both = try Secrets(database, Self.new, second: Self.old)
            let rotation = MasterKeyRotation(both.domain, cipher: both.cipher)
            let first = try await rotation.run(by: Self.actor)
            // Three credentials, two signing keys, the authority, the check, the answer.
            #expect(first == MasterKeyRotation.Result(reencrypted: 8))
            #expect(try await answered(try Secrets(database, Self.new)) == Array("weir_secret".utf8))
            #expect(try await answered(before) == nil)
            // Nothing anywhere is under another key, and every table says so.
            for place in CiphertextsTable.Place.allCases {
                let others = try await database.read { c in
                    try c.query(
                        "SELECT 1 AS one FROM \(place.rawValue) WHERE master_key_id <> $1 AND \(place.column) IS NOT NULL",
                        [.text(both.cipher.keyID)]
                    ).count
                }
                #expect(others == 0, "\(place)")
            }
            #expect(try await rotation.run(by: Self.actor).reencrypted == 0)
            let other = try Secrets(database, Self.old, second: Self.new)
            for secrets in [both, try Secrets(database, Self.new), other] { #expect(try await secrets.works(ids)) }
            #expect(try await !MasterKeyCheck(before.domain).bind(before.cipher))

            // What another replica writes under the old key meanwhile, even one that does not say so, is found by the next run.
            _ = try await other.credentials.rotate(ids[0], at: nil, secret: Secret("sk-late"), by: Self.actor)
            try await database.transaction { c in
                _ = try c.execute("UPDATE credentials SET master_key_id = $1", [.text(both.cipher.keyID)])
            }
            let late = try await rotation.run(by: Self.actor)
            #expect(late.reencrypted >= 1 && late.unreadable.isEmpty)
            let alone = try Secrets(database, Self.new)
            #expect(try await alone.credentials.decrypt(ids[0]).secret.reveal() == "sk-late")
            // One that nobody can read is named and left.
            let broken = ids[1].rawValue
            try await database.transaction { c in
                _ = try c.execute("UPDATE credentials SET ciphertext = $1 WHERE id = $2", [.blob([7]), .text(broken)])
            }
            #expect(try await rotation.run(by: Self.actor).unreadable == ["credentials \(broken)"])
        }
    }

    /// Bytes that are kept and are not under the master key, with the reason.
    private static let open: [String: String] = [
        "usage_records.request_id": "an identifier", "usage_records.trace_id": "an identifier",
        "request_refusals.request_id": "an identifier",
        "usage_records.attempt_list": "what was measured", "usage_quarantine.record": "what a data plane reported",
        "virtual_keys.sha256": "a digest", "virtual_keys.previous_sha256": "a digest", "admin_tokens.sha256": "a digest",
        "admin_sessions.sha256": "a digest",
        "apps.sha256": "a digest", "apps.previous_sha256": "a digest", "dids.fingerprint": "a digest",
        "revoked_grants.grant_name": "a digest", "rate_shares.counter": "a counter's name",
        "enrollment_tokens.token_sha256": "a digest", "idempotency_keys.fingerprint": "a digest",
        "config_versions.payload": "a configuration names credentials and holds none", "config_versions.digest": "a digest",
        "config_projections.payload": "a part of a configuration", "signing_keys.public_key": "a public key", "keyrings.digest": "a digest",
        "keyrings.envelope": "a signed document", "data_planes.identity_public_key": "a public key",
        "data_planes.sealing_public_key": "a public key", "data_plane_documents.digest": "a digest", "issued_documents.digest": "a digest",
        "usage_chains.link": "a digest", "usage_heads.link": "a digest", "usage_heads.signature": "a signature",
        "usage_signed.records": "what data planes reported", "usage_watermarks.recent": "digests",
        "session_nonces.nonce": "a nonce", "config_projections.digest": "a digest",
    ]

    @Test("forgets no column: whatever holds bytes is re-encrypted, or is known to be no secret")
    func columns() async throws {
        let kind = try #require(TestDatabases.all.first { $0.name == "sqlite" })
        try await kind.with { database in
            let columns = try await database.read { c in
                try c.query(
                    """
                    SELECT t.name || '.' || p.name AS name FROM sqlite_master t JOIN pragma_table_info(t.name) p
                    WHERE t.type = 'table' AND p.type = 'BLOB'
                    """
                ).map { try $0.text("name") }
            }
            #expect(columns.count > 20)
            let encrypted = Set(CiphertextsTable.Place.allCases.map { "\($0.rawValue).\($0.column)" })
            for column in columns where !encrypted.contains(column) {
                #expect(
                    Self.open[column] != nil,
                    "\(column): is it encrypted with the master key? Then CiphertextsTable.Place needs it; else say here why not")
            }
            #expect(encrypted.isSubset(of: columns))
        }
    }

    @Test("names a key without telling anything of it, alike on every replica")
    func keyID() throws {
        let one = try #require(AtRestCipher(masterKey: Self.old))
        #expect(one.keyID == AtRestCipher(masterKey: Self.old, second: Self.new)?.keyID)
        #expect(one.keyID != AtRestCipher(masterKey: Self.new)?.keyID)
        #expect(AtRestCipher(masterKey: Self.old, second: [1]) == nil)
    }
}
