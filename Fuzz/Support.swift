// Shared by all fuzz targets. Not part of the package: `ops/fuzz` compiles it with one target at a time.
//
// A target runs the code on an input whole and in pieces, and stops the process when the two disagree or a result is not what its
// documentation promises; the fuzzer keeps the input. Memory errors are found by the address sanitizer, so each piece is a copy of its
// own with nothing behind it.

/// The input of one run: the first bytes choose where it is split, the rest is what is parsed.
struct FuzzInput {
    let bytes: [UInt8]
    let ends: [Int]

    init(_ data: UnsafePointer<UInt8>, _ count: Int) {
        let all = [UInt8](UnsafeBufferPointer(start: data, count: count))
        let choices = Array(all.prefix(4))
        let rest = Array(all.dropFirst(4))
        var ends: [Int] = []
        if !rest.isEmpty {
            for choice in choices.dropFirst() { ends.append(Int(choice) * rest.count / 256) }
            // One byte at a time now and then: slow, and the hardest case.
            if choices.first == 0, rest.count < 256 { ends = Array(0..<rest.count) }
        }
        bytes = rest
        self.ends = Set(ends).sorted()
    }

    /// The pieces one after the other.
    var pieces: [[UInt8]] {
        var pieces: [[UInt8]] = []
        var start = 0
        for end in ends + [bytes.count] where end > start {
            pieces.append(Array(bytes[start..<end]))
            start = end
        }
        return pieces
    }

    /// Growing prefixes, as a parser is called that wants all bytes since the start.
    var prefixes: [[UInt8]] {
        (ends + [bytes.count]).filter { $0 > 0 }.map { Array(bytes[..<$0]) }
    }
}

/// Says that a promise was broken, and stops.
func require(_ condition: Bool, _ promise: @autoclosure () -> String) {
    if !condition { fatalError("broken promise: \(promise())") }
}
