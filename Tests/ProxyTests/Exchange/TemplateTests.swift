import Contract
import Foundation
import Primitives
import Testing

@testable import Proxy

@Suite("Templates of routes", .timeLimit(.minutes(3)))
struct TemplateTests {
    private static func edit(
        _ action: String, _ name: String, _ value: String = "", _ change: (inout Weir_V1_TemplateEdit) -> Void = { _ in }
    )
        -> Weir_V1_TemplateEdit
    {
        var edit = Weir_V1_TemplateEdit()
        edit.action = action
        edit.name = name
        edit.value = value
        change(&edit)
        return edit
    }

    private static func refusal(_ param: String) -> RawProvider.Answer {
        .json(400, #"{"error":{"message":"Unsupported parameter","type":"invalid_request_error","param":"\#(param)","code":null}}"#)
    }

    private func proxy(
        _ providers: [RawProvider], _ edits: [Weir_V1_TemplateEdit], _ adjust: @escaping (inout Weir_V1_ConfigPayload) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        try await ProxyFixture(
            models: ["a", "b"], endpoints: providers.map(\.url),
            adjustKey: {
                $0.tags = ["team=search"]
                $0.userID = ""
            }
        ) { config in
            config.routes[0].template = edits
            adjust(&config)
        }
    }

    private func body(_ provider: RawProvider, _ index: Int = 0) -> String {
        provider.requests[index].components(separatedBy: "\r\n\r\n").last ?? ""
    }

    @Test("change the body and send headers, with values of the caller, the model, the request and its headers")
    func apply() async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await proxy(
            [provider],
            [
                Self.edit("system", "", "You serve {{ caller.tags.team }} ({{ headers[\"x-team\"] }})."),
                Self.edit("default", "temperature", "{{ 0.2 }}"), Self.edit("set", "top_p", "{{ request.temperature * 0.5 }}"),
                Self.edit("remove", "logit_bias"), Self.edit("header", "X-Project", "{{ model.name }}-{{ caller.tags.team }}"),
                Self.edit("set", "user", "{{ sha256(caller.key_id) }}") { $0.when = "caller.channel == 'default'" },
                Self.edit("set", "never", "x") { $0.when = "model.name == 'b'" }, Self.edit("set", "other", "x") { $0.apis = ["messages"] },
                Self.edit("set", "absent", "{{ request.nothing }}"),
                // What would be a second header is none.
                Self.edit("header", "X-Injected", "{{ request.inject }}"),
            ])
        let answer = try await proxy.chat(
            "a", extra: #","temperature":0.8,"logit_bias":{"1":2},"inject":"a\r\nx-evil: 1","seed":1.0"#, headers: ["X-Team: blue"])
        #expect(answer.status == 200, "\(answer.text)")
        let request = provider.requests[0]
        #expect(
            body(provider).hasPrefix(
                #"{"model":"a","messages":[{"role":"system","content":"You serve search (blue)."},{"role":"user","content":"hello"}],"temperature":0.8,"#
            ), "\(request)")
        #expect(body(provider).contains(#""inject":"a\r\nx-evil: 1","seed":1.0,"top_p":0.4,"user":""#), "\(request)")
        #expect(request.contains("\r\nX-Project: a-search\r\n") && !request.contains("X-Injected") && !request.contains("x-evil: 1\r\n"))
        for name in ["logit_bias", "never", "other", "absent"] { #expect(!body(provider).contains(name)) }
        // A route without a template passes a body as it came, byte for byte.
        let spaced = #"{ "messages" : [ ] , "model" : "b" }"#
        #expect(try await proxy.send("POST /v1/chat/completions", body: spaced).status == 200)
        #expect(body(provider, 1) == spaced)
        // What is sent is what is counted; the two requests may end in either order.
        let sizes = Set(try await proxy.finish().map(\.requestBytes))
        #expect(sizes == [Int64(body(provider).utf8.count), Int64(spaced.utf8.count)])
    }

    @Test("a member that the provider does not take is left out, and the caller is served")
    func left() async throws {
        let provider = try await RawProvider.start { $0 == 0 ? Self.refusal("reasoning_effort") : .good }
        let proxy = try await proxy(
            [provider], [Self.edit("set", "reasoning_effort", "low"), Self.edit("set", "temperature", "{{ 1 }}")])
        #expect(try await proxy.chat("a").status == 200)
        #expect(body(provider).contains("reasoning_effort"))
        #expect(!body(provider, 1).contains("reasoning_effort") && body(provider, 1).contains(#""temperature":1"#))
        let record = try #require(try await proxy.finish().first)
        #expect(record.attempts == 2 && record.status == .completed)
    }

    @Test("what is required is not left out, and the caller is not blamed")
    func required() async throws {
        let provider = try await RawProvider.start(Self.refusal("safety"))
        let proxy = try await proxy([provider], [Self.edit("set", "safety", "on") { $0.required = true }])
        let answer = try await proxy.chat("a")
        #expect(answer.status == 502 && answer.errorCode == "template_refused", "\(answer.text)")
        #expect(provider.requests.count == 1)
        let record = try #require(try await proxy.finish().first)
        #expect(record.status == .failed && record.errorOrigin == .weir && record.errorCode == "template_refused" && record.costNano == 0)
    }

    @Test("the caller's own mistakes stay the caller's")
    func callers() async throws {
        let provider = try await RawProvider.start(Self.refusal("stop"))
        let proxy = try await proxy([provider], [Self.edit("set", "temperature", "{{ 1 }}")])
        #expect(try await proxy.chat("a", extra: #","stop":5"#).status == 400)
        #expect(provider.requests.count == 1)
        _ = try await proxy.finish()
    }

    @Test("what is required and has no value is told, and nothing is sent")
    func valueless() async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await proxy([provider], [Self.edit("header", "X-Team", "{{ headers[\"x-team\"] }}") { $0.required = true }])
        let answer = try await proxy.chat("a")
        #expect(answer.status == 500 && answer.errorCode == "template_failed")
        #expect(try await proxy.chat("a", headers: ["x-team: red"]).status == 200)
        #expect(provider.requests.count == 1)
        _ = try await proxy.finish()
    }

