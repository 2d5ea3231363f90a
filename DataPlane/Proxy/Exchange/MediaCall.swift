import Contract
import Formats
import NIOCore
import Primitives
import Wire

/// What is asked for that is neither a conversation nor text, at OpenAI's paths for it.
enum MediaOperation: UInt8, CaseIterable {
    case imageGenerations, imageEdits, imageVariations
    case speech, transcriptions, translations
    case moderations
    case files

    /// The provider's path below its base URL.
    var path: StaticString {
        switch self {
        case .imageGenerations: "/images/generations"
        case .imageEdits: "/images/edits"
        case .imageVariations: "/images/variations"
        case .speech: "/audio/speech"
        case .transcriptions: "/audio/transcriptions"
        case .translations: "/audio/translations"
        case .moderations: "/moderations"
        case .files: "/files"
        }
    }

    var capability: RequestTarget.Capability {
        switch self {
        case .imageGenerations, .imageEdits, .imageVariations: .images
        case .speech, .transcriptions, .translations: .audio
        case .moderations: .moderations
        case .files: .files
        }
    }

    /// The request is a form with files in it.
    var takesForm: Bool {
        switch self {
        case .imageEdits, .imageVariations, .transcriptions, .translations, .files: true
        case .imageGenerations, .speech, .moderations: false
        }
    }

    /// Its files are heard, not seen.
    fileprivate var hears: Bool { self == .transcriptions || self == .translations }
}

/// A request for images, sound or moderation: what its body is, and what it may come to and came to, in tokens and in what is charged beside
/// them. Everything else is as for any request of a model.
final class MediaCall {
    let operation: MediaOperation
    /// Of the request's body, as the provider is told.
    let contentType: [UInt8]
    /// Of a file: the model that is named beside its form, which has no field for one in OpenAI's API.
    let named: String?
    /// Between the parts of a form; nil for JSON.
    private let boundary: [UInt8]?
    /// The form, as far as it was read; of a file that is put at a provider, to its content.
    private(set) var form: FormScan?
    /// What has been read of a form that is still held.
    private var begun: FormScan?
    /// Bytes of a form that follow what was read of it.
    private var ahead: Int64 = 0
    private var text = RequestText()

    /// - Throws: 415 for a body of a kind that the operation does not take.
    init<Head: RequestHead & ~Copyable>(
        _ operation: MediaOperation, _ head: borrowing Head, _ bytes: UnsafeRawBufferPointer
    ) throws(Rejection) {
        self.operation = operation
        named = operation == .files ? head.text("x-weir-model", bytes) ?? Self.model(inQuery: bytes[head.query]) : nil
        let type = head.text("content-type", bytes) ?? ""
        boundary = FormScan.boundary(of: type)
        if boundary != nil, operation.takesForm {
            contentType = Array(type.utf8)
        } else if operation.takesForm, operation.hears || operation == .files || !type.lowercased().hasPrefix("application/json") {
            var rejection = Rejection.badRequest(
                "unsupported_media_type", "Send a form: Content-Type: multipart/form-data with a boundary, and the file as a part of it.")
            rejection.status = 415
            throw rejection
        } else {
            contentType = Array("application/json".utf8)
        }
    }

    /// `model=` of a query, percent-encoded where it needs that; nil where there is none.
    private static func model(inQuery query: Slice<UnsafeRawBufferPointer>) -> String? {
        for pair in query.split(separator: UInt8(ascii: "&")) where pair.starts(with: "model=".utf8) {
            return ModelCatalogue.percentDecoded(pair.dropFirst(6))
        }
        return nil
    }

    var isForm: Bool { operation.takesForm && boundary != nil }

    /// What of a form has come, as to whether it may be sent on while the rest comes.
    enum Begin {
        /// It is not known yet.
        case open
        /// All that has to be known first is there, or what is wrong with it.
        case decided
        /// A file, and no name of a model before it.
        case fileFirst
    }

    /// Looks at the begin of a form. Called again with more of it, what was looked at before included.
    func begin(_ body: ByteBuffer) -> Begin {
        guard operation != .files, let boundary else { return .decided }
        var form = begun ?? FormScan(boundary: boundary)
        begun = nil
        let isForm = body.withUnsafeReadableBytes { bytes in
            (try? form.read(UnsafeRawBufferPointer(rebasing: bytes[min(form.position, bytes.count)...]))) != nil
        }
        guard isForm else { return .decided }
        begun = form
        return form.files == 0 ? .open : form.members.model == nil ? .fileFirst : .decided
    }

    /// - Parameters:
    ///   - body: all of it, or how it begins.
    ///   - following: bytes that follow that.
    func scan(_ body: ByteBuffer, following: Int) throws(Rejection) -> RequestMembers {
        ahead = Int64(following)
        return try scan(body)
    }

