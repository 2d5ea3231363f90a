import Contract
import Foundation
import Primitives
import Testing
import Trust

@testable import Proxy

@Suite("Responses that a provider keeps for its tenants", .timeLimit(.minutes(10)))
struct KeptResponsesTests {
    /// Endpoint 0 keeps responses and endpoint 1 does not; both are the simulator.
    private func fixture(
        _ models: [String] = ["sim-kept-in10-out4"], _ adjust: (inout Weir_V1_ConfigPayload) -> Void = { _ in }
    ) async throws -> ProxyFixture {
        let proxy = try await ProxyFixture(
            models: models, endpoints: ["http://SIMULATOR/v1", "http://SIMULATOR/v1"],
            adjustConfig: { config in
                config.endpoints[0].keepsResponses = true
                adjust(&config)
            })
        var secrets = Weir_V1_SealedSecrets()
        secrets.secrets = [
            try proxy.snapshots.sealed(
                Hex.encode(Array("a secret of the deployment.".utf8)), id: SealedCredentialBinding.resourceKeyID, provider: "")
        ]
        await proxy.store.apply(secrets)
        return proxy
    }

    private func respond(_ proxy: ProxyFixture, _ more: String = "", model: String = "sim-kept-in10-out4") async throws -> RawResponse {
        try await proxy.send("POST /v1/responses", body: #"{"model":"\#(model)","input":"Hello"\#(more)}"#)
    }

    private func asNeighbour(_ proxy: ProxyFixture, _ line: String, body: String = "") async throws -> RawResponse {
        try await proxy.raw(
            "\(line) HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.neighbour)\r\ncontent-length: \(body.utf8.count)\r\n"
                + "connection: close\r\n\r\n\(body)")
    }

    private func id(_ answer: RawResponse) throws -> String {
        try #require(try JSONValue(parsing: Array(answer.body.utf8))["id"]?.stringValue)
    }

    @Test func areTheirTenantsAlone() async throws {
        let proxy = try await fixture()
        let made = try await respond(proxy)
        let name = try id(made)
        #expect(made.status == 200 && name.hasPrefix("resp_w1-") && !made.text.contains("resp_sim"))
        let next = try await respond(proxy, #","previous_response_id":"\#(name)""#)
        // Named in the answer as the caller named it; what came before counts as input, as the provider says.
        #expect(next.status == 200 && next.text.contains(#""previous_response_id":"\#(name)""#) && !next.text.contains("resp_sim"))
        #expect(next.text.contains(#""input_tokens":24"#))

        let fetched = try await proxy.send("GET /v1/responses/\(name)?include%5B%5D=reasoning.encrypted_content")
        #expect(try id(fetched) == name)
        #expect(fetched.status == 200 && !fetched.text.contains("resp_sim"))
        let items = try await proxy.send("GET /v1/responses/\(name)/input_items?limit=2")
        #expect(items.status == 200 && items.text.contains(#""text":"Hello""#))
        let cancelled = try await proxy.send("POST /v1/responses/\(name)/cancel", body: "{}")
        #expect(cancelled.status == 400 && cancelled.text.contains(name) && !cancelled.text.contains("resp_sim"))

        // The neighbour, who has come to know the name, and the provider's own id.
        for known in [name, "resp_sim1"] {
            for line in ["GET /v1/responses/\(known)", "DELETE /v1/responses/\(known)", "GET /v1/responses/\(known)/input_items"] {
                #expect(try await asNeighbour(proxy, line).status == 404)
            }
            let body = #"{"model":"sim-kept-in10-out4","input":"Hello","previous_response_id":"\#(known)"}"#
            let continued = try await asNeighbour(proxy, "POST /v1/responses", body: body)
            #expect(continued.status == 400 && continued.errorCode == "previous_response_not_found")
        }
        #expect(try await proxy.send("GET /v1/responses/resp_sim1").status == 404)
        #expect(try await proxy.send("GET /v1/responses/\(name)?api-version=1").status == 400)
        #expect(try await proxy.send("GET /v1/responses/\(name)?stream=true").status == 400)
        #expect(try await proxy.send("PUT /v1/responses/\(name)").status == 405)
        #expect(try await proxy.send("GET /v1/responses/\(name)/other").status == 404)

        let deleted = try await proxy.send("DELETE /v1/responses/\(name)")
        #expect(try id(deleted) == name)
        let gone = try await proxy.send("GET /v1/responses/\(name)")
        #expect(gone.status == 404 && gone.errorCode == "response_not_found" && gone.text.contains(name))
        let lost = try await respond(proxy, #","previous_response_id":"\#(name)""#)
        #expect(lost.status == 400 && lost.errorCode == "previous_response_not_found" && lost.text.contains(name))
        #expect(!lost.text.contains("resp_sim"))

        let records = try await proxy.finish()
        let looks = records.filter { $0.capability == .storedResponses }
        #expect(looks.count == 5 && looks.allSatisfy { $0.costNano == 0 && $0.inputTokens == 0 && $0.outputTokens == 0 })
        #expect(records.filter { $0.capability == .chat && $0.status == .completed }.map(\.inputTokens).sorted() == [10, 24])
    }

    @Test(arguments: ["sim-kept-chunks6", "sim-kept-chunks6-split", "sim-kept-chunks6-crlf"])
    func areNamedInEveryEvent(model: String) async throws {
        let proxy = try await fixture([model])
        let first = try await respond(proxy, #","stream":true"#, model: model)
        let name = try #require(first.body.firstMatch(of: /"id":"(resp_w1-[^"]*)"/)).output.1
        let second = try await respond(proxy, #","stream":true,"previous_response_id":"\#(name)""#, model: model)
        for text in [first.body, second.body] {
            #expect(!text.contains("resp_sim") && text.contains("alpha "))
            #expect(text.matches(of: /"id":"resp_w1-/).count == 3)
        }
        #expect(second.body.matches(of: /"previous_response_id":"resp_w1-/).count == 3)
        let own = try #require(second.body.firstMatch(of: /"id":"(resp_w1-[^"]*)"/)).output.1
        #expect(try await proxy.send("GET /v1/responses/\(own)").status == 200)
        #expect(own != name)
        _ = try await proxy.finish()
    }

    @Test func goWhereTheyAreAndNowhereElse() async throws {
        let proxy = try await fixture(["sim-kept-in10-out4", "sim-kept-out5"]) { config in
            // The second model is served from where nothing is kept, and falls back to the first.
            config.routes[1].targets = [config.routes[1].targets[1]]
            config.routes[1].targets[0].weight = 1
            config.routes[1].fallbackModelIds = ["mdl_sim-kept-in10-out4"]
            // The first draws the other endpoint, if it may.
            config.routes[0].targets[1].weight = 1
            config.routes[0].targets[0].weight = 0
        }
        // Made where nothing is kept, it has the provider's id; the account is the same.
        let raw = try await respond(proxy)
        #expect(try id(raw) == "resp_sim1")
        let place = ResourceIDs.Place(endpointID: "ep_0", credentialID: "cred_a", id: Array("resp_sim1".utf8))
        let names = try #require(proxy.store.current.credentials.resourceIDs)
        let kept = try #require(names.name(of: place, .response, tenant: Array(proxy.tenant.rawValue.utf8)))
        let next = try await respond(proxy, #","previous_response_id":"\#(kept)""#)
        #expect(next.status == 200)
        let elsewhere = try await respond(proxy, #","previous_response_id":"\#(kept)""#, model: "sim-kept-out5")
        #expect(elsewhere.status == 400 && elsewhere.errorCode == "unsupported" && elsewhere.text.contains("previous_response_id"))
        for (more, param) in [
            (#","conversation":"conv_1""#, "conversation"), (#","conversation":{"id":"conv_1"}"#, "conversation"),
            (#","background":true"#, "background"),
        ] {
            let refused = try await respond(proxy, more)
            #expect(refused.status == 400 && refused.text.contains(#""param":"\#(param)""#))
        }
        let reference = try await proxy.send(
            "POST /v1/responses", body: #"{"model":"sim-kept-in10-out4","input":[{"type":"item_reference","id":"msg_1"}]}"#)
        #expect(reference.status == 400 && reference.text.contains(#""param":"input[0]""#))
        let records = try await proxy.finish()
        #expect(records.contains { $0.endpointID == "ep_0" && $0.inputTokens > 10 })
    }

    /// `store: false` is as it was.
    @Test func whatIsNotKeptKeepsTheProvidersIDs() async throws {
        let proxy = try await fixture()
        let made = try await respond(proxy, #","store":false"#)
        #expect(try id(made) == "resp_sim1")
        _ = try await proxy.finish()
    }
}
