import Domain
import Fleet
import Foundation
import NIOCore
import NIOPosix
import Storage
import Telemetry
import Testing

@Suite("The fleet's listener among connections that say nothing", .timeLimit(.minutes(10)))
struct SilentConnectionTests {
    @Test("lets a data plane in, and counts what gives way to it", arguments: [TestDatabases.all[0]])
    func silent(_ database: TestDatabase) async throws {
        let metrics = MetricsRegistry()
        try await database.with { database in
            try await ControlPlane.with(database, maximumConnections: 8, metrics: metrics) { control in
                let port = try await control.server.port
                var silent: [any Channel] = []
                for _ in 0..<40 {
                    silent.append(
                        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: port).get()
                    )
                }
                _ = try await control.enroll()
                for channel in silent { try? await channel.close() }
            }
        }
        let line = metrics.text.split(separator: "\n").first {
            $0.hasPrefix(#"weir_fleet_connections_refused_total{listener="fleet",reason="silent"}"#)
        }
        let count = line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
        #expect(count >= 36, "\(line ?? "no such metric")")
    }
}
