package import Primitives

/// Something that an operator should look at: what it is, and the command that mends it or tells more.
package struct Finding: Sendable, Hashable {
    package enum Severity: String, CaseIterable, Sendable {
        /// Requests fail, or are about to.
        case error
        /// Something is not as it should be.
        case warning
        /// It may well be meant.
        case notice
    }

    /// What kinds there are, for programs.
    package enum Code: String, CaseIterable, Sendable {
        case nothingInForce = "nothing_in_force", versionCannotBeServed = "version_cannot_be_served"
        case modelWarning = "model_warning", versionNotRolledOut = "version_not_rolled_out"
        case rolloutStands = "rollout_stands", draftDiffers = "draft_differs", draftInvalid = "draft_invalid"
        case draftHoldsRollback = "draft_holds_rollback"
        case noDataPlane = "no_data_plane", dataPlaneAway = "data_plane_away", dataPlaneBehind = "data_plane_behind"
        case dataPlaneRefuses = "data_plane_refuses", dataPlaneOld = "data_plane_old", dataPlaneRevoked = "data_plane_revoked"
        case dataPlaneClock = "data_plane_clock", dataPlaneUsage = "data_plane_usage", dataPlaneTrouble = "data_plane_trouble"
        case endpointFailing = "endpoint_failing", credentialRefused = "credential_refused", endpointUntested = "endpoint_untested"
        case balanceNegative = "balance_negative"
        case didDocument = "did_document", breakGlass = "break_glass"
        case usageQuarantined = "usage_quarantined", usageChainBroken = "usage_chain_broken"
        case tokenExpires = "token_expires", keyExpires = "key_expires"
        case budgetNear = "budget_near", budgetExhausted = "budget_exhausted", sliceStranded = "slice_stranded"
        case sliceAlarm = "slice_alarm", budgetsRecovering = "budgets_recovering"
        case purgeLate = "purge_late", retentionHeld = "retention_held"
        case webhookFailing = "webhook_failing"
        case certificateExpires = "certificate_expires", masterKeyOld = "master_key_old", operatorWarning = "operator_warning"
    }

    package let severity: Severity
    package let code: Code
    /// What it is about, with its id.
    package let subject: String
    package let message: String
    /// Of the command line; a person may have to fill something in.
    package let command: String

    init(_ severity: Severity, _ code: Code, _ subject: String, _ message: String, command: String) {
        self.severity = severity
        self.code = code
        self.subject = subject
        self.message = message
        self.command = command
    }

    package var json: JSONValue {
        [
            "severity": .string(severity.rawValue), "code": .string(code.rawValue), "subject": .string(subject),
            "message": .string(message), "command": .string(command),
        ]
    }
}
