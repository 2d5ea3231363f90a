package import Contract
import Formats
import Trust

/// Where requests go. The object is the same one from snapshot to snapshot while nothing in it changed, so that what hangs on it
/// (breakers, statistics) survives; connection pools hang on `pool`, which several endpoints may share.
package final class CompiledEndpoint: Sendable {
    package let id: String
    package let idBytes: [UInt8]
    package let name: String
    package let providerID: String
    package let providerIDBytes: [UInt8]
    package let isTLS: Bool
    /// A name or an address literal without brackets, in lower case.
    package let host: String
    package let port: Int
    /// `/v1`: without a slash at its end, may be empty.
    package let pathPrefix: [UInt8]
    /// The value of the Host field.
    package let hostHeader: [UInt8]
    package let credentialIDs: [String]
    package let authScheme: Weir_V1_AuthScheme
    /// For the header scheme: the field's name.
    package let authHeader: String
    package let flavour: ProviderFlavour
    package let speaks: SpokenDialects
    /// Azure's `api-version`, Anthropic's `anthropic-version` where a caller names none; empty: none, and the one that Weir knows.
    package let apiVersion: String
    /// What follows a path: `?api-version=…`, mostly empty.
    let pathSuffix: [UInt8]
    /// PEM of further trust roots; empty for the system's alone.
    package let caPEM: String
    package let timeouts: CompiledTimeouts
    /// Requests that this data plane has there at one time; 0: no bound.
    package let maxConcurrent: Int
    package let pool: PoolKey
    /// Its account keeps responses, which tenants know by names of their own (`ResourceIDs`).
    let keepsResponses: Bool
    /// Nil: its state is learnt from requests alone.
    let healthCheck: CompiledHealthCheck?

    init(_ endpoint: Weir_V1_Endpoint, provider: Weir_V1_Provider, url: ConfigValidation.BaseURL) {
        id = endpoint.id
        idBytes = Array(endpoint.id.utf8)
        name = endpoint.name
        providerID = provider.id
        providerIDBytes = Array(provider.id.utf8)
        isTLS = url.isTLS
        host = url.host
        port = url.port
        flavour = ProviderFlavour(kind: provider.kind)
        speaks = SpokenDialects(provider.apis, flavour)
        apiVersion = provider.apiVersion
        // Anthropic's own clients are given the host alone.
        pathPrefix = Array((flavour == .anthropic && url.path.isEmpty ? "/v1" : url.path).utf8)
        pathSuffix = flavour == .azure && !apiVersion.isEmpty ? Array("?api-version=\(apiVersion)".utf8) : []
        hostHeader = Array(url.authority.utf8)
        credentialIDs = provider.authScheme == .none ? [] : endpoint.credentialIds
        authScheme = provider.authScheme
        authHeader = provider.authScheme == .header ? provider.authHeader : ""
        caPEM = url.isTLS ? provider.caPem : ""
        timeouts = CompiledTimeouts(endpoint.timeouts, over: provider.timeouts)
        maxConcurrent = Int(endpoint.maxConcurrent)
        keepsResponses = endpoint.keepsResponses
        healthCheck =
            endpoint.healthCheck.intervalMs == 0
            ? nil
            : CompiledHealthCheck(
                interval: Int64(endpoint.healthCheck.intervalMs) * 1000, timeout: Int64(endpoint.healthCheck.timeoutMs) * 1000,
                path: endpoint.healthCheck.path)
        pool = PoolKey(
            isTLS: isTLS, host: host, port: port, trust: caPEM.isEmpty ? [] : SHA256Digest.of(Array(caPEM.utf8)),
            offersHTTP2: isTLS && !endpoint.http1Only, assumesHTTP2: !isTLS && endpoint.http2PriorKnowledge,
            connectMilliseconds: timeouts.connectMilliseconds, isPublicOnly: endpoint.publicAddressesOnly)
    }

    /// Azure's API with a version in its query: the model is a part of the path there.
    var isByDeployment: Bool { flavour == .azure && !apiVersion.isEmpty }

    /// What the path of something begins with that belongs to no model.
    var accountPrefix: [UInt8] { isByDeployment ? azureRoot : pathPrefix }

    /// `/openai`, whether the base URL says it or not.
    var azureRoot: [UInt8] {
        pathPrefix.suffix(7).elementsEqual("/openai".utf8) ? pathPrefix : pathPrefix + Array("/openai".utf8)
    }

    func isSame(as other: CompiledEndpoint) -> Bool {
        id == other.id && name == other.name && providerID == other.providerID && pool == other.pool && pathPrefix == other.pathPrefix
            && credentialIDs == other.credentialIDs && authScheme == other.authScheme && authHeader == other.authHeader
            && caPEM == other.caPEM && timeouts == other.timeouts && flavour == other.flavour && speaks == other.speaks
            && apiVersion == other.apiVersion && maxConcurrent == other.maxConcurrent
            && keepsResponses == other.keepsResponses && healthCheck == other.healthCheck
    }
}

struct CompiledHealthCheck: Hashable, Sendable {
    /// Microseconds, like the timeout.
    let interval: Int64
    let timeout: Int64
    /// Below the base URL's.
    let path: String
}

/// What a connection must have in common to be used for another request.
package struct PoolKey: Hashable, Sendable {
    package let isTLS: Bool
    package let host: String
    package let port: Int
    /// SHA-256 of the further trust roots; empty without.
    package let trust: [UInt8]
    /// HTTP/2 is spoken where the provider speaks it.
    package let offersHTTP2: Bool
    /// Without TLS HTTP/2 is spoken from the first byte (RFC 9113 §3.3).
    package let assumesHTTP2: Bool
    package let connectMilliseconds: Int64
    /// Its host may lead to the public Internet alone.
    package let isPublicOnly: Bool
}

/// Milliseconds; 0 is the data plane's own setting.
package struct CompiledTimeouts: Hashable, Sendable {
    package let connectMilliseconds: Int64
    package let firstByteMilliseconds: Int64
    package let idleMilliseconds: Int64
    package let totalMilliseconds: Int64

    init(_ endpoint: Weir_V1_Timeouts, over provider: Weir_V1_Timeouts) {
        func first(_ member: (Weir_V1_Timeouts) -> UInt32) -> Int64 {
            Int64(member(endpoint) != 0 ? member(endpoint) : member(provider))
        }
        connectMilliseconds = first(\.connectMs)
        firstByteMilliseconds = first(\.firstByteMs)
        idleMilliseconds = first(\.idleMs)
        totalMilliseconds = first(\.totalMs)
    }
}
