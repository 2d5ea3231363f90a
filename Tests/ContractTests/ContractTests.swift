import Contract
import Primitives
import SwiftProtobuf
import Testing
import Trust

@Suite("Pricing")
struct PricingTests {
    @Test(
        arguments: [
            // One token at one nano-dollar a million: rounds down; half a million rounds up.
            (TokenUsage(input: 1), TokenPrices(input: 1), 0), (TokenUsage(input: 500_000), TokenPrices(input: 1), 1),
            (TokenUsage(input: 499_999), TokenPrices(input: 1), 0),
            (
                TokenUsage(input: 100, output: 10, cachedInput: 40),
                TokenPrices(input: 2_500_000_000, output: 10_000_000_000, cachedInput: 1_250_000_000), 300_000
            ),
            (TokenUsage(input: 100, cacheWrite: 100), TokenPrices(input: 1_000_000, cacheWrite: 2_000_000), 200),
            // Cached tokens beyond the input are not there.
            (TokenUsage(input: 10, cachedInput: 50), TokenPrices(input: 1_000_000, cachedInput: 1_000_000), 10),
            (TokenUsage(input: -5, output: -7), TokenPrices(input: 1_000_000, output: 1_000_000, perRequest: 3), 3),
            (TokenUsage(input: .max, output: .max), TokenPrices(input: .max, output: .max), Int64.max),
        ] as [(TokenUsage, TokenPrices, Int64)])
    func rates(usage: TokenUsage, prices: TokenPrices, nano: Int64) { #expect(Pricing.rate(usage, prices).rawValue == nano) }

    @Test func agreesWithPlainArithmetic() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<10_000 {
            let usage = TokenUsage(
                input: .random(in: 0...200_000, using: &generator), output: .random(in: 0...20_000, using: &generator),
                cachedInput: .random(in: 0...1000, using: &generator))
            let prices = TokenPrices(
                input: .random(in: 0...100_000_000_000, using: &generator), output: .random(in: 0...100_000_000_000, using: &generator),
                cachedInput: .random(in: 0...100_000_000_000, using: &generator), perRequest: .random(in: 0...1000, using: &generator))
            let cached = min(usage.cachedInput, usage.input)
            let millionths = (usage.input - cached) * prices.input + cached * prices.cachedInput + usage.output * prices.output
            #expect(Pricing.rate(usage, prices).rawValue == (millionths + 500_000) / 1_000_000 + prices.perRequest)
        }
    }

    @Test func chargesEachKindAtItsPriceAndNoTokenTwice() {
        var usage = TokenUsage(input: 100, output: 50, cachedInput: 10, cacheWrite: 20, reasoning: 5)
        usage.cacheWriteHour = 15
        usage.audioInput = 30
        usage.imageInput = 1000  // beyond what is left
        usage.audioOutput = 7
        usage.imageOutput = 8
        var prices = TokenPrices(
            input: 1_000_000, output: 10_000_000, cachedInput: 2_000_000, cacheWrite: 3_000_000, cacheWriteHour: 4_000_000,
            audioInput: 5_000_000, imageInput: 6_000_000, reasoning: 11_000_000, audioOutput: 12_000_000, imageOutput: 13_000_000)
        // 10 cached, 15 for an hour, 5 for less, 30 audio, 40 images and no text; 5 reasoning, 7 audio, 8 images, 30 text.
        #expect(Pricing.rate(usage, prices).rawValue == 20 + 60 + 15 + 150 + 240 + 55 + 84 + 104 + 300)
        // What has no price of its own costs what it is a part of.
        prices = TokenPrices(input: 1_000_000, output: 10_000_000, cacheWrite: 3_000_000)
        #expect(Pricing.rate(usage, prices).rawValue == 80 + 60 + 500)
    }

    @Test func takesTheTierOfTheWholeInput() {
        var price = Weir_V1_Price()
        (price.input, price.output, price.cachedInput, price.cacheWrite, price.perRequest) = (1_000_000, 2_000_000, 500_000, 1_000_000, 9)
        price.tiers = [200_000, 500_000].map { (above: Int64) in
            var tier = Weir_V1_PriceTier()
            (tier.aboveInputTokens, tier.input) = (above, above * 10)
            return tier
        }
        price.tiers[1].output = 7_000_000
        let card = RateCard(price)
        #expect(Pricing.rate(TokenUsage(input: 200_000, output: 10), card).rawValue == 200_000 + 20 + 9)
        #expect(Pricing.rate(TokenUsage(input: 200_001, output: 10), card).rawValue == 400_002 + 20 + 9)
        #expect(Pricing.rate(TokenUsage(input: 500_001, output: 10, cachedInput: 1), card).rawValue == 2_500_001 + 70 + 9)
    }