    /// The next bytes of a form that is sent on while it comes; nothing of them has gone on yet. What they say of the request counts.
    /// - Throws: what must not go on.
    func readOn(_ piece: ByteBuffer) throws(FormScan.Violation) {
        guard operation != .files, var form else { return }
        self.form = nil
        ahead -= Int64(piece.readableBytes)
        let result = piece.withUnsafeReadableBytes { bytes in
            Result { () throws(FormScan.Violation) in
                try form.read(bytes)
                if ahead <= 0 { try form.finish() }
            }
        }
        text.bytes = Int64(form.members.prompt?.count ?? 0)
        self.form = form
        try result.get()
    }

    /// Finds what decides about the request, in JSON or in a form.
    private func scan(_ body: ByteBuffer) throws(Rejection) -> RequestMembers {
        guard operation.takesForm, let boundary else {
            let members = try Dialect.openAI.scan(body)
            text = body.withUnsafeReadableBytes { RequestText(members, of: $0) }
            return members
        }
        let result: Result<FormScan, FormScan.Violation> = body.withUnsafeReadableBytes { bytes in
            do throws(FormScan.Violation) {
                var form = FormScan(boundary: boundary)
                try form.read(bytes, toFile: operation == .files)
                if operation != .files, ahead == 0 { try form.finish() }
                return .success(form)
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .failure(let violation): throw .badRequest("invalid_form", violation.reason, param: violation.field)
        case .success(let form):
            self.form = form
            text.bytes = Int64(form.members.prompt?.count ?? 0)
            return form.members
        }
    }

    /// Whether an answer of this kind goes on its way as it comes: what is no JSON cannot be looked into.
    /// - Parameter isText: its head says so. What was heard may begin with a bracket, or be silence.
    func passes(_ kind: BodyKind, isText: Bool) -> Bool {
        switch kind {
        case .eventStream: operation.capability == .images || operation.capability == .audio
        case .other: operation.capability == .audio
        case .json, .needMore: isText && operation.hears
        }
    }

    // MARK: What it may come to

    /// Tokens of the input by its text, and by what images and sound are likely to be; of an upload what is still to come included.
    var estimate: Int64 { estimate(following: ahead) }

    private func estimate(following: Int64) -> Int64 {
        if operation == .files { return 0 }
        let tokens = (text.bytes &+ TokenEstimate.bytesPerToken &- 1) / TokenEstimate.bytesPerToken
        guard let form else { return tokens }
        let soundBytes = form.fileBytes + following
        return tokens + (operation.hears ? soundBytes / Self.likelyBytesPerSecond * Self.audioTokensPerSecond : form.files * 1024)
    }

    /// The most that the request can come to. Bounds of images and of sound are those of the models that there are: an image is at most 8,192
    /// tokens either way, a second of sound ten that are heard or twenty-five that are spoken, and has a thousand bytes or more in any coding.
    /// What a provider states beyond that is charged for all the same.
    func worst(_ admission: Admission) -> TokenUsage {
        var most = TokenUsage(input: text.bytes)
        if operation == .files { return TokenUsage() }
        // The prompt may stand behind the file.
        if ahead > 0, form?.members.prompt == nil { most.input += min(ahead, Self.promptBytes) }
        let asked = imagesAskedFor(admission)
        let bound = admission.model.maxOutputTokens
        switch operation {
        case .imageGenerations, .imageEdits, .imageVariations:
            most.images = asked
            most.input += (form?.files ?? MediaCall.maximumImages) * Self.imageTokens
            if operation == .imageGenerations { most.input = text.bytes }
            most.output = (bound > 0 ? bound : Self.imageTokens) * asked
        case .speech:
            most.characters = text.characters
            // Spoken slowly, at a quarter of the pace.
            most.milliseconds = (text.characters / 2 + 10) * 1000
            most.output = bound > 0 ? bound : most.milliseconds / 1000 * 25
        case .transcriptions, .translations:
            // What is still to come may all be sound.
            let seconds = ((form?.fileBytes ?? 0) + ahead) / Self.leastBytesPerSecond + 1
            most.milliseconds = seconds * 1000
            most.input += seconds * Self.audioTokensPerSecond
            most.output = bound > 0 ? bound : max(2048, seconds * 10)
        case .moderations: most.input = max(most.input, admission.estimatedInputTokens)
        case .files: break
        }
        let window = admission.model.contextWindow
        if window > 0 { most.input = min(most.input, window) }
        return most
    }

    private func imagesAskedFor(_ admission: Admission) -> Int64 {
        max(1, min((form?.members.n ?? admission.members.n)?.value ?? 1, 128))
    }

    /// What an image edit's prompt, and more than what one of a transcription, is likely to have.
    private static let promptBytes: Int64 = 4096
    private static let imageTokens: Int64 = 8192
    /// Of an edit that names its images instead of bringing them.
    private static let maximumImages: Int64 = 16
    private static let audioTokensPerSecond: Int64 = 10
    private static let leastBytesPerSecond: Int64 = 1000
    /// 64 kbit/s.
    private static let likelyBytesPerSecond: Int64 = 8000

    // MARK: What it came to

    /// What the provider stated; where it stated nothing what is counted here: characters that were sent to be spoken, images that came. Sound
    /// is measured by its bytes then, and tokens are estimated, where the price has nothing else.
    func usage(_ reading: UsageReading, of attempt: Attempt) -> (TokenUsage, UsageFlags) {
        if operation == .files { return (TokenUsage(), []) }
        let admission = attempt.admission
        let card = attempt.price?.card
        var usage = TokenUsage()
        var flags: UsageFlags = []
        let isStated = reading.present && (reading.mediaMilliseconds > 0 || !reading.flags.contains(.inputUnknown))
        if isStated {
            if !reading.flags.isDisjoint(with: [.invalid, .inconsistent, .oversize]) { flags.insert(.invalidUsage) }
            if reading.flags.contains(.duplicate) { flags.insert(.duplicateUsage) }
            usage = TokenUsage(
                input: reading.inputTokens, output: reading.outputTokens, cachedInput: reading.cachedInputTokens)
            if reading.hasKinds { usage.takeKinds(of: reading) }
            // What such a model writes is what it is asked for, unless the provider says that some of it is text.
            if operation.capability == .images, usage.imageOutput == 0 { usage.imageOutput = usage.output }
            if operation == .speech, usage.audioOutput == 0 { usage.audioOutput = usage.output }
        }
        switch operation {
        case .imageGenerations, .imageEdits, .imageVariations:
            let came = attempt.meter.elements
            // A stream names its pictures in no list.
            let isMade = isStated || (attempt.meter.isSequence && !attempt.meter.sawError && attempt.responseBytes > 0)
            usage.images = came > 0 ? came : isMade ? imagesAskedFor(admission) : 0
        case .speech: if !isStated { usage.characters = text.characters }
        case .transcriptions, .translations, .moderations, .files: break
        }
        guard !isStated else { return (usage, flags) }
        if reading.present { flags.insert(.invalidUsage) }
        let charges = card.map { $0.units } ?? UnitPrices()
        if operation == .speech, charges.second > 0 {
            usage.milliseconds = attempt.responseBytes * 1000 / Self.likelyBytesPerSecond
            flags.formUnion([.estimated, .usageAbsent])
        } else if operation.hears, charges.second > 0 {
            usage.milliseconds = (form?.fileBytes ?? 0) * 1000 / Self.likelyBytesPerSecond
            flags.formUnion([.estimated, .usageAbsent])
        } else if charges.image == 0, charges.character == 0, operation != .moderations {
            // Who answers before all has come has heard no more than that.
            usage.input = estimate(following: 0)
            if operation == .speech { usage.output = attempt.responseBytes / Self.likelyBytesPerSecond * 25 }
            if operation == .speech { usage.audioOutput = usage.output }
            if operation.capability == .images { usage.output = usage.images * 1024 }
            usage.imageOutput = operation.capability == .images ? usage.output : 0
            if operation.hears { usage.output = attempt.responseBytes / TokenEstimate.bytesPerToken }
            flags.formUnion([.estimated, .usageAbsent])
        } else if operation == .moderations {
            usage.input = estimate
            flags.insert(.estimated)
        }
        return (usage, flags)
    }
}

/// How much a request says in words.
private struct RequestText {
    var bytes: Int64 = 0
    var characters: Int64 = 0

