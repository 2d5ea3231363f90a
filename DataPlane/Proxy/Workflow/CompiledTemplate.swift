import Contract
import Formats
import Primitives

/// What a route changes in requests, compiled with the configuration.
package final class CompiledTemplate: Sendable {
    struct Edit: Sendable {
        enum Action: Sendable {
            case set
            case fill
            case remove
            case system
            case header
        }

        let action: Action
        let name: String
        let value: TemplateText?
        let when: Expression?
        let isRequired: Bool
        /// Nil: in each.
        let dialects: Set<Dialect>?
    }

    let edits: [Edit]
    let headers: Set<String>

    /// Nil for a route without one.
    init?(_ route: Weir_V1_Route) throws(DocumentRefusal) {
        if route.template.isEmpty { return nil }
        let path = "routes[\(route.id)].template"
        var edits: [Edit] = []
        var references: Set<ExpressionReference> = []
        for edit in route.template {
            let action: Edit.Action =
                switch edit.action {
                case "default": .fill
                case "remove": .remove
                case "system": .system
                case "header": .header
                default: .set
                }
            var value: TemplateText?
            if action != .remove {
                do throws(ExpressionError) { value = try TemplateText(parsing: edit.value) } catch {
                    throw DocumentRefusal(.malformedPayload, "\(path): a value \(error.message)")
                }
            }
            let when = edit.when.isEmpty ? nil : try CompiledPlan.expression(edit.when, path)
            references.formUnion(value?.references ?? [])
            references.formUnion(when?.references ?? [])
            edits.append(
                Edit(
                    action: action, name: edit.name, value: value, when: when, isRequired: edit.required,
                    dialects: edit.apis.isEmpty ? nil : Set(edit.apis.map(Self.dialect))))
        }
        self.edits = edits
        headers = Set(references.lazy.filter { $0.root == .headers }.map(\.name))
    }

    private static func dialect(_ api: String) -> Dialect {
        switch api {
        case "messages": .messages
        case "responses": .responses
        default: .openAI
        }
    }
}

/// A template's changes with their values, for one request.
struct RenderedTemplate {
    struct Change {
        let edit: BodyEdit
        /// A request that the provider refuses for it is not sent without it.
        let isKept: Bool
        let isRequired: Bool
    }

    var changes: [Change] = []
    /// Whole header lines for the provider.
    var headerLines: [UInt8] = []

    /// Bytes of a header's value.
    private static let maximumHeaderBytes = 1_024

    /// - Throws: for what is required and cannot be made.
    init(_ template: CompiledTemplate, in scope: RequestScope, _ capability: RequestTarget.Capability) throws(Rejection) {
        var work = ExpressionWork()
        for edit in template.edits {
            guard edit.dialects?.contains(scope.caller.dialect) ?? true else { continue }
            // What bounds or shapes an answer is none of a count's business.
            if capability == .countTokens, edit.action != .system, edit.action != .header { continue }
            if edit.action == .system, capability != .chat, capability != .countTokens { continue }
            var isMade = false
            do throws(ExpressionOverrun) {
                if let when = edit.when, !Expression.holds(try when.value(in: scope, &work)) { continue }
                if scope.passes(edit) { continue }
                isMade = add(edit, try edit.value?.value(in: scope, &work) ?? .null)
            } catch {}
            if !isMade, edit.isRequired { throw .templateFailed(edit.name.isEmpty ? "system" : edit.name) }
        }
    }

    /// - Returns: false where the value is none that can stand there.
    private mutating func add(_ edit: CompiledTemplate.Edit, _ value: JSONValue) -> Bool {
        switch edit.action {
        case .remove: change(.remove(edit.name), edit)
        case .set, .fill:
            if value == .null { return false }
            // A bound that is none would be the provider's to refuse, and counts in budgets.
            if TemplateRules.boundMembers.contains(edit.name), (value.intValue ?? 0) < 1 { return false }
            change(edit.action == .set ? .set(edit.name, value.bytes) : .fill(edit.name, value.bytes), edit)
        case .system:
            let text = TemplateText.text(of: value)
            if text.isEmpty { return false }
            change(.system(text), edit)
        case .header:
            let text = Array(TemplateText.text(of: value).utf8)
            // RFC 9110 §5.5: visible ASCII, and spaces between.
            guard !text.isEmpty, text.count <= Self.maximumHeaderBytes, text.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }),
                text.first != 0x20, text.last != 0x20
            else { return false }
            headerLines += Array("\(edit.name): ".utf8) + text + [13, 10]
        }
        return true
    }

    private mutating func change(_ body: BodyEdit, _ edit: CompiledTemplate.Edit) {
        changes.append(
            Change(edit: body, isKept: edit.isRequired || TemplateRules.boundMembers.contains(edit.name), isRequired: edit.isRequired))
    }
}
