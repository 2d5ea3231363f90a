import Primitives
import Simulator
import Testing

@Suite("Simulator and load client, over sockets")
struct SimulatorServerTests {
    /// Forty requests, due over a tenth of a second, with all the time the machine needs to answer them.
    private func run(
        _ server: SimulatorServer, model: String, stream: Bool = false, usage: Bool = false, connections: Int = 4, timeout: Double = 60,
        headers: [String] = []
    ) async throws -> LoadReport {
        let more = stream ? #","stream":true,"stream_options":{"include_usage":\#(usage)}"# : ""
        let body = #"{"model":"\#(model)","messages":[{"role":"user","content":"hello"}]\#(more)}"#
        let url = "http://127.0.0.1:\(server.port)/v1/chat/completions"
        var settings = try LoadSettings(url: url, method: nil, headers: headers, body: Array(body.utf8))
        settings.connections = connections
        settings.rate = 400
        settings.seconds = 0.1
        settings.warmupSeconds = 0
        settings.timeoutSeconds = timeout
        settings.graceSeconds = 120
        return try await LoadClient.run(settings)
    }

    @Test("Each answer has one entry of the ledger, with the tokens that it states")
    func ledger() async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: "sim-in120-out64", headers: ["x-request-id: req_a"])
        #expect(report.statuses.keys.sorted() == [200])
        #expect(report.failures == 0)
        try await server.shutdown()
        let entries = server.ledger.entries
        #expect(entries.count >= report.answered)
        let whole = entries.filter { $0.outcome == .complete }
        #expect(whole.count >= report.answered)
        #expect(whole.allSatisfy { $0.usage?.input == 120 && $0.usage?.output == 64 && $0.requestID == "req_a" })
        #expect(server.ledger.sums()["sim-in120-out64"]?.requests == entries.count)
    }

    @Test("A stream has its chunks, the usage that was asked for, and [DONE]", arguments: [(false, 6), (true, 7)])
    func stream(_ usage: Bool, _ events: Int) async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: "sim-chunks3", stream: true, usage: usage)
        try await server.shutdown()
        #expect(report.answered == 40)
        // Role, three chunks, the finish, and then [DONE], with the usage before it when it was asked for.
        #expect(report.events == report.answered * events)
        #expect(report.streamsDone == report.answered)
        let stated = server.ledger.entries.filter { $0.outcome == .complete }.allSatisfy { ($0.usage != nil) == usage }
        #expect(stated)
    }

    @Test("A byte a write is the same stream")
    func split() async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: "sim-chunks3-split", stream: true, connections: 1)
        try await server.shutdown()
        #expect(report.answered == 40)
        #expect(report.streamsDone == report.answered)
        #expect(report.events == report.answered * 6)
    }

    @Test("What the script spoils is not taken for an answer", arguments: ["sim-reset", "sim-die2", "sim-badhead", "sim-badchunk"])
    func spoilt(_ model: String) async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: model, stream: true)
        try await server.shutdown()
        #expect(report.failures == 40)
        #expect(report.answered == 0)
        #expect(server.ledger.entries.allSatisfy { $0.usage == nil && $0.outcome != .complete })
    }

    @Test("A stall ends with the client's patience")
    func stall() async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: "sim-stall", connections: 40, timeout: 0.1)
        try await server.shutdown()
        #expect(report.timeouts == 40)
        #expect(report.answered == 0)
    }

    @Test("The seed decides which requests fail")
    func flaky() async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: "sim-flaky50")
        try await server.shutdown()
        #expect((report.statuses[200] ?? 0) > 0)
        #expect((report.statuses[503] ?? 0) > 0)
    }

    @Test("A key that is not the provider's is refused")
    func keys() async throws {
        var settings = SimulatorSettings()
        settings.acceptedKeys = ["right"]
        let server = try await SimulatorServer.start(settings)
        let refused = try await run(server, model: "sim-ok", headers: ["Authorization: Bearer wrong"])
        let served = try await run(server, model: "sim-ok", headers: ["Authorization: Bearer right"])
        try await server.shutdown()
        #expect(refused.statuses.keys.sorted() == [401])
        #expect(served.statuses.keys.sorted() == [200])
    }

    @Test("The open loop sends what is due, whether or not answers come")
    func openLoop() async throws {
        let server = try await SimulatorServer.start()
        let report = try await run(server, model: "sim-ok", connections: 4)
        try await server.shutdown()
        #expect(report.answered == 40)
        #expect(report.latency.count == 40)
    }
}
