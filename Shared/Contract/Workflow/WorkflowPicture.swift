import Primitives

/// A channel's plan as people read it: the spine's stages in their order, and within them the checks of the channel's workflow.
package struct WorkflowPicture: Sendable, Hashable {
    package struct Line: Sendable, Hashable {
        /// Of the spine; a step stands in the one that it runs in.
        package let stage: String
        /// Nil: the stage itself.
        package let step: Weir_V1_WorkflowStep?
        package let words: String
        /// What a failure does.
        package let failure: String
    }

    package let channel: String
    package let workflow: String
    /// The channel was given no workflow of its own.
    package let isDefault: Bool
    package let lines: [Line]

    /// - Throws: where steps wait for each other; such a workflow is never published.
    package init(of channel: String, in config: Weir_V1_ConfigPayload) throws(WorkflowRules.WorkflowCircle) {
        let workflow = WorkflowRules.workflow(of: channel, in: config)
        self.channel = channel
        self.workflow = workflow.name
        isDefault = workflow.id.isEmpty
        let steps = try WorkflowRules.ordered(workflow.steps)
        let edits = config.routes.filter { !$0.disabled && !$0.template.isEmpty }
        var lines = [
            Line(stage: "accept", step: nil, words: "a head without ambiguity, a body within bounds", failure: "400, 413"),
            Line(stage: "authenticate", step: nil, words: "who calls, and whether it may call at all", failure: "401, 403"),
            Line(stage: "model", step: nil, words: "the model is there, visible, in scope, and can do it", failure: "404, 403, 400"),
        ]
        lines += steps.filter { $0.kind != "sanitise" }.map {
            Line(stage: "model", step: $0, words: Self.words($0), failure: Self.failure($0))
        }
        lines += [
            Line(
                stage: "template", step: nil,
                words: edits.isEmpty
                    ? "no route changes requests"
                    : edits.map { "\($0.name): \($0.template.count) edit\($0.template.count == 1 ? "" : "s")" }.joined(separator: ", "),
                failure: edits.contains { $0.template.contains(where: \.required) } ? "500 for what is required" : "none"),
            Line(stage: "limits", step: nil, words: "kill switches, rates", failure: "503, 429"),
            Line(stage: "budget", step: nil, words: "the most that it can cost is reserved", failure: "402"),
            Line(stage: "select", step: nil, words: "an endpoint and a credential of the model's route", failure: "503"),
            Line(stage: "translate", step: nil, words: "into the endpoint's API, where that is another", failure: "400"),
            Line(stage: "forward", step: nil, words: "the request leaves; the usage record is begun before", failure: "502, 504"),
            Line(stage: "meter", step: nil, words: "the answer is judged, and its usage read as it passes", failure: "502"),
        ]
        lines += steps.filter { $0.kind == "sanitise" }.map { Line(stage: "meter", step: $0, words: Self.words($0), failure: "none") }
        lines.append(Line(stage: "settle", step: nil, words: "the usage record is completed", failure: "none"))
        self.lines = lines
    }

    private static func words(_ step: Weir_V1_WorkflowStep) -> String {
        let what =
            switch step.kind {
            case "context_window":
                "the prompt fits the model, at \(step.bytesPerToken == 0 ? WorkflowRules.defaultBytesPerToken : step.bytesPerToken) bytes a token"
            case "output_limit": "the answer's bound is not above the model's"
            case "require": step.expression
            case "lookup":
                "POST \(step.url), \(step.timeoutMs == 0 ? WorkflowRules.defaultTimeout : step.timeoutMs) ms at most"
            case "sanitise":
                step.level == "strict"
                    ? "what looks like a secret or of the inside is masked" : "the endpoint's names of the inside are masked"
            default: step.kind
            }
        let condition = step.when.isEmpty ? "" : "; when \(step.when)"
        return what + condition + (step.after.isEmpty ? "" : "; after \(step.after.joined(separator: ", "))")
    }

    private static func failure(_ step: Weir_V1_WorkflowStep) -> String {
        switch step.onFailure {
        case "skip": "skip"
        case "degrade":
            switch step.kind {
            case "context_window": "degrade: a fallback model with more room, else 400"
            case "output_limit": "degrade: the bound is lowered"
            case "lookup" where !step.otherwise.isEmpty: "degrade: \(step.otherwise)"
            default: "degrade"
            }
        default: "reject \(step.kind == "lookup" ? "503" : step.kind == "require" ? "403" : "400")"
        }
    }

    /// For a terminal: a stage a line, its steps indented below it.
    package var text: String {
        var text = "Channel \(channel): \(isDefault ? "the default workflow" : "workflow \(workflow)").\n"
        let titles = lines.map { line in line.step.map { "  ├ \($0.name)" } ?? line.stage }
        let width = titles.reduce(0) { Swift.max($0, $1.count) }
        for (title, line) in zip(titles, lines) {
            text += "\n" + title + String(repeating: " ", count: width - title.count + 2)
            if let step = line.step { text += "[\(step.kind)] " }
            text += line.words + (line.failure == "none" ? "" : "  → \(line.failure)")
        }
        return text + "\n"
    }
}
