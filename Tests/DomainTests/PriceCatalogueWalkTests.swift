import Contract
import Foundation
import Nouns
import Primitives
import Storage
import Testing

@testable import Domain

/// Every price of a catalogue: what is reserved for a request covers what it is charged, whatever its tokens turn out to be.
///
/// `WEIR_PRICE_CATALOGUE` names LiteLLM's file, which ops/test takes out of its wheel; without it the entries below stand for it.
@Suite("Prices of a whole catalogue")
struct PriceCatalogueWalkTests {
    private static let forms = """
        {"sample_spec": {"input_cost_per_token": 0},
         "plain": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},
         "cached": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
            "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06},
         "tiered": {"input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05, "input_cost_per_token_above_200k_tokens": 2.5e-06,
            "output_cost_per_token_above_200k_tokens": 1.5e-05, "cache_read_input_token_cost_above_200k_tokens": 2.5e-07,
            "input_cost_per_token_above_272k_tokens": 1e-05},
         "cheaper above": {"input_cost_per_token": 9e-06, "output_cost_per_token": 1e-05, "input_cost_per_token_above_32k_tokens": 1e-06},
         "sound": {"input_cost_per_token": 4e-06, "output_cost_per_token": 1.6e-05, "input_cost_per_audio_token": 3.2e-05,
            "output_cost_per_audio_token": 6.4e-05, "input_cost_per_image_token": 5e-06, "output_cost_per_image_token": 3e-05},
         "reasoning": {"input_cost_per_token": 4e-07, "output_cost_per_token": 1.2e-06, "output_cost_per_reasoning_token": 4e-06},
         "by request": {"input_cost_per_token": 0, "output_cost_per_token": 2.8e-07, "input_cost_per_request": 0.005},
         "by image": {"output_cost_per_image": 0.04, "mode": "image_generation"},
         "by second": {"input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001, "mode": "audio_transcription"},
         "by character": {"input_cost_per_character": 1.5e-05, "mode": "audio_speech"},
         "searching": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "search_context_cost_per_query":
            {"search_context_size_low": 0.03, "search_context_size_medium": 0.035, "search_context_size_high": 0.05}},
         "tiers of service": {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06, "input_cost_per_token_priority": 3.5e-06,
            "output_cost_per_token_priority": 1.4e-05, "input_cost_per_token_flex": 1e-06, "input_cost_per_token_batches": 1e-06,
            "input_cost_per_token_above_272k_tokens": 4e-06, "input_cost_per_token_above_272k_tokens_priority": 7e-06},
         "by pixel": {"input_cost_per_pixel": 4e-08, "mode": "image_generation"}}
        """

    /// Tiers that Weir does not know, and units that it does not count.
    private static let unmetered = ["_ultrafast", "_balanced", "_per_pixel", "_per_page", "_per_credit"]

    @Test func coversWhateverARequestTurnsOutToBe() throws {
        let path = ProcessInfo.processInfo.environment["WEIR_PRICE_CATALOGUE"]
        let text = try path.map { try Data(contentsOf: URL(fileURLWithPath: $0)) } ?? Data(Self.forms.utf8)
        let object = try #require(try JSONValue(parsing: text).objectValue)
        let catalogue = PriceCatalogue(object)
        var dice = SeededGenerator(seed: 20_261_126)
        var walked = 0
        for member in object.members {
            guard let entry = catalogue.entry(member.name) else { continue }
            walked += 1
            var message = Weir_V1_Price()
            PriceContent.fill(
                &message, of: Entity(id: "price_1", meta: RowMeta(revision: 1, createdAt: 0, updatedAt: 0), content: entry.content))
            let card = RateCard(message)
            // A short question, one on either side of each tier, and one that fills a window; ten choices of what the model may write.
            let sizes: [Int64] = [1, 900, 1_048_576] + card.tiers.flatMap { [$0.above, $0.above + 1] }
            for bound in sizes {
                let output = 10 * Int64.random(in: 1...65_536, using: &dice)
                var units = TokenUsage()
                (units.images, units.milliseconds, units.characters, units.searches) = (10, 7_200_001, 4096, 16)
                units.serviceTier = ServiceTier.allCases.randomElement(using: &dice) ?? .standard
                let reserved = Pricing.worstCase(input: bound, output: output, beside: units, card)
                for _ in 0..<6 {
                    // Anything of it, up to all, may be cached, written to a cache, an image, sound, or thought.
                    func part(_ whole: Int64) -> Int64 { Bool.random(using: &dice) ? 0 : .random(in: 0...whole, using: &dice) }
                    let input = Bool.random(using: &dice) ? bound : Int64.random(in: 0...bound, using: &dice)
                    var usage = TokenUsage(
                        input: input, output: Bool.random(using: &dice) ? output : part(output), cachedInput: part(input),
                        cacheWrite: part(input), reasoning: part(output))
                    usage.cacheWriteHour = part(usage.cacheWrite)
                    (usage.audioInput, usage.imageInput) = (part(input), part(input))
                    (usage.audioOutput, usage.imageOutput) = (part(output), part(output))
                    (usage.images, usage.milliseconds) = (part(units.images), part(units.milliseconds))
                    (usage.characters, usage.searches) = (part(units.characters), part(units.searches))
                    // It is served in the tier that was asked for, or in the standard one.
                    if Bool.random(using: &dice) { usage.serviceTier = units.serviceTier }
                    let charged = Pricing.rate(usage, card)
                    guard charged > reserved else { continue }
                    Issue.record("\(member.name): \(usage) costs \(charged), and \(reserved) was reserved for \(bound) and \(output)")
                }
            }
            // What Weir does not charge by is named, and not silently nothing.
            for price in member.value.objectValue?.members ?? [] {
                guard Self.unmetered.contains(where: { price.name.hasSuffix($0) }), price.name.contains("cost") else { continue }
                if case .number = price.value { #expect(entry.leftOut.contains(price.name), "\(member.name): \(price.name)") }
            }
        }
        // A catalogue in which nothing is found proves nothing.
        #expect(walked >= (path == nil ? 12 : 3_400), "\(walked) entries")
    }
}
