import Foundation
import Primitives

/// Something wrong with a configuration: where, what, and what to do.
package struct ConfigProblem: Error, Hashable, Sendable, Codable {
    /// As in `routes[rt_abc].targets[0].endpoint_id`.
    package let path: String
    package let message: String
    package let remedy: String

    package init(path: String, message: String, remedy: String) {
        self.path = path
        self.message = message
        self.remedy = remedy
    }
}

/// The semantic check of a configuration: the control plane's before it publishes, the data plane's before it activates.
package enum ConfigValidation {
    package static let capabilities: Set<String> = Set(Vocabulary.capabilities)
    package static let providerKinds: Set<String> = Set(Vocabulary.providerKinds)

    /// Every problem, in a stable order; none for a configuration that can be served.
    package static func validate(_ config: Weir_V1_ConfigPayload) -> [ConfigProblem] {
        var check = Check()
        check.run(config)
        return check.problems
    }

    /// Milliseconds: each data plane asks each endpoint that often.
    package static let shortestHealthInterval: Int64 = 1000

    /// Whether a text can stand below a base URL, perhaps with a query.
    package static func isRequestPath(_ text: String) -> Bool {
        guard text.utf8.first == UInt8(ascii: "/"), text.utf8.count <= 512 else { return false }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: "\\") }) else { return false }
        return !hasAmbiguousSegments(String(text.prefix { $0 != "?" }))
    }

    /// The parts of a base URL as a data plane dials it, or nil with a reason.
    package static func parse(baseURL text: String) -> Result<BaseURL, InvalidBaseURL> {
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let url = URLComponents(string: text) else {
            return .failure(InvalidBaseURL(reason: "is not a URL"))
        }
        guard let scheme = url.scheme?.lowercased(), ["http", "https"].contains(scheme) else {
            return .failure(InvalidBaseURL(reason: "has to begin with http:// or https://"))
        }
        guard url.user == nil, url.password == nil else { return .failure(InvalidBaseURL(reason: "must not hold credentials")) }
        guard url.query == nil, url.fragment == nil else { return .failure(InvalidBaseURL(reason: "must not hold a query or a fragment")) }
        guard var host = url.host, !host.isEmpty else { return .failure(InvalidBaseURL(reason: "names no host")) }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        let port = url.port ?? (scheme == "https" ? 443 : 80)
        guard (1...65_535).contains(port) else { return .failure(InvalidBaseURL(reason: "has a port outside 1...65535")) }
        guard LocalNetwork.kind(host: host)?.isNeverCalled != true else {
            return .failure(InvalidBaseURL(reason: "leads to a link-local address, where clouds keep their machines' credentials"))
        }
        guard !hasAmbiguousSegments(url.percentEncodedPath) else {
            return .failure(InvalidBaseURL(reason: "must not hold dot segments, empty segments or encoded slashes in its path"))
        }
        var path = url.percentEncodedPath
        while path.hasSuffix("/") { path.removeLast() }
        return .success(BaseURL(isTLS: scheme == "https", host: host.lowercased(), port: port, path: path))
    }

    /// Empty, or what may stand in a query and in a field's value.
    package static func isAPIVersion(_ text: String) -> Bool {
        text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || "-._".utf8.contains(byte)
            }
    }

    /// What servers and proxies resolve in different ways: "..", "//" and their encoded forms.
    private static func hasAmbiguousSegments(_ path: String) -> Bool {
        let lower = path.lowercased()
        if lower.contains("//") || lower.contains("\\") || ["%2e", "%2f", "%5c"].contains(where: lower.contains) { return true }
        return lower.split(separator: "/").contains { $0 == "." || $0 == ".." }
    }

    package struct BaseURL: Hashable, Sendable {
        package let isTLS: Bool
        package let host: String
        package let port: Int
        /// Without a slash at its end; may be empty.
        package let path: String

        /// The Host field's value (RFC 9110 §7.2).
        package var authority: String {
            let name = host.contains(":") ? "[\(host)]" : host
            return port == (isTLS ? 443 : 80) ? name : "\(name):\(port)"
        }
    }

    package struct InvalidBaseURL: Error, Hashable, Sendable {
        package let reason: String
    }

    private struct Check {
        var problems: [ConfigProblem] = []

        mutating func add(_ path: String, _ message: String, _ remedy: String) {
            problems.append(ConfigProblem(path: path, message: message, remedy: remedy))
        }

        mutating func unique<T>(_ items: [T], _ kind: String, id: (T) -> String, name: ((T) -> String)? = nil) -> Set<String> {
            var ids = Set<String>()
            var names = Set<String>()
            for item in items {
                if id(item).isEmpty { add(kind, "an entry has no id", "give it one") }
                if !ids.insert(id(item)).inserted { add("\(kind)[\(id(item))].id", "this id is there twice", "remove one of the two") }
                if let name {
                    if name(item).isEmpty {
                        add("\(kind)[\(id(item))].name", "the name is empty", "give it a name")
                    } else if !names.insert(name(item)).inserted {
                        add("\(kind)[\(id(item))].name", "the name \"\(name(item))\" is there twice", "rename one of the two")
                    }
                }
            }
            return ids
        }

        mutating func run(_ config: Weir_V1_ConfigPayload) {
            let providers = unique(config.providers, "providers", id: \.id, name: \.name)
            let endpoints = unique(config.endpoints, "endpoints", id: \.id, name: \.name)
            let models = unique(config.models, "models", id: \.id, name: \.name)
            _ = unique(config.routes, "routes", id: \.id)
            _ = unique(config.prices, "prices", id: \.id)
            checkWorkflows(config)
            for provider in config.providers { check(provider) }
            for endpoint in config.endpoints { check(endpoint, providers: providers) }
            for model in config.models { check(model) }
            var routed = Set<String>()
            for route in config.routes {
                check(route, models: models, endpoints: endpoints)
                if !route.disabled, !routed.insert(route.modelID).inserted {
                    add("routes[\(route.id)].model_id", "another enabled route serves this model", "disable or delete one of the two")
                }
            }
            checkFallbacks(config.routes.filter { !$0.disabled })
            for price in config.prices { check(price, models: models, endpoints: endpoints) }
        }

        mutating func check(_ provider: Weir_V1_Provider) {
            let path = "providers[\(provider.id)]"
            if !ConfigValidation.providerKinds.contains(provider.kind) {
                let known = ConfigValidation.providerKinds.sorted().joined(separator: ", ")
                add("\(path).kind", "\"\(provider.kind)\" is not a kind of provider", "use one of: \(known)")
            }
            check(baseURL: provider.baseURL, at: "\(path).base_url")
            // It becomes a part of each request's target, or of its head.
            if !ConfigValidation.isAPIVersion(provider.apiVersion) {
                add("\(path).api_version", "has other characters than letters, digits, '-', '.' and '_'", "write it as 2024-10-21")
            }
            for api in provider.apis where !Vocabulary.providerAPIs.contains(api) {
                add(
                    "\(path).apis", "\"\(api)\" is not an API that is known here", "use: \(Vocabulary.providerAPIs.joined(separator: ", "))"
                )
            }
            switch provider.authScheme {
            case .bearer, .basic, .none: break
            case .header:
                let token = provider.authHeader.utf8
                if token.isEmpty || token.count > 128 || !token.allSatisfy(Self.isTokenCharacter) {
                    add("\(path).auth.header", "\"\(provider.authHeader)\" is not a header's name", "name one, such as api-key")
                } else if ["host", "content-length", "transfer-encoding", "connection", "content-type"].contains(
                    provider.authHeader.lowercased())
                {
                    add("\(path).auth.header", "\"\(provider.authHeader)\" is set by Weir itself", "name another header")
                }
            case .unspecified, .UNRECOGNIZED:
                add("\(path).auth.scheme", "the scheme is not known", "use bearer, header, basic or none")
            }
        }

        mutating func check(_ endpoint: Weir_V1_Endpoint, providers: Set<String>) {
            let path = "endpoints[\(endpoint.id)]"
            if !providers.contains(endpoint.providerID) {
                add("\(path).provider_id", "there is no provider \"\(endpoint.providerID)\"", "create it or name another")
            }
            if !endpoint.baseURL.isEmpty { check(baseURL: endpoint.baseURL, at: "\(path).base_url") }
            if endpoint.hasHealthCheck, endpoint.healthCheck.intervalMs > 0 {
                let check = endpoint.healthCheck
                if Int64(check.intervalMs) < ConfigValidation.shortestHealthInterval {
                    add("\(path).health_check.interval_ms", "below \(ConfigValidation.shortestHealthInterval)", "use a longer one, or 0")
                }
                if check.timeoutMs == 0 { add("\(path).health_check.timeout_ms", "is 0", "use a longer one") }
                if !ConfigValidation.isRequestPath(check.path) {
                    add("\(path).health_check.path", "is no path", "write it like /models")
                }
            }
            if Set(endpoint.credentialIds).count != endpoint.credentialIds.count {
                add("\(path).credential_ids", "a credential is there twice", "name each once")
            }
        }

        mutating func check(_ model: Weir_V1_Model) {
            let path = "models[\(model.id)]"
            if model.name.utf8.count > 256 || model.name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
                add("\(path).name", "longer than 256 bytes, or with control characters", "choose another name")
            }
            if model.capabilities.isEmpty {
                add(
                    "\(path).capabilities", "the model can do nothing",
                    "name at least one of: \(Vocabulary.capabilities.joined(separator: ", "))")
            }
            for capability in model.capabilities where !ConfigValidation.capabilities.contains(capability) {
                add(
                    "\(path).capabilities", "\"\(capability)\" is not a capability",
                    "use: \(Vocabulary.capabilities.joined(separator: ", "))")
            }
        }

        mutating func check(_ route: Weir_V1_Route, models: Set<String>, endpoints: Set<String>) {
            let path = "routes[\(route.id)]"
            if !models.contains(route.modelID) {
                add("\(path).model_id", "there is no model \"\(route.modelID)\"", "create it or name another")
            }
            if route.targets.isEmpty { add("\(path).targets", "the route leads nowhere", "add at least one target") }
            if route.targets.count > 64 { add("\(path).targets", "more than 64 targets", "use fewer") }
            for (index, target) in route.targets.enumerated() {
                if !endpoints.contains(target.endpointID) {
                    let message = "there is no endpoint \"\(target.endpointID)\""
                    add("\(path).targets[\(index)].endpoint_id", message, "create it or name another")
                }
                if target.weight > 1_000_000 { add("\(path).targets[\(index)].weight", "above 1000000", "use a smaller one") }
                if target.upstreamModel.utf8.count > 256 {
                    add("\(path).targets[\(index)].upstream_model", "longer than 256 bytes", "shorten it")
                }
            }
            for (index, id) in route.fallbackModelIds.enumerated() where !models.contains(id) {
                add("\(path).fallback_model_ids[\(index)]", "there is no model \"\(id)\"", "create it or name another")
            }
            if Set(route.fallbackModelIds).count != route.fallbackModelIds.count {
                add("\(path).fallback_model_ids", "a model is there twice", "name each once")
            }
            for reason in route.fallbackOn where !Vocabulary.fallbackReasons.contains(reason) {
                add("\(path).fallback_on", "\"\(reason)\" is no reason", "use: \(Vocabulary.fallbackReasons.joined(separator: ", "))")
            }
            if route.maxAttempts > 64 { add("\(path).max_attempts", "above 64", "use a smaller one") }
            if route.hedgeAfterMs > 600_000 { add("\(path).hedge_after_ms", "above 600000", "use a smaller one, or 0") }
            if route.hedgeAfterMs > 0, route.maxAttempts == 1 {
                add("\(path).hedge_after_ms", "is set, and max_attempts is 1", "allow two attempts at least, or set it to 0")
            }
        }

        mutating func checkWorkflows(_ config: Weir_V1_ConfigPayload) {
            _ = unique(config.workflows, "workflows", id: \.id, name: \.name)
            var channels = Set<String>()
            for workflow in config.workflows {
                problems += WorkflowRules.problems(of: workflow)
                if !workflow.disabled, !channels.insert(workflow.channel).inserted {
                    add(
                        "workflows[\(workflow.id)].channel", "the channel \"\(workflow.channel)\" has another enabled workflow",
                        "disable one of the two")
                }
            }
            let lookups = Set(config.workflows.lazy.flatMap(\.steps).filter { $0.kind == "lookup" }.map(\.name))
            let headers = Set(config.providers.lazy.filter { $0.authScheme == .header }.map { $0.authHeader.lowercased() })
            for route in config.routes where !route.template.isEmpty {
                problems += TemplateRules.problems(of: route, lookups: lookups, authHeaders: headers)
            }
        }

        /// A model that is its own fallback, by however many others, would be asked for ever.
        mutating func checkFallbacks(_ routes: [Weir_V1_Route]) {
            let next = Dictionary(routes.map { ($0.modelID, $0.fallbackModelIds) }, uniquingKeysWith: { first, _ in first })
            // Models of which it is known that nothing behind them leads back.
            var done = Set<String>()
            for route in routes where !done.contains(route.modelID) {
                // Depth first, with a stack of our own: a chain may be as long as there are models.
                var way = [route.modelID]
                var left = [next[route.modelID] ?? []]
                while let current = way.last, !left.isEmpty {
                    guard let model = left[left.count - 1].popLast() else {
                        done.insert(current)
                        way.removeLast()
                        left.removeLast()
                        continue
                    }
                    if let start = way.firstIndex(of: model) {
                        let circle = (way[start...] + [model]).joined(separator: " → ")
                        add(
                            "routes[\(route.id)].fallback_model_ids", "they lead back to where they began: \(circle)",
                            "take one of them out")
                        return
                    }
                    if done.contains(model) { continue }
                    way.append(model)
                    left.append(next[model] ?? [])
                }
            }
        }

        mutating func check(_ price: Weir_V1_Price, models: Set<String>, endpoints: Set<String>) {
            let path = "prices[\(price.id)]"
            if !models.contains(price.modelID) {
                add("\(path).model_id", "there is no model \"\(price.modelID)\"", "create it or name another")
            }
            if !price.endpointID.isEmpty, !endpoints.contains(price.endpointID) {
                add("\(path).endpoint_id", "there is no endpoint \"\(price.endpointID)\"", "create it, or leave it empty for all")
            }
            let amounts = [
                ("input", price.input), ("output", price.output), ("cached_input", price.cachedInput), ("cache_write", price.cacheWrite),
                ("per_request", price.perRequest),
            ]
            for (name, amount) in amounts where amount < 0 { add("\(path).\(name)", "the price is negative", "use zero or more") }
            for (name, amount) in price.kinds where amount < 0 { add("\(path).\(name)", "the price is negative", "use zero or more") }
            if price.tiers.count > Weir_V1_Price.maximumTiers {
                add("\(path).tiers", "more than \(Weir_V1_Price.maximumTiers)", "use fewer")
            }
            if Set(price.tiers.map(\.aboveInputTokens)).count < price.tiers.count {
                add("\(path).tiers", "two tiers begin at the same size", "name each size once")
            }
            if price.serviceTiers.count > Weir_V1_Price.maximumServiceTiers {
                add("\(path).service_tiers", "more than \(Weir_V1_Price.maximumServiceTiers)", "use fewer")
            }
            if Set(price.serviceTiers.map { "\($0.serviceTier) \($0.aboveInputTokens)" }).count < price.serviceTiers.count {
                add("\(path).service_tiers", "two begin at the same size in the same tier", "name each tier and size once")
            }
            for (index, tier) in price.serviceTiers.enumerated() {
                let path = "\(path).service_tiers[\(index)]"
                if tier.serviceTier.isEmpty { add("\(path).service_tier", "is missing", "name priority, flex or batch") }
                if tier.aboveInputTokens < 0 { add("\(path).above_input_tokens", "is negative", "use zero or more") }
                for (name, amount) in tier.kinds where amount < 0 { add("\(path).\(name)", "the price is negative", "use zero or more") }
            }
            for (index, tier) in price.tiers.enumerated() {
                let path = "\(path).tiers[\(index)]"
                if tier.aboveInputTokens <= 0 { add("\(path).above_input_tokens", "is not above zero", "name a number of tokens") }
                for (name, amount) in tier.kinds where amount < 0 { add("\(path).\(name)", "the price is negative", "use zero or more") }
            }
        }

        mutating func check(baseURL: String, at path: String) {
            if case .failure(let invalid) = ConfigValidation.parse(baseURL: baseURL) {
                add(path, "the URL \(invalid.reason)", "write it as https://host[:port][/path]")
            }
        }

        /// RFC 9110 §5.6.2.
        static func isTokenCharacter(_ c: UInt8) -> Bool {
            switch c {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            default: "!#$%&'*+-.^_`|~".utf8.contains(c)
            }
        }
    }
}
