import Primitives

/// Where the requests for a model go, in the draft.
package struct RouteRow: EntityRow {
    package struct Target: Sendable, Hashable {
        package var endpointID: String
        /// Empty: the model's name.
        package var upstreamModel: String
        /// Relative; 0: only when every weighted target has failed.
        package var weight: Int64

        package init(endpointID: String, upstreamModel: String, weight: Int64) {
            self.endpointID = endpointID
            self.upstreamModel = upstreamModel
            self.weight = weight
        }
    }

    package static let table = "routes"
    package static let columns = ["model_id", "name", "targets", "max_attempts", "disabled"]

    package let id: String
    package var modelID: String
    package var name: String
    package var targets: [Target]
    /// 0: one attempt per target.
    package var maxAttempts: Int64
    package var disabled: Bool
    package var meta: RowMeta

    package init(id: String, modelID: String, name: String, targets: [Target], maxAttempts: Int64, disabled: Bool, meta: RowMeta) {
        self.id = id
        self.modelID = modelID
        self.name = name
        self.targets = targets
        self.maxAttempts = maxAttempts
        self.disabled = disabled
        self.meta = meta
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), modelID: try row.text("model_id"), name: try row.text("name"),
            targets: try Self.targets(row.text("targets")), maxAttempts: try row.int("max_attempts"), disabled: try row.bool("disabled"),
            meta: try RowMeta(row))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [.text(modelID), .text(name), .text(Self.text(targets)), .int(maxAttempts), .bool(disabled)]
    }

    private static func text(_ targets: [Target]) -> String {
        JSONValue.array(
            targets.map {
                ["endpoint_id": .string($0.endpointID), "upstream_model": .string($0.upstreamModel), "weight": .int($0.weight)]
            }
        ).text
    }

    private static func targets(_ text: String) throws -> [Target] {
        try (JSONValue(parsing: text).arrayValue ?? []).map { value in
            guard let endpoint = value["endpoint_id"]?.stringValue, let model = value["upstream_model"]?.stringValue,
                let weight = value["weight"]?.intValue
            else { throw DatabaseError.unexpectedValue("column targets holds something else") }
            return Target(endpointID: endpoint, upstreamModel: model, weight: weight)
        }
    }
}

package enum RoutesTable: EntityTable {
    package typealias Row = RouteRow
}
