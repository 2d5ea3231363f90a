package import Primitives

/// What a model costs from a moment on: US dollars per million tokens, kept in nano-dollars.
package struct PriceContent: Noun {
    package typealias Kind = PriceKind

    package var modelID = ModelID("")
    /// Nil: any endpoint.
    package var endpointID: EndpointID?
    package var input = NanoDollars(0)
    package var output = NanoDollars(0)
    package var cachedInput = NanoDollars(0)
    package var cacheWrite = NanoDollars(0)
    /// A request, whatever its tokens.
    package var perRequest = NanoDollars(0)
    /// Unix milliseconds.
    package var effectiveFrom: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "price", path: "prices", "What a model costs. Part of the draft.",
        create: "--model-id \(ModelKind.example) --input 0.15 --output 0.60 --cached-input 0.075", update: "--output 0.55")

    private static let perMillion = "US dollars per million tokens"

    package static let fields: [Field<Self>] = [
        Field("model_id", \.modelID, "The model.").filter.heading("MODEL"),
        Field("endpoint_id", \.endpointID, "Only when this endpoint served it; null: any.").filter.heading("ENDPOINT").reading(null: "all"),
        Field("input", \.input, "Input.").unit(perMillion).column("input_nano").heading("INPUT"),
        Field("output", \.output, "Output.").unit(perMillion).column("output_nano").heading("OUTPUT"),
        // Where a provider gives no rebate for cached tokens and takes no premium for writing them, they cost what input costs.
        Field("cached_input", \.cachedInput, "Input that the provider had in its cache.").unit(perMillion).column("cached_input_nano")
            .or(as: "as input") { $0.cachedInput = max($0.input, NanoDollars(0)) }.heading("CACHED"),
        Field("cache_write", \.cacheWrite, "Input that the provider put into its cache.").unit(perMillion).column("cache_write_nano")
            .or(as: "as input") { $0.cacheWrite = max($0.input, NanoDollars(0)) },
        Field("per_request", \.perRequest, "Each request, whatever its tokens.", or: NanoDollars(0)).unit("US dollars per request")
            .column("per_request_nano"),
        Field("effective_from", \.effectiveFrom, .time, "From when on; the beginning of 1970 is since ever.", or: 0).heading("FROM")
            .reading(zero: "always"),
    ]

    package static let identity = ["model_id", "endpoint_id", "effective_from"]
    package var title: String { RFC3339.string(milliseconds: effectiveFrom) }
}
