import Formats
import Primitives

/// What an internal caller says of itself, as it stands in the request's head.
struct AppCall {
    /// X-Gateway-Secret: the one that all share, or the app's own.
    let secret: UnsafeRawBufferPointer?
    /// X-App-Id.
    let appID: UnsafeRawBufferPointer?
    /// X-User-Oid: on whose behalf the app asks.
    let userOID: UnsafeRawBufferPointer?
}

extension Authenticate {
    /// An app that asks on behalf of a user. Judged in this order: secret, app id, app, user id, user; who does not hold a secret learns
    /// nothing about apps and users.
    /// - Parameter sharedSecret: SHA-256 of the deployment's; nil: there is none.
    static func caller(
        _ call: AppCall, sharedSecret: DigestWords?, dialect: Dialect, directory: Directory, nowMilliseconds: Int64
    ) throws(Rejection) -> Caller {
        guard let secret = call.secret, !secret.isEmpty else {
            throw .wrongGatewaySecret("The request has no X-Gateway-Secret header.")
        }
        let presented = DigestWords(digestOf: secret)
        let app = call.appID.flatMap { $0.isEmpty ? nil : directory.app(named: $0) }
        guard let proof = proof(presented, sharedSecret, app?.secret, nowMilliseconds) else {
            throw .wrongGatewaySecret("The gateway secret is wrong.")
        }
        guard let appID = call.appID, !appID.isEmpty else {
            throw .unauthenticated(
                "missing_app_id", "The request does not say which app it comes from. Send the app's id in the X-App-Id header.")
        }
        guard let app else { throw .forbidden("unknown_app", "No app has this id. Register it, or check the X-App-Id header.") }
        guard !app.disabled else { throw .forbidden("app_disabled", "The app is disabled.") }
        guard !app.tenant.disabled else { throw .forbidden("tenant_disabled", "The app's tenant is disabled.") }
        guard let oid = call.userOID, !oid.isEmpty else {
            throw .unauthenticated(
                "missing_user", "The request does not say for which user it is made. Send the user's oid in the X-User-Oid header.")
        }
        guard let user = directory.user(oid: oid, of: app.tenant) else {
            throw .forbidden("unknown_user", "No user of the app's tenant has this oid. Create the user, or check the X-User-Oid header.")
        }
        try checkUser(user, of: "request", nowMilliseconds)
        // Who pays has to be able to.
        if let owner = app.owner, owner != user.id { try checkUser(directory.user(owner), of: "app", nowMilliseconds) }
        return Caller(
            principal: Principal(kind: .app, id: app.id, tenant: app.tenant, project: nil, user: user.id, owner: app.owner), proof: proof,
            channel: .internal, dialect: dialect, scopes: nil, isCandidate: app.isCandidate)
    }

    /// Which secret was presented. All that there are are compared, each in constant time.
    private static func proof(
        _ presented: DigestWords, _ shared: DigestWords?, _ own: PrincipalSecret?, _ nowMilliseconds: Int64
    ) -> Caller.Proof? {
        let isShared = shared.map(presented.equalInConstantTime) ?? false
        let isOwn = own.map { presented.equalInConstantTime($0.digest) } ?? false
        let wasOwn = own?.rotated.map { presented.equalInConstantTime($0.digest) && nowMilliseconds < $0.expiresMilliseconds } ?? false
        if isOwn || wasOwn { return .appSecret }
        return isShared ? .sharedSecret : nil
    }
}

extension Rejection {
    fileprivate static func wrongGatewaySecret(_ message: String) -> Rejection { .unauthenticated("invalid_gateway_secret", message) }
    fileprivate static func unauthenticated(_ code: StaticString, _ message: String) -> Rejection {
        Rejection(status: 401, fault: .client, kind: .authentication, code: code, message: message)
    }
}
