import Foundation
import NIOCore
import NIOPosix
import Primitives
import Storage
import Synchronization
import Testing

@Suite("The weir command line: what is sent again")
struct RetryTests {
    /// Between the command line and the control plane: takes the answer to the first POST and hangs up instead of giving it.
    private final class Lossy: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let port: Int
        private let lost: Lost
        private let upstream = NIOLoopBoundSlot()

        init(port: Int, _ lost: Lost) {
            self.port = port
            self.lost = lost
        }

        func channelActive(context: ChannelHandlerContext) {
            let client = context.channel
            let lost = lost
            let connected = ClientBootstrap(group: context.eventLoop).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Answers(client: client, lost))
                }
            }.connect(host: "127.0.0.1", port: port)
            upstream.value.withLock { $0 = connected }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            if bytes.readableBytesView.starts(with: Array("POST ".utf8)) { lost.sawPost() }
            upstream.value.withLock(\.self)?.whenSuccess { $0.writeAndFlush(bytes, promise: nil) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            upstream.value.withLock(\.self)?.whenSuccess { $0.close(promise: nil) }
        }
    }

    private final class NIOLoopBoundSlot: Sendable {
        let value = Mutex<EventLoopFuture<any Channel>?>(nil)
    }

    private final class Answers: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let client: any Channel
        private let lost: Lost

        init(client: any Channel, _ lost: Lost) {
            self.client = client
            self.lost = lost
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            if lost.takeOne() {
                client.close(promise: nil)
                context.close(promise: nil)
            } else {
                client.writeAndFlush(unwrapInboundIn(data), promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) { client.close(promise: nil) }
    }

    private final class Lost: Sendable {
        private let state = Mutex((posts: 0, isNext: false))
        var posts: Int { state.withLock(\.posts) }
        func sawPost() {
            state.withLock { state in
                state.posts += 1
                state.isNext = state.posts == 1
            }
        }
        func takeOne() -> Bool {
            state.withLock { state in
                defer { state.isNext = false }
                return state.isNext
            }
        }
    }

    @Test(
        "a connection that is lost after the control plane has acted: one key is made, and its secret is told", arguments: TestDatabases.all
    )
    func lostAnswer(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let tenant = try await h.field("id", "tenant create --name Acme")
            let project = try await h.field("id", "project create --tenant-id \(tenant) --name search")
            let lost = Lost()
            let port = try #require(h.control.port)
            let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Lossy(port: port, lost))
                }
            }.bind(host: "127.0.0.1", port: 0).get()
            let address = "http://127.0.0.1:\(try #require(listener.localAddress?.port))"
            let made = try await h.weir(
                "key create --project-id \(project) --name backend --field key", environment: ["WEIR_URL": address])
            try await listener.close()
            #expect(made.status == 0 && made.value.hasPrefix("weir_"), "\(made.error)")
            #expect(lost.posts == 2)
            let keys = try await h.control.get("/admin/api/keys?project_id=\(project)").json["items"]?.arrayValue
            #expect(keys?.count == 1)
            // The secret that was told is the one that was kept.
            #expect(try await h.control.get("/external/v1/health", as: nil, token: made.value).status == 200)
        }
    }
}
