import Primitives

/// What expressions may name.
package enum ExpressionRules {
    /// Header fields that carry what proves who calls: no expression reads them.
    private static let secretHeaders: Set<String> = [
        "authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "set-cookie", "x-gateway-secret", "x-weir-grant",
        "x-did-signature", "signature", "signature-input", "x-weir-signature", "x-weir-nonce",
    ]

    package static func isReadable(header name: String) -> Bool {
        isToken(name) && !secretHeaders.contains(name) && !name.hasSuffix("-secret") && !name.hasSuffix("-token")
            && !name.contains("signature")
    }

    /// RFC 9110 §5.6.2.
    static func isToken(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 128
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                    || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }

    /// - Parameter steps: lookups whose answers are there.
    static func problem(ofExpression text: String, steps: Set<String>) -> (message: String, remedy: String)? {
        do throws(ExpressionError) {
            return problem(of: try Expression(parsing: text).references, steps: steps)
        } catch {
            return (error.message, "see docs/workflows.md for what expressions are")
        }
    }

    static func problem(ofTemplate text: String, steps: Set<String>) -> (message: String, remedy: String)? {
        do throws(ExpressionError) {
            return problem(of: try TemplateText(parsing: text).references, steps: steps)
        } catch {
            return (error.message, "see docs/workflows.md for what expressions are")
        }
    }

    private static func problem(of references: Set<ExpressionReference>, steps: Set<String>) -> (message: String, remedy: String)? {
        for reference in references.sorted(by: { $0.name < $1.name }) {
            switch reference.root {
            case .headers where !isReadable(header: reference.name):
                return ("reads the header \"\(reference.name)\", which is none or proves who calls", "read another one")
            case .steps where !steps.contains(reference.name):
                return (
                    "reads steps.\(reference.name), and no lookup of that name is over before",
                    "name a lookup step, and put it into \"after\""
                )
            case .caller, .model, .request, .headers, .steps: continue
            }
        }
        return nil
    }
}

/// What a route's template may do to requests.
package enum TemplateRules {
    package static let maximumEdits = 32

    /// Members that Weir itself reads and answers for: which model and API serve a request, how its answer is framed and kept.
    private static let ownMembers: Set<String> = [
        "model", "stream", "stream_options", "messages", "input", "prompt", "system", "instructions", "n", "best_of", "service_tier",
        "previous_response_id", "background", "store", "conversation",
    ]
    /// Fields that Weir writes, or that decide how the message is framed.
    private static let ownHeaders: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "content-type",
        "content-encoding", "accept", "accept-encoding", "user-agent", "authorization", "proxy-authorization", "proxy-connection",
        "x-api-key", "api-key", "x-request-id", "traceparent", "tracestate", "idempotency-key", "cookie", "anthropic-version", "date",
        "x-gateway-secret", "x-app-id", "x-user-oid",
    ]

    /// Bounds of the answer, of which budgets know: they are never taken back on the way.
    package static let boundMembers: Set<String> = ["max_tokens", "max_completion_tokens", "max_output_tokens"]

    /// - Parameters:
    ///   - lookups: names of the lookups of any channel.
    ///   - authHeaders: in lower case, of the route's providers.
    package static func problems(of route: Weir_V1_Route, lookups: Set<String>, authHeaders: Set<String>) -> [ConfigProblem] {
        let path = "routes[\(route.id)].template"
        var problems: [ConfigProblem] = []
        if route.template.count > maximumEdits {
            problems.append(ConfigProblem(path: path, message: "more than \(maximumEdits) edits", remedy: "use fewer"))
        }
        for (index, edit) in route.template.enumerated() {
            func add(_ name: String, _ message: String, _ remedy: String) {
                problems.append(ConfigProblem(path: "\(path)[\(index)].\(name)", message: message, remedy: remedy))
            }
            if !edit.when.isEmpty, let problem = ExpressionRules.problem(ofExpression: edit.when, steps: lookups) {
                add("when", problem.message, problem.remedy)
            }
            for api in edit.apis where !Vocabulary.providerAPIs.contains(api) {
                add("apis", "\"\(api)\" is not an API that is known here", "use: \(Vocabulary.providerAPIs.joined(separator: ", "))")
            }
            switch edit.action {
            case "set", "default", "remove":
                if edit.name.isEmpty || edit.name.utf8.count > 128 || edit.name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
                    add("name", "is no member's name", "name a member of the request's body, such as temperature")
                } else if ownMembers.contains(edit.name.lowercased()) {
                    add(
                        "name", "\"\(edit.name)\" is what Weir itself reads or writes",
                        "leave it to callers and routes; use the action system for instructions")
                } else if edit.action == "remove", boundMembers.contains(edit.name) {
                    add("name", "\"\(edit.name)\" bounds what an answer costs", "set it instead of removing it")
                }
            case "header":
                let name = edit.name.lowercased()
                if !ExpressionRules.isToken(edit.name) {
                    add("name", "\"\(edit.name)\" is not a header's name", "name one, such as X-Team")
                } else if ownHeaders.contains(name) || authHeaders.contains(name) || name.hasPrefix("x-weir-") || name.hasPrefix("x-did") {
                    add("name", "the header \"\(edit.name)\" is Weir's own", "name another header")
                }
            case "system":
                if !edit.name.isEmpty { add("name", "is of no meaning for a system message", "leave it out") }
            default:
                add("action", "\"\(edit.action)\" is no action", "use: \(Vocabulary.templateActions.joined(separator: ", "))")
            }
            if edit.action == "remove" {
                if !edit.value.isEmpty { add("value", "is of no meaning where a member is removed", "leave it out") }
            } else if edit.value.isEmpty {
                add("value", "is missing", "give a text, or an expression as {{ caller.user_id }}")
            } else if let problem = ExpressionRules.problem(ofTemplate: edit.value, steps: lookups) {
                add("value", problem.message, problem.remedy)
            }
        }
        return problems
    }
}
