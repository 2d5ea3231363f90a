import Primitives

/// A stretch of a body and what takes its place. An empty range inserts.
package struct SpliceEdit: Sendable, Equatable {
    package var range: Range<Int>
    package var replacement: [UInt8]

    package init(range: Range<Int>, replacement: [UInt8]) {
        self.range = range
        self.replacement = replacement
    }
}

/// Produces a changed body out of the original bytes and a few edits, without parsing anything again.
package enum Splice {
    /// The length of the result; nil when an edit lies outside the body or two of them overlap. Edits are in order of position.
    package static func length(of body: UnsafeRawBufferPointer, edits: [SpliceEdit]) -> Int? {
        var length = body.count
        var end = 0
        for edit in edits {
            guard edit.range.lowerBound >= end, edit.range.upperBound <= body.count else { return nil }
            end = edit.range.upperBound
            length = length &- edit.range.count &+ edit.replacement.count
        }
        return length
    }

    /// Hands the pieces of the result to `emit` in order, without copying. Returns false, emitting nothing, for edits as above.
    package static func apply(
        _ edits: [SpliceEdit], to body: UnsafeRawBufferPointer, emit: (UnsafeRawBufferPointer) -> Void
    ) -> Bool {
        guard length(of: body, edits: edits) != nil else { return false }
        var at = 0
        for edit in edits {
            if at < edit.range.lowerBound { emit(UnsafeRawBufferPointer(rebasing: body[at..<edit.range.lowerBound])) }
            if !edit.replacement.isEmpty { edit.replacement.withUnsafeBytes(emit) }
            at = edit.range.upperBound
        }
        if at < body.count { emit(UnsafeRawBufferPointer(rebasing: body[at...])) }
        return true
    }

    /// Appends the result to `output`. Returns false, appending nothing, for edits as above.
    package static func append(_ edits: [SpliceEdit], to body: UnsafeRawBufferPointer, into output: inout [UInt8]) -> Bool {
        guard let length = length(of: body, edits: edits) else { return false }
        output.reserveCapacity(output.count &+ length)
        return apply(edits, to: body) { output.append(contentsOf: $0) }
    }
}
