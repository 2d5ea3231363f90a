import Contract
package import Nouns
package import Primitives
import Storage

/// What is asked of a catalogue.
package struct PriceImportOrder: Sendable {
    package var catalogue: PriceCatalogue
    /// Models by name; nil: every model of the draft.
    package var models: Set<String>?
    /// Which entry is a model's, by the model's name, where its own name or its routes' do not say.
    package var entries: [String: String]
    /// From when on prices that differ count, Unix milliseconds; nil: from now on, and since ever for what has no price yet.
    package var effectiveFrom: Int64?

    package init(catalogue: PriceCatalogue, models: Set<String>? = nil, entries: [String: String] = [:], effectiveFrom: Int64? = nil) {
        self.catalogue = catalogue
        self.models = models
        self.entries = entries
        self.effectiveFrom = effectiveFrom
    }
}

/// What an import does to one price, or would.
package struct PriceImportChange: Sendable {
    package enum Action: String, Sendable, CaseIterable {
        case added, changed, unchanged
        /// The catalogue knows no price for it.
        case unknown
    }

    package let modelID: ModelID
    package let model: String
    /// Nil: wherever it is served.
    package let endpointID: EndpointID?
    package fileprivate(set) var action: Action
    /// The catalogue's.
    package var entry: String?
    /// What was looked for.
    package let tried: [String]
    package var before: PriceContent?
    package var after: PriceContent?
    package var leftOut: [String] = []
    package var remarks: [String] = []
}

package struct PriceImportResult: Sendable {
    /// In the catalogue.
    package let entries: Int
    package let changes: [PriceImportChange]
    /// Of the draft: for If-Match.
    package let revision: Int64
}

