import Domain
import NIOCore
import NIOPosix
import Outbound
import Primitives
import Synchronization
import Testing

@Suite("Calls to the outside", .timeLimit(.minutes(10)))
struct OutboundClientTests {
    /// Answers each connection's first request with the same bytes; empty: never.
    private final class Peer: Sendable {
        let port: Int
        private let channel: any Channel
        private let seen: Seen

        final class Seen: Sendable {
            let requests = Mutex<[String]>([])
            let connections = Mutex(0)
        }

        private final class Script: ChannelInboundHandler, @unchecked Sendable {
            typealias InboundIn = ByteBuffer
            let answer: String
            let seen: Seen
            var text = ""

            init(_ answer: String, _ seen: Seen) {
                self.answer = answer
                self.seen = seen
            }

            func channelActive(context: ChannelHandlerContext) { seen.connections.withLock { $0 += 1 } }

            func channelRead(context: ChannelHandlerContext, data: NIOAny) {
                text += String(buffer: unwrapInboundIn(data))
                // The bodies of these tests come with their heads, or end so.
                guard text.contains("\r\n\r\n"), !text.contains("content-length: 4") || text.hasSuffix("body"), !answer.isEmpty else {
                    return
                }
                seen.requests.withLock { $0.append(text) }
                let loop = NIOLoopBound(context, eventLoop: context.eventLoop)
                context.channel.writeAndFlush(ByteBuffer(string: answer)).whenComplete { _ in loop.value.close(promise: nil) }
            }
        }

        init(_ answer: String) async throws {
            let seen = Seen()
            self.seen = seen
            channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { child in
                    child.eventLoop.makeCompletedFuture { try child.pipeline.syncOperations.addHandler(Script(answer, seen)) }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            port = channel.localAddress?.port ?? 0
        }

        var requests: [String] { seen.requests.withLock { $0 } }
        var connections: Int { seen.connections.withLock { $0 } }

        func url(_ path: String = "/a?b=c") -> String { "http://127.0.0.1:\(port)\(path)" }
    }

    private static let loopback = NetworkList("127.0.0.0/8, ::1") ?? .none
    private let client = OutboundClient(networks: Self.loopback)

    private func failure(_ client: OutboundClient, _ request: OutboundRequest) async -> OutboundFailure? {
        do throws(OutboundFailure) {
            _ = try await client.send(request)
            return nil
        } catch {
            return error
        }
    }

    @Test("what is asked is sent as it is, and what comes is given whole")
    func requests() async throws {
        let peer = try await Peer(
            "HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\nHTTP/1.1 201 Created\r\nX-A: one\r\nContent-Length: 5\r\n\r\nhello")
        let answer = try await client.send(OutboundRequest(.get, peer.url(), headers: [("authorization", Secret("Bearer s"))]))
        #expect(answer.status == 201 && answer.body == Array("hello".utf8))
        #expect(answer.header("x-a") == "one" && answer.header("x-early") == nil)
        let first = try #require(peer.requests.first)
        #expect(first.hasPrefix("GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:\(peer.port)\r\n"))
        #expect(first.contains("authorization: Bearer s\r\n"))

        for method in OutboundRequest.Method.allCases where method != .get {
            let request = OutboundRequest(
                method, peer.url("/x"), headers: [("content-type", Secret("text/plain"))], body: Array("body".utf8))
            #expect(try await client.send(request).status == 201)
            let text = try #require(peer.requests.last).lowercased()
            #expect(text.hasPrefix("\(method.rawValue.lowercased()) /x http/1.1"))
            #expect(text.contains("content-type: text/plain") && text.contains("content-length: 4") && text.hasSuffix("\r\n\r\nbody"))
            #expect(!text.contains("expect:") && !text.contains("urlencoded"))
        }
        #expect(try await client.send(OutboundRequest(.delete, peer.url("/y"))).status == 201)
        #expect(try #require(peer.requests.last).hasPrefix("DELETE /y"))
    }

    @Test("a redirect is an answer like any other: nobody follows it")
    func redirects() async throws {
        let elsewhere = try await Peer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let peer = try await Peer("HTTP/1.1 302 Found\r\nLocation: \(elsewhere.url())\r\nContent-Length: 0\r\n\r\n")
        let answer = try await client.send(OutboundRequest(.get, peer.url()))
        #expect(answer.status == 302 && answer.header("location") == elsewhere.url())
        #expect(elsewhere.connections == 0)
    }

