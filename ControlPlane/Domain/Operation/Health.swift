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
    private var asking: Task<String, Never>?

    /// - Parameter deadline: How long the database may take; a probe must not hang as long as the database does.
    package init(_ domain: DomainContext, deadline: Duration = .seconds(2)) {
        database = domain.database
        self.deadline = deadline
    }

    package func report() async -> Report {
        let question = asking ?? ask()
        asking = question
        // Not a task group: that would wait for the question even after the deadline.
        let (answers, continuation) = AsyncStream.makeStream(of: String.self)
        let waiting = Task { continuation.yield(await question.value) }
        let timer = Task { [deadline] in
            try await Task.sleep(for: deadline)
            continuation.yield("slow")
        }
        let state = await answers.first { _ in true } ?? "unavailable"
        waiting.cancel()
        timer.cancel()
        return Report(ready: state == "ok", database: state)
    }

    private func ask() -> Task<String, Never> {
        Task { [database] in
            let state: String
            do {
                try await database.ping()
                state = "ok"
            } catch {
                state = "unavailable"
            }
            asking = nil
            return state
        }
    }
}
