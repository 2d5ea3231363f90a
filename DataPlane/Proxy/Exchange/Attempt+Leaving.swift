import Primitives

/// A stream that is given up while its provider works on it. A provider stops when it notices, and charges for what it has made until then;
/// so it is told by the end of our side alone, and what it sent before that reached it is read to its end, counted, and goes to nobody. That
/// is bounded in time and bytes: a provider that takes no notice of an end is cut off.
extension Attempt {
    /// Nobody waits for an answer any more; of one that was overtaken, at most until the other one ends.
    private static let goneMicroseconds: Int64 = 3_000_000
    /// Somebody waits to be told why it ends.
    private static let toldMicroseconds: Int64 = 250_000
    private static let maximumLeftBytes: Int64 = 1 << 19

    /// Given up from our side. Who gives it up once more waits for nothing.
    func abandon(_ why: Interruption) {
        if state == .leaving { return left(.abandon) }
        guard let upstream, meter.shape == .stream, state == .passing || state == .deciding, !meter.sawDone, !loop.isStopping else {
            return end(.abandoned(why), .abandon)
        }
        if state == .deciding, opening.isWritten { sink.discard() }
        leaving = why
        leftFrom = responseBytes
        state = .leaving
        let isAwaited = !why.isClientGone && !why.isOvertaken
        upstream.leave(by: loop.nowMicroseconds &+ (isAwaited ? Self.toldMicroseconds : Self.goneMicroseconds))
    }

    /// Whoever was to be told why it ends has left.
    func clientLeftToo() { leaving?.isClientGone = true }

    func count(_ bytes: UnsafeRawBufferPointer) {
        responseBytes &+= Int64(bytes.count)
        meter.relay(bytes) { _ in }
        if responseBytes &- leftFrom > Self.maximumLeftBytes { left(.abandon) }
    }

    /// The provider has noticed, or is waited for no longer.
    func left(_ rest: Rest = .done) {
        guard let why = leaving else { return }
        meter.finish { _ in }
        end(.abandoned(why), rest)
    }
}