    @Test func takesTheProvidersWordUpToWhatTheTokensCouldCost() {
        var price = Weir_V1_Price()
        (price.input, price.output, price.providerCost) = (1_000_000, 2_000_000, true)
        let (card, usage) = (RateCard(price), TokenUsage(input: 100, output: 10))
        #expect(card.takesStatedCost)
        for (stated, counted) in [(7, 7), (120, 120), (121, 120), (0, 0), (-5, 0), (.max, 120)] as [(Int64, Int64)] {
            #expect(Pricing.stated(stated, usage, card).rawValue == counted)
        }
    }

    @Test func chargesByUnitsBesideTokensAndByServiceTier() throws {
        var price = Weir_V1_Price()
        (price.input, price.output, price.perRequest) = (2_000_000_000, 8_000_000_000, 5)
        (price.perImage, price.perSecond, price.perCharacter, price.perSearch) = (40_000_000, 100_000, 15_000, 10_000_000)
        func tier(_ name: String, above: Int64 = 0, input: Int64? = nil, output: Int64? = nil) -> Weir_V1_PriceTier {
            var tier = Weir_V1_PriceTier()
            (tier.serviceTier, tier.aboveInputTokens) = (name, above)
            if let input { tier.input = input }
            if let output { tier.output = output }
            return tier
        }
        var size = Weir_V1_PriceTier()
        (size.aboveInputTokens, size.input) = (200_000, 4_000_000_000)
        price.tiers = [size]
        price.serviceTiers = [
            tier("priority", input: 3_000_000_000, output: 12_000_000_000), tier("priority", above: 200_000, input: 6_000_000_000),
            tier("flex", input: 1_000_000_000), tier("of a newer release", input: 1),
        ]
        let card = RateCard(price)
        func cost(_ input: Int64, _ output: Int64, _ service: ServiceTier, _ change: (inout TokenUsage) -> Void = { _ in }) -> Int64 {
            var usage = TokenUsage(input: input, output: output)
            usage.serviceTier = service
            change(&usage)
            #expect(Pricing.rate(usage, card) <= Pricing.worstCase(input: input, output: output, beside: usage, card))
            return Pricing.rate(usage, card).rawValue
        }
        #expect(cost(1000, 100, .standard) == 2_000_000 + 800_000 + 5)
        #expect(cost(1000, 100, .priority) == 3_000_000 + 1_200_000 + 5)
        // What a tier leaves out is as below its size, else as in the price; one without prices is charged as the standard one.
        #expect(cost(300_000, 100, .priority) == 1_800_000_000 + 1_200_000 + 5)
        #expect(cost(300_000, 100, .flex) == 300_000_000 + 800_000 + 5)
        #expect(cost(300_000, 100, .batch) == 1_200_000_000 + 800_000 + 5)
        #expect(card.prices(.priority) && card.prices(.standard) && !card.prices(.batch))
        #expect(cost(0, 0, .standard) { $0.images = 3 } == 120_000_000 + 5)
        // 1.2345 s: the fraction of a nano-dollar is rounded once.
        #expect(cost(0, 0, .standard) { $0.milliseconds = 1234 } == 123_400 + 5)
        #expect(cost(0, 0, .standard) { ($0.characters, $0.searches) = (11, 2) } == 165_000 + 20_000_000 + 5)
        #expect(cost(1, 0, .standard) { ($0.images, $0.milliseconds) = (-4, -1) } == 2000 + 5)
        price.perImage = .max
        var absurd = TokenUsage(input: .max, output: .max)
        (absurd.images, absurd.characters, absurd.milliseconds, absurd.searches) = (.max, .max, .max, .max)
        #expect(Pricing.rate(absurd, RateCard(price)).rawValue == .max)
        #expect(Pricing.worstCase(input: .max, output: .max, beside: absurd, RateCard(price)).rawValue == .max)
    }

