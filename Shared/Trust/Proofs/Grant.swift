import Foundation
package import Primitives

/// A part of a DID's right that it passes on to a key: a compact JWS (RFC 7515 §3.1) with the claims of RFC 7519, signed by the DID's key.
///
/// Header: `alg` (EdDSA, ES256, ES256K) and `typ` `weir-grant+jwt`. Claims: `iss` the DID; `sub` the key (`key_…`); `jti` the grant's id, by
/// which it is revoked; `exp` and, if it begins later, `nbf` in seconds since 1970; `models`, the models it is for (without it: all); `amount`, US
/// dollars as a decimal text, which requests with it may cost in all.
package struct Grant: Sendable, Hashable {
    package static let type = "weir-grant+jwt"
    package static let maximumBytes = 4096

    package let issuer: DID
    package let subject: String
    package let id: String
    /// Seconds since 1970.
    package let expires: Int64
    package let notBefore: Int64
    /// Nil: all.
    package let models: [String]?
    /// Nano-dollars; nil: its issuer's budgets alone bound it.
    package let amount: Int64?

    /// - Throws: for a grant that is malformed, not signed by its issuer, not for now, or with a claim that is not understood: a limit that
    ///   nobody keeps would be none.
    package init(_ text: String, nowMilliseconds: Int64) throws(ProofProblem) {
        guard text.utf8.count <= Self.maximumBytes else { throw ProofProblem("The grant is longer than \(Self.maximumBytes) characters.") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Self.object(parts[0]), let claims = Self.object(parts[1]),
            !parts[2].hasSuffix("="), let signature = Base64URL.decode(parts[2])
        else { throw ProofProblem("The grant is no compact JWS: three parts in base64url, parted by dots, the first two JSON objects.") }
        guard header["typ"]?.stringValue == Self.type else {
            throw ProofProblem("The grant's header has to have \"typ\": \"\(Self.type)\".")
        }
        guard header["crit"] == nil, header["b64"] == nil else {
            throw ProofProblem("The grant's header has extensions, which are not known here.")
        }
        let known: Set<String> = ["iss", "sub", "jti", "exp", "nbf", "iat", "models", "amount"]
        if let other = claims.objectValue?.members.first(where: { !known.contains($0.name) }) {
            throw ProofProblem(
                "The grant's claim \"\(other.name.prefix(40))\" is not known here, so nobody would keep to it. Leave it out.")
        }
        guard let issuer = claims["iss"]?.stringValue else { throw ProofProblem("The grant has no \"iss\": the DID that grants.") }
        self.issuer = try DID(issuer)
        guard case .key(let key) = self.issuer.proof else { throw ProofProblem("Grants are signed by a did:key or did:jwk.") }
        guard header["alg"]?.stringValue == key.curve.joseAlgorithm else {
            throw ProofProblem("The grant's \"alg\" has to be its issuer's, which is \(key.curve.joseAlgorithm).")
        }
        guard key.isValid(signature: signature, over: Array(text.utf8.prefix(parts[0].utf8.count + 1 + parts[1].utf8.count))) else {
            throw ProofProblem("The grant was not signed by its issuer.")
        }
        guard let subject = claims["sub"]?.stringValue, !subject.isEmpty else {
            throw ProofProblem("The grant has no \"sub\": the key it is for.")
        }
        guard let id = claims["jti"]?.stringValue, (8...128).contains(id.utf8.count) else {
            throw ProofProblem("The grant has no \"jti\": an id of 8 to 128 characters, by which it can be revoked.")
        }
        guard let expires = claims["exp"]?.intValue else {
            throw ProofProblem("The grant has no \"exp\": until when it holds, in seconds since 1970.")
        }
        guard expires < Self.millisecondsBegin else {
            throw ProofProblem("The grant's \"exp\" seems to be in milliseconds: give seconds since 1970.")
        }
        let notBefore = claims["nbf"].map { $0.intValue ?? .max } ?? 0
        let now = nowMilliseconds / 1000
        guard expires > now else { throw ProofProblem("The grant has expired.") }
        guard notBefore <= now else { throw ProofProblem("The grant does not hold yet.") }
        if let value = claims["models"] {
            guard let models = value.arrayValue?.compactMap(\.stringValue), models.count == value.arrayValue?.count, !models.isEmpty else {
                throw ProofProblem("The grant's \"models\" is a list of names with at least one; leave it out to grant all.")
            }
            self.models = models
        } else {
            models = nil
        }
        if let value = claims["amount"] {
            guard let amount = value.stringValue.flatMap({ NanoDollars(decimal: $0) }), (0...Self.maximumAmount).contains(amount.rawValue)
            else {
                throw ProofProblem(
                    "The grant's \"amount\" is a text of US dollars with at most nine decimals, like \"2.50\", up to a million.")
            }
            self.amount = amount.rawValue
        } else {
            amount = nil
        }
        self.subject = subject
        self.id = id
        self.expires = expires
        self.notBefore = notBefore
    }

    /// In seconds the year 5138, in milliseconds 1973.
    private static let millisecondsBegin: Int64 = 100_000_000_000

    private static let maximumAmount: Int64 = 1_000_000_000_000_000

    /// The account of its amount, as both planes call it: an identifier of the budgets' kind that no budget has.
    package var budgetID: BudgetID {
        let name = Array("weir-grant-budget\u{0}".utf8) + issuer.fingerprint + Array(id.utf8)
        return BudgetID(BudgetKind.prefix + Base32.encode(Array(SHA256Digest.of(name).prefix(10))))
    }

    private static func object(_ part: Substring) -> JSONValue? {
        guard let bytes = Base64URL.decode(part), !part.hasSuffix("="), let value = try? JSONValue(parsing: bytes, maximumDepth: 4) else {
            return nil
        }
        if case .object = value { return value }
        return nil
    }
}
