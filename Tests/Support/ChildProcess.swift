import Dispatch
import Foundation

/// A process that the tests start. Not `Foundation.Process`: where a thousand files are open, as in tests that run beside, it reads past the end
/// of a list of them now and then, and traps (swift-corelibs-foundation, pull request 5472).
package struct ChildProcess: Sendable {
    private let id: pid_t

    /// - Parameters:
    ///   - files: What it reads, writes, and writes errors to.
    /// - Throws: `POSIXError` when it cannot be started.
    package init(_ program: String, _ words: [String], environment: [String: String], files: (Int32, Int32, Int32)) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, file) in [(Int32(0), files.0), (1, files.1), (2, files.2)] {
            posix_spawn_file_actions_adddup2(&actions, file, number)
        }
        // Threads of a pool may hold signals back, which the program waits for.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let arguments = ([program] + words).map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var id = pid_t()
        let code = posix_spawn(&id, program, &actions, &attributes, arguments, variables)
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }
        self.id = id
    }

    /// Waits for its end. Its exit status, or the number of the signal that ended it. To be called once.
    package func ended() async -> Int32 {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: waitUntilEnded()) }
        }
    }

    /// The same, for where nothing can be awaited.
    @discardableResult
    package func waitUntilEnded() -> Int32 {
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == 0 ? status >> 8 & 0xFF : status & 0x7F
    }

    /// Until somebody has waited for its end.
    package func signal(_ number: Int32) { kill(id, number) }

    /// Before somebody has waited for its end.
    package var isRunning: Bool {
        var found = siginfo_t()
        return waitid(P_PID, id_t(id), &found, WEXITED | WNOHANG | WNOWAIT) == 0 && found.si_signo == 0
    }
}