    @Test("a bound that a template sets counts like the caller's")
    func bounds() async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await proxy([provider], [Self.edit("default", "max_tokens", "{{ min(2000, 5000) }}")])
        // The model writes a thousand at most.
        let answer = try await proxy.chat("a")
        #expect(answer.status == 500 && answer.errorCode == "template_failed", "\(answer.text)")
        #expect(try await proxy.chat("a", extra: #","max_tokens":7"#).status == 200)
        #expect(body(provider).contains(#""max_tokens":7"#))
        _ = try await proxy.finish()
    }

    @Test("each route that comes to serve a request has its own template")
    func fallback() async throws {
        let providers = [try await RawProvider.start(.json(503, "{}")), try await RawProvider.start(.good)]
        let proxy = try await proxy(providers, [Self.edit("set", "first", "1"), Self.edit("system", "", "First.")]) { config in
            config.routes[0].targets = [config.routes[0].targets[0]]
            config.routes[1].targets = [config.routes[1].targets[1]]
            config.routes[0].fallbackModelIds = ["mdl_b"]
            config.routes[1].template = [Self.edit("set", "second", "{{ model.name }}")]
        }
        #expect(try await proxy.chat("a").status == 200)
        #expect(body(providers[0]).contains(#""first":"1""#))
        #expect(
            body(providers[1]) == #"{"model":"b","messages":[{"role":"user","content":"hello"}],"second":"b"}"#, "\(body(providers[1]))")
        _ = try await proxy.finish()
    }

    @Test("what another API has no place for is left out of its translation")
    func translated() async throws {
        let message =
            #"{"id":"m","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","#
            + #""stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":2}}"#
        let provider = try await RawProvider.start(.json(200, message))
        let proxy = try await proxy(
            [provider],
            [
                Self.edit("set", "frequency_penalty", "{{ 1 }}"), Self.edit("set", "no_such_member", "x"),
                Self.edit("system", "", "Be brief."),
            ]
        ) { config in config.providers[0].kind = "anthropic" }
        let answer = try await proxy.chat("a")
        #expect(answer.status == 200, "\(answer.text)")
        #expect(body(provider).contains("Be brief.") && !body(provider).contains("no_such_member"))
        // The caller's own is refused as ever.
        #expect(try await proxy.chat("a", extra: #","no_such_member":1"#).status == 400)
        _ = try await proxy.finish()
    }
}
