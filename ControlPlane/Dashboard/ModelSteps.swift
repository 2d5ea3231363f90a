import API
import Domain
import HTTPTypes
import Nouns
import Primitives

/// The steps from a provider to a model that answers. Each is a change of its own, made as the API makes it; what was made before a failure
/// stands, is named, and is not made again.
struct ModelSteps {
    enum Step: String, CaseIterable {
        case provider, credential, endpoint, model, route, price, version, rollout

        var title: String { self == .version ? "Publish" : self == .rollout ? "Roll out" : Rendering.label(rawValue) }
    }

    private let api: InternalAPI
    private let visit: Visit
    private let wanted: JSONValue
    /// Identifiers of what there is, by step; of a version its number.
    private(set) var made: [Step: String]
    private(set) var shown: [StepsPage.Step] = []
    /// What stopped it.
    private(set) var problem: (step: Step, words: [String])?
    /// Whether to do it again as it was entered would fail again.
    private(set) var needsOtherInput = false
    /// Whether it waits for the word that others' changes of the draft are published, too.
    private(set) var asksOthers = false
    /// Another rollout, whose candidate has to be decided about first.
    private(set) var inTheWay: String?
    /// Its own rollout, whose version is a candidate and should have been promoted.
    private var unpromoted: String?

    init(api: InternalAPI, visit: Visit, wanted: JSONValue, made: [Step: String]) {
        (self.api, self.visit, self.wanted, self.made) = (api, visit, wanted, made)
    }

    private var takesOthers: Bool { wanted["take_others"] == true }
    private var reach: String { wanted["reach"]?.stringValue ?? "all" }

    var lines: [String] {
        guard let problem else {
            return switch reach {
            case "draft": ["It is in the draft. Publish the draft and roll the version out for callers to have it."]
            case "version": ["Version \(made[.version] ?? "") has it. Nobody is served by that until it is rolled out."]
            case "candidate": ["Version \(made[.version] ?? "") has it, and is tried on some of the keys. Promote it for all to have it."]
            default: ["Every data plane takes it within seconds, and callers can ask for it."]
            }
        }
        if let unpromoted {
            return problem.words + [
                "Version \(made[.version] ?? "") is the candidate and serves the keys that its rollout selects. Go on from here to promote it, or see to the rollout \(unpromoted) itself."
            ]
        }
        let standing = Step.allCases.prefix { $0 != problem.step }.contains { made[$0] != nil }
        return problem.words + [
            standing
                ? "What is marked as done stands in the draft and serves nobody yet. It is not made again when you go on; to give up, delete it from the models, routes and providers."
                : "Nothing was changed."
        ]
    }

    mutating func run() async throws {
        for step in Step.allCases {
            guard problem == nil else {
                shown.append(.init(title: step.title, text: "Not begun.", href: nil, state: "waits", kind: ""))
                continue
            }
            if let id = made[step] {
                note(step, "It stands.", id, "done before")
                continue
            }
            do {
                guard let words = try await take(step) else {
                    shown.append(.init(title: step.title, text: skipped(step), href: nil, state: "not needed", kind: ""))
                    continue
                }
                note(step, words, made[step], "done")
            } catch let refusal as DomainError {
                fail(step, refusal)
            }
        }
    }

    private mutating func note(_ step: Step, _ words: String, _ id: String?, _ state: String) {
        let href = id.map { step == .version ? "/admin/config" : "/admin/\(step.rawValue)s/\($0)" }
        shown.append(.init(title: step.title, text: words, href: href, state: state, kind: "good"))
    }

    private mutating func fail(_ step: Step, _ refusal: DomainError) {
        let refused = Problem(refusal)
        needsOtherInput = refused.status == .badRequest || step != .version && step != .rollout && !refused.errors.isEmpty
        var words = ["\(step.title): \(refused.detail)"]
        words += refused.errors.prefix(10).map { "\(Rendering.label($0.field)) \($0.message). \($0.remedy)" }
        problem = (step, words)
        let rollout = unpromoted ?? inTheWay
        shown.append(
            .init(
                title: step.title, text: refused.detail, href: rollout.map { "/admin/rollouts/\($0)" }, state: "failed", kind: "bad"))
    }

    private func skipped(_ step: Step) -> String {
        switch step {
        case .provider, .endpoint: "The endpoint that was chosen is used."
        case .credential: made[.provider] == nil ? "The endpoint that was chosen has its own." : "The provider wants none."
        case .price: "No price was given: nothing is known of what it costs."
        default: "Not asked for."
        }
    }

    // MARK: The steps

