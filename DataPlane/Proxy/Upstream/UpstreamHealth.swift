/// What this loop has learnt of endpoints and credentials lately: who is tried last, who is not tried at all.
final class UpstreamHealth {
    /// By credential id: monotonic microseconds until which it is out of rotation.
    private var credentials: [String: Int64] = [:]
    private var endpoints: [String: Int64] = [:]

    func credentialRefused(_ id: String, until: Int64) { credentials[id] = until }
    func endpointFailed(_ id: String, until: Int64) { endpoints[id] = until }

    func endpointAnswered(_ id: String) {
        if !endpoints.isEmpty { endpoints[id] = nil }
    }

    func isCredentialUsable(_ id: String, now: Int64) -> Bool {
        if credentials.isEmpty { return true }
        guard let until = credentials[id] else { return true }
        if until > now { return false }
        credentials[id] = nil
        return true
    }

    func isEndpointCooling(_ id: String, now: Int64) -> Bool {
        if endpoints.isEmpty { return false }
        guard let until = endpoints[id] else { return false }
        if until > now { return true }
        endpoints[id] = nil
        return false
    }

    /// Credentials out of rotation at the moment, for health and metrics.
    func refusedCredentials(now: Int64) -> [String] { credentials.filter { $0.value > now }.keys.sorted() }

    /// A credential that was replaced gets its chance at once.
    func forgetCredentials() { credentials.removeAll() }
}
