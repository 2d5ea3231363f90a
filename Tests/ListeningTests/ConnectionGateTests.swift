import Glibc
import Listening
import Logging
import NIOCore
import NIOEmbedded
import Primitives
import Synchronization
import Telemetry
import Testing

@Suite("Which connections a listener keeps")
struct ConnectionGateTests {
    /// Connections as the gate sees them: an identity, and whether they were closed.
    private final class Peer: Sendable {
        let isClosed = Atomic<Bool>(false)
        var id: ObjectIdentifier { ObjectIdentifier(self) }

        func enter(
            _ gate: ConnectionGate, from source: ConnectionGate.Source? = nil, now: Int64 = 0
        ) -> ConnectionGate.Passage? {
            gate.admit(id, from: source, now: now) { self.isClosed.store(true, ordering: .relaxed) }
        }

        var closed: Bool { isClosed.load(ordering: .relaxed) }
    }

    private func gate(
        _ maximum: Int, withRequests: Int? = nil, silent: Int? = nil, reserve: Int = 0, ofAddress: Int = 0,
        makeRoom: @escaping @Sendable () -> Void = {}
    ) -> (ConnectionGate, MetricsRegistry) {
        let metrics = MetricsRegistry()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let gate = ConnectionGate(
            listener: "test",
            limits: .init(
                maximum: maximum, withRequests: withRequests, maximumSilent: silent, reserve: reserve, maximumOfAddress: ofAddress,
                exempt: NetworkList("10.0.0.0/8,fd00::/16") ?? .none), metric: "connections_refused_total", metrics: metrics,
            logger: logger, makeRoom: makeRoom)
        return (gate, metrics)
    }

    @Test func theLongestSilentGivesWay() {
        let (gate, _) = gate(10, silent: 3)
        let peers = (0..<5).map { _ in Peer() }
        for peer in peers {
            #expect(peer.enter(gate) == .open)
            if peer === peers[0] { gate.spoke(peer.id) }
        }
        #expect(peers.map(\.closed) == [false, true, false, false, false])
        #expect(gate.refused(.silent) == 1 && gate.open == 4)
        // What the gate closed says so afterwards: it is not counted twice.
        gate.closed(peers[1].id)
        #expect(gate.open == 4)
    }

    @Test func whoeverSpeaksIsServedHoweverManyAreSilent() {
        let (gate, _) = gate(100)
        var kept: [Peer] = []
        for _ in 0..<5000 {
            let peer = Peer()
            kept.append(peer)
            #expect(peer.enter(gate) == .open)
        }
        #expect(gate.open == 50 && kept.count { !$0.closed } == 50)
        #expect(gate.refused(.silent) == 4950 && gate.refused(.full) == 0)
    }

    @Test func beyondTheMaximumAFewAreLetInForHealth() {
        let (gate, metrics) = gate(2, reserve: 1)
        let peers = (0..<5).map { _ in Peer() }
        for peer in peers[..<2] {
            #expect(peer.enter(gate) == .open)
            gate.spoke(peer.id)
        }
        #expect(peers[2].enter(gate) == .reserved && gate.passage(of: peers[2].id) == .reserved)
        #expect(peers[3].enter(gate) == nil)
        gate.closed(peers[2].id)
        #expect(peers[3].enter(gate) == .reserved)
        gate.closed(peers[0].id)
        #expect(peers[4].enter(gate) == .open)
        #expect(peers.allSatisfy { !$0.closed } && gate.refused(.full) == 1)
        #expect(metrics.text.contains(#"connections_refused_total{listener="test",reason="full"} 1"#))
    }

