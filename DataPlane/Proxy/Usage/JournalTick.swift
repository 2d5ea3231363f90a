/// What a loop has to say since its last write: raw memory that grows, and shrinks again after an unusual tick.
struct JournalBuffer: ~Copyable {
    private static let usual = 64 << 10
    private static let unusual = 4 << 20

    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: usual, alignment: 16)
    private(set) var count = 0

    var base: UnsafeMutableRawPointer? { memory.baseAddress }

    /// Adds `size` bytes, which the caller fills in.
    @inline(__always)
    mutating func extend(_ size: Int) -> UnsafeMutableRawPointer? {
        if memory.count - count < size { resize(max(memory.count * 2, count + size)) }
        defer { count += size }
        return memory.baseAddress.map { $0 + count }
    }

    mutating func clear() {
        count = 0
        if memory.count > Self.unusual { resize(Self.usual) }
    }

    private mutating func resize(_ size: Int) {
        let other = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        if let from = memory.baseAddress, let to = other.baseAddress, count > 0 { to.copyMemory(from: from, byteCount: count) }
        memory.deallocate()
        memory = other
    }

    deinit { memory.deallocate() }
}

/// A segment as the loop that writes it sees it.
final class JournalTail {
    let segment: JournalSegment
    /// Bytes that count.
    var committed = 0
    /// The same and what is buffered for it.
    var planned = 0
    /// The rest of the segment cannot run out of space. Lost when it had to be truncated.
    var reserved = true
    /// A write to it failed: no more is put into it while there is another.
    var retired = false
    /// It could not be cut back, and what it holds beyond `committed` may look like records.
    var tainted = false

    init(_ segment: JournalSegment) { self.segment = segment }
    var capacity: Int { segment.capacity }
}

/// A range of the buffer, up to the next one's start, and the segment it goes to. More than one only in the tick that begins a new segment.
struct JournalPart {
    let tail: JournalTail
    let start: Int
}

/// Carries a loop's own object through closures that only that loop runs, without keeping it alive.
struct LoopConfined<Value: AnyObject>: @unchecked Sendable {
    private final class Weak {
        weak var value: Value?
        init(_ value: Value) { self.value = value }
    }

    private let reference: Weak
    init(_ value: Value) { reference = Weak(value) }
    var value: Value? { reference.value }
}
