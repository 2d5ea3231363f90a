/// When a provider gives its unused connections up, as far as one pool has seen. A request that is sent at that moment may have been read or
/// not: it would have to fail, since nobody can tell (RFC 9112 §9.3.1). So a connection of about that age is not used again.
///
/// Microseconds throughout.
struct KeepAliveWindow {
    /// Unused for that long, a connection is closed by the provider; `.max`: it has outlived what was assumed.
    private var closesAfter: Int64
    private let margin: Int64

    /// - Parameter assumed: until the provider has shown something else.
    init(assumed: Int64, margin: Int64) {
        closesAfter = assumed
        self.margin = margin
    }

    /// Whether a connection that is open after `idle` may carry a request. One that has outlived the window shows that there is none.
    mutating func allows(_ idle: Int64) -> Bool {
        if idle > closesAfter &+ margin, closesAfter != .max { closesAfter = .max }
        return idle < closesAfter &- margin
    }

    /// The provider has closed a connection that was unused for `idle`. Soon after an answer that says nothing of those that rest longer:
    /// it may have had enough of that one connection, and no server waits so short a time.
    mutating func closed(after idle: Int64) {
        if idle >= 4 &* margin { closesAfter = idle }
    }
}
