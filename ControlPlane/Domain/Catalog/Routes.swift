package import Primitives
package import Storage

package struct RouteTarget: Sendable, Hashable {
    package var endpointID: EndpointID
    /// Empty: the model's name.
    package var upstreamModel: String
    /// Relative; 0: only when every weighted target has failed.
    package var weight: Int64

    package init(endpointID: EndpointID, upstreamModel: String, weight: Int64) {
        self.endpointID = endpointID
        self.upstreamModel = upstreamModel
        self.weight = weight
    }
}

package struct RouteContent: EntityContent {
    package var modelID: ModelID
    package var name: String
    package var targets: [RouteTarget]
    /// 0: one attempt per target.
    package var maxAttempts: Int64
    package var disabled: Bool

    package init(modelID: ModelID, name: String, targets: [RouteTarget], maxAttempts: Int64, disabled: Bool) {
        self.modelID = modelID
        self.name = name
        self.targets = targets
        self.maxAttempts = maxAttempts
        self.disabled = disabled
    }

    package var members: JSONObject {
        [
            "model_id": .string(modelID.rawValue), "name": .string(name),
            "targets": .array(
                targets.map {
                    [
                        "endpoint_id": .string($0.endpointID.rawValue), "upstream_model": .string($0.upstreamModel),
                        "weight": .int($0.weight),
                    ]
                }),
            "max_attempts": .int(maxAttempts), "disabled": .bool(disabled),
        ]
    }
}

package enum RouteNoun: CatalogNoun {
    package typealias Kind = RouteKind
    package typealias Content = RouteContent
    package typealias Table = RoutesTable

    package static let noun = "route"
    package static let taken = FieldProblem("name", "is taken by another route", remedy: "Choose another name.")

    package static func row(id: String, _ content: RouteContent, meta: RowMeta) -> RouteRow {
        RouteRow(
            id: id, modelID: content.modelID.rawValue, name: content.name,
            targets: content.targets.map { .init(endpointID: $0.endpointID.rawValue, upstreamModel: $0.upstreamModel, weight: $0.weight) },
            maxAttempts: content.maxAttempts, disabled: content.disabled, meta: meta)
    }

    package static func content(of row: RouteRow) throws -> RouteContent {
        RouteContent(
            modelID: ID(row.modelID), name: row.name,
            targets: row.targets.map { RouteTarget(endpointID: ID($0.endpointID), upstreamModel: $0.upstreamModel, weight: $0.weight) },
            maxAttempts: row.maxAttempts, disabled: row.disabled)
    }

    package static func problems(of content: RouteContent) -> [FieldProblem] {
        var validation = Validation()
        validation.name("name", content.name)
        if content.targets.isEmpty { validation.add("targets", "is empty", remedy: "Name at least one endpoint.") }
        if content.targets.count > 64 { validation.add("targets", "holds more than 64 entries", remedy: "Name fewer.") }
        for (index, target) in content.targets.enumerated() {
            if !target.upstreamModel.isEmpty { validation.token("targets[\(index)].upstream_model", target.upstreamModel) }
            validation.range("targets[\(index)].weight", target.weight, 0...1_000_000)
        }
        validation.range("max_attempts", content.maxAttempts, 0...64)
        return validation.problems
    }

    package static func problems(of content: RouteContent, id: RouteID, beside c: any SQLConnection) throws -> [FieldProblem] {
        var validation = Validation()
        if try ModelsTable.find(c, content.modelID.rawValue) == nil {
            validation.add("model_id", "names no model", remedy: "Create the model first, or name another.")
        }
        for (index, target) in content.targets.enumerated() where try EndpointsTable.find(c, target.endpointID.rawValue) == nil {
            validation.add("targets[\(index)].endpoint_id", "names no endpoint", remedy: "Create the endpoint first, or name another.")
        }
        if !content.disabled {
            let other = try RoutesTable.all(c).first { $0.modelID == content.modelID.rawValue && !$0.disabled && $0.id != id.rawValue }
            if let other {
                validation.add(
                    "model_id", "is served by another enabled route, \(other.id) (\(other.name))",
                    remedy: "Add the targets to that route, or disable one of the two.")
            }
        }
        return validation.problems
    }

    package static func referrers(to id: RouteID, _ c: any SQLConnection) throws -> [Referrer] { [] }
}
