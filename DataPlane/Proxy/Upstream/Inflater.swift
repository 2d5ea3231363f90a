import CZlib

/// Undoes the compression of an answer whose provider compressed although `identity` was asked for (RFC 9110 §12.5.3): the meter has to read
/// it, and the client may not be able to. Works piece by piece in constant memory.
///
/// Used on one loop only; not `Sendable`.
final class Inflater {
    enum Failure: Error, Equatable {
        /// Not of the coding that the head named, or damaged.
        case malformed
        /// A piece grew beyond `maxBytesOfPiece`: no text does, a bomb does.
        case tooLarge
        /// The body ended before its coding did.
        case truncated
    }

    /// The codings of RFC 9110 §8.4.1 that zlib reads.
    enum Coding: Equatable {
        case gzip
        /// zlib's frame, or DEFLATE without one, which some servers send under this name.
        case deflate

        /// Nil for any other coding, and for several of them.
        init?(_ field: UnsafeRawBufferPointer) {
            switch String(decoding: field.prefix(16), as: UTF8.self).lowercased() {
            case "gzip", "x-gzip": self = .gzip
            case "deflate": self = .deflate
            default: return nil
            }
        }
    }

    /// The most bytes that one piece of a body may become, some sixty times what one read of a connection brings.
    static let maxBytesOfPiece = 4 << 20
    private static let bufferBytes = 16_384

    private let coding: Coding
    /// In place for good: zlib's state points back to it.
    private let stream: UnsafeMutablePointer<z_stream>?
    private var isBegun = false
    private var hasEnded = false
    /// The first byte of a `deflate` body, until the second tells whether it has zlib's frame.
    private var firstByte: UInt8?

    init(_ coding: Coding) {
        self.coding = coding
        stream = weir_zlib_new()
    }

    deinit {
        if isBegun { inflateEnd(stream) }
        weir_zlib_free(stream)
    }

    /// Hands what the piece becomes to `emit`, in stretches that are valid during the call only.
    func inflate(_ piece: UnsafeRawBufferPointer, emit: (UnsafeRawBufferPointer) -> Void) throws(Failure) {
        guard !piece.isEmpty else { return }
        if isBegun { return try run(piece, emit) }
        var all: [UInt8] = []
        if let firstByte { all.append(firstByte) }
        all.append(contentsOf: piece)
        guard all.count >= 2 else {
            firstByte = all.first
            return
        }
        firstByte = nil
        try begin(all[0], all[1])
        // `withUnsafeBytes` throws untyped: the failure is carried out of it.
        let failure: Failure? = all.withUnsafeBytes { bytes in
            do throws(Failure) {
                try run(bytes, emit)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    /// Nothing follows.
    func finish() throws(Failure) {
        guard hasEnded || (!isBegun && firstByte == nil) else { throw .truncated }
    }

    private func begin(_ first: UInt8, _ second: UInt8) throws(Failure) {
        let windowBits: Int32
        switch coding {
        case .gzip: windowBits = 15 + 16
        case .deflate:
            // RFC 1950 §2.2: the method is 8, and the two bytes are a multiple of 31.
            let isFramed = first & 0x0F == 8 && (UInt16(first) << 8 | UInt16(second)) % 31 == 0
            windowBits = isFramed ? 15 : -15
        }
        guard inflateInit2_(stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { throw .malformed }
        isBegun = true
    }

    private func run(_ piece: UnsafeRawBufferPointer, _ emit: (UnsafeRawBufferPointer) -> Void) throws(Failure) {
        guard let base = piece.bindMemory(to: UInt8.self).baseAddress else { return }
        weir_zlib_set_input(stream, base, UInt32(clamping: piece.count))
        let failure: Failure? = withUnsafeTemporaryAllocation(byteCount: Self.bufferBytes, alignment: 16) { buffer in
            do throws(Failure) {
                try drain(into: buffer, emit)
                return nil
            } catch {
                return error
            }
        }
        weir_zlib_set_input(stream, nil, 0)
        if let failure { throw failure }
    }

    private func drain(into buffer: UnsafeMutableRawBufferPointer, _ emit: (UnsafeRawBufferPointer) -> Void) throws(Failure) {
        var total = 0
        while true {
            if hasEnded {
                guard weir_zlib_unread(stream) > 0 else { return }
                // A gzip body may be of several members (RFC 1952 §2.2); behind anything else nothing may follow.
                guard coding == .gzip, inflateReset(stream) == Z_OK else { throw .malformed }
                hasEnded = false
            }
            weir_zlib_set_output(stream, buffer.bindMemory(to: UInt8.self).baseAddress, UInt32(buffer.count))
            let status = CZlib.inflate(stream, Z_NO_FLUSH)
            let count = buffer.count - Int(weir_zlib_unfilled(stream))
            total += count
            guard total <= Self.maxBytesOfPiece else { throw .tooLarge }
            if count > 0 { emit(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
            switch status {
            case Z_STREAM_END: hasEnded = true
            case Z_OK: if weir_zlib_unread(stream) == 0, weir_zlib_unfilled(stream) > 0 { return }
            // Nothing more can be made of what is here.
            case Z_BUF_ERROR: return
            default: throw .malformed
            }
        }
    }
}
