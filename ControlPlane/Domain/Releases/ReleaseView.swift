import Contract
import Nouns
import Primitives
import Storage
import SwiftProtobuf

/// The draft, what was published and what is in force, beside each other.
struct ReleaseView {
    let latest: ConfigVersionRow?
    let state: RolloutStateRow
    let candidate: Rollout?
    /// When what is in force changed last, Unix milliseconds.
    let changedAt: Int64
    let changes: DraftChanges
    /// What is in force for all but the candidate's; nil: nothing.
    let baseline: Weir_V1_ConfigPayload?
    private let draft: Weir_V1_ConfigPayload

    var baselineVersion: Int64? { state.baselineVersion == 0 ? nil : state.baselineVersion }

    /// Who changed the draft, each once.
    var authors: [String] {
        var seen = Set<String>()
        return changes.entries.flatMap(\.edits).map(\.authorName).filter { seen.insert($0).inserted }
    }

    /// What of the baseline is called how, by id.
    var names: [String: String] {
        let config = baseline ?? draft
        return Dictionary(
            config.endpoints.map { ($0.id, $0.name) } + config.models.map { ($0.id, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    /// Of the baseline, those that a request may be sent to.
    var enabledEndpoints: [String] {
        guard let baseline else { return [] }
        let used = Set(baseline.routes.filter { !$0.disabled }.flatMap { $0.targets.map(\.endpointID) })
        return baseline.endpoints.filter { !$0.disabled && used.contains($0.id) }.map(\.id)
    }

    init(_ c: any SQLConnection, now: Int64) throws {
        latest = try ConfigVersionsTable.latest(c)
        state = try RolloutStateTable.get(c)
        candidate = try Rollouts.candidate(c, state)?.seen(at: now)
        changedAt = try RolloutStateTable.changedAt(c)
        draft = try Draft.payload(c)
        changes = try DraftChanges(c, ConfigResources(draft))
        baseline =
            state.baselineVersion == 0 ? nil : try ConfigVersions.existing(c, state.baselineVersion, field: "version")
    }

    func findings(_ c: any SQLConnection, now: Int64) throws -> [Finding] {
        var findings: [Finding] = []
        if let baseline {
            findings += try Self.findings(
                Draft.faults(c, baseline), .error, .versionCannotBeServed, "version \(state.baselineVersion)",
                command: "weir config diff --from \(state.baselineVersion)")
            findings += Self.findings(
                ConfigWarnings.of(baseline), .warning, .modelWarning, "version \(state.baselineVersion)",
                command: "weir config validate")
        } else if candidate == nil {
            let command = latest.map { "weir rollout create --version \($0.version)" } ?? "weir config publish"
            findings.append(
                Finding(
                    .error, .nothingInForce, "configuration", "no version is in force for all: requests are refused", command: command))
        }
        if let latest, candidate == nil, baseline != nil, latest.version > state.baselineVersion {
            findings.append(
                Finding(
                    .notice, .versionNotRolledOut, "version \(latest.version)", "it was published and is in force for nobody",
                    command: "weir rollout create --version \(latest.version)"))
        }
        if let candidate, now - candidate.createdAt > StatusService.longRollout {
            let days = (now - candidate.createdAt) / StatusService.day
            findings.append(
                Finding(
                    .warning, .rolloutStands, "rollout \(candidate.id.rawValue)",
                    "version \(candidate.content.version) has been the candidate for \(days) days",
                    command: "weir rollout promote    # or: weir rollout abort"))
        }
        return try findings + draftFindings(c)
    }

    private func draftFindings(_ c: any SQLConnection) throws -> [Finding] {
        guard !changes.entries.isEmpty else { return [] }
        let count = changes.entries.count
        let by = authors.isEmpty ? "" : ", by \(authors.joined(separator: ", "))"
        var findings = [
            Finding(
                .notice, .draftDiffers, "draft", "\(count) change\(count == 1 ? "" : "s") wait to be published\(by)",
                command: latest.map { "weir config diff --from \($0.version)" } ?? "weir config publish")
        ]
        findings += try Self.findings(Draft.problems(c, draft), .warning, .draftInvalid, "draft", command: "weir config validate")
        findings += changes.rolledBack.map { rolledBack in
            Finding(
                .warning, .draftHoldsRollback, "draft",
                "it still holds of version \(rolledBack.version), which \(rolledBack.authorName) rolled back: "
                    + rolledBack.held.prefix(5).map { "\($0.resource) \($0.name)" }.joined(separator: ", "),
                command: "weir config reset --version \(rolledBack.restoredVersion)")
        }
        return findings
    }

    private static func findings(
        _ problems: [FieldProblem], _ severity: Finding.Severity, _ code: Finding.Code, _ subject: String, command: String
    ) -> [Finding] {
        problems.prefix(StatusService.maximumOfAKind).map { problem in
            Finding(severity, code, "\(subject), \(problem.field)", "\(problem.message). \(problem.remedy)", command: command)
        }
    }
}