/// Takes prices from a catalogue into the draft: looked at first, then taken. Nothing is published by it.
package struct PriceImport: Sendable {
    let prices: NounService<PriceContent>

    package init(_ prices: NounService<PriceContent>) { self.prices = prices }

    /// What would be changed.
    package func preview(_ order: PriceImportOrder, as scope: TenantScope) async throws -> PriceImportResult {
        let now = prices.now
        return try await prices.domain.read(as: scope) { c in
            PriceImportResult(
                entries: order.catalogue.count, changes: try Self.changes(order, PriceContent.all(c), now: now, c),
                revision: try Draft.revision(c))
        }
    }

    /// - Parameter revisions: What the caller has seen of the draft is one of these; nil: whatever there is.
    /// - Throws: `DomainError.preconditionFailed` when the draft has changed since.
    package func run(_ order: PriceImportOrder, revisions: [Int64]?, by actor: Actor) async throws -> PriceImportResult {
        try await prices.write(by: actor) { change in
            let c = change.connection
            // The counter was taken just now.
            let seen = change.number - 1
            if let revisions, !revisions.contains(seen) { throw DomainError.preconditionFailed(current: seen) }
            let present = try PriceContent.all(c)
            let changes = try Self.changes(order, present, now: change.now, c)
            for item in changes {
                guard let content = item.after, item.action == .added || item.action == .changed else { continue }
                // The price that begins at the same moment.
                let old = present.first {
                    $0.content.modelID == content.modelID && $0.content.endpointID == content.endpointID
                        && $0.content.effectiveFrom == content.effectiveFrom
                }
                if let old {
                    _ = try NounService<PriceContent>.put(content, over: old, "update", change)
                } else {
                    _ = try prices.insert(content, id: .random(), change)
                }
            }
            return PriceImportResult(entries: order.catalogue.count, changes: changes, revision: change.number)
        }
    }

    private static func changes(
        _ order: PriceImportOrder, _ present: [Entity<PriceContent>], now: Int64, _ c: any SQLConnection
    ) throws -> [PriceImportChange] {
        let models = try ModelContent.all(c)
        var problems = (order.models ?? []).subtracting(models.map(\.content.name)).sorted().map {
            FieldProblem("models", "there is no model \"\($0.prefix(64))\" in the draft", remedy: "Name models of the draft.")
        }
        for (model, entry) in order.entries.sorted(by: { $0.key < $1.key }) {
            if !models.contains(where: { $0.content.name == model }) {
                problems.append(
                    FieldProblem("entries", "there is no model \"\(model.prefix(64))\" in the draft", remedy: "Name a model of the draft."))
            }
            if !order.catalogue.contains(entry) {
                problems.append(
                    FieldProblem("entries", "the catalogue has no \"\(entry.prefix(64))\"", remedy: "Name an entry as the catalogue does."))
            }
        }
        if !problems.isEmpty { throw DomainError.invalid(problems) }
        let places = try Places(c)
        let present = Dictionary(grouping: present.map(\.content), by: \.modelID)
        return models.filter { order.models?.contains($0.content.name) ?? true }.sorted { $0.content.name < $1.content.name }
            .flatMap { model in changes(of: model, places.names(of: model, order), order, present[model.id] ?? [], now: now) }
    }

    /// One change for the model, or one for each endpoint where these cost different amounts.
    private static func changes(
        of model: Entity<ModelContent>, _ places: [(endpoint: EndpointID?, names: [String])], _ order: PriceImportOrder,
        _ present: [PriceContent], now: Int64
    ) -> [PriceImportChange] {
        let found = places.map { place in
            let name = place.names.first(where: order.catalogue.contains)
            return (place, name, name.flatMap(order.catalogue.entry))
        }
        let priced = found.compactMap { $0.2?.content }
        let isOne = priced.isEmpty || priced.count == found.count && priced.dropFirst().allSatisfy { priced.first?.costs(as: $0) ?? false }
        return (isOne ? Array(found.prefix(1)) : found).map { place, name, entry in
            let endpointID = isOne ? nil : place.endpoint
            var change = PriceImportChange(
                modelID: model.id, model: model.content.name, endpointID: endpointID, action: .unknown, entry: name, tried: place.names)
            guard let entry else { return change }
            change.leftOut = entry.leftOut
            change.remarks = entry.remarks
            var after = entry.content
            (after.modelID, after.endpointID) = (model.id, endpointID)
            let same = present.filter { $0.endpointID == endpointID }
            let moment = order.effectiveFrom ?? now / 1000 * 1000
            let before = same.filter { $0.effectiveFrom <= moment }.max { $0.effectiveFrom < $1.effectiveFrom }
            after.providerCost = before?.providerCost ?? false
            after.effectiveFrom = order.effectiveFrom ?? (same.isEmpty ? 0 : moment)
            change.action =
                before.map { $0.costs(as: after) ? .unchanged : $0.effectiveFrom == after.effectiveFrom ? .changed : .added } ?? .added
            (change.before, change.after) = (before, after)
            return change
        }
    }

    /// Where models are served, and what they may be called in a catalogue because of that.
    private struct Places {
        private let providers: [String: String]
        private let targets: [ModelID: [RouteTarget]]

        init(_ c: any SQLConnection) throws {
            let names = Dictionary(
                try ProviderContent.all(c).map { ($0.id, $0.content.name.lowercased()) }, uniquingKeysWith: { first, _ in first })
            providers = Dictionary(
                try EndpointContent.all(c).map { ($0.id.rawValue, names[$0.content.providerID] ?? "") },
                uniquingKeysWith: { first, _ in first })
            targets = Dictionary(
                try RouteContent.all(c).filter { !$0.content.disabled }.map { ($0.content.modelID, $0.content.targets) },
                uniquingKeysWith: { first, _ in first })
        }

        func names(of model: Entity<ModelContent>, _ order: PriceImportOrder) -> [(endpoint: EndpointID?, names: [String])] {
            let name = model.content.name
            if let entry = order.entries[name] { return [(nil, [entry])] }
            var seen = Set<EndpointID>()
            let places = (targets[model.id] ?? []).filter { seen.insert($0.endpointID).inserted }.map { target in
                let upstream = target.upstreamModel ?? name
                let provider = providers[target.endpointID.rawValue] ?? ""
                let names = [provider.isEmpty ? upstream : "\(provider)/\(upstream)", upstream, name]
                return (endpoint: EndpointID?.some(target.endpointID), names: unique(names))
            }
            return places.isEmpty ? [(nil, [name])] : places
        }

        private func unique(_ names: [String]) -> [String] {
            names.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        }
    }
}
