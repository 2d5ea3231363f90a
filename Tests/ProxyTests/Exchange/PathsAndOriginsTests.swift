import Testing

@testable import Proxy

@Suite("Paths with and without prefix, and pages of other origins", .timeLimit(.minutes(10)))
struct PathsAndOriginsTests {
    @Test(arguments: ["", "/v1", "/external", "/external/v1"])
    func servesEveryPathUnderEveryBaseURL(base: String) async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"])
        for path in ["/chat/completions", "/completions", "/embeddings"] {
            let body = #"{"model":"sim-in1-out1","messages":[],"prompt":"a","input":"a"}"#
            #expect(try await proxy.send("POST \(base)\(path)", body: body).status == 200, "\(path)")
        }
        #expect(try await proxy.send("GET \(base)/models").status == 200)
        #expect(try await proxy.send("GET \(base)/models/sim-in1-out1").status == 200)
        #expect(try await proxy.send("GET \(base)/models/other").errorCode == "model_not_found")
        let wrong = try await proxy.send("GET \(base)/embeddings")
        #expect(wrong.status == 405 && wrong.header("allow") == "POST")
        #expect(try await proxy.send("GET \(base)/nothing").errorCode == "unknown_url")
        #expect(try await proxy.finish().count == 3)
    }

    private static let preflight = [
        "origin: https://app.example", "access-control-request-method: POST",
        "access-control-request-headers: authorization,content-type,x-stainless-os",
    ]

    @Test func saysNothingOfOriginsUntilAskedTo() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"])
        let answer = try await proxy.send("OPTIONS /v1/chat/completions", headers: Self.preflight, authorised: false)
        #expect(answer.status == 405 && !answer.head.lowercased().contains("access-control"))
        #expect(try await proxy.finish().isEmpty)
    }

    @Test func letsPagesOfNamedOriginsCall() async throws {
        let proxy = try await ProxyFixture(models: ["sim-in1-out1"]) { $0.crossOrigins = ["https://app.example", "http://localhost:3000"] }
        let asked = try await proxy.send("OPTIONS /v1/chat/completions", headers: Self.preflight, authorised: false)
        #expect(asked.status == 204 && asked.header("content-length") == nil && asked.body.isEmpty)
        #expect(asked.header("access-control-allow-origin") == "https://app.example")
        #expect(asked.header("access-control-allow-headers") == "authorization,content-type,x-stainless-os")
        #expect(asked.header("access-control-allow-methods")?.contains("POST") == true && asked.header("vary") == "Origin")
        for stream in [false, true] {
            let answer = try await proxy.chat("sim-in1-out1", stream: stream, headers: ["Origin: https://app.example"])
            #expect(answer.status == 200 && answer.header("access-control-allow-origin") == "https://app.example")
            #expect(answer.header("access-control-expose-headers")?.contains("x-request-id") == true)
        }
        let error = try await proxy.send("GET /v1/models", headers: ["origin: https://app.example"], authorised: false)
        #expect(error.status == 401 && error.header("access-control-allow-origin") == "https://app.example")
        let without = try await proxy.send("GET /v1/models")
        #expect(without.header("access-control-allow-origin") == nil && without.header("vary") == "Origin")
        #expect(try await proxy.finish().count == 2)
    }

    @Test func turnsOtherOriginsAway() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.crossOrigins = ["https://app.example"] }
        let foreign = Self.preflight.map { $0.replacing("app.example", with: "evil.example") }
        let answer = try await proxy.send("OPTIONS /v1/chat/completions", headers: foreign, authorised: false)
        #expect(answer.status == 403 && answer.errorCode == "origin_not_allowed" && answer.header("access-control-allow-origin") == nil)
        let unknown = try await proxy.send("OPTIONS /nowhere", headers: Self.preflight, authorised: false)
        #expect(unknown.status == 404 && unknown.header("access-control-allow-origin") == "https://app.example")
        #expect(try await proxy.finish().isEmpty)
    }

    @Test func allowsAllWhereTheOperatorSaysSo() async throws {
        let proxy = try await ProxyFixture(models: ["sim-ok"]) { $0.crossOrigins = ["*"] }
        let answer = try await proxy.send("OPTIONS /models", headers: Self.preflight, authorised: false)
        #expect(answer.status == 204 && answer.header("access-control-allow-origin") == "*" && answer.header("vary") == nil)
        #expect(try await proxy.finish().isEmpty)
    }
}
