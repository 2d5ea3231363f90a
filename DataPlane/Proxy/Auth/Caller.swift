import Formats

/// For whom a request is made, however that was proved: what limits, records and bans are about.
struct Principal {
    enum Kind: UInt8 {
        case key = 1
        case app = 2
        case user = 3
        case did = 4
        /// No caller: a grant of a DID that was revoked.
        case revokedGrant = 5

        /// For people.
        var word: StaticString {
            switch self {
            case .key: "key"
            case .app: "app"
            case .user: "user"
            case .did: "DID"
            case .revokedGrant: "revoked grant"
            }
        }

        var idPrefix: StaticString {
            switch self {
            case .key: KeyEntry.idPrefix
            case .app: AppEntry.idPrefix
            case .user: UserEntry.idPrefix
            case .did: DIDEntry.idPrefix
            case .revokedGrant: "rvk_"
            }
        }
    }

    let kind: Kind
    /// The identifier of its kind.
    let id: IDBits
    let tenant: TenantEntry
    let project: ProjectEntry?
    /// On whose behalf it asks: whose key it is, or whom an app named.
    var user: IDBits?
    /// The user who pays, where that is not who asks: an app's owner.
    var owner: IDBits?
    /// The key that asks with a DID's grant, and the grant's name (`Directory.grantName`).
    var delegate: IDBits?
    var grant: IDBits?
}

/// Proof that it is known who calls. Made by `Authenticate` alone; nothing behind it knows what a key is.
struct Caller {
    let principal: Principal
    let proof: Proof
    let channel: Channel
    let dialect: Dialect
    /// What the principal is restricted to; nil is unrestricted.
    let scopes: KeyScopes?
    /// The rollout in force gives this caller the candidate version.
    let isCandidate: Bool
    /// The amount of the grant that it asks with, if that has one.
    var grantBudget: GrantBudget?

    /// - Note: only for `Authenticate` and what it hands a `PendingCaller`.
    init(principal: Principal, proof: Proof, channel: Channel, dialect: Dialect, scopes: KeyScopes?, isCandidate: Bool) {
        self.principal = principal
        self.proof = proof
        self.channel = channel
        self.dialect = dialect
        self.scopes = scopes
        self.isCandidate = isCandidate
    }

    var tenant: TenantEntry { principal.tenant }

    /// How a caller proved itself.
    enum Proof {
        case virtualKey
        /// The secret that all internal callers of the deployment share.
        case sharedSecret
        /// An app's own.
        case appSecret
        /// A key's signing secret, with which the request was signed.
        case hmac
        case did
    }

    /// Which door a request came through; each has its own scope on a key.
    enum Channel: String, Sendable {
        case standard = "default"
        case external = "external"
        /// Of programs of the operator's own, which name the user that they ask for.
        case `internal` = "internal"

        /// As the usage record has it.
        var word: StaticString {
            switch self {
            case .standard: "default"
            case .external: "external"
            case .internal: "internal"
            }
        }
    }
}

/// An account inside of its DID's: what requests with a grant may cost.
struct GrantBudget: Sendable {
    let rule: BudgetRule
    /// The grant, for the control plane, which judges it and keeps the account.
    let text: String
}

/// What authentication comes to at the end of a request's head.
enum Authentication {
    case complete(Caller)
    /// The proof covers the body: it is judged when that is whole.
    case afterBody(PendingCaller)
}

/// A caller whose proof is still incomplete. Nothing is admitted for it before `finish`.
struct PendingCaller {
    /// A DID that nobody knows and that its tenant may take: once it has proved itself the control plane is asked. `finish` refuses it.
    var newcomer: Newcomer?
    /// Judges the proof with the whole body at hand.
    let finish: (UnsafeRawBufferPointer) -> Result<Caller, Rejection>

    init(newcomer: Newcomer? = nil, finish: @escaping (UnsafeRawBufferPointer) -> Result<Caller, Rejection>) {
        self.newcomer = newcomer
        self.finish = finish
    }
}
