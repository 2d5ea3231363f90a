import Contract
import Nouns
import Primitives
import Storage

/// How the data planes follow.
struct FleetView {
    let planes: [SystemStatus.Plane]
    private let revokedAndSeen: [DataPlane]
    private let refusals: [String: String]

    init(_ c: any SQLConnection, _ releases: ReleaseView, limit: Int, now: Int64) throws {
        var items = try DataPlaneContent.table.list(c, order: .init("created_at", isDescending: true), limit: limit).map {
            try DataPlane($0)
        }
        try DataPlaneContent.observe(&items, c)
        items = items.map { $0.seen(at: now) }
        let documentVersion = releases.state.documentVersion
        let isSettled = now - releases.changedAt > StatusService.timeToFollow
        var refusals: [String: String] = [:]
        planes = items.filter { $0.content.standing == .active }.map { item in
            let plane = item.content
            let held = plane.documents.filter { $0.kind == DocumentKind.rollout.word && $0.accepted }.map(\.version).max() ?? 0
            if let refused = plane.documents.first(where: { !$0.accepted }) {
                refusals[item.id.rawValue] =
                    "\(refused.kind) \(refused.version): \(refused.detail.isEmpty ? refused.reason : refused.detail)"
            }
            return SystemStatus.Plane(
                id: item.id.rawValue, name: plane.name, region: plane.region, status: plane.status, version: plane.version,
                connected: plane.isConnected, lastSeenAt: plane.lastSeenAt,
                configVersions: plane.documents.filter { $0.kind == DocumentKind.config.word && $0.accepted }.map(\.version).sorted(),
                isBehind: held < documentVersion && isSettled, outboxBatches: plane.report?.value["outbox_batches"]?.intValue,
                clockAheadMilliseconds: plane.report?.value["clock_ahead_ms"]?.intValue)
        }
        self.refusals = refusals
        // It still comes to us, so it is still running somewhere.
        revokedAndSeen = items.filter { item in
            item.content.standing == .revoked
                && (item.content.lastSeenAt ?? 0) > max(item.content.revokedAt ?? 0, now - StatusService.day)
        }
    }

    func findings(now: Int64) -> [Finding] {
        var findings: [Finding] = []
        if planes.isEmpty {
            findings.append(
                Finding(
                    .error, .noDataPlane, "fleet", "no data plane is enrolled: nobody serves requests",
                    command: "weir fleet token create --name NAME --region REGION"))
        }
        findings += planes.flatMap { self.findings(of: $0, now: now).prefix(StatusService.maximumOfAKind) }
        findings += revokedAndSeen.prefix(StatusService.maximumOfAKind).map { row in
            Finding(
                .notice, .dataPlaneRevoked, "data plane \(row.content.name) (\(row.id.rawValue))",
                "it was revoked and still comes to the control plane: stop it",
                command: "weir fleet get \(row.id.rawValue)")
        }
        return findings
    }

    private func findings(of plane: SystemStatus.Plane, now: Int64) -> [Finding] {
        let (subject, get) = ("data plane \(plane.name) (\(plane.id))", "weir fleet get \(plane.id)")
        var findings: [Finding] = []
        func add(_ severity: Finding.Severity, _ code: Finding.Code, _ message: String, _ command: String? = nil) {
            findings.append(Finding(severity, code, subject, message, command: command ?? get))
        }
        if let version = SoftwareVersion(plane.version), version < weirVersion {
            add(.notice, .dataPlaneOld, "it runs \(version), the control plane \(weirVersion): upgrade weir-proxy")
        }
        guard plane.connected else {
            let since = plane.lastSeenAt.map { "was heard last at \(RFC3339.string(milliseconds: $0))" } ?? "was never heard"
            add(
                .error, .dataPlaneAway, "it is not connected and \(since): see its log, and whether it reaches the fleet's address",
                "weir fleet revoke \(plane.id)    # only if it is gone for good")
            return findings
        }
        if let refusal = refusals[plane.id] {
            add(.error, .dataPlaneRefuses, "it refuses \(refusal)")
        } else if plane.isBehind {
            add(.warning, .dataPlaneBehind, "it has not taken what is in force yet")
        }
        if !["ok", "refusing documents"].contains(plane.status) { add(.warning, .dataPlaneTrouble, "it says: \(plane.status)") }
        if let batches = plane.outboxBatches, batches > StatusService.manyBatches {
            add(.warning, .dataPlaneUsage, "\(batches) batches of usage wait to be delivered")
        }
        if let ahead = plane.clockAheadMilliseconds, ahead.magnitude > StatusService.clockTolerance.magnitude {
            let words = "\(ahead.magnitude / 1000) s \(ahead > 0 ? "ahead of" : "behind")"
            add(
                .warning, .dataPlaneClock, "its clock is \(words) the control plane's", "timedatectl set-ntp true    # on its machine")
        }
        return findings
    }
}
