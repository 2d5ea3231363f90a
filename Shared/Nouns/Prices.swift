package import Primitives

/// What tokens cost where the input is above a size. What is left out is as in the price.
package struct PriceTier: Record {
    /// Nil: the standard one.
    package var serviceTier: String?
    package var above: Int64 = 0
    package var input: NanoDollars?
    package var output: NanoDollars?
    package var cachedInput: NanoDollars?
    package var cacheWrite: NanoDollars?
    package var cacheWriteHour: NanoDollars?
    package var audioInput: NanoDollars?
    package var imageInput: NanoDollars?
    package var reasoning: NanoDollars?
    package var audioOutput: NanoDollars?
    package var imageOutput: NanoDollars?

    package init() {}

    package static let fields: [Field<Self>] = [
        Field(
            "above_input_tokens", \.above, .integer(0...1_000_000_000),
            "For all tokens of a request with more input than this; 0, in service_tiers, whatever it has.", or: 0
        ).option("above"),
        Field(
            "service_tier", \.serviceTier, .word(["priority", "flex", "batch"]), "Of requests served in this tier; of service_tiers only."
        )
        .option("service"),
        Field("input", \.input, "Input."),
        Field("output", \.output, "Output."),
        Field("cached_input", \.cachedInput, "Input from the provider's cache."),
        Field("cache_write", \.cacheWrite, "Input put into its cache."),
        Field("cache_write_hour", \.cacheWriteHour, "Input put into its cache for an hour."),
        Field("audio_input", \.audioInput, "Sound in the input."),
        Field("image_input", \.imageInput, "Images in the input."),
        Field("reasoning", \.reasoning, "Reasoning."),
        Field("audio_output", \.audioOutput, "Sound in the output."),
        Field("image_output", \.imageOutput, "Images in the output."),
    ].map { $0.shape.kind == .dollars ? $0.unit(PriceContent.perMillion) : $0 }
}

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
    // Nil: what it is a part of.
    package var cacheWriteHour: NanoDollars?
    package var audioInput: NanoDollars?
    package var imageInput: NanoDollars?
    package var reasoning: NanoDollars?
    package var audioOutput: NanoDollars?
    package var imageOutput: NanoDollars?
    package var tiers: [PriceTier] = []
    package var serviceTiers: [PriceTier] = []
    package var providerCost = false
    /// A request, whatever its tokens.
    package var perRequest = NanoDollars(0)
    // Beside tokens.
    package var perImage = NanoDollars(0)
    package var perSecond = NanoDollars(0)
    package var perCharacter = NanoDollars(0)
    package var perSearch = NanoDollars(0)
    /// Unix milliseconds.
    package var effectiveFrom: Int64 = 0

    package init() {}

    package static let words = NounWords(
        "price", path: "prices", "What a model costs. Part of the draft.",
        create: "--model-id \(ModelKind.example) --input 0.15 --output 0.60 --cached-input 0.075", update: "--output 0.55")

    fileprivate static let perMillion = "US dollars per million tokens"

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
        Field("cache_write_hour", \.cacheWriteHour, "Input that the provider put into its cache for an hour.").unit(perMillion)
            .column("cache_write_hour_nano").reading(null: "as cache write"),
        Field("audio_input", \.audioInput, "Sound in the input.").unit(perMillion).column("audio_input_nano").reading(null: "as input"),
        Field("image_input", \.imageInput, "Images in the input.").unit(perMillion).column("image_input_nano").reading(null: "as input"),
        Field("reasoning", \.reasoning, "Reasoning in the output.").unit(perMillion).column("reasoning_nano").reading(null: "as output"),
        Field("audio_output", \.audioOutput, "Sound in the output.").unit(perMillion).column("audio_output_nano")
            .reading(null: "as output"),
        Field("image_output", \.imageOutput, "Images in the output.").unit(perMillion).column("image_output_nano")
            .reading(null: "as output"),
        Field(
            objects: "tiers", \.tiers, maximum: 8, orNone: true,
            "Other prices for all tokens of a request whose input is above a size; what a tier leaves out is as in the price."
        ).option("tier"),
        Field(
            objects: "service_tiers", \.serviceTiers, maximum: 24, orNone: true,
            "What requests cost that were served in another tier than the standard one; what is left out is as in the price."
        ).option("service-tier"),
        Field("per_request", \.perRequest, "Each request, whatever its tokens.", or: NanoDollars(0)).unit("US dollars per request")
            .column("per_request_nano"),
        Field("per_image", \.perImage, "Each image that is made.", or: NanoDollars(0)).unit("US dollars per image").column(
            "per_image_nano"),
        Field("per_second", \.perSecond, "Sound or video, where the provider does not count its tokens.", or: NanoDollars(0))
            .unit("US dollars per second").column("per_second_nano"),
        Field("per_character", \.perCharacter, "Text that is spoken.", or: NanoDollars(0)).unit("US dollars per character")
            .column("per_character_nano"),
        Field("per_search", \.perSearch, "Each search that the provider makes for an answer.", or: NanoDollars(0))
            .unit("US dollars per search").column("per_search_nano"),
        Field(
            "provider_cost", \.providerCost,
            "Whether what the provider states that an answer cost (usage.cost, in dollars) counts, where it states one: up to what its tokens could cost by this price.",
            or: false),
        Field("effective_from", \.effectiveFrom, .time, "From when on; the beginning of 1970 is since ever.", or: 0).heading("FROM")
            .reading(zero: "always"),
    ]

    package static let identity = ["model_id", "endpoint_id", "effective_from"]
    package var title: String { RFC3339.string(milliseconds: effectiveFrom) }
}
