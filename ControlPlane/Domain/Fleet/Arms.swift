import Contract
import Foundation
import Primitives
import Storage
import SwiftProtobuf

/// What routes that learn have learnt at each data plane, and what each is told of the others.
enum Arms {
    /// Taken of one report.
    static let maximum = 512
    /// What a data plane said longer ago is not told any more.
    static let age: Int64 = 3_600_000
    /// One data plane weighs no more than that: what it reports steers others, and must not decide for them.
    static let largestWeight = 100.0

    private struct Key: Hashable {
        let route: String
        let endpoint: String
        let model: String
    }

    /// As it is stored: an array of [route, endpoint, model, pulls, reward], the numbers as text in thousandths.
    static func column(_ arms: [Weir_V1_Arm]) -> String {
        JSONValue.array(
            arms.prefix(maximum).compactMap { arm in
                guard let (pulls, reward) = sound(arm.pulls, arm.reward),
                    [arm.routeID, arm.endpointID, arm.upstreamModel].allSatisfy({ $0.utf8.count <= 256 })
                else { return nil }
                return .array([
                    .string(arm.routeID), .string(arm.endpointID), .string(arm.upstreamModel), .int(Int64(pulls * 1000)),
                    .int(Int64(reward * 1000)),
                ])
            }
        ).text
    }

    /// What every data plane in good standing has learnt, as it told it within `age`: an array of objects.
    static func told(_ c: any SQLConnection, now: Int64) throws -> [JSONValue] {
        let rows = try EndpointReportsTable.withArms(c, since: now - age, besides: "")
        let arms = rows.flatMap { row in
            ((try? JSONValue(parsing: row.arms))?.arrayValue ?? []).compactMap { entry in entry.arrayValue.map { (row, $0) } }
        }
        let names = try EntityNames.of(
            Set(rows.map(\.dataPlaneID) + arms.flatMap { $0.1.prefix(2).compactMap(\.stringValue) }), c)
        return arms.compactMap { row, parts in
            guard parts.count == 5, let route = parts[0].stringValue, let endpoint = parts[1].stringValue, let pulls = parts[3].intValue,
                let reward = parts[4].intValue, pulls > 0
            else { return nil }
            return [
                "data_plane_id": .string(row.dataPlaneID), "data_plane": .optional(names[row.dataPlaneID]), "route_id": .string(route),
                "route": .optional(names[route]), "endpoint_id": .string(endpoint), "endpoint": .optional(names[endpoint]),
                "upstream_model": parts[2], "pulls": .int(pulls / 1000),
                "reward_percent": .int(min(100, Int64((Double(reward) / Double(pulls) * 100).rounded()))),
                "reported_at": .time(row.reportedAt),
            ]
        }
    }

    /// The sums of what others have learnt of the arms that a data plane told of; nil where it told of none.
    static func priors(_ c: any SQLConnection, for dataPlaneID: String, _ told: [Weir_V1_Arm], now: Int64) throws -> Weir_V1_ArmPriors? {
        guard !told.isEmpty else { return nil }
        var sums: [Key: (pulls: Double, reward: Double)] = [:]
        for row in try EndpointReportsTable.withArms(c, since: now - age, besides: dataPlaneID) {
            for entry in (try? JSONValue(parsing: row.arms))?.arrayValue ?? [] {
                guard let parts = entry.arrayValue, parts.count == 5, let route = parts[0].stringValue, let endpoint = parts[1].stringValue,
                    let model = parts[2].stringValue, let pulls = parts[3].intValue, let reward = parts[4].intValue,
                    let (weight, gained) = sound(Double(pulls) / 1000, Double(reward) / 1000)
                else { continue }
                sums[Key(route: route, endpoint: endpoint, model: model), default: (0, 0)].pulls += weight
                sums[Key(route: route, endpoint: endpoint, model: model), default: (0, 0)].reward += gained
            }
        }
        var priors = Weir_V1_ArmPriors()
        for arm in told.prefix(maximum) {
            // Of what it does not have it hears nothing.
            guard let sum = sums[Key(route: arm.routeID, endpoint: arm.endpointID, model: arm.upstreamModel)] else { continue }
            priors.arms.append(
                Weir_V1_Arm.with {
                    $0.routeID = arm.routeID
                    $0.endpointID = arm.endpointID
                    $0.upstreamModel = arm.upstreamModel
                    $0.pulls = sum.pulls
                    $0.reward = sum.reward
                })
        }
        return priors
    }

    /// Nil for what is no pair of a number of tries and their reward.
    private static func sound(_ pulls: Double, _ reward: Double) -> (Double, Double)? {
        guard pulls.isFinite, reward.isFinite, pulls > 0, reward >= 0, reward <= pulls else { return nil }
        let share = min(1, largestWeight / pulls)
        return (pulls * share, reward * share)
    }
}
