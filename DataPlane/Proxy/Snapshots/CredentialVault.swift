import Contract
import Formats
import Primitives
import Trust

/// Provider credentials, opened, as the header lines they are sent in. Nothing of it prints.
package final class CredentialVault: Sendable, CustomStringConvertible, CustomReflectable {
    private let entries: [String: CredentialEntry]
    /// Those of keys, by the key.
    private let signing: [IDBits: CredentialEntry]

    /// What the names of things are made with that providers keep for tenants; nil: the control plane has not sent it.
    let resourceIDs: ResourceIDs?
    /// What is held, for the hello: credential → revision.
    package let revisions: [String: UInt64]

    init(_ entries: [String: CredentialEntry]) {
        revisions = entries.mapValues(\.revision)
        var entries = entries
        resourceIDs = entries.removeValue(forKey: SealedCredentialBinding.resourceKeyID)?.resourceIDs
        self.entries = entries
        var signing: [IDBits: CredentialEntry] = [:]
        for entry in entries.values {
            let id = entry.idBytes.withUnsafeBytes { IDBits(identifier: $0, prefix: KeyEntry.idPrefix) }
            if let id { signing[id] = entry }
        }
        self.signing = signing
    }

    package static let empty = CredentialVault([:])

    package subscript(_ credentialID: String) -> CredentialEntry? { entries[credentialID] }

    /// What a key's requests are signed with, where it has such a secret.
    func signingSecret(of key: IDBits) -> CredentialEntry? { signing[key] }

    /// Credentials that are held but cannot be sent, for the state page.
    package var unusable: [String] { entries.filter { !$0.value.isUsable }.keys.sorted() }

    package var count: Int { entries.count }
    package var description: String { "CredentialVault(\(entries.count))" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

package final class CredentialEntry: Sendable, CustomStringConvertible, CustomReflectable {
    package let id: String
    package let idBytes: [UInt8]
    package let providerID: String
    package let revision: UInt64
    /// False when the secret holds bytes that must not stand in a field value (RFC 9110 §5.5), or nothing.
    package let isUsable: Bool
    private let bearer: [UInt8]
    private let basic: [UInt8]
    private let secret: [UInt8]
    /// For a key's signing secret.
    private let signing: SigningSecrets.Keys
    private let secretPattern: SecretPattern?
    private let basicPattern: SecretPattern?

    init(id: String, providerID: String, revision: UInt64, secret: [UInt8]) {
        self.id = id
        idBytes = Array(id.utf8)
        self.providerID = providerID
        self.revision = revision
        // A CR or LF would end the line and begin another field of the secret's choosing.
        isUsable = !secret.isEmpty && secret.count <= 8192 && secret.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        self.secret = isUsable ? secret : []
        signing = SigningSecrets(self.secret).keys
        bearer = isUsable ? Array("Authorization: Bearer ".utf8) + secret + [13, 10] : []
        let encoded = Base64.encode(secret)
        basic = isUsable ? Array("Authorization: Basic \(encoded)\r\n".utf8) : []
        secretPattern = SecretPattern(String(decoding: secret, as: UTF8.self))
        basicPattern = SecretPattern(encoded)
    }

    /// The header line, CRLF included, that presents the credential to the endpoint. Nil when it cannot be used, or belongs to another
    /// provider: a secret never goes to somebody else's host.
    package func headerLine(at endpoint: CompiledEndpoint) -> [UInt8]? {
        endpoint.providerID == providerID ? headerLine(scheme: endpoint.authScheme, header: endpoint.authHeader) : nil
    }

    func headerLine(scheme: Weir_V1_AuthScheme, header: String) -> [UInt8]? {
        guard isUsable else { return nil }
        switch scheme {
        case .bearer: return bearer
        case .basic: return basic
        // The one scheme whose line depends on the endpoint; joined at each use, which costs less than keeping a line per name.
        case .header: return Array(header.utf8) + [UInt8(ascii: ":"), UInt8(ascii: " ")] + secret + [13, 10]
        case .none, .unspecified, .UNRECOGNIZED: return nil
        }
    }

    /// Whether `tag` is the HMAC-SHA256 of the message with this signing secret of a key, or with one that it replaced and that still works.
    func isValid(_ tag: [UInt8], over message: [UInt8], nowMilliseconds: Int64) -> Bool {
        isUsable && signing.isValid(tag, over: message, nowMilliseconds: nowMilliseconds)
    }

    /// Of the one entry that is no credential.
    fileprivate var resourceIDs: ResourceIDs? { isUsable ? ResourceIDs(secret: secret) : nil }

    /// What an error of that endpoint must not show.
    func hiddenTexts(at endpoint: CompiledEndpoint) -> HiddenTexts {
        HiddenTexts(secrets: [String(decoding: secret, as: UTF8.self)], hosts: [endpoint.host])
    }

    /// What no answer of that endpoint may bring to a caller; nil where it is too short to be looked for.
    func pattern(at endpoint: CompiledEndpoint) -> SecretPattern? {
        endpoint.authScheme == .basic ? basicPattern : secretPattern
    }

    package var description: String { "CredentialEntry(\(id), revision \(revision))" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
