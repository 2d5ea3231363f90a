import Primitives

/// Whether a prompt can fit a model's context window, told before anything is sent.
///
/// The rule: bytes of the JSON of what is said (`messages`, `input` or `prompt`), of instructions and of tools, without images, sound and files,
/// divided by a number of bytes a token that is above what texts have (six by default; English has some four and a half, other languages and
/// code less). So what is found too long is too long by any tokenizer, and what is close to the window is left to the provider to judge.
package enum ContextFit {
    /// Tokens that the prompt has at least, roughly.
    /// - Parameter holdsMany: several texts in one request count each for itself, as in embeddings: then a list says nothing.
    package static func tokens(
        _ members: RequestMembers, of body: UnsafeRawBufferPointer, bytesPerToken: Int64, holdsMany: Bool
    ) -> Int64 {
        var bytes: Int64 = 0
        for range in [members.messages ?? members.prompt ?? members.input, members.instructions, members.tools] {
            guard let range, range.upperBound <= body.count else { continue }
            let text = UnsafeRawBufferPointer(rebasing: body[range])
            if holdsMany, text.first != UInt8(ascii: "\"") { return 0 }
            bytes &+= max(0, Int64(text.count) &- MediaScan(text).mediaBytes)
        }
        return bytes / max(1, bytesPerToken)
    }
}