    init() {}

    init(_ members: RequestMembers, of body: UnsafeRawBufferPointer) {
        for range in [members.prompt, members.input, members.instructions] {
            guard let range, range.upperBound <= body.count else { continue }
            bytes += Int64(range.count)
        }
        guard let input = members.input, input.upperBound <= body.count, input.count >= 2, body[input.lowerBound] == 0x22 else { return }
        let content = input.lowerBound + 1..<input.upperBound - 1
        // As the provider counts them: what is escaped is one character.
        characters = Int64(String(decoding: JSONText.unescape(body, content) ?? Array(body[content]), as: UTF8.self).unicodeScalars.count)
    }
}

extension FormScan {
    /// What turns a caller's form into that of the provider: the model's name there. Where the model is a part of the path, whatever stands in the
    /// form is passed over there.
    func edits(_ admission: Admission, _ candidate: Candidate) -> [SpliceEdit] {
        // The provider knows no such field.
        if admission.capability == .files { return modelPart.map { [SpliceEdit(range: $0, replacement: [])] } ?? [] }
        let name = candidate.target.upstreamModelBytes
        guard let model = members.model else { return [SpliceEdit(range: 0..<0, replacement: field("model", name))] }
        return name == admission.requested.nameBytes ? [] : [SpliceEdit(range: model.value, replacement: name)]
    }
}