    /// - Returns: what was done; nil: there was nothing to do.
    private mutating func take(_ step: Step) async throws -> String? {
        let name = wanted["model"]?.stringValue ?? ""
        switch step {
        case .provider:
            if wanted["endpoint_id"]?.stringValue != nil { return nil }
            return try await make(step, "/admin/api/providers", provider)
        case .credential:
            guard let provider = made[.provider], let secret = wanted["provider"]?["secret"] else { return nil }
            return try await make(
                step, "/admin/api/credentials",
                ["provider_id": .string(provider), "name": wanted["provider"]?["name"] ?? .null, "secret": secret])
        case .endpoint:
            guard let provider = made[.provider] else { return nil }
            return try await make(
                step, "/admin/api/endpoints",
                [
                    "provider_id": .string(provider), "name": wanted["provider"]?["name"] ?? .null,
                    "credential_ids": .strings(made[.credential].map { [$0] } ?? []),
                    "private_addresses": wanted["provider"]?["private_addresses"] ?? false,
                ])
        case .model:
            var model: JSONObject = ["name": .string(name), "capabilities": wanted["capabilities"] ?? ["chat"]]
            for member in ["context_window", "max_output_tokens"] where wanted[member] != nil { model[member] = wanted[member] }
            return try await make(step, "/admin/api/models", .object(model))
        case .route:
            let endpoint = made[.endpoint] ?? wanted["endpoint_id"]?.stringValue ?? ""
            var target: JSONObject = ["endpoint_id": .string(endpoint)]
            if let upstream = wanted["upstream_model"] { target["upstream_model"] = upstream }
            return try await make(
                step, "/admin/api/routes",
                ["model_id": .string(made[.model] ?? ""), "name": .string(name), "targets": .array([.object(target)])])
        case .price:
            guard var price = wanted["price"]?.objectValue, !price.members.isEmpty else { return nil }
            price["model_id"] = .string(made[.model] ?? "")
            return try await make(step, "/admin/api/prices", .object(price))
        case .version: return reach == "draft" ? nil : try await publish(name)
        case .rollout: return reach == "draft" || reach == "version" ? nil : try await rollOut()
        }
    }

    private var provider: JSONValue {
        var object = wanted["provider"]?.objectValue ?? JSONObject()
        let (kind, hasSecret) = (object["kind"]?.stringValue ?? "openai", object["secret"] != nil)
        object["secret"] = nil
        // The endpoint's.
        object["private_addresses"] = nil
        // As each of them wants its keys (docs/providers.md).
        object["auth"] =
            !hasSecret
            ? ["scheme": "none"]
            : kind == "anthropic" || kind == "azure"
                ? ["scheme": "header", "header": .string(kind == "azure" ? "api-key" : "x-api-key")] : ["scheme": "bearer"]
        return .object(object)
    }

    private mutating func make(_ step: Step, _ path: String, _ body: JSONValue) async throws -> String {
        let item = try await api.call(.post, path, body, for: visit).value
        made[step] = item["id"]?.stringValue
        let name = item["name"]?.stringValue ?? item["id"]?.stringValue ?? ""
        return step == .price ? "The price is in the draft." : "\(name) is in the draft."
    }

    /// Publishes the draft, which is everybody's: what others have changed in it goes along only where that was said.
    private mutating func publish(_ name: String) async throws -> String {
        let (changes, revision) = try await api.call(.get, "/admin/api/config/draft/changes", for: visit)
        let own = Set(made.values)
        let others = (changes["changes"]?.arrayValue ?? []).filter { change in
            change["id"]?.stringValue.map { !own.contains($0) } ?? false
        }
        if !others.isEmpty, !takesOthers {
            let names = others.prefix(5).map { "\($0["resource"]?.stringValue ?? "") \($0["name"]?.stringValue ?? "")" }
            asksOthers = true
            throw DomainError.conflict(
                "draft",
                "holds \(others.count) other changes (\(names.joined(separator: ", "))\(others.count > 5 ? ", …" : "")), which would be published, too",
                remedy: "Look at them under Configuration; then go on with them, or undo them first.")
        }
        let version =
            try await api.call(
                .post, "/admin/api/config/versions", ["note": .string("add \(name)")], revision: revision ?? "", for: visit
            ).value["version"]?.intValue ?? 0
        made[.version] = String(version)
        return "Version \(version) holds it."
    }

    /// Makes the version the candidate, and promotes it where it is for all. A candidate that it is already, since what came next failed, is
    /// gone on from; and so is a promotion of which only the answer was lost, or that somebody else did.
    private mutating func rollOut() async throws -> String {
        let isForAll = reach == "all"
        let version = Int64(made[.version] ?? "") ?? 0
        let standing = try await api.get("/admin/api/rollouts/status", for: visit)
        if let candidate = standing["candidate"], let id = candidate["id"]?.stringValue {
            inTheWay = candidate["version"]?.intValue == version ? nil : id
            if inTheWay == nil {
                guard isForAll else {
                    made[.rollout] = id
                    return "It is the candidate already."
                }
                let revision = try await api.call(.get, "/admin/api/rollouts/\(id)", for: visit).revision
                return try await promote(id, version, revision)
            }
        } else if standing["baseline_version"]?.intValue == version {
            return "Version \(version) serves all already."
        }
        var order: JSONObject = ["version": .int(version)]
        if !isForAll, let percentage = wanted["percentage"] { order["percentage"] = percentage }
        if !isForAll, wanted["percentage"] == nil { order["percentage"] = .int(10) }
        let (rollout, revision) = try await api.call(.post, "/admin/api/rollouts", .object(order), for: visit)
        let id = rollout["id"]?.stringValue ?? ""
        let reached = rollout["reach"]?["keys"]?.intValue ?? 0
        guard isForAll else {
            made[.rollout] = id
            return "It is tried on \(Rendering.grouped(reached)) keys."
        }
        return try await promote(id, version, revision)
    }

    private mutating func promote(_ id: String, _ version: Int64, _ revision: String?) async throws -> String {
        unpromoted = id
        _ = try await api.call(.post, "/admin/api/rollouts/\(id)/promote", revision: revision ?? "", for: visit)
        (made[.rollout], unpromoted) = (id, nil)
        return "Version \(version) serves all."
    }
}
