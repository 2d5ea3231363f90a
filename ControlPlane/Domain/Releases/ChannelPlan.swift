import Contract
package import Primitives

/// What requests of one channel go through, for people and programs.
package struct ChannelPlan: Sendable {
    private let picture: WorkflowPicture

    init(_ picture: WorkflowPicture) { self.picture = picture }

    package var json: JSONValue {
        [
            "channel": .string(picture.channel), "workflow": picture.isDefault ? .null : .string(picture.workflow),
            "checks": .array(
                picture.lines.map { line in
                    [
                        "stage": .string(line.stage), "step": line.step.map { .string($0.name) } ?? .null,
                        "kind": line.step.map { .string($0.kind) } ?? .null, "about": .string(line.words),
                        "failure": line.failure == "none" ? .null : .string(line.failure),
                    ]
                }),
            "text": .string(picture.text),
        ]
    }
}
