package import Logging
import Synchronization

/// Whether Redis answers, for all loops of a data plane: what the operator is told, once a change.
package final class RedisHealth: Sendable {
    private struct State {
        var usable: Set<Int> = []
        /// Nil until the first loop knows.
        var isUp: Bool?
        var reason = "it was not reached yet"
        var changes: UInt64 = 0
    }

    private let loops: Int
    private let address: RedisAddress
    private let logger: Logger
    private let state = Mutex(State())

    package init(_ address: RedisAddress, loops: Int, logger: Logger) {
        self.address = address
        self.loops = loops
        self.logger = logger
    }

    func up(_ loop: Int) {
        let isNew = state.withLock { state in
            state.usable.insert(loop)
            guard state.usable.count >= loops, state.isUp != true else { return false }
            state.isUp = true
            state.changes &+= 1
            return true
        }
        if isNew {
            logger.notice("limits are counted in Redis, with the other data planes of the region", metadata: ["redis": "\(address)"])
        }
    }

    func down(_ loop: Int, _ reason: String) {
        let isNew = state.withLock { state in
            state.usable.remove(loop)
            state.reason = reason
            guard state.isUp != false else { return false }
            state.isUp = false
            state.changes &+= 1
            return true
        }
        if isNew {
            logger.warning(
                "Redis cannot be used: limits go by this data plane's own shares until it can",
                metadata: ["redis": "\(address)", "reason": "\(reason)"])
        }
    }

    /// All loops use it.
    package var isUp: Bool { state.withLock { $0.isUp == true } }
    /// How often that has changed.
    package var changes: UInt64 { state.withLock { $0.changes } }

    /// Nil while there is nothing to be said.
    package var warning: String? {
        state.withLock { state in
            state.isUp == true ? nil : "Redis (\(address)) cannot be used (\(state.reason)): limits go by this data plane's own shares"
        }
    }
}
