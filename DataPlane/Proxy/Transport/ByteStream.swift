import NIOCore

/// What a loop wants of its transport, and all that the data plane knows of sockets: bytes in, bytes out with back-pressure, and an end.
/// Timers and wake-ups are those of NIOCore's `EventLoop`, which is a protocol; accepting is `Listener`'s, connecting (TLS included)
/// `Transport`'s. Everything below stands in this folder, the only one that imports NIOPosix and NIOSSL: another transport is another
/// folder, and no stage of an exchange changes for it.
///
/// Confined to its loop.
protocol ByteStream: AnyObject {
    /// The peer's IP address; nil where it is not known.
    var peer: String? { get }

    /// What TLS has agreed on (ALPN); nil where nothing was, or where there is no TLS.
    var applicationProtocol: String? { get }
    /// Whether a client may speak HTTP/2 on it: after TLS when that was agreed on, else if it knows beforehand.
    var mayBeHTTP2: Bool { get }
    /// Puts HTTP/2's framing around this stream's bytes from now on: `user` hears of frames, and still of the stream's end.
    /// - Parameters:
    ///   - settings: told to the peer, and held against it.
    ///   - bytes: what came so far.
    func speakHTTP2(_ settings: HTTP2Channel.Settings, user: any HTTP2User & ByteStreamUser, with bytes: ByteBuffer)
    /// What comes from now on is no frame of anything: the user gets it as it is.
    func speakNothing()

    /// False while more waits here than the peer takes; `ByteStreamUser.writabilityChanged` says when that passes.
    var isWritable: Bool { get }

    /// Takes bytes to be sent with the next `flush`.
    func write(_ bytes: ByteBuffer)
    func flush()
    /// Bytes that were written and that the kernel has not taken.
    var pendingBytes: Int { get }
    /// What the peer's kernel has; nil where that is not known.
    var delivery: Delivery? { get }

    /// Calls back once all that was written before has left this process for the kernel (true), or never will (false).
    func whenTaken(_ done: @escaping (Bool) -> Void)

    /// Back-pressure on the peer: nothing is read until `resumeReading`.
    func pauseReading()
    func resumeReading()

    /// Ends the sending side, behind what was written.
    func closeOutput()
    /// Ends both sides at once; what was not taken by the kernel is lost.
    func close()
}

extension ByteStream {
    func writeAndFlush(_ bytes: ByteBuffer) {
        write(bytes)
        flush()
    }
}

/// How far what was sent has got.
struct Delivery {
    /// Bytes that the peer's kernel has acknowledged, since the stream began.
    let acknowledged: UInt64
    /// Whether that is all that was written.
    let isComplete: Bool
    /// Bytes that were written and that the peer's kernel has not acknowledged, of TLS's records where there are any. Once the peer has
    /// closed, that is what never reached it: its farewell acknowledges all that it had.
    let outstanding: UInt64
}

/// Who reads a `ByteStream`. All calls come on its loop.
protocol ByteStreamUser: AnyObject {
    /// The first call: the stream can carry bytes.
    func opened(_ stream: any ByteStream)
    func received(_ bytes: ByteBuffer)
    func writabilityChanged(isWritable: Bool)
    /// The stream is over, whoever ended it; the last call. `delivery` still answers where the peer closed in order.
    /// - Parameter failure: nil when it was closed in order.
    func ended(_ failure: StreamFailure?)
}

/// Why a stream broke, in words for a log.
struct StreamFailure: Error {
    let detail: String
    /// The peer went away without saying that it was done: by a reset, or without TLS's farewell.
    let isTorn: Bool
    /// TLS did not come about.
    var isHandshake = false
    /// The peer has said that it looked at nothing of what it was sent.
    var isRefused = false
}
