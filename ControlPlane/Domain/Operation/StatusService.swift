import Contract
import Nouns
import Primitives
import Storage

/// Looks at everything at once: for a screen, and for whoever asks what is wrong.
package struct StatusService: Sendable {
    /// Data planes that are looked at one by one, newest first.
    private static let maximumPlanes = 200
    private static let maximumEndpoints = 100
    /// A list of this many of one kind is as good as a longer one.
    static let maximumOfAKind = 20

    static let day: Int64 = 86_400_000
    /// What ends within this time is told.
    static let expiryNotice: Int64 = 14 * day
    /// Clocks that differ by more make tokens, prices and documents count from the wrong moment.
    package static let clockTolerance: Int64 = 5000
    /// A connected data plane ships within seconds.
    static let manyBatches: Int64 = 100
    /// A data plane takes a document within seconds; it is behind only when it had the time.
    static let timeToFollow: Int64 = 30_000
    /// A candidate that is older has been forgotten.
    static let longRollout: Int64 = 14 * day

    let domain: DomainContext
    private let masterKeyID: String
    private let reports: EndpointReportService

    package init(_ services: ControlServices, fleet: FleetAdministration) {
        domain = services.domain
        masterKeyID = services.masterKeyID
        reports = fleet.endpointReports
    }

    /// - Parameter actor: Is told of administrators' tokens only when it may see them.
    package func status(for actor: Actor) async throws -> SystemStatus {
        let now = domain.clock.nowMilliseconds()
        let reported = try await reports.list(PageRequest(limit: Self.maximumPlanes, after: nil)).items
        let troubles = reported.filter(\.isInTrouble)
        let (masterKeyID, warnings) = (masterKeyID, domain.warnings)
        return try await domain.report(as: .all) { c in
            let releases = try ReleaseView(c, now: now)
            let fleet = try FleetView(c, releases, limit: Self.maximumPlanes, now: now)
            var findings = try releases.findings(c, now: now) + fleet.findings(now: now)
            findings += Self.findings(ofEndpoints: troubles, reported, releases, try Self.recentlyTested(c, now: now))
            findings += try UsageQuarantineTable.totals(c).prefix(Self.maximumOfAKind).map(Self.finding(ofQuarantined:))
            findings += try UsageChainsTable.broken(c, limit: Self.maximumOfAKind).map(Self.finding(ofBroken:))
            findings += try LedgerTable.overdrawn(c, limit: Self.maximumOfAKind).map(Self.finding(ofOverdrawn:))
            findings += try Self.findings(ofEmergencies: c, now: now)
            if actor.may(.administer) { findings += try Self.findings(ofTokens: c, now: now) }
            findings += try Self.findings(ofKeys: c, now: now)
            findings += try DIDDocumentsTable.failing(c, limit: Self.maximumOfAKind).map(Self.finding(ofDocument:))
            findings += try BudgetStateService.findings(c, now: now)
            findings += try WebhookService.findings(c)
            let retention = try RetentionRunsTable.list(c)
            findings += retention.compactMap { RetentionService.finding(of: $0, now: now) }
            let old = try CiphertextsTable.count(c, underOtherKeysThan: masterKeyID)
            if old > 0 {
                findings.append(
                    Finding(
                        .warning, .masterKeyOld, "master key",
                        "\(old) secrets are still encrypted with another master key than \(masterKeyID)",
                        command: "weir-control rotate-master-key --help"))
            }
            findings += warnings.expiring(before: now + Self.expiryNotice).map { Self.finding(ofExpiry: $0, at: $1, now: now) }
            findings += warnings.all.map {
                Finding(.warning, .operatorWarning, "control plane", $0, command: "weir credential list")
            }
            let order = Finding.Severity.allCases
            return SystemStatus(
                version: weirVersion, now: now, database: c.dialect.rawValue, latestVersion: releases.latest?.version,
                baselineVersion: releases.baselineVersion, candidate: releases.candidate, draftChanges: releases.changes.entries.count,
                draftAuthors: releases.authors, planes: fleet.planes, endpointsInTrouble: Array(troubles.prefix(Self.maximumEndpoints)),
                retention: retention,
                findings: order.flatMap { severity in findings.filter { $0.severity == severity } })
        }
    }

    // MARK: Endpoints

    /// Endpoints that somebody called from the control plane within a day.
    private static func recentlyTested(_ c: any SQLConnection, now: Int64) throws -> Set<String> {
        let calls = try AuditTable.list(
            c, AuditFilter(resourceKind: "config_draft", resourceID: "draft", from: now - day), limit: 200
        ).filter { $0.action == "config_draft.test_calls" }
        return Set(
            calls.flatMap { call in
                (call.after.flatMap { try? JSONValue(parsing: $0) }?["endpoint_ids"]?.arrayValue ?? []).compactMap(\.stringValue)
            })
    }

    private static func findings(
        ofEndpoints troubles: [EndpointState], _ reported: [EndpointState], _ releases: ReleaseView, _ tested: Set<String>
    ) -> [Finding] {
        let names = releases.names
        func name(_ id: String) -> String { names[id].map { "\($0) (\(id))" } ?? id }
        var findings = troubles.prefix(maximumOfAKind).map { trouble -> Finding in
            let at = "at the data plane \(trouble.dataPlaneName)"
            let last = trouble.last.map { ": \($0)" } ?? ""
            if let credential = trouble.credentialID {
                return Finding(
                    .error, .credentialRefused, "credential \(name(credential))", "the provider refuses it \(at)\(last)",
                    command: "weir credential rotate \(credential)")
            }
            return Finding(
                .error, .endpointFailing, "endpoint \(name(trouble.endpointID ?? ""))", "it is failing \(at)\(last)",
                command: "weir fleet endpoints --in-trouble")
        }
        let used = Set(reported.filter { ($0.attempts ?? 0) > 0 }.compactMap(\.endpointID))
        findings += releases.enabledEndpoints.filter { !used.contains($0) && !tested.contains($0) }.prefix(maximumOfAKind).map { id in
            Finding(
                .notice, .endpointUntested, "endpoint \(name(id))", "no request has been sent to it yet, and no test call within a day",
                command: "weir config validate --test-calls")
        }
        return findings
    }

    // MARK: What ends, and what waits

    private static func finding(ofQuarantined total: QuarantineTotal) -> Finding {
        Finding(
            .warning, .usageQuarantined, "data plane \(total.dataPlaneID)",
            "\(total.records) usage records are kept apart and billed to nobody (\(total.reason))",
            command: "weir usage quarantine list --data-plane-id \(total.dataPlaneID)")
    }

    private static func finding(ofBroken chain: UsageChainRow) -> Finding {
        let since = RFC3339.string(milliseconds: chain.brokenAt ?? 0)
        return Finding(
            .warning, .usageChainBroken, "data plane \(chain.key.dataPlaneID)",
            "what it signed of tenant \(chain.key.tenantID) is not what was stored (\(chain.broken ?? ""), \(since)): that cannot be proved",
            command: "weir invoice fetch \(since.prefix(7)) --tenant-id \(chain.key.tenantID)")
    }

    private static func finding(ofOverdrawn tenant: (tenantID: String, amountNano: Int64)) -> Finding {
        Finding(
            .warning, .balanceNegative, "tenant \(tenant.tenantID)",
            "it paid in advance, and has used \(NanoDollars(0 - max(tenant.amountNano, -.max))) more than it paid",
            command: "weir billing top-up --tenant-id \(tenant.tenantID) --amount …")
    }

    private static func findings(ofTokens c: any SQLConnection, now: Int64) throws -> [Finding] {
        try AdminTokenContent.all(c).compactMap { token in
            guard !token.content.isBreakGlass, let end = token.content.expiresAt, end - now < expiryNotice else { return nil }
            let hasEnded = end <= now
            return Finding(
                hasEnded ? .notice : .warning, .tokenExpires, "token \(token.content.name) (\(token.id.rawValue))",
                "it \(hasEnded ? "ended" : "ends") at \(RFC3339.string(milliseconds: end))",
                command: hasEnded ? "weir token delete \(token.id.rawValue)" : "weir token update \(token.id.rawValue) --expires-at never")
        }.prefix(maximumOfAKind).map(\.self)
    }

    /// As long as such a token is there, used or not: it is deleted when the emergency is over and somebody has looked at what was done.
    private static func findings(ofEmergencies c: any SQLConnection, now: Int64) throws -> [Finding] {
        try AdminTokenContent.listed(c, where: "break_glass", is: .int(1)).prefix(maximumOfAKind).map { token in
            let end = token.content.expiresAt ?? .max
            let isOver = end <= now && token.content.lastUsedAt == nil
            let use = token.content.lastUsedAt.map { "was used last at \(RFC3339.string(milliseconds: $0))" } ?? "was never used"
            return Finding(
                isOver ? .notice : .warning, .breakGlass, "token \(token.content.name) (\(token.id.rawValue))",
                "an owner's token that was made at the server for an emergency \(end <= now ? "ended" : "works until") \(RFC3339.string(milliseconds: end)) and \(use)",
                command: "weir audit --actor-id \(token.id.rawValue); weir token delete \(token.id.rawValue)")
        }
    }

    private static func findings(ofKeys c: any SQLConnection, now: Int64) throws -> [Finding] {
        try VirtualKeyContent.table.list(
            c, matching: [], condition: "revoked_at IS NULL AND expires_at > \(now) AND expires_at < \(now + 3 * day)",
            order: .init("expires_at"), limit: maximumOfAKind
        ).map { row in
            let key = try Entity<VirtualKeyContent>(row)
            let end = RFC3339.string(milliseconds: key.content.expiresAt ?? 0)
            return Finding(
                .notice, .keyExpires, "key \(key.content.name) (\(key.id.rawValue))", "it ends at \(end)",
                command: "weir key update \(key.id.rawValue) --expires-at never")
        }
    }

    private static func finding(ofDocument document: (did: String, row: DIDDocumentRow)) -> Finding {
        let hasKeys = document.row.methods != "[]"
        return Finding(
            hasKeys ? .warning : .error, .didDocument, "DID \(document.did.prefix(200)) (\(document.row.didID))",
            "its document \(hasKeys ? "cannot be read any more" : "gives no key to sign with"): \(document.row.failure ?? "")",
            command: "weir did resolve \(document.row.didID)")
    }

    private static func finding(ofExpiry subject: String, at end: Int64, now: Int64) -> Finding {
        Finding(
            end <= now ? .error : .warning, .certificateExpires, subject,
            "it \(end <= now ? "ended" : "ends") at \(RFC3339.string(milliseconds: end)): data planes refuse it then",
            command: "weir-control config    # renew what --fleet-tls-certificate names, and restart")
    }
}
