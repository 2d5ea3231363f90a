package import Primitives
package import Storage

/// What a model costs from a moment on: US dollars per million tokens, kept in nano-dollars.
package struct PriceContent: EntityContent {
    package var modelID: ModelID
    /// Nil: any endpoint.
    package var endpointID: EndpointID?
    package var input: NanoDollars
    package var output: NanoDollars
    package var cachedInput: NanoDollars
    package var cacheWrite: NanoDollars
    /// A request, whatever its tokens.
    package var perRequest: NanoDollars
    /// Unix milliseconds.
    package var effectiveFrom: Int64

    package init(
        modelID: ModelID, endpointID: EndpointID?, input: NanoDollars, output: NanoDollars, cachedInput: NanoDollars,
        cacheWrite: NanoDollars,
        perRequest: NanoDollars, effectiveFrom: Int64
    ) {
        self.modelID = modelID
        self.endpointID = endpointID
        self.input = input
        self.output = output
        self.cachedInput = cachedInput
        self.cacheWrite = cacheWrite
        self.perRequest = perRequest
        self.effectiveFrom = effectiveFrom
    }

    package var members: JSONObject {
        [
            "model_id": .string(modelID.rawValue), "endpoint_id": .optional(endpointID?.rawValue), "input": .string(input.decimalString),
            "output": .string(output.decimalString), "cached_input": .string(cachedInput.decimalString),
            "cache_write": .string(cacheWrite.decimalString), "per_request": .string(perRequest.decimalString),
            "effective_from": .time(effectiveFrom),
        ]
    }
}

package enum PriceNoun: CatalogNoun {
    package typealias Kind = PriceKind
    package typealias Content = PriceContent
    package typealias Table = PricesTable

    package static let noun = "price"
    package static let taken = FieldProblem(
        "effective_from", "is the moment of another price of this model and endpoint",
        remedy: "Change that price, or choose another moment.")
    /// A million dollars per million tokens: above it is a misplaced decimal point.
    private static let maximum = NanoDollars(1_000_000_000_000_000)

    package static func row(id: String, _ content: PriceContent, meta: RowMeta) -> PriceRow {
        PriceRow(
            id: id, modelID: content.modelID.rawValue, endpointID: content.endpointID?.rawValue, inputNano: content.input.rawValue,
            outputNano: content.output.rawValue, cachedInputNano: content.cachedInput.rawValue, cacheWriteNano: content.cacheWrite.rawValue,
            perRequestNano: content.perRequest.rawValue, effectiveFrom: content.effectiveFrom, meta: meta)
    }

    package static func content(of row: PriceRow) throws -> PriceContent {
        PriceContent(
            modelID: ID(row.modelID), endpointID: row.endpointID.map { ID($0) }, input: NanoDollars(row.inputNano),
            output: NanoDollars(row.outputNano), cachedInput: NanoDollars(row.cachedInputNano), cacheWrite: NanoDollars(row.cacheWriteNano),
            perRequest: NanoDollars(row.perRequestNano), effectiveFrom: row.effectiveFrom)
    }

    package static func problems(of content: PriceContent) -> [FieldProblem] {
        var validation = Validation()
        let amounts = [
            ("input", content.input), ("output", content.output), ("cached_input", content.cachedInput),
            ("cache_write", content.cacheWrite),
            ("per_request", content.perRequest),
        ]
        for (field, amount) in amounts where amount < NanoDollars(0) || amount > maximum {
            validation.add(
                field, "is not from 0 to 1000000 dollars", remedy: "Give US dollars per million tokens (per request for per_request).")
        }
        return validation.problems
    }

    package static func problems(of content: PriceContent, id: PriceID, beside c: any SQLConnection) throws -> [FieldProblem] {
        var validation = Validation()
        if try ModelsTable.find(c, content.modelID.rawValue) == nil {
            validation.add("model_id", "names no model", remedy: "Create the model first, or name another.")
        }
        if let endpoint = content.endpointID, try EndpointsTable.find(c, endpoint.rawValue) == nil {
            validation.add("endpoint_id", "names no endpoint", remedy: "Create the endpoint first, or null for all.")
        }
        return validation.problems
    }

    package static func referrers(to id: PriceID, _ c: any SQLConnection) throws -> [Referrer] { [] }
}