    @Test func neverCostsMoreThanTheWorstCase() {
        var generator = SeededGenerator(seed: 11)
        func amount() -> Int64 { Bool.random(using: &generator) ? 0 : .random(in: 0...100_000_000_000, using: &generator) }
        for _ in 0..<10_000 {
            var price = Weir_V1_Price()
            (price.input, price.output, price.cachedInput, price.cacheWrite, price.perRequest) = (amount(), amount(), amount(), amount(), 5)
            if Bool.random(using: &generator) { price.cacheWriteHour = amount() }
            if Bool.random(using: &generator) { price.imageInput = amount() }
            if Bool.random(using: &generator) { price.reasoning = amount() }
            price.tiers = (0..<Int.random(in: 0...2, using: &generator)).map { index in
                var tier = Weir_V1_PriceTier()
                tier.aboveInputTokens = Int64(1000 * (index + 1))
                if Bool.random(using: &generator) { tier.input = amount() }
                if Bool.random(using: &generator) { tier.audioOutput = amount() }
                return tier
            }
            let (input, output) = (Int64.random(in: 0...3000, using: &generator), Int64.random(in: 0...3000, using: &generator))
            var usage = TokenUsage(
                input: .random(in: 0...input, using: &generator), output: .random(in: 0...output, using: &generator), cachedInput: amount(),
                cacheWrite: amount(), reasoning: amount())
            usage.cacheWriteHour = amount()
            usage.imageInput = amount()
            usage.audioOutput = amount()
            let card = RateCard(price)
            #expect(Pricing.rate(usage, card) <= Pricing.worstCase(input: input, output: output, card))
        }
    }

    @Test func takesThePriceThatWasInForce() {
        func price(_ id: String, _ from: Int64, endpoint: String = "") -> Weir_V1_Price {
            var price = Weir_V1_Price()
            (price.id, price.modelID, price.endpointID, price.effectiveFromMs) = (id, "m", endpoint, from)
            return price
        }
        let prices = [price("old", 0), price("new", 100), price("own", 50, endpoint: "e"), price("later", 1000)]
        func inForce(_ at: Int64, _ endpoint: String = "x") -> String? {
            Pricing.priceInForce(prices, modelID: "m", endpointID: endpoint, atMilliseconds: at)?.id
        }
        #expect(inForce(99) == "old" && inForce(100) == "new" && inForce(5000) == "later" && inForce(-1) == nil)
        #expect(inForce(49, "e") == "old" && inForce(5000, "e") == "own")
        #expect(Pricing.priceInForce(prices, modelID: "other", endpointID: "e", atMilliseconds: 5000) == nil)
    }
}

