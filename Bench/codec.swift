import Formats
import Wire

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

// Times the codec and the scanners on one thread. Not part of the package: `ops/microbench` compiles it with the sources, optimised.

/// Nanoseconds of processor time of this thread, so that a busy machine disturbs less.
private func threadNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Runs the body often, and prints the best of seven rounds.
@inline(never)
private func measure(_ name: String, rounds: Int, bytes: Int, _ body: () -> Int) {
    var sink = 0
    for _ in 0..<max(1, rounds / 10) { sink &+= body() }
    var best = Double.infinity
    for _ in 0..<7 {
        let start = threadNanoseconds()
        for _ in 0..<rounds { sink &+= body() }
        best = min(best, Double(threadNanoseconds() - start) / Double(rounds))
    }
    func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
    let nanoseconds = best < 1_000 ? "\(Double(Int(best * 10)) / 10)" : "\(Int(best))"
    let speed = "\(Double(Int(Double(bytes) / best * 100)) / 100)"
    print(
        name + String(repeating: " ", count: max(1, 44 - name.count)), pad(nanoseconds, 9), pad("\(bytes)", 9), pad(speed, 7),
        sink == 42 ? "." : "")
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

private func scan(_ body: [UInt8]) -> Int {
    body.withUnsafeBytes { bytes in (try? ChatRequestScan.scan(bytes))?.model?.value.count ?? 0 }
}

@main
enum Microbench {
    static func main() {
        print("what                                                ns     bytes    GB/s")
        heads()
        bodies()
        streams()
    }

    static func heads() {
        let request = bytes(
            """
            POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com:8080\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r
            Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.54.3\r\nX-Stainless-Lang: python\r
            X-Stainless-Package-Version: 1.54.3\r\nX-Stainless-OS: Linux\r\nX-Stainless-Runtime: CPython\r
            Authorization: Bearer weir_abcdefghijklmnop_abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst1234567\r\nContent-Length: 1024\r\n\r\n
            """)
        var parser = RequestHeadParser()
        measure("request head, 12 fields", rounds: 300_000, bytes: request.count) {
            parser.reset()
            return request.withUnsafeBytes { if case .complete(let head) = parser.parse($0) { head } else { 0 } }
        }
        let response = bytes(
            """
            HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 05:00:00 GMT\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r
            Connection: keep-alive\r\nopenai-organization: org-abc\r\nopenai-processing-ms: 123\r\nopenai-version: 2020-10-01\r
            x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\nx-request-id: req_abcdefghijklmnop\r
            Server: cloudflare\r\n\r\n
            """)
        var responseParser = ResponseHeadParser()
        measure("response head, 11 fields", rounds: 300_000, bytes: response.count) {
            responseParser.reset(requestMethod: .post)
            return response.withUnsafeBytes { if case .complete(let head) = responseParser.parse($0) { head } else { 0 } }
        }
        var chunked: [UInt8] = []
        for _ in 0..<64 {
            chunked += "12c\r\n".utf8
            chunked += [UInt8](repeating: 0x61, count: 300) + [13, 10]
        }
        measure("chunked body, 64 chunks in a piece", rounds: 50_000, bytes: chunked.count) {
            var decoder = ChunkedDecoder()
            var total = 0
            chunked.withUnsafeBytes { piece in
                var at = 0
                while case .data(let range) = decoder.next(piece, from: at) {
                    total &+= range.count
                    at = range.upperBound
                }
            }
            return total
        }
    }

    static func bodies() {
        let text = String(repeating: "Tell me about the history of Rome, please. It is a long story. ", count: 12)
        let small = bytes(
            #"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"\#(text)"}],"#
                + #""temperature":0.7,"max_tokens":256,"stream":true,"stream_options":{"include_usage":true}}"#)
        measure("request scan, 1 KB", rounds: 200_000, bytes: small.count) { scan(small) }
        let long = bytes(#"{"model":"a","messages":[{"role":"user","content":"\#(String(repeating: text, count: 1_380))"}]}"#)
        measure("request scan, 1 MB in one string", rounds: 100, bytes: long.count) { scan(long) }
        let message = #"{"role":"user","content":"Message: what is \"the\" answer to everything?\n And more text here to fill the line."}"#
        let many = bytes(#"{"model":"a","messages":[\#(Array(repeating: message, count: 9_000).joined(separator: ","))]}"#)
        measure("request scan, 1 MB in 9,000 messages", rounds: 100, bytes: many.count) { scan(many) }
        let wide = bytes(#"{"model":"a","messages":[{"role":"user","content":"\#(String(repeating: "罗马的历史非常悠久。", count: 34_000))"}]}"#)
        measure("request scan, 1 MB of Chinese", rounds: 100, bytes: wide.count) { scan(wide) }
        let answer = bytes(
            #"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini","choices":"#
                + #"[{"index":0,"message":{"role":"assistant","content":"\#(text)","refusal":null,"annotations":[]},"logprobs":null,"#
                + #""finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":"#
                + #"{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}}"#)
        measure("answer meter, 1 KB", rounds: 200_000, bytes: answer.count) {
            var meter = BodyUsageMeter()
            answer.withUnsafeBytes { meter.consume($0) }
            return Int(meter.reading.inputTokens)
        }
        let numbers = (0..<3_072).map { "-0.0\($0)7351" }.joined(separator: ",")
        let embedding = bytes(#"{"object":"list","data":[{"embedding":[\#(numbers)]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#)
        measure("answer meter, embedding", rounds: 20_000, bytes: embedding.count) {
            var meter = BodyUsageMeter()
            embedding.withUnsafeBytes { meter.consume($0) }
            return Int(meter.reading.inputTokens)
        }
    }

    static func streams() {
        func chunk(_ tail: String) -> [UInt8] {
            bytes(
                #"data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini","#
                    + #""service_tier":"default","system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"#
                    + #""finish_reason":null}]\#(tail)}"# + "\n\n")
        }
        for (name, piece) in [
            ("no usage", chunk("")), ("\"usage\":null", chunk(#","usage":null"#)),
            ("\"usage\":null, obfuscation", chunk(#","usage":null,"obfuscation":"aZ93kd0""#)),
        ] {
            var observer = StreamUsageMeter(mode: .observe)
            measure("stream chunk observed, \(name)", rounds: 300_000, bytes: piece.count) {
                piece.withUnsafeBytes { observer.observe($0) }
                return Int(observer.contentBytes)
            }
            var stripper = StreamUsageMeter(mode: .strip)
            var output: [UInt8] = []
            measure("stream chunk stripped, \(name)", rounds: 300_000, bytes: piece.count) {
                output.removeAll(keepingCapacity: true)
                piece.withUnsafeBytes { bytes in stripper.relay(bytes) { output.append(contentsOf: $0) } }
                return output.count
            }
        }
    }
}
