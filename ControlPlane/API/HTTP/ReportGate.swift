import Domain
import Primitives
import Synchronization

/// Keeps one caller from filling the places where reports are made: each has a few under way, the next is told to come again. A tenant
/// counts as one caller, whichever of its keys asks.
package final class ReportGate: Sendable {
    /// As many as a page of charts asks for at one time.
    static let perCaller = 4
    private static let retryAfterSeconds = 2

    private let running = Mutex<[String: Int]>([:])

    package init() {}

    package func run<R: Sendable>(for caller: Caller, _ work: () async throws -> R) async throws -> R {
        let name = Self.name(caller)
        let entered = running.withLock { running in
            guard running[name, default: 0] < Self.perCaller else { return false }
            running[name, default: 0] += 1
            return true
        }
        guard entered else {
            throw DomainError.tooMany(
                detail: "You have \(Self.perCaller) reports under way, as many as one caller may.",
                retryAfterSeconds: Self.retryAfterSeconds)
        }
        defer {
            running.withLock { running in
                let rest = running[name, default: 1] - 1
                running[name] = rest > 0 ? rest : nil
            }
        }
        return try await work()
    }

    private static func name(_ caller: Caller) -> String {
        switch caller {
        case .anonymous: ""
        case .admin(let actor): actor.id
        case .key(let caller): caller.tenantID.rawValue
        }
    }
}