@Suite("The usage record's encoding")
struct UsageEncoderTests {
    @Test func knowsTheFieldNumbersOfTheSchema() throws {
        var encoder = UsageEncoder()
        for (index, field) in UsageField.allCases.enumerated() where ![.attemptList, .startedUs, .hedge].contains(field) {
            switch field {
            case .holds, .extensions, .charges: encoder.amount(field, slice: UInt64(index), Int64(index) << 40, unknown: -1)
            case .wouldHaveRefused: encoder.field(field, "a budget")
            case .uncovered: encoder.amount(field, budget: Array("bgt_a".utf8), 1 << 40)
            case .requestID, .traceID: encoder.field(field, high: UInt64(index), low: 1)
            case .tenantID, .projectID, .keyID, .model, .routeID, .channel, .errorCode, .endpointID, .providerID, .credentialID,
                .upstreamModel, .priceID, .appID, .userID, .ownerID, .did, .dialect, .tags:
                encoder.field(field, Array("text \(field)".utf8))
            case .capability, .status, .errorOrigin, .serviceTier: encoder.field(field, UInt64(2))
            case .streaming, .sentUpstream: encoder.field(field, true)
            default: encoder.field(field, Int64(index * 1000))
            }
        }
        let record = try Weir_V1_UsageRecord(serializedBytes: encoder.buffer)
        #expect(record.unknownFields.data.isEmpty)
        #expect(record.tenantID == "text tenantID" && record.projectID == "text projectID" && record.keyID == "text keyID")
        #expect(record.model == "text model" && record.routeID == "text routeID" && record.channel == "text channel")
        #expect(record.errorCode == "text errorCode" && record.endpointID == "text endpointID" && record.providerID == "text providerID")
        #expect(
            record.credentialID == "text credentialID" && record.upstreamModel == "text upstreamModel" && record.priceID == "text priceID")
        #expect(record.appID == "text appID" && record.userID == "text userID" && record.did == "text did")
        #expect(record.dialect == "text dialect" && record.tags == ["text tags"])
        #expect(record.capability == .completions && record.status == .failed && record.errorOrigin == .weir)
        #expect(record.streaming && record.sentUpstream && record.requestID.count == 16 && record.traceID.count == 16)
        #expect(record.wouldHaveRefused == ["a budget"] && record.serviceTier == .flex)
        #expect(record.uncovered.map(\.budgetID) == ["bgt_a"] && record.uncovered.map(\.amount) == [1 << 40])
        for (field, amounts) in [(UsageField.holds, record.holds), (.extensions, record.extensions), (.charges, record.charges)] {
            let index = Int64(UsageField.allCases.firstIndex(of: field) ?? 0)
            #expect(amounts.map(\.slice) == [UInt64(index)] && amounts.map(\.amount) == [index << 40] && amounts.map(\.unknown) == [-1])
        }
        let numbers: [(UsageField, Int64)] = [
            (.admittedAtUs, record.admittedAtUs), (.configVersion, Int64(record.configVersion)),
            (.estimatedInputTokens, record.estimatedInputTokens),
            (.requestBytes, record.requestBytes), (.httpStatus, Int64(record.httpStatus)), (.upstreamStatus, Int64(record.upstreamStatus)),
            (.inputTokens, record.inputTokens), (.outputTokens, record.outputTokens), (.cachedInputTokens, record.cachedInputTokens),
            (.cacheWriteTokens, record.cacheWriteTokens), (.reasoningTokens, record.reasoningTokens), (.flags, Int64(record.flags)),
            (.costNano, record.costNano), (.latencyUs, record.latencyUs), (.timeToFirstByteUs, record.timeToFirstByteUs),
            (.attempts, Int64(record.attempts)), (.responseBytes, record.responseBytes),
            (.cacheWriteHourTokens, record.cacheWriteHourTokens), (.audioInputTokens, record.audioInputTokens),
            (.imageInputTokens, record.imageInputTokens), (.audioOutputTokens, record.audioOutputTokens),
            (.imageOutputTokens, record.imageOutputTokens), (.likelyCostNano, record.likelyCostNano),
            (.likelyTokens, record.likelyTokens), (.progressRecords, Int64(record.progressRecords)), (.images, record.images),
            (.mediaMilliseconds, record.mediaMilliseconds), (.characters, record.characters), (.searches, record.searches),
        ]
        for (field, value) in numbers {
            #expect(value == Int64((UsageField.allCases.firstIndex(of: field) ?? 0) * 1000), "\(field)")
        }
    }

    @Test func writesAttemptsWithTheRecordsFieldNumbers() throws {
        let texts: [UsageField] = [.errorCode, .endpointID, .providerID, .credentialID, .upstreamModel, .priceID]
        let numbers: [UsageField] = [
            .errorOrigin, .upstreamStatus, .inputTokens, .outputTokens, .cachedInputTokens, .cacheWriteTokens, .reasoningTokens, .flags,
            .costNano, .latencyUs, .timeToFirstByteUs, .startedUs, .sentUpstream, .cacheWriteHourTokens, .audioInputTokens,
            .imageInputTokens, .audioOutputTokens, .imageOutputTokens, .images, .mediaMilliseconds, .characters, .searches, .serviceTier,
        ]
        var encoder = UsageEncoder()
        encoder.field(.attempts, UInt64(2))
        encoder.attempt(limit: 4096) { attempt in
            for field in texts { attempt.field(field, Array("\(field)".utf8)) }
            for field in numbers {
                attempt.field(field, UInt64(field == .errorOrigin || field == .sentUpstream || field == .serviceTier ? 1 : field.rawValue))
            }
        }
        encoder.attempt(limit: 4096) { $0.field(.endpointID, Array(repeating: UInt8(ascii: "e"), count: 300)) }
        let record = try Weir_V1_UsageRecord(serializedBytes: encoder.buffer)
        #expect(record.attempts == 2 && record.attemptList.count == 2 && record.unknownFields.data.isEmpty)
        let first = try #require(record.attemptList.first)
        #expect(first.unknownFields.data.isEmpty && first.sentUpstream && first.errorOrigin == .client)
        #expect(first.errorCode == "errorCode" && first.endpointID == "endpointID" && first.providerID == "providerID")
        #expect(first.credentialID == "credentialID" && first.upstreamModel == "upstreamModel" && first.priceID == "priceID")
        #expect(first.upstreamStatus == 24 && first.inputTokens == 25 && first.outputTokens == 26 && first.cachedInputTokens == 27)
        #expect(first.cacheWriteTokens == 28 && first.reasoningTokens == 29 && first.flags == 30 && first.costNano == 31)
        #expect(first.latencyUs == 32 && first.timeToFirstByteUs == 33 && first.startedUs == 43)
        #expect(first.cacheWriteHourTokens == 100 && first.audioInputTokens == 101 && first.imageInputTokens == 102)
        #expect(first.audioOutputTokens == 103 && first.imageOutputTokens == 104)
        #expect(first.images == 105 && first.mediaMilliseconds == 106 && first.characters == 107 && first.searches == 108)
        #expect(first.serviceTier == .priority)
        #expect(record.attemptList.last?.endpointID.count == 300)
    }

    @Test func leavesOutAnAttemptForWhichThereIsNoRoom() throws {
        var encoder = UsageEncoder()
        encoder.field(.costNano, Int64(5))
        #expect(encoder.attempt(limit: 100) { $0.field(.endpointID, "first") })
        let before = encoder.buffer
        #expect(!encoder.attempt(limit: 100) { $0.field(.endpointID, Array(repeating: UInt8(ascii: "x"), count: 90)) })
        #expect(encoder.buffer == before)
        #expect(!encoder.attempt(limit: 1 << 20) { $0.field(.endpointID, Array(repeating: UInt8(ascii: "x"), count: 1 << 14)) })
        #expect(try Weir_V1_UsageRecord(serializedBytes: encoder.buffer).attemptList.map(\.endpointID) == ["first"])
    }

    @Test func mergesByStandingOneAfterTheOther() throws {
        var intent = UsageEncoder()
        intent.field(.tenantID, Array("ten".utf8))
        intent.field(.endpointID, Array("first".utf8))
        intent.field(.outputTokens, Int64(7))
        var completion = UsageEncoder()
        completion.always(.outputTokens, 0)
        completion.field(.endpointID, Array("second".utf8))
        completion.field(.costNano, Int64(-1))
        let record = try Weir_V1_UsageRecord(serializedBytes: intent.buffer + completion.buffer)
        #expect(record.tenantID == "ten" && record.endpointID == "second" && record.outputTokens == 0 && record.costNano == -1)
    }
}

