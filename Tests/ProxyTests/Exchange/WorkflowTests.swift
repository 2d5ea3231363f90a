import Contract
import Foundation
import Primitives
import Testing

@testable import Proxy

@Suite("Workflows of channels", .timeLimit(.minutes(3)))
struct WorkflowTests {
    private static func step(_ name: String, _ kind: String, _ change: (inout Weir_V1_WorkflowStep) -> Void = { _ in })
        -> Weir_V1_WorkflowStep
    {
        var step = Weir_V1_WorkflowStep()
        step.name = name
        step.kind = kind
        change(&step)
        return step
    }

    private func proxy(
        _ providers: [RawProvider], _ steps: [Weir_V1_WorkflowStep]?, channel: String = "default", allows: [RawProvider] = [],
        _ adjust: @escaping (inout Weir_V1_ConfigPayload) -> Void = { _ in },
        settings: @escaping (inout ProxySettings) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        let hosts = allows.map { "127.0.0.1:\($0.port)" }
        return try await ProxyFixture(
            models: ["a", "b"], endpoints: providers.map(\.url),
            change: {
                $0.lookupHosts = hosts
                settings(&$0)
            },
            adjustConfig: { config in
                config.models[0].contextWindow = 100
                if let steps {
                    var workflow = Weir_V1_Workflow()
                    workflow.id = "wfl_1"
                    workflow.name = "test"
                    workflow.channel = channel
                    workflow.steps = steps
                    config.workflows = [workflow]
                }
                adjust(&config)
            })
    }

    private func lookup(_ service: RawProvider, _ change: (inout Weir_V1_WorkflowStep) -> Void = { _ in }) -> Weir_V1_WorkflowStep {
        Self.step("plan", "lookup") {
            $0.url = "http://127.0.0.1:\(service.port)/plan?v=1"
            $0.timeoutMs = 30_000
            change(&$0)
        }
    }

    /// A conversation of so many bytes.
    private func conversation(_ bytes: Int, model: String = "a") -> String {
        #"{"model":"\#(model)","messages":[{"role":"user","content":"\#(String(repeating: "word ", count: bytes / 5))"}]}"#
    }

    // MARK: Context

