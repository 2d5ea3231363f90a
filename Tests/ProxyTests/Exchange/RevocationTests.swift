import Contract
import Primitives
import Simulator
import Testing

@testable import Proxy

@Suite("What runs for a principal ends with its standing", .timeLimit(.minutes(10)))
struct RevocationTests {
    enum Loss: String, CaseIterable {
        case keyDisabled, keyRemoved, projectDisabled, tenantDisabled

        func apply(_ directory: inout Weir_V1_DirectoryPayload) {
            switch self {
            case .keyDisabled: directory.keys[0].disabled = true
            case .keyRemoved: directory.keys = []
            case .projectDisabled: directory.projects[0].disabled = true
            case .tenantDisabled: directory.tenants[0].disabled = true
            }
        }

        var code: String {
            switch self {
            case .keyDisabled, .keyRemoved: "key_revoked"
            case .projectDisabled: "project_disabled"
            case .tenantDisabled: "tenant_disabled"
            }
        }
    }

    @Test(arguments: Loss.allCases)
    func endsAStreamWithAnErrorEventAndARecordThatSaysWho(loss: Loss) async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks10000-pace5ms"])
        let client = try await RawClient.connect(port: proxy.server.port)
        let body = #"{"model":"sim-chunks10000-pace5ms","messages":[],"stream":true}"#
        try await client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: w\r\nauthorization: Bearer \(proxy.key)\r\nconnection: close\r\n"
                + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        var directory = proxy.directory
        loss.apply(&directory)
        let accepted = await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted
        #expect(accepted)
        let answer = RawResponse(try await client.readToEnd())
        if answer.status == 200 {
            #expect(answer.body.contains(#""code":"\#(loss.code)""#) && answer.isComplete && !answer.body.contains("[DONE]"))
        } else {
            // Nothing of the stream had arrived yet.
            #expect(answer.errorCode == loss.code)
        }
        let record = try #require(try await proxy.finish().first)
        #expect(record.errorCode == loss.code && record.status == .failed && record.errorOrigin == .client)
        #expect(record.inputTokens > 0 && UsageFlags(rawValue: record.flags).contains(.estimated))
    }

    @Test func leavesOthersAlone() async throws {
        let proxy = try await ProxyFixture(models: ["sim-chunks40-pace5ms"])
        let streaming = Task { try await proxy.chat("sim-chunks40-pace5ms", stream: true) }
        while proxy.simulator.requestsTotal == 0 { try await ProxyFixture.pause() }
        var directory = proxy.directory
        var other = SnapshotFixture.key(KeyID.random(), project: proxy.project)
        other.disabled = true
        directory.keys.append(other)
        #expect(await proxy.store.apply(try proxy.snapshots.directory(2, directory)).accepted)
        #expect(try await streaming.value.body.contains("[DONE]"))
        #expect(try await proxy.finish().map(\.status) == [.completed])
    }
}
