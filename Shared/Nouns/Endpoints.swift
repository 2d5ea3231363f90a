package import Primitives

/// Requests that a data plane makes by itself, to hear of an endpoint's state before a caller does.
package struct HealthCheck: Record {
    /// Milliseconds; 0: there are none.
    package var intervalMS: Int64 = 0
    package var timeoutMS: Int64 = 5000
    /// Below the base URL.
    package var path = "/models"

    package init() {}

    package static let fields: [Field<Self>] = [
        Field("interval_ms", \.intervalMS, .integer(0...3_600_000), "Between two checks; at least 1000 where there are any.", or: 0)
            .unit("milliseconds, 0: never").column("health_interval_ms").option("health-interval-ms").reading(zero: "never"),
        Field("timeout_ms", \.timeoutMS, .integer(10...600_000), "Until a check has failed.", or: 5000).unit("milliseconds")
            .column("health_timeout_ms").option("health-timeout-ms"),
        Field("path", \.path, .text(maximum: 512), "What is asked for, with GET, below its base URL.", or: "/models")
            .column("health_path").option("health-path"),
    ]
}

package struct EndpointContent: Noun {
    package typealias Kind = EndpointKind

    package var providerID = ProviderID("")
    package var name = ""
    /// Nil: the provider's.
    package var baseURL: String?
    package var credentialIDs: [CredentialID] = []
    package var disabled = false
    package var timeouts = Timeouts()
    package var maxConcurrent: Int64 = 0
    package var healthCheck = HealthCheck()
    package var http1Only = false
    package var keepsResponses = false
    package var http2PriorKnowledge = false
    package var privateAddresses = false

    package init() {}

    package static let words = NounWords(
        "endpoint", path: "endpoints", "A provider with credentials: what routes lead to. Part of the draft.",
        create: "--provider-id \(ProviderKind.example) --name openai-main --credential-id \(CredentialKind.example)",
        update: "--disabled true")

    package static let fields: [Field<Self>] = [
        Field("provider_id", \.providerID, "The provider it reaches.").filter.heading("PROVIDER"),
        .name(\.name),
        Field("base_url", \.baseURL, .checked(format: "uri"), "Another address than the provider's own.").reading(
            null: "default"),
        Field(
            "private_addresses", \.privateAddresses,
            "Whether it may be of the inside: this machine, or a private network. Link-local addresses are never called.", or: false),
        Field(
            "credential_ids", \.credentialIDs, .list(.id(CredentialKind.prefix), 0...100),
            "Credentials to use there, in turn; of its provider only.", or: []
        ).option("credential-id").heading("CREDENTIALS"),
        Field("disabled", \.disabled, "Whether it is left out.", or: false).heading("DISABLED"),
        Field(object: "timeouts", \.timeouts, "Limits of one exchange with it; 0: the provider's."),
        Field(
            "max_concurrent", \.maxConcurrent, .integer(0...1_000_000),
            "Requests that each data plane has there at one time; others wait in line, in turn by tenant. 0: no bound.", or: 0
        ).reading(zero: "none"),
        Field(object: "health_check", \.healthCheck, "Checks of its state by each data plane, off by default."),
        Field("http1_only", \.http1Only, "Whether it is sent HTTP/1.1 even where it offers HTTP/2 (https only).", or: false),
        Field(
            "http2_prior_knowledge", \.http2PriorKnowledge,
            "Whether it is spoken to in HTTP/2 without TLS (http only; https agrees on it by itself). Its health checks stay HTTP/1.1.",
            or: false),
        Field(
            "keeps_responses", \.keepsResponses,
            "Whether its account keeps responses, for `previous_response_id` and `GET /v1/responses/{id}`: each tenant reaches its own.",
            or: false),
    ]

    package var title: String { name }
}
