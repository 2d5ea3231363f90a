package import Primitives

/// What somebody may want to hear of.
package enum AlertKind: String, Word {
    /// Four fifths of a budget are used, or held by requests of which the outcome is not known.
    case budgetNear = "budget_near"
    /// All of it.
    case budgetExhausted = "budget_exhausted"
    /// More is spent than the limit is now: a soft budget, or one whose limit was lowered.
    case budgetExceeded = "budget_exceeded"
    /// A tenant or a key spends several times what it usually does.
    case suddenRise = "sudden_rise"
    /// A tenant that pays in advance owes something.
    case negativeBalance = "negative_balance"
    /// A data plane said of a slice what no data plane in good order says: its disk is an older one, or somebody speaks for it.
    case sliceAlarm = "slice_alarm"
    /// Something of the installation is not as it should be (`weir doctor`): a provider refuses a credential, a data plane is away.
    case findingRaised = "finding_raised"
    /// And is again.
    case findingCleared = "finding_cleared"
    /// A webhook was not reached for so long that a message was given up.
    case webhookGivenUp = "webhook_given_up"
    /// A message that somebody asked for, to see whether it arrives.
    case test

    /// What a webhook can be told by itself.
    package static let subscribable = allCases.filter { $0 != .test }.map(\.rawValue)
}

/// Where alerts are sent.
package struct WebhookContent: Noun {
    package typealias Kind = WebhookKind

    /// Nil: of the whole deployment.
    package var tenantID: TenantID?
    package var name = ""
    package var url = ""
    package var events = Scope<String>.all
    package var status = Standing.active
    /// When the secret that a rotation replaced ends, Unix milliseconds; nil: there is none.
    package var previousExpiresAt: Int64?
    /// In a row.
    package var failures: Int64 = 0
    /// Unix milliseconds.
    package var lastSuccessAt: Int64?
    package var lastFailureAt: Int64?
    package var lastError = ""
    /// AES-256-GCM, bound to the row: the present secret, and until then the one before.
    package var ciphertext = StoredBytes()
    package var masterKeyID: String?

    package init() {}

    package static let words = NounWords(
        "webhook", path: "webhooks", "Where alerts are sent, signed as Standard Webhooks has it. The secret is shown once.",
        create: "--name ops --to https://hooks.example.org/weir --event budget_exhausted --event sudden_rise", update: "--status disabled")

    package static let fields: [Field<Self>] = [
        Field("tenant_id", \.tenantID, "Whose alerts it is sent; null: everybody's, and the installation's.").fixed.filter.heading("TENANT")
            .reading(null: "all"),
        .name(\.name),
        Field("url", \.url, .checked(format: "uri"), "Where they are posted: https, and no private address unless the operator allows it.")
            .option("to").heading("URL"),
        Field("events", \.events, .scope(.word(AlertKind.subscribable)), "What it is told.", or: .all).option("event").heading("EVENTS"),
        Field("status", \.status, "active or disabled: nothing is sent, and what comes meanwhile waits.", or: .active).filter.heading(
            "STATUS"),
        Field("previous_expires_at", \.previousExpiresAt, .time, "Until when messages are signed with the secret before as well.").shown,
        Field("failures", \.failures, .number, "How often in a row it did not take a message.", or: 0).observed.heading("FAILURES"),
        Field("last_success_at", \.lastSuccessAt, .time, "When it took a message last; null: never.").observed.reading(null: "never"),
        Field("last_failure_at", \.lastFailureAt, .time, "When it did not; null: never.").observed.reading(null: "never"),
        Field("last_error", \.lastError, .text(maximum: 500), "Why it did not.", or: "").observed,
        Field("ciphertext", \.ciphertext, "The secret, encrypted.").hidden,
        Field("master_key_id", \.masterKeyID, .text(maximum: 64), "The master key that it is encrypted with.").hidden,
    ]

    package static let identity = ["tenant_id", "name"]
    package var title: String { name }
}
