import Primitives
import Storage

/// Whether this process can do its work, and if not, what is missing.
package actor HealthService {
    /// What was found; `ok` or what is wrong, in one word that alerts can match.
    package struct Report: Sendable, Hashable {
        package let ready: Bool
        /// `ok`, `unavailable` or `slow`.
        package let database: String
        /// What somebody should look at, though the process is fit for work.
        package let warnings: [String]
    }

    private let database: any Database
    private let known: OperatorWarnings
    private let deadline: Duration
    /// The question under way. A database that hangs is asked once, however many probes wait for it.
    private var asking: Task<[QuarantineTotal], any Error>?

    /// - Parameter deadline: How long the database may take; a probe must not hang as long as the database does.
    package init(_ domain: DomainContext, deadline: Duration = .seconds(2)) {
        database = domain.database
        known = domain.warnings
        self.deadline = deadline
    }

    package func report() async -> Report {
        let question = asking ?? ask()
        asking = question
        var state = "ok"
        var warnings = known.all
        do {
            if let totals = try await Deadline.wait(for: question, atMost: deadline) {
                warnings += totals.map { "data plane \($0.dataPlaneID): \($0.records) usage records kept apart (\($0.reason))" }
            } else {
                state = "slow"
            }
        } catch {
            state = "unavailable"
        }
        return Report(ready: state == "ok", database: state, warnings: warnings)
    }

    private func ask() -> Task<[QuarantineTotal], any Error> {
        Task { [database] in
            defer { asking = nil }
            return try await database.read(as: .all) { try UsageQuarantineTable.totals($0) }
        }
    }
}
