import Storage

/// Whether this process can do its work, and if not, what is missing.
package actor HealthService {
    /// What was found; `ok` or what is wrong, in one word that alerts can match.
    package struct Report: Sendable, Hashable {
        package let ready: Bool
        /// `ok`, `unavailable` or `slow`.
        package let database: String
    }

    private let database: any Database
    private let deadline: Duration
    /// The question under way. A database that hangs is asked once, however many probes wait for it.
    private var asking: Task<String, any Error>?

    /// - Parameter deadline: How long the database may take; a probe must not hang as long as the database does.
    package init(_ domain: DomainContext, deadline: Duration = .seconds(2)) {
        database = domain.database
        self.deadline = deadline
    }

    package func report() async -> Report {
        let question = asking ?? ask()
        asking = question
        let state: String
        do {
            state = try await Deadline.wait(for: question, atMost: deadline) ?? "slow"
        } catch {
            state = "unavailable"
        }
        return Report(ready: state == "ok", database: state)
    }

    private func ask() -> Task<String, any Error> {
        Task { [database] in
            defer { asking = nil }
            try await database.ping()
            return "ok"
        }
    }
}
