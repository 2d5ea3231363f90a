import Contract
import Nouns
import Primitives

/// What a configuration may hold and hardly anybody means: nothing of it keeps a draft from being published.
enum ConfigWarnings {
    static func of(_ config: Weir_V1_ConfigPayload) -> [FieldProblem] {
        let endpoints = Dictionary(config.endpoints.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let routes = Dictionary(grouping: config.routes.filter { !$0.disabled }, by: \.modelID)
        let priced = Dictionary(grouping: config.prices, by: \.modelID)
        var warnings: [FieldProblem] = []
        func warn(_ path: String, _ message: String, _ remedy: String) { warnings.append(FieldProblem(path, message, remedy: remedy)) }

        if !config.endpoints.isEmpty, config.endpoints.allSatisfy(\.disabled) {
            warn("endpoints", "are all disabled: no request can be served", "Enable at least one.")
        }
        for model in config.models {
            let path = "models[\(model.id)]"
            let targets = routes[model.id, default: []].flatMap(\.targets).compactMap { endpoints[$0.endpointID] }
            if routes[model.id] == nil {
                warn(path, "(\(model.name)) has no enabled route: requests for it are refused", "Create a route, or delete the model.")
            } else if targets.allSatisfy(\.disabled) {
                warn(path, "(\(model.name)) leads to disabled endpoints only: requests for it are refused", "Enable one of them.")
            }
            let prices = priced[model.id, default: []]
            let unpriced = Set(targets.filter { !$0.disabled }.map(\.id)).filter { id in
                !prices.contains { $0.endpointID.isEmpty || $0.endpointID == id }
            }
            if prices.isEmpty {
                warn(path, "(\(model.name)) has no price: its usage counts as free", "Create a price, of 0 if it is free.")
            } else if !unpriced.isEmpty {
                warn(
                    path,
                    "(\(model.name)) has no price at \(unpriced.sorted().joined(separator: ", ")): what is served there counts as free",
                    "Create a price for the endpoint, or one for all.")
            }
        }
        let used = Set(config.routes.filter { !$0.disabled }.flatMap { $0.targets.map(\.endpointID) })
        for endpoint in config.endpoints where !endpoint.disabled && !used.contains(endpoint.id) {
            warn("endpoints[\(endpoint.id)]", "(\(endpoint.name)) is used by no enabled route", "Name it in a route, or delete it.")
        }
        return warnings
    }
}
