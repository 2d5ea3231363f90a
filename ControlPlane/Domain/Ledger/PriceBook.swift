package import Contract
package import Primitives
package import Storage
import SwiftProtobuf
import Synchronization

/// The prices that data planes were told to rate with.
package protocol PriceBook: Sendable {
    /// The price with this id in that version of the configuration; nil when there is no such version or no such price in it.
    /// - Throws: `DatabaseError` when it cannot be looked up now.
    func price(configVersion: Int64, priceID: String) async throws -> Weir_V1_Price?
}

/// The prices of the published configurations. A published version never changes, so what was read once is kept.
package final class PublishedPriceBook: PriceBook {
    /// Versions kept in memory; few are in use at a time.
    private static let capacity = 64
    /// How long a version that does not exist is taken not to exist. Data planes only name published ones.
    private static let absenceMilliseconds: Int64 = 10_000

    private struct Entry {
        let prices: [String: Weir_V1_Price]?
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

    package func price(configVersion: Int64, priceID: String) async throws -> Weir_V1_Price? {
        let now = clock.nowMilliseconds()
        if let known = cached(configVersion, now) { return known.prices?[priceID] }
        let payload = try await database.read { try ConfigVersionsTable.payload($0, configVersion) }
        // A payload that does not parse prices nothing; that must not stop usage from being stored.
        let config = payload.flatMap { try? Weir_V1_ConfigPayload(serializedBytes: $0) }
        let prices = config.map { config in Dictionary(config.prices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first }) }
        keep(configVersion, prices, now)
        return prices?[priceID]
    }

    private func cached(_ version: Int64, _ now: Int64) -> Entry? {
        state.withLock { state in
            guard var entry = state.entries[version] else { return nil }
            if entry.prices == nil, now - entry.readAt > Self.absenceMilliseconds || now < entry.readAt { return nil }
            state.uses += 1
            entry.usedAt = state.uses
            state.entries[version] = entry
            return entry
        }
    }

    private func keep(_ version: Int64, _ prices: [String: Weir_V1_Price]?, _ now: Int64) {
        state.withLock { state in
            state.uses += 1
            state.entries[version] = Entry(prices: prices, readAt: now, usedAt: state.uses)
            guard state.entries.count > Self.capacity else { return }
            if let oldest = state.entries.min(by: { $0.value.usedAt < $1.value.usedAt }) { state.entries[oldest.key] = nil }
        }
    }
}
