/// The one usage of an answer, out of all the places and times at which its provider states it.
///
/// Several statements are one usage and never a sum. A statement at the top of the answer overrules those in its parts; of two of the same
/// rank the later one counts. Statements that agree in input and output complete each other's details.
struct UsageTally: Sendable {
    /// Where a usage stands.
    enum Place: UInt8, Sendable {
        /// In an element of `choices`, or in a vendor's member.
        case part
        /// A member of the answer or chunk itself.
        case top
    }

    private(set) var reading = UsageReading.absent
    private var place = Place.part
    /// The last statement stood beside text: it may be a count that runs along (vLLM's continuous usage).
    private var runs = false

    /// - Parameters:
    ///   - besideText: The usage came with a piece of the text, not alone.
    ///   - isRepeated: The same object has the member more than once.
    mutating func note(_ stated: UsageReading, at statedPlace: Place, besideText: Bool, isRepeated: Bool) {
        // A part's member of that name that holds no count is none of usage.
        if statedPlace == .part, stated.flags.isSuperset(of: [.inputUnknown, .outputUnknown]) { return }
        var latest = stated
        // Zeros behind counts say that this chunk has nothing to add.
        if reading.inputTokens | reading.outputTokens > 0, latest.inputTokens | latest.outputTokens == 0 { return }
        if reading.present {
            let agrees = latest.agrees(with: reading)
            let grows = runs && latest.inputTokens == reading.inputTokens && latest.outputTokens >= reading.outputTokens
            if agrees {
                latest.completeDetails(from: reading)
            } else if !grows {
                latest.flags.insert(.duplicate)
            }
            if reading.flags.contains(.duplicate) { latest.flags.insert(.duplicate) }
            if !agrees, statedPlace == .part, place == .top {
                reading.flags.formUnion(latest.flags.intersection(.duplicate))
                return
            }
        }
        if isRepeated { latest.flags.insert(.duplicate) }
        reading = latest
        if statedPlace == .top { place = .top }
        runs = besideText
    }

    /// What is believed, given how much text the answer held. An answer with text had input and output: a provider that says zero does not
    /// know, and the count is to be estimated. Zero output of an answer without text stays zero.
    func reading(contentBytes: Int64) -> UsageReading {
        guard reading.present else { return reading }
        var result = reading
        if result.inputTokens == 0, contentBytes > 0 || result.outputTokens > 0 { result.flags.insert(.inputUnknown) }
        if result.outputTokens == 0, contentBytes > 0 { result.flags.insert(.outputUnknown) }
        return result
    }
}

extension UsageReading {
    fileprivate func agrees(with other: UsageReading) -> Bool {
        inputTokens == other.inputTokens && outputTokens == other.outputTokens && isComplete == other.isComplete
    }

    fileprivate mutating func completeDetails(from other: UsageReading) {
        cachedInputTokens = max(cachedInputTokens, other.cachedInputTokens)
        cacheWriteTokens = min(max(cacheWriteTokens, other.cacheWriteTokens), inputTokens &- cachedInputTokens)
        reasoningTokens = max(reasoningTokens, other.reasoningTokens)
        costNano = costNano ?? other.costNano
        serviceTier = serviceTier ?? other.serviceTier
        guard other.hasKinds else { return }
        cacheWriteHourTokens = min(max(cacheWriteHourTokens, other.cacheWriteHourTokens), cacheWriteTokens)
        audioInputTokens = max(audioInputTokens, other.audioInputTokens)
        imageInputTokens = max(imageInputTokens, other.imageInputTokens)
        audioOutputTokens = max(audioOutputTokens, other.audioOutputTokens)
        imageOutputTokens = max(imageOutputTokens, other.imageOutputTokens)
        mediaMilliseconds = max(mediaMilliseconds, other.mediaMilliseconds)
        searches = max(searches, other.searches)
    }
}
