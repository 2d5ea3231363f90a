import Primitives
import Storage

/// A directory as it was at one value of the directory's counter.
struct WholeDirectory: Sendable {
    /// The counter up to which it holds every change.
    let covered: Int64
    /// A serialised `DirectoryPayload`.
    let payload: [UInt8]
    let digest: [UInt8]
}

/// Whole directories, built once for all data planes with the same tenants that ask while it is built or nothing has changed since, and few
/// at once: one of a million keys takes some hundred megabytes.
actor WholeDirectories {
    /// How long one is kept for others.
    private static let keptMilliseconds: Int64 = 15_000

    private struct Build {
        let task: Task<WholeDirectory, any Error>
        let number: Int
        /// When it was finished and what it covers; nil: it is still being built.
        var finished: (atMilliseconds: Int64, covered: Int64)?
    }

    private let limit = BuildLimit(2)
    private var builds: [DirectoryScope: Build] = [:]
    private var next = 0

    /// - Parameters:
    ///   - counter: The directory's now.
    ///   - covered: What the asker has had of it before: it never gets an older one. One that began to be built before a change is given
    ///     out all the same: the delta follows at once.
    func directory(
        of scope: DirectoryScope, counter: Int64, notBelow covered: Int64,
        _ build: @escaping @Sendable () async throws -> WholeDirectory
    ) async throws -> WholeDirectory {
        forgetOld()
        if let known = builds[scope], known.finished.map({ $0.covered == counter }) ?? true {
            let whole = try await known.task.value
            if whole.covered >= covered { return whole }
        }
        next &+= 1
        let number = next
        let limit = limit
        let task = Task { try await limit.run(build) }
        builds[scope] = Build(task: task, number: number)
        do {
            let whole = try await task.value
            if builds[scope]?.number == number {
                builds[scope]?.finished = (MonotonicClock.nowMicroseconds() / 1000, whole.covered)
                Task {
                    try? await Task.sleep(for: .milliseconds(Self.keptMilliseconds + 100))
                    forgetOld()
                }
            }
            return whole
        } catch {
            if builds[scope]?.number == number { builds[scope] = nil }
            throw error
        }
    }

    private func forgetOld() {
        let now = MonotonicClock.nowMicroseconds() / 1000
        builds = builds.filter { build in build.value.finished.map { now - $0.atMilliseconds < Self.keptMilliseconds } ?? true }
    }
}
