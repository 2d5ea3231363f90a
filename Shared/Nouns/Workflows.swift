package import Primitives

/// One check of a workflow.
package struct WorkflowStep: Record {
    package var name = ""
    package var kind = "require"
    package var after: [String] = []
    package var when = ""
    package var onFailure = "reject"
    package var timeoutMS: Int64 = 0
    package var expression = ""
    package var url = ""
    package var otherwise = ""
    package var message = ""
    package var level = ""
    package var bytesPerToken: Int64 = 0

    package init() {}

    package static let fields: [Field<Self>] = [
        Field("name", \.name, .label, "What others wait for, and expressions read, it by."),
        Field(
            "kind", \.kind, .word(Vocabulary.workflowKinds),
            "context_window: the prompt fits the model. output_limit: the answer's bound does. require: an expression holds. lookup: a "
                + "service of yours is asked. sanitise: what is of the inside is kept out of answers."),
        Field("after", \.after, .list(.label, 0...32), "Steps that have to be over before; the order follows from that.", or: []),
        Field("when", \.when, .checked(format: nil), "An expression; where it does not hold the step is left out.", or: ""),
        Field(
            "on_failure", \.onFailure, .word(Vocabulary.failureActions),
            "What becomes of the request: reject refuses it, skip goes on as if the step were not there, degrade goes on with less.",
            or: "reject"),
        Field("timeout_ms", \.timeoutMS, .integer(0...30_000), "Of a lookup, all in all; 0: a second.", or: 0).unit("milliseconds"),
        Field(
            "expression", \.expression, .checked(format: nil),
            "Of require: what has to hold. Of a lookup: what is sent, where that is not who calls and which model.", or: ""),
        Field("url", \.url, .checked(format: "uri"), "Of a lookup: where it is sent, by POST.", or: ""),
        Field("otherwise", \.otherwise, .checked(format: nil), "Of a lookup that degrades: an expression for its answer.", or: ""),
        Field("message", \.message, .text(maximum: 512), "What callers who are refused are told.", or: ""),
        Field(
            "level", \.level, .word([""] + Vocabulary.sanitiserLevels),
            "Of sanitise. known: names of the endpoint's that are of the inside. strict: also whatever looks like a secret, an address or a "
                + "source file of a machine, generated text included.", or: ""),
        Field(
            "bytes_per_token", \.bytesPerToken, .integer(0...16), "Of context_window: bytes of text that count as one token; 0: 6.", or: 0),
    ]
}

/// Which checks run for the requests of a channel.
package struct WorkflowContent: Noun {
    package typealias Kind = WorkflowKind

    package var name = ""
    package var channel = "default"
    package var disabled = false
    package var steps: [WorkflowStep] = []

    package init() {}

    package static let words = NounWords(
        "workflow", path: "workflows", "Which checks run for the requests of a channel, in which order. Part of the draft.",
        create: "--name outside --channel external --step window,kind=context_window --step clean,kind=sanitise,level=strict",
        update: "--disabled true")

    package static let fields: [Field<Self>] = [
        .name(\.name),
        Field("channel", \.channel, .word(Vocabulary.channels), "Whose requests go by it; one enabled workflow a channel.").filter
            .heading("CHANNEL"),
        Field("disabled", \.disabled, "Whether it is left out; the channel has the default workflow then.", or: false).heading("DISABLED"),
        Field(objects: "steps", \.steps, maximum: 32, orNone: true, "Its checks.").option("step").heading("STEPS"),
    ]

    package var title: String { name }
}
