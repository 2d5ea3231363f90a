import Formats

private struct Outcome {
    var form: FormScan
    var reason: String?

    /// What was read in pieces is the same.
    func isSame(_ other: Outcome) -> Bool {
        guard reason == nil else { return reason == other.reason }
        return other.reason == nil && form.members == other.form.members && form.files == other.form.files
            && form.fileBytes == other.form.fileBytes && form.modelPart == other.form.modelPart
    }
}

private func scan(_ pieces: [[UInt8]]) -> Outcome {
    var form = FormScan(boundary: Array("b".utf8))
    do throws(FormScan.Violation) {
        for piece in pieces {
            let result = piece.withUnsafeBytes { bytes in Result { () throws(FormScan.Violation) in try form.read(bytes) } }
            try result.get()
        }
        try form.finish()
    } catch {
        return Outcome(form: form, reason: error.reason)
    }
    return Outcome(form: form)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = FuzzInput(data, count)
    let whole = scan([input.bytes])
    require(whole.isSame(scan(input.pieces)), "pieces change nothing")
    guard whole.reason == nil else { return 0 }
    let form = whole.form
    require(form.position == input.bytes.count, "all of it was read")
    require(form.fileBytes >= 0 && form.fileBytes <= form.position && form.files >= 0, "files are part of it")
    for range in [form.members.model?.content, form.members.n?.range, form.members.prompt, form.modelPart] {
        require(range.map { $0.upperBound <= input.bytes.count } ?? true, "what decides is part of it")
    }
    if let model = form.members.model?.content, let part = form.modelPart {
        require(part.contains(model.lowerBound) && part.upperBound > model.upperBound, "the name is in its part")
        // Without the part it is a form all the same, and names no model.
        let without = scan([Array(input.bytes[..<part.lowerBound] + input.bytes[part.upperBound...])])
        require(without.reason == nil && without.form.members.model == nil, "the rest of it is a form")
    }
    return 0
}
