import Domain
import HTTPTypes
import Nouns
import Primitives

/// Prices out of a catalogue.
package struct PriceImportRoutes: RouteGroup {
    /// LiteLLM's has some three and a half million.
    static let bodyLimitBytes = 16 << 20

    let prices: PriceImport

    package func addRoutes(to table: inout RouteTable) {
        let docs = RouteDocs(
            "Take prices of the draft's models from a catalogue in the form of LiteLLM's model_prices_and_context_window.json. An entry is looked for as provider/model, by the names of the provider and of the model there, and as the model alone. Nothing is published by it."
        ) {
            $0.body = .form([
                FieldShape("catalogue", .anything, "The catalogue: an object of entries by name.") { $0.isRequired = true },
                FieldShape("dry_run", .flag, "Only say what would be changed.") { $0.standard = false },
                FieldShape("models", .list(.token, 1...1000), "Only these models, by name; left out: every model of the draft."),
                FieldShape("entries", .labels, "Which entry is a model's, where their names do not say: entries by the models' names."),
                FieldShape(
                    "effective_from", .time,
                    "From when on prices that differ count. Left out: from now on, and for what has no price yet since ever."),
            ])
            $0.answer = .object(Self.result)
            $0.ifMatch = .optional
            $0.hasRevision = true
        }
        table.post("/admin/api/prices/import", .admin(.price), docs, upTo: Self.bodyLimitBytes) { request in
            let (raw, isDryRun, models, entries, from) = try request.fields { fields in
                (
                    fields.raw("catalogue"), fields.bool("dry_run", or: false), fields.has("models") ? fields.strings("models") : nil,
                    fields.stringMap("entries", or: [:]), fields.has("effective_from") ? fields.time("effective_from") : nil
                )
            }
            guard let catalogue = raw?.objectValue else {
                throw DomainError.invalid(
                    "catalogue", raw.map { "is \($0.typeName)" } ?? "is missing",
                    remedy: "Give the catalogue's JSON: an object of entries by name.")
            }
            if models?.isEmpty == true {
                throw DomainError.invalid("models", "is empty", remedy: "Name at least one, or leave it out.")
            }
            let order = PriceImportOrder(
                catalogue: PriceCatalogue(catalogue), models: models.map(Set.init), entries: entries, effectiveFrom: from)
            let actor = try request.actor
            let result =
                isDryRun
                ? try await prices.preview(order, as: actor.scope)
                : try await prices.run(order, revisions: request.ifMatch?.named, by: actor)
            return .json(result.json(isDryRun: isDryRun), revision: result.revision)
        }
    }

    private static let price = FieldKind.object(PriceContent.shapes.filter(\.isShown))

    private static let change: [FieldShape] = [
        .told("model_id", .id(ModelKind.prefix), "The model."), .told("model", Shapes.words, "Its name."),
        .told("endpoint_id", .id(EndpointKind.prefix), "Where it is served at this price; null: everywhere.", nullable: true),
        .told("action", .word(PriceImportChange.Action.allCases.map(\.rawValue)), "What becomes of its price."),
        .told("entry", Shapes.words, "The catalogue's entry; null: none was found.", nullable: true),
        .told("tried", .list(Shapes.words, 0...10), "The names that were looked for."),
        .told("before", price, "What it cost at that moment; null: nothing was said.", nullable: true),
        .told("after", price, "What it costs by the catalogue.", nullable: true),
        .told("left_out", .list(Shapes.words, 0...1000), "Prices of the entry that Weir does not charge by."),
        .told("remarks", .list(Shapes.words, 0...1000), "What could not be read, or not exactly."),
    ]

    private static let result: [FieldShape] = [
        .told("dry_run", .flag, "Whether nothing was changed, only compared."),
        .told("entries", .number, "How many the catalogue has."),
        .told("revision", .number, "Of the draft: for If-Match."),
        .told("changes", .objects(change, maximum: 1_000_000), "One a price."),
    ]
}

extension PriceImportResult {
    func json(isDryRun: Bool) -> JSONValue {
        [
            "dry_run": .bool(isDryRun), "entries": .int(Int64(entries)), "revision": .int(revision),
            "changes": .array(changes.map(\.json)),
        ]
    }
}

extension PriceImportChange {
    fileprivate var json: JSONValue {
        [
            "model_id": .string(modelID.rawValue), "model": .string(model), "endpoint_id": endpointID.map { .string($0.rawValue) } ?? .null,
            "action": .string(action.rawValue), "entry": entry.map { .string($0) } ?? .null, "tried": .strings(tried),
            "before": before?.json ?? .null, "after": after?.json ?? .null, "left_out": .strings(leftOut), "remarks": .strings(remarks),
        ]
    }
}