    @Test("an address that is not public is not connected to, however it is written")
    func addresses() async throws {
        let peer = try await Peer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let strict = OutboundClient()
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "127.1"] {
            for scheme in ["http", "https"] {
                let failure = await failure(strict, OutboundRequest(.get, "\(scheme)://\(host):\(peer.port)/"))
                #expect(failure?.reason == .notAllowed, "\(scheme)://\(host): \(failure?.text ?? "answered")")
                #expect(failure?.wasSent == false)
            }
        }
        #expect(peer.connections == 0)
        // Refused before anything is sent: no packet leaves for these.
        for url in ["http://192.0.2.1/", "https://10.1.2.3/", "https://[fd00::1]/", "https://169.254.169.254/", "http://8.8.8.8/"] {
            #expect(await failure(strict, OutboundRequest(.get, url))?.reason == .notAllowed, "\(url)")
            #expect(await failure(client, OutboundRequest(.get, url))?.reason == .notAllowed, "\(url)")
        }
        #expect(await failure(strict, OutboundRequest(.get, "http://169.254.1.1/", reach: .configured))?.reason == .notAllowed)
        #expect(try await strict.send(OutboundRequest(.get, peer.url(), reach: .configured)).status == 200)
        // A test call of an endpoint that may not lead there: whatever else the operator allows.
        let inside = await failure(client, OutboundRequest(.get, "http://localhost:\(peer.port)/", reach: .endpoint))
        #expect(inside?.reason == .notAllowed && inside?.text.contains("--private-addresses true") == true)
        #expect(peer.connections == 1)
    }

    @Test("what would not be sent as it was meant is not sent")
    func malformed() async throws {
        let peer = try await Peer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        for url in [
            "", "file:///etc/passwd", "ftp://127.0.0.1/", "http://", "http://user:word@127.0.0.1:\(peer.port)/",
            "http://127.0.0.1:\(peer.port)/ a",
            "http://127.0.0.1:\(peer.port)/\r\nx: y", "http://127.0.0.1:99999/", "http://\u{e4}.example/",
            "gopher://127.0.0.1:\(peer.port)/",
        ] {
            #expect(await failure(client, OutboundRequest(.get, url))?.reason == .notAllowed, "\(url)")
        }
        for header in [("x", "a\r\nb: c"), ("x: y\r\nz", "a"), ("", "a"), ("x", "a\0b")] {
            let request = OutboundRequest(.get, peer.url(), headers: [(header.0, Secret(header.1))])
            #expect(await failure(client, request)?.reason == .notAllowed)
        }
        #expect(peer.connections == 0)
    }

    @Test("size, time and number are bounded, and each end says whether something was sent")
    func bounds() async throws {
        let large = try await Peer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + String(repeating: "x", count: 100))
        let small = await failure(client, OutboundRequest(.get, large.url(), limits: .init(bytes: 99)))
        #expect(small?.reason == .tooLarge && small?.wasSent == true)
        #expect(try await client.send(OutboundRequest(.get, large.url(), limits: .init(bytes: 100))).body.count == 100)
        #expect(try await client.send(OutboundRequest(.get, large.url(), limits: .statusOnly)).status == 200)
        let fields = try await Peer(
            "HTTP/1.1 200 OK\r\n" + String(repeating: "X-A: \(String(repeating: "y", count: 1000))\r\n", count: 70) + "\r\n")
        #expect(await failure(client, OutboundRequest(.get, fields.url()))?.reason == .tooLarge)

        let silent = try await Peer("")
        let late = await failure(client, OutboundRequest(.post, silent.url(), limits: .init(milliseconds: 60)))
        #expect(late?.reason == .timedOut && late?.wasSent == true)
        let cut = try await Peer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        #expect(await failure(client, OutboundRequest(.get, cut.url()))?.reason == .broken)
        let other = try await Peer("SSH-2.0-OpenSSH\r\n")
        #expect(await failure(client, OutboundRequest(.get, other.url()))?.reason == .broken)
        let nobody = await failure(client, OutboundRequest(.get, "http://127.0.0.1:1/"))
        #expect(nobody?.reason == .unreachable && nobody?.wasSent == false)

        let narrow = OutboundClient(networks: Self.loopback, maximum: 1)
        let waiting = Task { try await narrow.send(OutboundRequest(.get, silent.url(), limits: .init(milliseconds: 20_000))) }
        let patience = ContinuousClock.now + .seconds(120)
        while silent.connections < 2, ContinuousClock.now < patience { await Task.yield() }
        #expect(await failure(narrow, OutboundRequest(.get, large.url()))?.reason == .busy)
        waiting.cancel()
        #expect(await waiting.result.failure?.reason == .cancelled)
        #expect(try await narrow.send(OutboundRequest(.get, large.url())).status == 200)
    }

    @Test("a call whose task is over before it begins is not made")
    func cancelledEarly() async throws {
        let peer = try await Peer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await failure(client, OutboundRequest(.get, peer.url()))
        }
        #expect(await task.value?.reason == .cancelled)
        #expect(peer.connections == 0)
    }
}

extension Result where Failure == any Error {
    fileprivate var failure: OutboundFailure? {
        guard case .failure(let error) = self else { return nil }
        return error as? OutboundFailure
    }
}
