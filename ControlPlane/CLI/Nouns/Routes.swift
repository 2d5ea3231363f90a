import ArgumentParser
import Primitives

enum Routes: EditableNoun {
    static let name = "route"
    static let abstract = "Which endpoints serve a model, and in what shares. Part of the draft."
    static let path = "routes"
    static let columns: [Column] = [
        .id, .name, Column("MODEL", "model_id", .id),
        Column("TARGETS", "targets", .derived { $0.list("targets").compactMap { $0.string("endpoint_id") }.joined(separator: ", ") }),
        Column("DISABLED", "disabled"), .created,
    ]
    static let exampleID = "rt_aaaaaaaaaaaaaaaa"
    static let createExample =
        "--model-id \(Models.exampleID) --name default --target \(Endpoints.exampleID),model=gpt-4o-mini,weight=3"
    static let updateExample = "--max-attempts 2"

    struct Fields: BodyFields {
        static let required = ["model_id", "name", "targets"]

        @Option(help: "The model it serves.")
        var modelID: String?

        @Option(help: "What people call it.")
        var name: String?

        @Option(
            name: .customLong("target"),
            help: ArgumentHelp(
                "An endpoint, with the provider's name of the model and its share; may be repeated.",
                valueName: "endpoint[,model=…][,weight=…]"))
        var targets: [Target] = []

        @Option(help: "How many targets are tried at most; 0: all.")
        var maxAttempts: Int64?

        @Option(help: ArgumentHelp("Whether it is left out.", valueName: "true|false"))
        var disabled: Bool?

        func body() -> Body {
            var body = Body()
            body.set("model_id", modelID)
            body.set("name", name)
            if !targets.isEmpty { body.set("targets", json: .array(targets.map(\.json))) }
            body.set("max_attempts", maxAttempts)
            body.set("disabled", disabled)
            return body
        }
    }

    struct Filters: ListFilters {
        @Option(help: "Only this model's.")
        var modelID: String?

        func query() -> [(String, String)] { pairs(("model_id", modelID)) }
    }

    struct Target: ExpressibleByArgument {
        let json: JSONValue

        init?(argument: String) {
            let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
            guard let endpoint = parts.first, !endpoint.isEmpty, !endpoint.contains("=") else { return nil }
            var object: JSONObject = ["endpoint_id": .string(String(endpoint)), "weight": 1]
            for part in parts.dropFirst() {
                let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard pair.count == 2 else { return nil }
                switch pair[0] {
                case "model": object["upstream_model"] = .string(String(pair[1]))
                case "weight":
                    guard let weight = Int64(pair[1]) else { return nil }
                    object["weight"] = .int(weight)
                default: return nil
                }
            }
            json = .object(object)
        }
    }
}
