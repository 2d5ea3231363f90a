/// The part of a configuration that some tenants may use, and nothing else: what a data plane that serves only them is sent.
package enum ConfigProjection {
    /// Models that one of `tenantIDs` sees, with the routes that serve them, the endpoints and providers behind those, and their prices. Of
    /// a model's list of tenants only these are left. Order is kept, so the same input gives the same bytes.
    ///
    /// What is switched off is left out as well: a data plane compiles the rest to the same as the whole.
    package static func of(_ config: Weir_V1_ConfigPayload, for tenantIDs: some Sequence<String>) -> Weir_V1_ConfigPayload {
        let tenants = Set(tenantIDs)
        let usable = Set(config.endpoints.lazy.filter { !$0.disabled }.map(\.id))
        var part = Weir_V1_ConfigPayload()
        part.models = config.models.compactMap { model in
            guard !model.tenantIds.isEmpty else { return model }
            var model = model
            model.tenantIds = model.tenantIds.filter(tenants.contains)
            // Emptied it would be visible to all.
            return model.tenantIds.isEmpty ? nil : model
        }
        let models = Set(part.models.lazy.map(\.id))
        part.routes = config.routes.compactMap { route in
            guard !route.disabled, models.contains(route.modelID) else { return nil }
            var route = route
            route.targets = route.targets.filter { usable.contains($0.endpointID) }
            route.fallbackModelIds = route.fallbackModelIds.filter(models.contains)
            return route.targets.isEmpty ? nil : route
        }
        let endpoints = Set(part.routes.lazy.flatMap(\.targets).map(\.endpointID))
        part.endpoints = config.endpoints.filter { endpoints.contains($0.id) }
        let providers = Set(part.endpoints.lazy.map(\.providerID))
        part.providers = config.providers.filter { providers.contains($0.id) }
        part.prices = config.prices.filter { price in
            models.contains(price.modelID) && (price.endpointID.isEmpty || endpoints.contains(price.endpointID))
        }
        part.workflows = config.workflows.filter { !$0.disabled }
        return part
    }
}

extension Weir_V1_Model {
    /// Whether the tenant's requests may name it.
    package func isVisible(to tenantID: String) -> Bool { tenantIds.isEmpty || tenantIds.contains(tenantID) }
}