    @Test func oneAddressHasNoMoreThanItsPart() throws {
        let (gate, metrics) = gate(100, reserve: 2, ofAddress: 3)
        func source(_ address: String) -> ConnectionGate.Source? { gate.source(ofAddress: NetworkList.bytes(address)) }
        let crowd = try #require(source("192.0.2.1"))
        #expect(source("::ffff:192.0.2.1") == crowd && source("192.0.2.2") != crowd)
        // Of IPv6 a client has a whole network.
        #expect(source("2001:db8:0:1::1") == source("2001:db8:0:1:ffff::2") && source("2001:db8:0:1::1") != source("2001:db8:0:2::1"))
        #expect(source("10.1.2.3") == nil && source("fd00::1") == nil && gate.source(ofAddress: nil) == nil)

        let peers = (0..<6).map { _ in Peer() }
        #expect(peers[0].enter(gate, from: crowd) == .open && peers[1].enter(gate, from: crowd) == .open)
        // A request beside others of its connection holds what a connection does.
        #expect(gate.takePlace(of: crowd) && !gate.takePlace(of: crowd))
        #expect(peers[2].enter(gate, from: crowd) == nil)
        #expect(peers[3].enter(gate, from: source("192.0.2.2")) == .open && peers[4].enter(gate) == .open)
        gate.givePlace(of: crowd)
        #expect(peers[2].enter(gate, from: crowd) == .open && peers[5].enter(gate, from: crowd) == nil)
        for _ in 0..<2 { gate.closed(peers[0].id) }
        #expect(peers[5].enter(gate, from: crowd) == .open && peers[0].enter(gate, from: crowd) == nil)
        #expect(gate.refused(.address) == 3 && gate.refused(.full) == 0 && peers.allSatisfy { !$0.closed })
        #expect(metrics.text.contains(#"connections_refused_total{listener="test",reason="address"} 3"#))
        for peer in peers { gate.closed(peer.id) }
        #expect(gate.open == 0 && gate.takePlace(of: crowd))
    }

    @Test func aRequestBesideOthersTakesHalfOfAConnectionsRoom() {
        let (gate, _) = gate(3, withRequests: 5)
        let peers = (0..<4).map { _ in Peer() }
        #expect(peers[0].enter(gate) == .open)
        gate.spoke(peers[0].id)
        // As many as descriptors allow, and no more than are wanted in all.
        #expect((0..<5).map { _ in gate.takePlace() } == [true, true, true, true, false])
        #expect(peers[1].enter(gate) == nil)
        for _ in 0..<2 { gate.givePlace() }
        #expect(peers[2].enter(gate) == .open)
        gate.spoke(peers[2].id)
        #expect(peers[3].enter(gate) == nil)
        gate.closed(peers[2].id)
        #expect(gate.takePlace() && gate.takePlace() && !gate.takePlace())
    }

    @Test func whoGivesWayOrIsTurnedAwayHoldsNothingOfItsAddress() {
        let (gate, _) = gate(2, silent: 1, ofAddress: 2)
        let source = gate.source(ofAddress: [192, 0, 2, 1])
        // Each is silent, and gives way to the next.
        for _ in 0..<5 { #expect(Peer().enter(gate, from: source) == .open) }
        let speakers = [Peer(), Peer()]
        for peer in speakers {
            #expect(peer.enter(gate) == .open)
            gate.spoke(peer.id)
        }
        // Full: turned away for that, and counted nowhere.
        let late = [Peer(), Peer(), Peer()]
        #expect(late.allSatisfy { $0.enter(gate, from: source) == nil } && gate.refused(.address) == 0)
        gate.closed(speakers[0].id)
        #expect(late[0].enter(gate, from: source) == .open)
    }

    @Test func asksForRoomBeforeItIsFullAndNotForEachConnection() {
        let asked = Counter()
        let (gate, _) = gate(32) { asked.increment() }
        for index in 0..<32 {
            let peer = Peer()
            _ = peer.enter(gate, now: Int64(index))
            gate.spoke(peer.id)
            #expect(asked.current == (index < 30 ? 0 : 1))
        }
        _ = Peer().enter(gate, now: 60_000)
        #expect(asked.current == 2)
    }

    @Test func pausesWhereTheSystemHasNoDescriptorForAConnection() {
        let (gate, _) = gate(10)
        let loop = EmbeddedEventLoop()
        let channel = EmbeddedChannel(handler: GateHandler(gate), loop: loop)
        func accepts() -> Bool? { channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }?.value as? Bool }
        for _ in 0..<2 { channel.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept")) }
        #expect(accepts() == false && gate.refused(.accept) == 2)
        loop.advanceTime(by: .milliseconds(200))
        #expect(accepts() == true)
        channel.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
        #expect(accepts() == false)
    }

    @Test func theMaximumFitsTheDescriptors() {
        #expect(DescriptorLimit.connections(wanted: 20_000, each: 2, limit: 1_048_576) == 20_000)
        #expect(DescriptorLimit.connections(wanted: 20_000, each: 2, limit: 1024) == 416)
        #expect(DescriptorLimit.connections(wanted: 20_000, each: 2, limit: 64) == 1)
        #expect(DescriptorLimit.connections(wanted: 20_000, each: 1, limit: .max) == 20_000)
        #expect(DescriptorLimit.raise() >= 64)
    }
}
