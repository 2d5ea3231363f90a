/// What a model costs from a moment on, in the draft. Nano-dollars per million tokens.
package struct PriceRow: EntityRow {
    package static let table = "prices"
    package static let columns = [
        "model_id", "endpoint_id", "input_nano", "output_nano", "cached_input_nano", "cache_write_nano", "per_request_nano",
        "effective_from",
    ]

    package let id: String
    package var modelID: String
    /// Nil: any endpoint.
    package var endpointID: String?
    package var inputNano: Int64
    package var outputNano: Int64
    package var cachedInputNano: Int64
    package var cacheWriteNano: Int64
    /// Nano-dollars a request.
    package var perRequestNano: Int64
    /// Unix milliseconds.
    package var effectiveFrom: Int64
    package var meta: RowMeta

    package init(
        id: String, modelID: String, endpointID: String?, inputNano: Int64, outputNano: Int64, cachedInputNano: Int64,
        cacheWriteNano: Int64,
        perRequestNano: Int64, effectiveFrom: Int64, meta: RowMeta
    ) {
        self.id = id
        self.modelID = modelID
        self.endpointID = endpointID
        self.inputNano = inputNano
        self.outputNano = outputNano
        self.cachedInputNano = cachedInputNano
        self.cacheWriteNano = cacheWriteNano
        self.perRequestNano = perRequestNano
        self.effectiveFrom = effectiveFrom
        self.meta = meta
    }

    package init(_ row: SQLRow) throws {
        self.init(
            id: try row.text("id"), modelID: try row.text("model_id"), endpointID: try row.optionalText("endpoint_id"),
            inputNano: try row.int("input_nano"), outputNano: try row.int("output_nano"), cachedInputNano: try row.int("cached_input_nano"),
            cacheWriteNano: try row.int("cache_write_nano"), perRequestNano: try row.int("per_request_nano"),
            effectiveFrom: try row.int("effective_from"), meta: try RowMeta(row))
    }

    package var key: String { id }
    package var values: [SQLValue] {
        [
            .text(modelID), .optional(endpointID), .int(inputNano), .int(outputNano), .int(cachedInputNano), .int(cacheWriteNano),
            .int(perRequestNano), .int(effectiveFrom),
        ]
    }
}

package enum PricesTable: EntityTable {
    package typealias Row = PriceRow
}