    @Test("without a workflow, a prompt that cannot fit and a bound above the model's are refused in each API's words")
    func standard() async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await proxy([provider], nil)
        let long = try await proxy.send("POST /v1/chat/completions", body: conversation(700))
        #expect(long.status == 400 && long.errorCode == "context_length_exceeded", "\(long.text)")
        #expect(long.body.contains("maximum context length is 100 tokens"))
        let messages = try await proxy.send(
            "POST /v1/messages", body: conversation(700).replacing(#""model""#, with: #""max_tokens":5,"model""#))
        #expect(messages.status == 400 && messages.body.contains("prompt is too long"), "\(messages.text)")
        let responses = try await proxy.send(
            "POST /v1/responses", body: #"{"model":"a","input":"\#(String(repeating: "word ", count: 140))"}"#)
        #expect(responses.status == 400 && responses.errorCode == "context_length_exceeded")
        // Close to the window it is the provider's to judge; what counts for itself is no conversation.
        #expect(try await proxy.send("POST /v1/chat/completions", body: conversation(500)).status == 200)
        let texts = (0..<200).map { _ in "\"some text\"" }.joined(separator: ",")
        #expect(try await proxy.send("POST /v1/embeddings", body: #"{"model":"a","input":[\#(texts)]}"#).status == 200)
        let bound = try await proxy.chat("a", extra: #","max_completion_tokens":1001"#)
        #expect(bound.status == 400 && bound.errorCode == "max_tokens_too_large")
        #expect(provider.requests.count == 2)
        #expect(try await proxy.finish().count == 2)
    }

    @Test("failures that degrade: a model with more room serves, a bound is lowered, and the answer and its record say so")
    func degraded() async throws {
        let providers = [try await RawProvider.start(.good), try await RawProvider.start(.good)]
        let proxy = try await proxy(
            providers,
            [
                Self.step("window", "context_window") { $0.onFailure = "degrade" },
                Self.step("output", "output_limit") { $0.onFailure = "degrade" },
            ]
        ) { config in
            config.routes[0].targets = [config.routes[0].targets[0]]
            config.routes[1].targets = [config.routes[1].targets[1]]
            config.routes[0].fallbackModelIds = ["mdl_b"]
        }
        let roomier = try await proxy.send("POST /v1/chat/completions", body: conversation(700))
        #expect(roomier.status == 200 && roomier.header("x-weir-degraded") == "window", "\(roomier.text)")
        #expect(providers.map(\.requests.count) == [0, 1] && providers[1].requests[0].contains(#""model":"b""#))
        let lowered = try await proxy.chat("a", extra: #","max_tokens":5000"#)
        #expect(lowered.status == 200 && lowered.header("x-weir-degraded") == "output")
        #expect(providers[0].requests[0].contains(#""max_tokens":1000"#))
        let plain = try await proxy.chat("a")
        #expect(plain.status == 200 && plain.header("x-weir-degraded") == nil)
        let records = try await proxy.finish()
        #expect(records.map { UsageFlags(rawValue: $0.flags).contains(.degraded) } == [true, true, false])
        #expect(records.map(\.model) == ["b", "a", "a"])
    }

    // MARK: Rules

    @Test("a rule that does not hold refuses, with the operator's words; a condition leaves it out")
    func rules() async throws {
        let provider = try await RawProvider.start(.good)
        let proxy = try await proxy(
            [provider],
            [
                Self.step("team", "require") {
                    $0.expression = "headers[\"X-Team\"] in ['red', 'blue']"
                    $0.message = "Say which team asks."
                    $0.when = "request.user != 'robot'"
                },
                Self.step("soft", "require") {
                    $0.expression = "request.temperature != null"
                    $0.onFailure = "degrade"
                    $0.after = ["team"]
                },
            ])
        let refused = try await proxy.chat("a", headers: ["x-team: green"])
        #expect(refused.status == 403 && refused.errorCode == "refused_by_workflow", "\(refused.text)")
        #expect(refused.field("message") == "Say which team asks.")
        #expect(try await proxy.chat("a", headers: ["x-team: red"]).header("x-weir-degraded") == "soft")
        #expect(try await proxy.chat("a", extra: #","user":"robot","temperature":1"#).header("x-weir-degraded") == nil)
        // Another channel has a plan of its own: the default one.
        #expect(try await proxy.chat("a", path: "/external/v1/chat/completions").status == 200)
        #expect(provider.requests.count == 3)
        #expect(try await proxy.finish().count == 3)
    }

    // MARK: Lookups

    @Test("a lookup is told who asks and nothing of the conversation; what it answers is there for later steps and templates")
    func lookups() async throws {
        let provider = try await RawProvider.start(.good)
        let service = try await RawProvider.start { number in
            number == 1
                ? .json(200, #"{"allow":false,"message":"No plan\nfor you."}"#) : .json(200, #"{"plan":{"name":"gold"},"allow":true}"#)
        }
        let proxy = try await proxy(
            [provider],
            [
                Self.step("paid", "require") {
                    $0.after = ["plan"]
                    $0.expression = "steps.plan.plan.name == 'gold'"
                }, lookup(service),
            ], allows: [service]
        ) { config in
            var edit = Weir_V1_TemplateEdit()
            edit.action = "header"
            edit.name = "X-Plan"
            edit.value = "{{ steps.plan.plan.name }}"
            config.routes[0].template = [edit]
        }
        #expect(try await proxy.chat("a").status == 200)
        #expect(provider.requests[0].contains("\r\nX-Plan: gold\r\n"))
        let asked = service.requests[0]
        #expect(asked.hasPrefix("POST /plan?v=1 HTTP/1.1\r\n") && asked.contains("\r\nx-request-id: req_"))
        #expect(asked.contains(#""tenant_id":"\#(proxy.tenant.rawValue)""#) && asked.contains(#""model":"a""#), "\(asked)")
        #expect(!asked.contains("hello"))
        let refused = try await proxy.chat("a")
        #expect(refused.status == 403 && refused.field("message") == "No planfor you.", "\(refused.text)")
        #expect(provider.requests.count == 1)
        #expect(try await proxy.finish().count == 1)
    }

    @Test(
        "however a lookup fails, the step's action says what follows, and nothing is charged for a refusal",
        arguments: [
            RawProvider.Answer.json(500, "{}"), .json(200, "[1]"), .json(200, "{"), .raw("HTTP/1.1 204 No Content\r\n\r\n"),
            .raw("nonsense\r\n\r\n"), .raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", end: .close), .raw("", end: .reset),
            .json(200, "{\"a\":\"" + String(repeating: "a", count: 70_000) + "\"}"),
        ])
    func failures(_ answer: RawProvider.Answer) async throws {
        let provider = try await RawProvider.start(.good)
        let service = try await RawProvider.start(answer)
        for action in ["reject", "skip", "degrade"] {
            let proxy = try await proxy(
                [provider],
                [
                    lookup(service) {
                        $0.onFailure = action
                        if action == "degrade" { $0.otherwise = "{name: 'free'}" }
                    },
                    Self.step("known", "require") {
                        $0.after = ["plan"]
                        $0.expression = action == "degrade" ? "steps.plan.name == 'free'" : "steps.plan == null"
                    },
                ], allows: [service])
            let answer = try await proxy.chat("a")
            switch action {
            case "reject":
                #expect(answer.status == 503 && answer.errorCode == "check_unavailable", "\(answer.text)")
                #expect(try await proxy.finish().isEmpty)
            default:
                #expect(answer.status == 200, "\(action): \(answer.text)")
                #expect(answer.header("x-weir-degraded") == (action == "degrade" ? "plan" : nil))
                #expect(try await proxy.finish().count == 1)
            }
        }
    }

    @Test("a chunked answer, and one that ends with its connection, are read")
    func framings() async throws {
        let provider = try await RawProvider.start(.good)
        let service = try await RawProvider.start { number in
            number == 0
                ? .raw(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"ok\"\r\n6\r\n:true}\r\n0\r\n\r\n"
                )
                : .raw("HTTP/1.1 200 OK\r\n\r\n{\"ok\":true}", end: .close)
        }
        let proxy = try await proxy(
            [provider],
            [
                lookup(service),
                Self.step("ok", "require") {
                    $0.after = ["plan"]
                    $0.expression = "steps.plan.ok"
                },
            ], allows: [service])
        for _ in 0..<2 { #expect(try await proxy.chat("a").status == 200) }
        _ = try await proxy.finish()
    }

    @Test("a service that says nothing is waited for no longer than the step says, and one that is not allowed is never asked")
    func patience() async throws {
        let provider = try await RawProvider.start(.good)
        let service = try await RawProvider.start(.raw("", end: .silence))
        let quick = try await proxy([provider], [lookup(service) { $0.timeoutMs = 50 }], allows: [service])
        #expect(try await quick.chat("a").status == 503)
        #expect(await quick.server.sums().metrics.lookupFailures == 1)
        _ = try await quick.finish()
        let unlisted = try await RawProvider.start(.json(200, "{}"))
        let closed = try await proxy([provider], [lookup(unlisted)], allows: [service])
        #expect(try await closed.chat("a").status == 503)
        #expect(unlisted.connectionCount == 0 && provider.requests.isEmpty)
        _ = try await closed.finish()
    }

    @Test("the address that a lookup's name leads to is judged when the connection is opened", arguments: [[], ["127.0.0.0/8", "::1"]])
    func reach(networks: [String]) async throws {
        let (provider, service) = (try await RawProvider.start(.good), try await RawProvider.start(.json(200, "{}")))
        let step = lookup(service) { $0.url = "http://localhost:\(service.port)/plan" }
        let proxy = try await proxy([provider], [step], allows: [service]) { _ in
        } settings: {
            $0.lookupHosts = ["localhost"]
            $0.lookupNetworks = networks
        }
        let answer = try await proxy.send("POST /v1/chat/completions", body: conversation(10))
        #expect(answer.status == (networks.isEmpty ? 503 : 200) && service.requests.count == (networks.isEmpty ? 0 : 1))
        #expect(answer.errorCode == (networks.isEmpty ? "check_unavailable" : nil))
        _ = try await proxy.finish()
    }

    @Test("a caller who leaves, and a data plane that stops, end the waiting; the room of a lookup is free again")
    func endings() async throws {
        let provider = try await RawProvider.start(.good)
        let service = try await RawProvider.start(.raw("", end: .silence))
        let proxy = try await proxy([provider], [lookup(service)], allows: [service])
        let client = try await RawClient.connect(port: proxy.server.port)
        try await client.send(proxy.streamRequest("a"))
        while service.requests.count < 1 { try await ProxyFixture.pause() }
        await client.close()
        let waiting = Task { try await proxy.chat("a") }
        while service.requests.count < 2 { try await ProxyFixture.pause() }
        #expect(try await proxy.finish().isEmpty)
        #expect(try await waiting.value.status == 503)
        #expect(provider.requests.isEmpty)
    }

    // MARK: Sanitising

    @Test("the external channel's answers are kept clean where the workflow says so, whole and streamed; other channels' pass as they are")
    func sanitising() async throws {
        let text = "key sk-proj-abcdefghij0123456789 at 10.1.2.3"
        let clean = text.replacing("sk-proj-abcdefghij0123456789", with: String(repeating: "*", count: 28))
            .replacing("10.1.2.3", with: "********")
        let whole = RawProvider.Answer.good.bytes.replacing(#""content":"hi""#, with: #""content":"\#(text)""#)
        let body = String(whole.components(separatedBy: "\r\n\r\n")[1])
        let provider = try await RawProvider.start { number in
            number % 2 == 0
                ? .json(200, body)
                : .stream([
                    #"{"object":"chat.completion.chunk","provider":"\#(text)","choices":[{"index":0,"delta":{"content":"hi"}}]}"#, "[DONE]",
                ])
        }
        let proxy = try await proxy([provider], [Self.step("clean", "sanitise") { $0.level = "strict" }], channel: "external")
        for (path, expected) in [("/external/v1/chat/completions", clean), ("/v1/chat/completions", text)] {
            let answer = try await proxy.chat("a", path: path)
            #expect(answer.body == body.replacing(text, with: expected), "\(answer.text)")
            let stream = try await proxy.chat("a", stream: true, path: path)
            #expect(stream.body.contains(expected) && stream.isComplete, "\(stream.text)")
        }
        #expect(await proxy.server.sums().metrics.sanitised == 2)
        _ = try await proxy.finish()
    }
}
