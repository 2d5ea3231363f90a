import Nouns
package import Primitives
import Storage

/// The whole installation at one moment, on one screen: what is in force, how the fleet follows, and what needs somebody's attention.
package struct SystemStatus: Sendable, Hashable {
    /// How a data plane follows.
    package struct Plane: Sendable, Hashable {
        package let id: String
        package let name: String
        package let region: String
        /// "ok" or what is wrong.
        package let status: String
        package let version: String
        package let connected: Bool
        package let lastSeenAt: Int64?
        /// Versions that it holds.
        package let configVersions: [Int64]
        /// Whether it has yet to take what is in force.
        package let isBehind: Bool
        /// Batches of usage it has not delivered.
        package let outboxBatches: Int64?
        /// How far its clock is ahead of ours; nil: it did not say.
        package let clockAheadMilliseconds: Int64?

        package var json: JSONValue {
            [
                "id": .string(id), "name": .string(name), "region": .string(region), "status": .string(status), "version": .string(version),
                "connected": .bool(connected), "last_seen_at": .time(lastSeenAt),
                "config_versions": .array(configVersions.map(JSONValue.int)),
                "behind": .bool(isBehind), "outbox_batches": outboxBatches.map(JSONValue.int) ?? .null,
                "clock_ahead_ms": clockAheadMilliseconds.map(JSONValue.int) ?? .null,
            ]
        }
    }

    /// Of this control plane's software.
    package let version: SoftwareVersion
    /// Unix milliseconds, by the control plane's clock.
    package let now: Int64
    /// `sqlite` or `postgres`.
    package let database: String
    package let latestVersion: Int64?
    package let baselineVersion: Int64?
    package let candidate: Rollout?
    /// What publishing the draft would change.
    package let draftChanges: Int
    /// Who made these changes.
    package let draftAuthors: [String]
    package let planes: [Plane]
    package let endpointsInTrouble: [EndpointState]
    /// What was purged last, kind by kind.
    let retention: [RetentionRun]
    /// The worst first.
    package let findings: [Finding]

    package var json: JSONValue {
        [
            "version": .string(version.description), "time": .time(now), "database": .string(database),
            "latest_version": latestVersion.map(JSONValue.int) ?? .null, "baseline_version": baselineVersion.map(JSONValue.int) ?? .null,
            "candidate": candidate.map { rollout -> JSONValue in
                [
                    "id": .string(rollout.id.rawValue), "version": .int(rollout.content.version),
                    "percentage": rollout.content.percentage.json,
                    "effective_at": .time(rollout.content.effectiveAt), "created_at": .time(rollout.createdAt),
                ]
            } ?? .null,
            "draft": ["changes": .int(Int64(draftChanges)), "authors": .strings(draftAuthors)],
            "data_planes": .array(planes.map(\.json)), "endpoints_in_trouble": .array(endpointsInTrouble.map(\.json)),
            "retention": .array(retention.map(\.json)), "findings": .array(findings.map(\.json)),
        ]
    }
}
