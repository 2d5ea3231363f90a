package import Contract
import Primitives
package import Storage
import SwiftProtobuf
import Synchronization

/// What of a published configuration usage is judged and rated by.
package struct PublishedConfig: Sendable {
    package let prices: [String: RateCard]
    /// By name.
    private let models: [String: Weir_V1_Model]

    package init(_ config: Weir_V1_ConfigPayload) {
        prices = Dictionary(config.prices.map { ($0.id, RateCard($0)) }, uniquingKeysWith: { first, _ in first })
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

    private struct Entry {
        let config: PublishedConfig
        var usedAt: UInt64
    }

    private struct State {
        var entries: [Int64: Entry] = [:]
        var uses: UInt64 = 0
    }

    private let database: any Database
    private let state = Mutex(State())

    package init(database: any Database) {
        self.database = database
    }

    package func config(version: Int64) async throws -> PublishedConfig? {
        if let known = cached(version) { return known }
        // That there is none is not remembered: somebody may have asked before it was published.
        guard let payload = try await database.read(as: .all, { try ConfigVersionsTable.payload($0, version) }) else { return nil }
        // A payload that does not parse prices nothing; that must not stop usage from being stored.
        let config = PublishedConfig((try? Weir_V1_ConfigPayload(serializedBytes: payload)) ?? Weir_V1_ConfigPayload())
        keep(version, config)
        return config
    }

    private func cached(_ version: Int64) -> PublishedConfig? {
        state.withLock { state in
            guard var entry = state.entries[version] else { return nil }
            state.uses += 1
            entry.usedAt = state.uses
            state.entries[version] = entry
            return entry.config
        }
    }

    private func keep(_ version: Int64, _ config: PublishedConfig) {
        state.withLock { state in
            state.uses += 1
            state.entries[version] = Entry(config: config, usedAt: state.uses)
            guard state.entries.count > Self.capacity else { return }
            if let oldest = state.entries.min(by: { $0.value.usedAt < $1.value.usedAt }) { state.entries[oldest.key] = nil }
        }
    }
}
