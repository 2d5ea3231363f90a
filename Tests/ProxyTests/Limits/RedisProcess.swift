import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Proxy

/// A real `redis-server` of a test's own, on loopback, that can be stopped, frozen and started again.
final class RedisProcess: Sendable {
    /// `WEIR_TEST_REDIS` names the program, as `ops/test` does; without it one that lies where Debian puts it.
    static let program: String? = {
        let named = ProcessInfo.processInfo.environment["WEIR_TEST_REDIS"]
        return [named, "/usr/bin/redis-server"].compactMap(\.self).first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    let port: Int
    private let folder = FileManager.default.temporaryDirectory.appending(path: "weir-redis-\(UUID().uuidString)")
    private let process = Mutex<Process?>(nil)
    private let options: [String]

    init(_ options: String...) async throws {
        self.options = options
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
        try await listener.close()
        try await start()
    }

    func start() async throws {
        let program = try #require(Self.program)
        let server = Process()
        server.executableURL = URL(filePath: program)
        server.arguments =
            ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder.path] + options
        server.standardOutput = FileHandle.nullDevice
        server.standardError = FileHandle.nullDevice
        try server.run()
        process.withLock { $0 = server }
        while true {
            if let channel = try? await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: port).get()
            {
                try await channel.close()
                return
            }
            try #require(server.isRunning, "redis-server ended")
            try await ProxyFixture.pause()
        }
    }

    private func signal(_ number: Int32) {
        process.withLock { process in if let process, process.isRunning { kill(process.processIdentifier, number) } }
    }

    func freeze() { signal(SIGSTOP) }
    func thaw() { signal(SIGCONT) }

    func stop() {
        signal(SIGKILL)
        process.withLock { process in
            process?.waitUntilExit()
            process = nil
        }
    }

    /// Says something to it and answers the first line that it says.
    @discardableResult
    func say(_ words: String...) async throws -> String {
        let client = try await RawClient.connect(port: port)
        let command = words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
        try await client.send("*\(words.count)\r\n\(command)*1\r\n$4\r\nQUIT\r\n")
        return String(decoding: try await client.readToEnd(), as: UTF8.self)
    }

    func settings(timeout: Int, region: String = "eu", password: String? = nil, log: Logger) throws -> RedisSettings {
        let address = try RedisAddress("redis://\(password.map { ":\($0)@" } ?? "")127.0.0.1:\(port)/3")
        return RedisSettings(
            address, timeout: timeout, deployment: "test", region: region, health: RedisHealth(address, loops: 1, logger: log))
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }
}
