import ArgumentParser

enum Prices: EditableNoun {
    static let name = "price"
    static let abstract = "What a model costs, in dollars a million tokens. Part of the draft."
    static let path = "prices"
    static let columns: [Column] = [
        .id, Column("MODEL", "model_id", .id), Column("ENDPOINT", "endpoint_id", .id), Column("INPUT", "input", .number),
        Column("OUTPUT", "output", .number), Column("CACHED", "cached_input", .number), Column("FROM", "effective_from", .id),
    ]
    static let exampleID = "price_aaaaaaaaaaaaaaaa"
    static let createExample = "--model-id \(Models.exampleID) --input 0.15 --output 0.60 --cached-input 0.075"
    static let updateExample = "--output 0.55"

    struct Fields: BodyFields {
        static let required = ["model_id", "input", "output"]

        @Option(help: "The model.")
        var modelID: String?

        @Option(help: "Only when this endpoint served it.")
        var endpointID: String?

        @Option(help: "Dollars a million input tokens.")
        var input: String?

        @Option(help: "Dollars a million output tokens.")
        var output: String?

        @Option(help: "Dollars a million input tokens that the provider had in its cache. (default: as input)")
        var cachedInput: String?

        @Option(help: "Dollars a million input tokens that the provider put into its cache. (default: as input)")
        var cacheWrite: String?

        @Option(help: "Dollars a request.")
        var perRequest: String?

        @Option(help: "From when on: 2027-01-01 or 2027-01-01T12:00:00Z. (default: since ever)")
        var effectiveFrom: Moment?

        func body() -> Body {
            var body = Body()
            body.set("model_id", modelID)
            body.set("endpoint_id", endpointID)
            body.set("input", input)
            body.set("output", output)
            body.set("cached_input", cachedInput)
            body.set("cache_write", cacheWrite)
            body.set("per_request", perRequest)
            body.set("effective_from", effectiveFrom?.text)
            return body
        }
    }

    struct Filters: ListFilters {
        @Option(help: "Only this model's.")
        var modelID: String?

        @Option(help: "Only this endpoint's.")
        var endpointID: String?

        func query() -> [(String, String)] { pairs(("model_id", modelID), ("endpoint_id", endpointID)) }
    }
}
