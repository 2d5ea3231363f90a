import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
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
    private let process = Mutex<ChildProcess?>(nil)
    private let options: [String]
    private let authority: TestAuthority?
    /// Where its authority's certificate lies.
    var authorityFile: String { folder.appending(path: "authority").path }

    /// - Parameter authority: it speaks TLS, with a certificate of it.
    init(_ options: String..., authority: TestAuthority? = nil) async throws {
        self.authority = authority
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        if let authority {
            let pair = try authority.issue()
            for (name, text) in [("certificate", pair.certificate), ("key", pair.key), ("authority", authority.pem)] {
                try text.write(to: folder.appending(path: name), atomically: true, encoding: .utf8)
            }
        }
        self.options = options
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
        try await listener.close()
        try await start()
    }

    func start() async throws {
        let program = try #require(Self.program)
        let file = { (name: String) in self.folder.appending(path: name).path }
        let speaking =
            authority == nil
            ? ["--port", "\(port)"]
            : [
                "--port", "0", "--tls-port", "\(port)", "--tls-auth-clients", "no", "--tls-cert-file", file("certificate"),
                "--tls-key-file", file("key"), "--tls-ca-cert-file", file("authority"),
            ]
        let nowhere = open("/dev/null", O_RDWR)
        defer { close(nowhere) }
        let server = try ChildProcess(
            program, speaking + ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder.path] + options,
            environment: ProcessInfo.processInfo.environment, files: (nowhere, nowhere, nowhere))
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
        process.withLock { $0?.signal(number) }
    }

    func freeze() { signal(SIGSTOP) }
    func thaw() { signal(SIGCONT) }

    func stop() {
        signal(SIGKILL)
        process.withLock { process in
            process?.waitUntilEnded()
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

    /// - Parameter knows: it is told whose certificates Redis has.
    func settings(timeout: Int, region: String = "eu", password: String? = nil, knows: Bool = true, log: Logger) throws -> RedisSettings {
        let address = try RedisAddress("\(authority == nil ? "redis" : "rediss")://\(password.map { ":\($0)@" } ?? "")127.0.0.1:\(port)/3")
        return RedisSettings(
            address, caPEM: authority != nil && knows ? try RedisSettings.certificates(authorityFile) : "", timeout: timeout,
            deployment: "test", region: region, health: RedisHealth(address, loops: 1, logger: log))
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }
}
