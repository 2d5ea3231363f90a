import Primitives

/// What a workflow may hold, in which order its steps run, and what those channels have that were given none. Both planes go by it: the control
/// plane before it publishes, the data plane when it compiles.
package enum WorkflowRules {
    /// Stages of the spine that steps may name, as all of them are over before any step runs.
    package static let passedStages: Set<String> = ["accept", "authenticate", "model"]
    package static let defaultTimeout: UInt32 = 1_000
    package static let defaultBytesPerToken: UInt32 = 6
    package static let maximumSteps = 32

    /// What ships: prompts that cannot fit and bounds above the model's are refused before they are paid for; what leaves to the outside names
    /// no machine of the inside.
    package static func standard(for channel: String) -> Weir_V1_Workflow {
        var workflow = Weir_V1_Workflow()
        workflow.name = "default"
        workflow.channel = channel
        workflow.steps = [step("context-window", "context_window"), step("output-limit", "output_limit")]
        if channel == "external" {
            var step = step("sanitise", "sanitise")
            step.level = "known"
            workflow.steps.append(step)
        }
        return workflow
    }

    private static func step(_ name: String, _ kind: String) -> Weir_V1_WorkflowStep {
        var step = Weir_V1_WorkflowStep()
        step.name = name
        step.kind = kind
        return step
    }

    /// The workflow that requests of a channel go by.
    package static func workflow(of channel: String, in config: Weir_V1_ConfigPayload) -> Weir_V1_Workflow {
        config.workflows.first { $0.channel == channel && !$0.disabled } ?? standard(for: channel)
    }

    /// The steps in the order in which they run: as they are declared, but each behind those that it names.
    /// - Throws: the names of those that wait for each other, in a circle.
    package static func ordered(_ steps: [Weir_V1_WorkflowStep]) throws(WorkflowCircle) -> [Weir_V1_WorkflowStep] {
        let names = Set(steps.map(\.name))
        var done = passedStages
        var left = steps
        var ordered: [Weir_V1_WorkflowStep] = []
        while !left.isEmpty {
            guard let index = left.firstIndex(where: { $0.after.allSatisfy { done.contains($0) || !names.contains($0) } }) else {
                throw WorkflowCircle(steps: circle(in: left))
            }
            let next = left.remove(at: index)
            done.insert(next.name)
            ordered.append(next)
        }
        return ordered
    }

    /// Following what each waits for leads back at some time: all that is left waits.
    private static func circle(in steps: [Weir_V1_WorkflowStep]) -> [String] {
        let byName = Dictionary(steps.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var way: [String] = []
        var name = steps.first?.name ?? ""
        while !way.contains(name) {
            way.append(name)
            guard let next = byName[name]?.after.first(where: { byName[$0] != nil }) else { return way }
            name = next
        }
        return Array(way[(way.firstIndex(of: name) ?? 0)...]) + [name]
    }

    package struct WorkflowCircle: Error, Hashable, Sendable {
        package let steps: [String]
    }

    // MARK: Problems

    package static func problems(of workflow: Weir_V1_Workflow) -> [ConfigProblem] {
        let path = "workflows[\(workflow.id)]"
        var problems: [ConfigProblem] = []
        func add(_ at: String, _ message: String, _ remedy: String) {
            problems.append(ConfigProblem(path: "\(path).\(at)", message: message, remedy: remedy))
        }
        if !Vocabulary.channels.contains(workflow.channel) {
            add("channel", "\"\(workflow.channel)\" is no channel", "use one of: \(Vocabulary.channels.joined(separator: ", "))")
        }
        if workflow.steps.count > maximumSteps { add("steps", "more than \(maximumSteps) steps", "use fewer") }
        var names = Set<String>()
        for (index, step) in workflow.steps.enumerated() {
            let at = "steps[\(index)]"
            if !isStepName(step.name) {
                add("\(at).name", "\"\(step.name)\" is no step's name", "use 1 to 63 lower-case letters, digits and hyphens")
            } else if passedStages.union(laterStages).contains(step.name) {
                add("\(at).name", "\"\(step.name)\" is the name of a stage that every request passes", "choose another name")
            } else if !names.insert(step.name).inserted {
                add("\(at).name", "the name \"\(step.name)\" is there twice", "rename one of the two")
            }
        }
        for (index, step) in workflow.steps.enumerated() {
            for (place, name) in step.after.enumerated() where !names.contains(name) && !passedStages.contains(name) {
                let isLater = laterStages.contains(name)
                add(
                    "steps[\(index)].after[\(place)]",
                    isLater ? "\"\(name)\" comes after all steps" : "there is no step \"\(name)\"",
                    isLater ? "take it out: steps run before \(name)" : "add it, or take it out of here")
            }
            check(step, in: workflow) { add("steps[\(index)].\($0)", $1, $2) }
        }
        for kind in ["context_window", "output_limit", "sanitise"] where workflow.steps.count(where: { $0.kind == kind }) > 1 {
            add("steps", "more than one step is of kind \(kind)", "keep one of them")
        }
        do throws(WorkflowCircle) {
            _ = try ordered(workflow.steps)
        } catch {
            let first = workflow.steps.firstIndex { $0.name == error.steps.first } ?? 0
            add(
                "steps[\(first)].after", "steps wait for each other: \(error.steps.joined(separator: " → "))",
                "take one of these dependencies out")
        }
        return problems
    }

    /// Stages of the spine that follow all steps.
    private static let laterStages: Set<String> = ["template", "limits", "budget", "select", "translate", "forward", "meter", "settle"]

    private static func isStepName(_ name: String) -> Bool {
        (1...63).contains(name.utf8.count)
            && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }
    }

    private static func check(
        _ step: Weir_V1_WorkflowStep, in workflow: Weir_V1_Workflow, _ add: (String, String, String) -> Void
    ) {
        guard Vocabulary.workflowKinds.contains(step.kind) else {
            return add("kind", "\"\(step.kind)\" is no kind of step", "use: \(Vocabulary.workflowKinds.joined(separator: ", "))")
        }
        if !step.onFailure.isEmpty, !Vocabulary.failureActions.contains(step.onFailure) {
            add("on_failure", "\"\(step.onFailure)\" is no action", "use: \(Vocabulary.failureActions.joined(separator: ", "))")
        }
        let isLookup = step.kind == "lookup"
        let takesExpression = isLookup || step.kind == "require"
        if !takesExpression, !step.expression.isEmpty { add("expression", "is of no meaning for \(step.kind)", "leave it out") }
        if !isLookup {
            if !step.url.isEmpty { add("url", "is of no meaning for \(step.kind)", "leave it out") }
            if !step.otherwise.isEmpty { add("otherwise", "is of no meaning for \(step.kind)", "leave it out") }
            if step.timeoutMs != 0 { add("timeout_ms", "is of no meaning for \(step.kind), which waits for nothing", "leave it at 0") }
        }
        if step.kind != "sanitise", !step.level.isEmpty { add("level", "is of no meaning for \(step.kind)", "leave it out") }
        if step.kind != "context_window", step.bytesPerToken != 0 {
            add("bytes_per_token", "is of no meaning for \(step.kind)", "leave it at 0")
        }
        let known = before(step, in: workflow)
        func expression(_ text: String, _ name: String) {
            if let problem = ExpressionRules.problem(ofExpression: text, steps: known) { add(name, problem.message, problem.remedy) }
        }
        if !step.when.isEmpty { expression(step.when, "when") }
        switch step.kind {
        case "require":
            if step.expression.isEmpty {
                add("expression", "is missing", "say what has to hold, as in headers[\"x-team\"] != null")
            } else {
                expression(step.expression, "expression")
            }
        case "lookup":
            checkLookup(step, add)
            if !step.expression.isEmpty { expression(step.expression, "expression") }
            if !step.otherwise.isEmpty { expression(step.otherwise, "otherwise") }
        case "sanitise":
            if !step.level.isEmpty, !Vocabulary.sanitiserLevels.contains(step.level) {
                add("level", "\"\(step.level)\" is no level", "use: \(Vocabulary.sanitiserLevels.joined(separator: ", "))")
            }
            if !step.onFailure.isEmpty, step.onFailure != "reject" { add("on_failure", "sanitising cannot fail", "leave it at reject") }
            if !step.when.isEmpty { add("when", "is of no meaning for sanitise", "leave it out") }
        case "context_window":
            if step.bytesPerToken > 16 { add("bytes_per_token", "above 16", "use a smaller number, or 0") }
        default: break
        }
    }

    private static func checkLookup(_ step: Weir_V1_WorkflowStep, _ add: (String, String, String) -> Void) {
        if case .failure(let reason) = LookupURL.parse(step.url) {
            add("url", "the URL \(reason.reason)", "write it as https://host[:port]/path")
        }
        if step.timeoutMs != 0, !(10...30_000).contains(step.timeoutMs) {
            add("timeout_ms", "is not from 10 to 30000", "use a time in that range, or 0 for \(defaultTimeout)")
        }
        if !step.otherwise.isEmpty, step.onFailure != "degrade" {
            add("otherwise", "is of no meaning unless on_failure is degrade", "leave it out, or let failures degrade")
        }
    }

    /// The lookups that are over whenever this step runs.
    private static func before(_ step: Weir_V1_WorkflowStep, in workflow: Weir_V1_Workflow) -> Set<String> {
        let byName = Dictionary(workflow.steps.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var seen = Set<String>()
        var left = step.after
        while let name = left.popLast() {
            guard seen.insert(name).inserted, let other = byName[name] else { continue }
            left += other.after
        }
        return seen.filter { byName[$0]?.kind == "lookup" && $0 != step.name }
    }
}

/// Where a lookup is sent.
package enum LookupURL {
    /// Like a provider's base URL, with a path that may have a query.
    package static func parse(_ text: String) -> Result<(origin: ConfigValidation.BaseURL, target: String), ConfigValidation.InvalidBaseURL>
    {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return ConfigValidation.parse(baseURL: String(parts.first ?? "")).flatMap { url in
            let path = url.path.isEmpty ? "/" : url.path
            let target = parts.count == 2 ? "\(path)?\(parts[1])" : path
            guard ConfigValidation.isRequestPath(target) else {
                return .failure(ConfigValidation.InvalidBaseURL(reason: "has a path or query that cannot be sent"))
            }
            return .success((url, target))
        }
    }
}
