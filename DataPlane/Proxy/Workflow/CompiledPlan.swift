import Contract
import Formats
import Primitives

/// What the requests of a channel go through beside the spine's own stages: made once when a configuration is activated, so that a request
/// looks nothing up.
package final class CompiledPlan: Sendable {
    enum FailureAction: Sendable {
        case reject
        case skip
        case degrade

        init(_ word: String) {
            switch word {
            case "skip": self = .skip
            case "degrade": self = .degrade
            default: self = .reject
            }
        }
    }

    struct Step: Sendable {
        enum Check: Sendable {
            case contextWindow(bytesPerToken: Int64)
            case outputLimit
            case require(Expression)
            case lookup(CompiledLookup)
        }

        let name: String
        let check: Check
        let when: Expression?
        let action: FailureAction
        /// For callers who are refused; nil: the check's own words.
        let message: String?
    }

    enum Sanitiser: Sendable {
        case known
        case strict
    }

    /// In the order in which they run.
    let steps: [Step]
    /// Some of them need more than the request's own numbers.
    let needsRun: Bool
    /// Nil where it is not checked.
    let contextWindow: (bytesPerToken: Int64, action: FailureAction)?
    let outputLimit: FailureAction?
    let sanitiser: Sanitiser?
    /// Header fields that expressions read, by their lower-case names.
    let headers: Set<String>

    /// - Throws: what keeps it from being one; `ConfigValidation` finds it first.
    init(_ workflow: Weir_V1_Workflow) throws(DocumentRefusal) {
        let path = "workflows[\(workflow.id)]"
        let ordered: [Weir_V1_WorkflowStep]
        do throws(WorkflowRules.WorkflowCircle) { ordered = try WorkflowRules.ordered(workflow.steps) } catch {
            throw DocumentRefusal(.malformedPayload, "\(path): steps wait for each other")
        }
        var steps: [Step] = []
        for step in ordered {
            let check: Step.Check
            switch step.kind {
            case "context_window":
                check = .contextWindow(
                    bytesPerToken: Int64(step.bytesPerToken == 0 ? WorkflowRules.defaultBytesPerToken : step.bytesPerToken))
            case "output_limit": check = .outputLimit
            case "require": check = .require(try Self.expression(step.expression, path))
            case "lookup": check = .lookup(try CompiledLookup(step, path))
            default: continue
            }
            steps.append(
                Step(
                    name: step.name, check: check, when: step.when.isEmpty ? nil : try Self.expression(step.when, path),
                    action: FailureAction(step.onFailure), message: step.message.isEmpty ? nil : step.message))
        }
        self.steps = steps
        var needsRun = false
        var window: (Int64, FailureAction)?
        var output: FailureAction?
        var references: Set<ExpressionReference> = []
        for step in steps {
            if let when = step.when {
                needsRun = true
                references.formUnion(when.references)
            }
            switch step.check {
            case .contextWindow(let bytes): window = (bytes, step.action)
            case .outputLimit:
                output = step.action
                if step.action == .degrade { needsRun = true }
            case .require(let expression):
                needsRun = true
                references.formUnion(expression.references)
            case .lookup(let lookup):
                needsRun = true
                references.formUnion(lookup.references)
            }
        }
        self.needsRun = needsRun
        contextWindow = window.map { ($0.0, $0.1) }
        outputLimit = output
        headers = Set(references.lazy.filter { $0.root == .headers }.map(\.name))
        sanitiser = ordered.first { $0.kind == "sanitise" }.map { $0.level == "strict" ? .strict : .known }
    }

    static func expression(_ text: String, _ path: String) throws(DocumentRefusal) -> Expression {
        do throws(ExpressionError) { return try Expression(parsing: text) } catch {
            throw DocumentRefusal(.malformedPayload, "\(path): an expression \(error.message)")
        }
    }

    /// Lookups that are sent somewhere.
    var lookups: [CompiledLookup] { steps.compactMap { if case .lookup(let lookup) = $0.check { lookup } else { nil } } }
}

/// A service of the operator's that is asked about a request.
final class CompiledLookup: Sendable {
    let name: String
    let origin: ConfigValidation.BaseURL
    let target: String
    /// Microseconds.
    let timeout: Int64
    /// What is sent; nil: who calls and which model.
    let question: Expression?
    let otherwise: Expression?

    init(_ step: Weir_V1_WorkflowStep, _ path: String) throws(DocumentRefusal) {
        guard case .success(let url) = LookupURL.parse(step.url) else {
            throw DocumentRefusal(.malformedPayload, "\(path): a lookup's URL cannot be dialled")
        }
        name = step.name
        (origin, target) = url
        timeout = Int64(step.timeoutMs == 0 ? WorkflowRules.defaultTimeout : step.timeoutMs) * 1000
        question = step.expression.isEmpty ? nil : try CompiledPlan.expression(step.expression, path)
        otherwise = step.otherwise.isEmpty ? nil : try CompiledPlan.expression(step.otherwise, path)
    }

    var references: Set<ExpressionReference> { (question?.references ?? []).union(otherwise?.references ?? []) }
}
