import Formats
import Primitives
import Testing

@Suite("Usage as a provider states it")
struct UsageTests {
    static func parse(_ text: String) -> UsageReading? {
        Array(text.utf8).withUnsafeBytes { UsageParser.parse($0) }
    }

    struct Case: Sendable {
        let text: String
        var input: Int64 = 0
        var output: Int64 = 0
        var cached: Int64 = 0
        var written: Int64 = 0
        var reasoning: Int64 = 0
        var flags: UsageReading.Flags = []
    }

    @Test func readsWhatIsChargedBesideTokens() throws {
        func read(_ text: String) -> UsageReading? { Array(text.utf8).withUnsafeBytes { UsageParser.parse($0) } }
        let searched = try #require(
            read(
                #"{"input_tokens":10,"output_tokens":5,"server_tool_use":{"web_search_requests":3,"web_fetch_requests":1},"service_tier":"priority"}"#
            ))
        #expect(searched.searches == 3 && searched.serviceTier == .priority && searched.hasKinds)
        #expect(
            try #require(read(#"{"prompt_tokens":1,"completion_tokens":1,"server_tool_use_details":{"web_search_requests":2}}"#)).searches
                == 2)
        let heard = try #require(read(#"{"type":"duration","seconds":3.2501}"#))
        #expect(heard.mediaMilliseconds == 3251 && heard.inputTokens == 0 && heard.present)
        let tokens = try #require(
            read(
                #"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":2,"audio_tokens":12},"output_tokens":4,"total_tokens":18,"seconds":9}"#
            ))
        #expect(tokens.audioInputTokens == 12 && tokens.inputTokens == 14 && tokens.mediaMilliseconds == 0)
        for absurd in [#"{"seconds":-3}"#, #"{"seconds":1e300}"#, #"{"seconds":"many"}"#, #"{"seconds":null}"#] {
            let reading = try #require(read(absurd))
            #expect((0...UsageReading.cap).contains(reading.mediaMilliseconds), "\(absurd)")
        }

        func whole(_ text: String, _ dialect: Dialect, piece: Int) -> BodyUsageMeter {
            var meter = BodyUsageMeter(dialect)
            let bytes = Array(text.utf8)
            for start in stride(from: 0, to: bytes.count, by: piece) {
                bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes { meter.consume($0) }
            }
            meter.finish()
            return meter
        }
        let response =
            #"{"metadata":{"service_tier":"flex"},"output":[{"type":"web_search_call","id":"a"},{"id":"b","type":"web_search_call"},{"type":"message","content":[{"type":"output_text","text":"web_search_call"}]}],"service_tier":"priority","tools":[{"type":"web_search"}],"usage":{"input_tokens":3,"output_tokens":4}}"#
        let images = #"{"created":1,"data":[{"b64_json":"{\"x\""},{"url":"u"}],"usage":{"input_tokens":3,"output_tokens":4}}"#
        for piece in [1, 7, 16, 1000] {
            let reading = whole(response, .responses, piece: piece).reading
            #expect(reading.searches == 2 && reading.serviceTier == .priority, "\(piece)")
            #expect(whole(images, .openAI, piece: piece).elements == 2, "\(piece)")
        }
    }

    @Test("tells of sound, images and how long the cache keeps what was written")
    func kinds() throws {
        let openAI = try #require(
            Self.parse(
                #"""
                {"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"audio_tokens":30,"image_tokens":20,
                "text_tokens":50,"cached_tokens":null},"completion_tokens_details":{"audio_tokens":7,"image_tokens":8,"reasoning_tokens":0}}
                """#))
        #expect(openAI.audioInputTokens == 30 && openAI.imageInputTokens == 20 && openAI.flags.isEmpty && openAI.hasKinds)
        #expect(openAI.audioOutputTokens == 7 && openAI.imageOutputTokens == 8 && openAI.cacheWriteHourTokens == 0)
        let gateway = try #require(
            Self.parse(
                #"""
                {"prompt_tokens":100,"completion_tokens":1,"cache_creation_input_tokens":40,"cache_read_input_tokens":9,
                "prompt_tokens_details":{"cached_tokens":9},"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30}}
                """#))
        #expect(gateway.cacheWriteTokens == 40 && gateway.cacheWriteHourTokens == 30 && gateway.cachedInputTokens == 9)
        // More than there is, and what is no number.
        let absurd = try #require(
            Self.parse(
                #"""
                {"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"audio_tokens":99,"image_tokens":-4},
                "completion_tokens_details":{"audio_tokens":"5x","image_tokens":1e18},"cache_creation":{"ephemeral_1h_input_tokens":77}}
                """#))
        #expect(absurd.audioInputTokens == 10 && absurd.imageInputTokens == 0 && absurd.audioOutputTokens == 0)
        #expect(absurd.imageOutputTokens <= 5 && absurd.cacheWriteTokens == 10 && absurd.cacheWriteHourTokens == 10)
        #expect(absurd.flags.isSuperset(of: [.invalid, .inconsistent]))
    }

    @Test(
        "is clamped and flagged, never believed",
        arguments: [
            Case(text: #"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#, input: 10, output: 5),
            Case(
                text: #"""
                    {"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":0},"completion_tokens":5,"prompt_tokens_details":
                    {"cached_tokens":4,"cache_write_tokens":2},"prompt_tokens":10,"total_tokens":15,"x":{"prompt_tokens":99}}
                    """#, input: 10, output: 5, cached: 4, written: 2, reasoning: 3),
            Case(
                text: #"""
                    {"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":1},
                    "total_tokens":15}
                    """#, input: 10, output: 5, cached: 4, reasoning: 1),
            Case(
                text: #"""
                    {"prompt_tokens":36100,"completion_tokens":1200,"total_tokens":37300,"prompt_cache_hit_tokens":21600,
                    "prompt_cache_miss_tokens":14500}
                    """#, input: 36_100, output: 1200, cached: 21_600),
            Case(
                text: #"{"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4,"completion_tokens":1}"#, input: 10, output: 1, cached: 6),
            Case(
                text: #"{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":6,"prompt_tokens_details":{"cached_tokens":6}}"#,
                input: 9, output: 1, cached: 6),
            Case(
                text: #"{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":6,"prompt_tokens_details":{"cached_tokens":5}}"#,
                input: 9, output: 1, cached: 6, flags: .inconsistent),
            Case(text: #"{"prompt_tokens":9,"completion_tokens":1,"cached_tokens":4}"#, input: 9, output: 1, cached: 4),
            Case(
                text: #"""
                    {"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"prompt_tokens_details":{"cached_tokens":128},
                    "completion_tokens_details":{"reasoning_tokens":2809}}
                    """#, input: 10_120, output: 4308, cached: 128, reasoning: 2809),
            Case(
                text: #"{"prompt_tokens":1,"completion_tokens":9,"total_tokens":10,"completion_tokens_details":{"reasoning_tokens":9}}"#,
                input: 1, output: 9, reasoning: 9),
            Case(text: #"{"prompt_tokens":8,"total_tokens":8}"#, input: 8),
            Case(text: #"{"completion_tokens":3,"total_tokens":8}"#, input: 5, output: 3),
            Case(text: #"{"prompt_tokens":8,"completion_tokens":2,"total_tokens":99}"#, input: 8, output: 2, flags: .totalMismatch),
            Case(text: #"{"prompt_tokens":8}"#, input: 8, flags: .outputUnknown),
            Case(text: "{}", flags: [.inputUnknown, .outputUnknown]),
            Case(text: #"{"prompt_tokens":null,"completion_tokens":null}"#, flags: [.inputUnknown, .outputUnknown]),
            Case(text: #"{"prompt_tokens":-1,"completion_tokens":5}"#, output: 5, flags: [.invalid, .inputUnknown]),
            // Whole numbers, however they are written.
            Case(text: #"{"prompt_tokens":"10","completion_tokens":5}"#, input: 10, output: 5),
            Case(text: #"{"prompt_tokens":100.0,"completion_tokens":5.00e1,"total_tokens":"150"}"#, input: 100, output: 50),
            Case(text: #"{"prompt_tokens":1e3,"completion_tokens":5}"#, input: 1000, output: 5),
            Case(text: #"{"prompt_tokens":"","completion_tokens":5}"#, output: 5, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":"1x","completion_tokens":5}"#, output: 5, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":"99999999999999999999","completion_tokens":5}"#, output: 5, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":1e10,"completion_tokens":5}"#, input: 1, output: 5, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":10.7,"completion_tokens":5}"#, input: 10, output: 5, flags: [.invalid, .inputUnknown]),
            Case(
                text: #"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":350,"reasoning_tokens":200}"#, input: 100, output: 250,
                reasoning: 200),
            Case(text: #"{"prompt_tokens":1e999999999,"completion_tokens":5}"#, input: 1, output: 5, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":true,"completion_tokens":[5]}"#, flags: [.invalid, .inputUnknown, .outputUnknown]),
            Case(text: #"{"prompt_tokens":1000000000,"completion_tokens":0}"#, input: 1_000_000_000),
            // Beyond all belief: estimated, and not charged at what may be believed at most.
            Case(text: #"{"prompt_tokens":1000000001,"completion_tokens":0}"#, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":7,"completion_tokens":1000000000000000000}"#, input: 7, flags: [.invalid, .outputUnknown]),
            Case(text: #"{"prompt_tokens":7,"completion_tokens":9999999999999999999999.5}"#, input: 7, flags: [.invalid, .outputUnknown]),
            Case(
                text: #"{"prompt_tokens":99999999999999999999999999999999999999,"completion_tokens":0}"#, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":-99999999999999999999999999999,"completion_tokens":0}"#, flags: [.invalid, .inputUnknown]),
            Case(text: #"{"prompt_tokens":1,"prompt_tokens":2,"completion_tokens":0}"#, input: 2, flags: .duplicate),
            Case(text: #"{"prompt_tokens":"x","prompt_tokens":2,"completion_tokens":0}"#, input: 2, flags: [.duplicate, .invalid]),
            Case(
                text: #"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}"#, input: 5, output: 2,
                cached: 5,
                flags: .inconsistent),
            Case(
                text: #"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":4}}"#,
                input: 5, output: 2,
                cached: 4, written: 1, flags: .inconsistent),
            Case(
                text: #"{"prompt_tokens":5,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":3}}"#, input: 5, output: 2,
                reasoning: 2,
                flags: .inconsistent),
            Case(text: #"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":null}"#, input: 5, output: 2),
            Case(text: #"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":7}"#, input: 5, output: 2, flags: .invalid),
            Case(
                text: #"{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-1}}"#, input: 5, output: 2,
                flags: .invalid),
            Case(text: #"{"prompt_tokens":5,"completion_tokens":"#, input: 5, flags: [.invalid, .outputUnknown]),
            Case(text: #"[1]"#, flags: [.invalid, .inputUnknown, .outputUnknown]),
            Case(text: #""text""#, flags: [.invalid, .inputUnknown, .outputUnknown]),
            Case(text: "7", flags: [.invalid, .inputUnknown, .outputUnknown]),
        ])
    func table(_ expected: Case) throws {
        let reading = try #require(Self.parse(expected.text))
        #expect(reading.inputTokens == expected.input)
        #expect(reading.outputTokens == expected.output)
        #expect(reading.cachedInputTokens == expected.cached)
        #expect(reading.cacheWriteTokens == expected.written)
        #expect(reading.reasoningTokens == expected.reasoning)
        #expect(reading.flags == expected.flags, "\(reading.flags.rawValue)")
        #expect(reading.present)
    }

    @Test("is absent when it is null or nothing")
    func absent() {
        #expect(Self.parse("null") == nil)
        #expect(Self.parse(" null ") == nil)
        #expect(Self.parse("") == nil)
        #expect(!UsageReading.absent.present && !UsageReading.absent.isComplete)
    }

    @Test("never traps, whatever it is", arguments: 1...8 as ClosedRange<UInt64>)
    func random(seed: UInt64) {
        var json = RandomJSON(random: SeededGenerator(seed: seed))
        for _ in 0..<500 {
            let names = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"]
            var bytes = Array(json.object(depth: 3, names: names.filter { _ in Bool.random(using: &json.random) }).utf8)
            if Bool.random(using: &json.random) { bytes = json.damage(bytes) }
            guard let reading = bytes.withUnsafeBytes({ UsageParser.parse($0) }) else { continue }
            for count in [
                reading.inputTokens, reading.outputTokens, reading.cachedInputTokens, reading.cacheWriteTokens, reading.reasoningTokens,
            ] {
                #expect((0...UsageReading.cap).contains(count))
            }
            #expect(reading.cachedInputTokens + reading.cacheWriteTokens <= reading.inputTokens)
            #expect(reading.reasoningTokens <= reading.outputTokens)
        }
    }

    @Test("is estimated from bytes when it is missing")
    func estimate() {
        #expect(TokenEstimate.output(contentBytes: 0) == 0)
        #expect(TokenEstimate.output(contentBytes: -5) == 0)
        #expect(TokenEstimate.output(contentBytes: 1) == 1)
        #expect(TokenEstimate.output(contentBytes: 4) == 1)
        #expect(TokenEstimate.output(contentBytes: 5) == 2)
        #expect(TokenEstimate.output(contentBytes: .max) == UsageReading.cap)
        // Pieces as short as tokens are tokens, longer ones are not.
        #expect(TokenEstimate.output(contentBytes: 60, pieces: 10) == 10)
        #expect(TokenEstimate.output(contentBytes: 9, pieces: 9) == 9)
        #expect(TokenEstimate.output(contentBytes: 80, pieces: 10) == 20)
        #expect(TokenEstimate.output(contentBytes: 0, pieces: 0) == 0)
        #expect(TokenEstimate.output(contentBytes: .max, pieces: .max) == UsageReading.cap)
    }

    @Test("of an image, sound or file is estimated by its kind, not by the length of its base64")
    func media() {
        let base64 = String(repeating: "QUJDRA==", count: 150_000)
        func estimate(_ text: String, window: Int64 = 0) -> Int64 {
            Array(text.utf8).withUnsafeBytes { TokenEstimate.input($0, contextWindow: window) }
        }
        func parts(_ part: String) -> String { #"[{"role":"user","content":[{"type":"text","text":"hi"},\#(part)]}]"# }
        let frame = estimate(parts("{}"))
        func difference(_ part: String) -> Int64 { estimate(parts(part)) - frame }
        let image = #"{"type":"image_url","image_url":{"url":"data:image/png;base64,\#(base64)"}}"#
        #expect((1_105..<1_125).contains(difference(image)))
        #expect((1_105..<1_125).contains(difference(image.replacing("}}", with: #","detail":"high"}}"#))))
        #expect((85..<105).contains(difference(image.replacing("}}", with: #","detail" : "low"}}"#))))
        #expect((1_105..<1_125).contains(difference(#"{"type":"input_image","image_url" : "data:image/png;base64,\#(base64)"}"#)))
        #expect((2_210..<2_240).contains(difference(image + "," + image)))
        let audio = difference(#"{"type":"input_audio","input_audio":{"data":"\#(base64)","format":"mp3"}}"#)
        #expect((550..<600).contains(audio), "56 seconds")
        #expect(difference(#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,\#(base64)"}}"#) < 20_040)
        // A text that speaks of them is a text.
        let talk = #"{"type":"text","text":"\"image_url\":\"\#(base64)\""}"#
        #expect(difference(talk) > 299_000)
        #expect(estimate(parts(talk), window: 128_000) == 128_000)
        #expect(estimate(#""plain""#, window: 128_000) == 2)
        // What a reservation takes for them: no less than any model does.
        func worst(_ text: String) -> Int64 { Array(text.utf8).withUnsafeBytes { MediaScan($0).worstTokens } }
        #expect(worst("[\(image),\(image)]") == 80_000 && worst(talk) == 0)
        #expect(worst(#"{"type":"image_url","image_url":{"url":"https://a/b","detail":"low"}}"#) == 3_000)
        #expect(worst(#"{"type":"file","file":{"file_id":"file-1"}}"#) == 1_000_000)
        #expect(worst(#"{"type":"video_url","video_url":{"url":"https://a/b"}}"#) >= 1_000_000)
        #expect(estimate("[{\"image_url\":") == 1_105 + 4)
    }
}
