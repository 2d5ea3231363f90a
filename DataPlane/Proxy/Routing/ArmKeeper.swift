import Contract
import Dispatch
import Foundation
import GRDB
import Logging
import Primitives
import SwiftProtobuf
import Synchronization

/// Keeps what routes that learn have learnt: in SQLite for the next process, and in the status report for the other data planes.
package final class ArmKeeper: Sendable {
    struct Key: Hashable, Sendable {
        let route: String
        let endpoint: String
        let model: String
    }

    struct Known: Sendable {
        var pulls: Double
        var reward: Double
    }

    /// Arms that one report tells of, and that are kept.
    static let maximumArms = 512

    private let store: LocalStore
    private let logger: Logger
    private let queue = DispatchQueue(label: "weir.arms")
    /// Of the process before.
    private let saved: [Key: Known]
    private let lastSave = Mutex<Int64>(.min)
    private static let savePeriod: Int64 = 10_000_000

    /// Reads what the process before left. What cannot be read is nothing.
    init(store: LocalStore, logger: Logger) {
        self.store = store
        self.logger = logger
        let rows = try? store.read { db in
            try Row.fetchAll(
                db, sql: "SELECT route, endpoint, model, pulls, reward FROM bandit_arms LIMIT ?", arguments: [Self.maximumArms])
        }
        var saved: [Key: Known] = [:]
        for row in rows ?? [] {
            guard let route = row["route"] as String?, let endpoint = row["endpoint"] as String?, let model = row["model"] as String?,
                let pulls = row["pulls"] as Double?, let reward = row["reward"] as Double?
            else { continue }
            saved[Key(route: route, endpoint: endpoint, model: model)] = Known(pulls: pulls, reward: reward)
        }
        self.saved = saved
    }

    /// The targets of routes that learn, of every configuration that is held.
    private func targets(_ snapshot: RuntimeSnapshot) -> [Key: TargetMeter] {
        var found: [Key: TargetMeter] = [:]
        for config in snapshot.configs.values where config.learns {
            for model in config.models.values {
                guard let route = model.route, route.strategy.learns else { continue }
                for target in route.targets {
                    guard found.count < Self.maximumArms else { return found }
                    found[Key(route: route.id, endpoint: target.endpoint.id, model: target.upstreamModel)] = target.meter
                }
            }
        }
        return found
    }

    /// Gives what is new what the process before had learnt of it, and says what is known now.
    func arms(_ snapshot: RuntimeSnapshot) -> [Weir_V1_Arm] {
        targets(snapshot).map { key, meter in
            let before = saved[key]
            meter.restoreArm(pulls: before?.pulls ?? 0, reward: before?.reward ?? 0)
            let arm = meter.arm
            return Weir_V1_Arm.with {
                $0.routeID = key.route
                $0.endpointID = key.endpoint
                $0.upstreamModel = key.model
                $0.pulls = arm.pulls
                $0.reward = arm.reward
            }
        }
    }

    /// What others have learnt.
    func take(_ priors: Weir_V1_ArmPriors, _ snapshot: RuntimeSnapshot, now: Int64) {
        let targets = targets(snapshot)
        for arm in priors.arms.prefix(Self.maximumArms) {
            targets[Key(route: arm.routeID, endpoint: arm.endpointID, model: arm.upstreamModel)]?
                .takePrior(pulls: arm.pulls, reward: arm.reward, now: now)
        }
    }

    /// Writes the arms down, now and then. A process that is killed loses the last seconds.
    func save(_ arms: [Weir_V1_Arm], now: Int64, always: Bool = false) async {
        let isDue = lastSave.withLock { last in
            guard always || last == .min || now &- last >= Self.savePeriod else { return false }
            last = now
            return true
        }
        guard isDue, !arms.isEmpty || !saved.isEmpty else { return }
        do {
            try await queue.blocking { [store] in
                try store.write { db in
                    try db.execute(sql: "DELETE FROM bandit_arms")
                    for arm in arms {
                        try db.execute(
                            sql: "INSERT INTO bandit_arms (route, endpoint, model, pulls, reward) VALUES (?, ?, ?, ?, ?)",
                            arguments: [arm.routeID, arm.endpointID, arm.upstreamModel, arm.pulls, arm.reward])
                    }
                }
            }
        } catch {
            logger.warning("what routes have learnt is not kept", metadata: ["reason": "\(error)"])
        }
    }
}

extension LocalMigration {
    static let banditArms = LocalMigration(
        name: "0240 bandit arms",
        sql: """
            -- What routes that learn know of their targets.
            CREATE TABLE bandit_arms (
                route TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, pulls REAL NOT NULL, reward REAL NOT NULL,
                PRIMARY KEY (route, endpoint, model)
            ) WITHOUT ROWID;
            """)
}