@Suite("Signed documents")
struct DocumentTests {
    let key = SigningKey()

    func verifier(_ version: SoftwareVersion = weirVersion) -> DocumentVerifier {
        DocumentVerifier(trust: TrustStore([key.keyID: key.publicKey]), deployment: "d", dataPlaneID: "dp_a", softwareVersion: version)
    }

    func envelope(_ kind: DocumentKind = .config, signer: SigningKey? = nil, _ change: (inout Weir_V1_Header) -> Void = { _ in }) throws
        -> Weir_V1_Envelope
    {
        var header = Weir_V1_Header()
        (header.deployment, header.audience, header.epoch, header.version) = ("d", "*", 1, 5)
        (header.notBeforeMs, header.expiresMs) = (1000, 2000)
        change(&header)
        return try SignedDocument.sign(kind: kind, header: header, payload: Array("payload".utf8), with: signer ?? key)
    }

    func refusal(_ envelope: Weir_V1_Envelope, _ verifier: DocumentVerifier? = nil) -> DocumentRefusal.Code? {
        do throws(DocumentRefusal) {
            _ = try (verifier ?? self.verifier()).verify(envelope)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func judgesInOrder() throws {
        #expect(refusal(try envelope()) == nil)
        #expect(refusal(try envelope(signer: SigningKey())) == .unknownKey)
        #expect(refusal(try envelope { $0.deployment = "other" }) == .wrongAudience)
        #expect(refusal(try envelope { $0.audience = "dp_b" }) == .wrongAudience)
        #expect(refusal(try envelope { $0.audience = "dp_a" }) == nil)
        #expect(refusal(try envelope(.directory)) == .wrongAudience)
        #expect(refusal(try envelope { $0.version = 0 }) == .malformedHeader)
        #expect(refusal(try envelope { $0.minimumDataPlaneVersion = "99.0.0" }) == .dataPlaneTooOld)
        var changed = try envelope()
        changed.kind = DocumentKind.rollout.payloadType
        #expect(refusal(changed) == .badSignature)
        changed = try envelope()
        changed.payload.append(1)
        #expect(refusal(changed) == .badDigest)
        changed = try envelope()
        changed.kind = "application/json"
        #expect(refusal(changed) == .unknownKind)
    }

    @Test func refusesEveryChangedBit() throws {
        let bytes: [UInt8] = try envelope().serializedBytes()
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: DocumentRefusal.self, "bit \(bit)") { try verifier().verify(changed) }
        }
        for length in 0..<bytes.count { #expect(throws: DocumentRefusal.self) { try verifier().verify(Array(bytes[..<length])) } }
    }

    @Test func risesAndTellsEquivocation() throws {
        let document = try verifier().verify(try envelope())
        func verdict(_ epoch: UInt64, _ version: UInt64, _ digest: [UInt8]) -> Result<DocumentVerifier.VersionVerdict, DocumentRefusal> {
            Result { () throws(DocumentRefusal) in
                try verifier().checkVersion(document, mark: (DocumentVersion(epoch: epoch, version: version), digest))
            }
        }
        #expect(verdict(1, 4, []) == .success(.newer) && verdict(1, 5, document.digest) == .success(.same))
        #expect(throws: DocumentRefusal.self) { try verdict(1, 6, document.digest).get() }
        guard case .failure(let refusal) = verdict(1, 5, [1]) else { throw refusalExpected }
        #expect(refusal.code == .equivocation)
        guard case .failure(let older) = verdict(2, 1, []) else { throw refusalExpected }
        #expect(older.code == .olderVersion)
    }

    @Test func looksAtTheClockWithTolerance() throws {
        let document = try verifier().verify(try envelope())
        try verifier().checkTime(document, nowMilliseconds: 1500, toleranceMilliseconds: 0)
        try verifier().checkTime(document, nowMilliseconds: 900, toleranceMilliseconds: 100)
        #expect(throws: DocumentRefusal.self) { try verifier().checkTime(document, nowMilliseconds: 900, toleranceMilliseconds: 99) }
        #expect(throws: DocumentRefusal.self) { try verifier().checkTime(document, nowMilliseconds: 2000, toleranceMilliseconds: 0) }
    }

    private var refusalExpected: TrustError { .signing }
}

@Suite("Validation of a configuration")
struct ConfigValidationTests {
    @Test(arguments: ["https://api.example.com/v1", "http://127.0.0.1:9090", "http://[::1]:80/", "https://h/a/b/"])
    func takesBaseURLs(text: String) { #expect((try? ConfigValidation.parse(baseURL: text).get()) != nil) }

    @Test(arguments: [
        "", "ftp://h", "https://", "https://u:p@h", "https://h?x=1", "https://h#f", "h:80", "https://h:0", "https://h:99999",
        "http://h\r\nx: y",
    ])
    func refusesOtherURLs(text: String) { #expect((try? ConfigValidation.parse(baseURL: text).get()) == nil) }

    @Test func namesEachBrokenReference() {
        var config = Weir_V1_ConfigPayload()
        config.endpoints = [.with { ($0.id, $0.name, $0.providerID) = ("ep", "e", "prov_none") }]
        config.models = [.with { ($0.id, $0.name, $0.capabilities) = ("m", "m", ["chat", "dance"]) }]
        config.routes = [
            .with { route in
                (route.id, route.modelID) = ("r", "m_none")
                // Nobody else may be asked.
                (route.hedgeAfterMs, route.maxAttempts) = (500, 1)
                route.targets = [.with { $0.endpointID = "ep" }, .with { $0.endpointID = "ep_none" }]
            }
        ]
        config.prices = [.with { ($0.id, $0.modelID, $0.input) = ("p", "m", -1) }]
        let paths = ConfigValidation.validate(config).map(\.path)
        #expect(
            paths == [
                "endpoints[ep].provider_id", "models[m].capabilities", "routes[r].model_id", "routes[r].targets[1].endpoint_id",
                "routes[r].hedge_after_ms", "prices[p].input",
            ])
        #expect(ConfigValidation.validate(Weir_V1_ConfigPayload()).isEmpty)
    }
}
