package import Contract
package import Primitives
package import Storage
import SwiftProtobuf
import Synchronization

/// What of a published configuration usage is judged and rated by.
package struct PublishedConfig: Sendable {
    package let prices: [String: Weir_V1_Price]
    /// By name.
    private let models: [String: Weir_V1_Model]

    package init(_ config: Weir_V1_ConfigPayload) {
        prices = Dictionary(config.prices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        models = Dictionary(config.models.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Whether requests of the tenant could name this model.
    package func hasModel(named name: String, visibleTo tenantID: String) -> Bool {
        models[name]?.isVisible(to: tenantID) ?? false
    }
}

/// The configurations that data planes were told to serve with.
package protocol PriceBook: Sendable {
    /// Nil when no such version was published.
    /// - Throws: `DatabaseError` when it cannot be looked up now.
    func config(version: Int64) async throws -> PublishedConfig?
}

/// The published configurations. A published version never changes, so what was read once is kept.
package final class PublishedPriceBook: PriceBook {
    /// Versions kept in memory; few are in use at a time.
    private static let capacity = 64
    /// How long a version that does not exist is taken not to exist. Data planes only name published ones.
    private static let absenceMilliseconds: Int64 = 10_000

    private struct Entry {
        let config: PublishedConfig?
        let readAt: Int64
        var usedAt: UInt64
    }

    private struct State {
        var entries: [Int64: Entry] = [:]
        var uses: UInt64 = 0
    }

    private let database: any Database
    private let clock: any WallClock
    private let state = Mutex(State())

    package init(database: any Database, clock: any WallClock) {
        self.database = database
        self.clock = clock
    }

    package func config(version: Int64) async throws -> PublishedConfig? {
        let now = clock.nowMilliseconds()
        if let known = cached(version, now) { return known.config }
        let payload = try await database.read { try ConfigVersionsTable.payload($0, version) }
        // A payload that does not parse prices nothing; that must not stop usage from being stored.
        let config = payload.map { PublishedConfig((try? Weir_V1_ConfigPayload(serializedBytes: $0)) ?? Weir_V1_ConfigPayload()) }
        keep(version, config, now)
        return config
    }

    private func cached(_ version: Int64, _ now: Int64) -> Entry? {
        state.withLock { state in
            guard var entry = state.entries[version] else { return nil }
            if entry.config == nil, now - entry.readAt > Self.absenceMilliseconds || now < entry.readAt { return nil }
            state.uses += 1
            entry.usedAt = state.uses
            state.entries[version] = entry
            return entry
        }
    }

    private func keep(_ version: Int64, _ config: PublishedConfig?, _ now: Int64) {
        state.withLock { state in
            state.uses += 1
            state.entries[version] = Entry(config: config, readAt: now, usedAt: state.uses)
            guard state.entries.count > Self.capacity else { return }
            if let oldest = state.entries.min(by: { $0.value.usedAt < $1.value.usedAt }) { state.entries[oldest.key] = nil }
        }
    }
}
