import Primitives
import Testing

@testable import Contract

@Suite("What a workflow and a template may hold")
struct WorkflowRulesTests {
    private func step(
        _ name: String, _ kind: String = "require", after: [String] = [], _ change: (inout Weir_V1_WorkflowStep) -> Void = { _ in }
    )
        -> Weir_V1_WorkflowStep
    {
        var step = Weir_V1_WorkflowStep()
        step.name = name
        step.kind = kind
        step.after = after
        if kind == "require" { step.expression = "true" }
        if kind == "lookup" { step.url = "https://plans.example/of" }
        change(&step)
        return step
    }

    private func problems(_ steps: [Weir_V1_WorkflowStep]) -> [String] {
        var workflow = Weir_V1_Workflow()
        workflow.id = "wfl_1"
        workflow.name = "w"
        workflow.channel = "external"
        workflow.steps = steps
        var config = Weir_V1_ConfigPayload()
        config.workflows = [workflow]
        return ConfigValidation.validate(config).map { "\($0.path): \($0.message)" }
    }

    @Test("the order follows from what each step waits for")
    func order() throws {
        let steps = [step("c", after: ["b"]), step("a"), step("b", after: ["a", "model"]), step("d")]
        #expect(try WorkflowRules.ordered(steps).map(\.name) == ["a", "b", "c", "d"])
        #expect(problems(steps).isEmpty)
    }

    @Test("a circle, a missing step and a later stage are refused with the path")
    func refused() {
        let circle = problems([step("x"), step("a", after: ["c"]), step("b", after: ["a"]), step("c", after: ["b"])])
        #expect(circle == ["workflows[wfl_1].steps[1].after: steps wait for each other: a → c → b → a"])
        #expect(problems([step("a", after: ["a"])]).contains { $0.contains("a → a") })
        #expect(problems([step("a", after: ["b"])]) == ["workflows[wfl_1].steps[0].after[0]: there is no step \"b\""])
        #expect(problems([step("a", after: ["limits"])]) == ["workflows[wfl_1].steps[0].after[0]: \"limits\" comes after all steps"])
        #expect(problems([step("a"), step("a")]).contains { $0.hasPrefix("workflows[wfl_1].steps[1].name:") })
        #expect(problems([step("budget")]).contains { $0.contains("every request passes") })
    }

    @Test("an expression reads only lookups that are over before, and no header that proves who calls")
    func references() {
        let plan = step("plan", "lookup")
        #expect(problems([plan, step("a", after: ["plan"]) { $0.expression = "steps.plan.ok" }]).isEmpty)
        #expect(problems([plan, step("b", after: ["plan"]), step("a", after: ["b"]) { $0.expression = "steps.plan.ok" }]).isEmpty)
        let early = problems([plan, step("a") { $0.expression = "steps.plan.ok" }])
        #expect(early.count == 1 && early[0].hasPrefix("workflows[wfl_1].steps[1].expression: reads steps.plan"), "\(early)")
        for name in ["Authorization", "x-api-key", "Cookie", "X-Gateway-Secret", "x-amz-security-token", "signature-input", "no good"] {
            #expect(problems([step("a") { $0.expression = "headers[\"\(name)\"]" }]).count == 1, "\(name)")
        }
    }

    @Test func eachMemberIsChecked() {
        let cases: [(String, (inout Weir_V1_WorkflowStep) -> Void)] = [
            ("kind", { $0.kind = "nothing" }), ("expression", { $0.expression = "1 +" }), ("expression", { $0.expression = "" }),
            ("on_failure", { $0.onFailure = "ignore" }), ("url", { $0.url = "https://a.example" }), ("timeout_ms", { $0.timeoutMs = 5 }),
            ("level", { $0.level = "strict" }), ("bytes_per_token", { $0.bytesPerToken = 4 }), ("when", { $0.when = ")" }),
        ]
        for (member, change) in cases {
            let found = problems([step("a", "require", change)])
            #expect(found.contains { $0.hasPrefix("workflows[wfl_1].steps[0].\(member): ") }, "\(found)")
        }
    }

    @Test func eachMemberOfALookupIsChecked() {
        let cases: [(String, (inout Weir_V1_WorkflowStep) -> Void)] = [
            ("url", { $0.url = "ftp://a" }), ("url", { $0.url = "http://169.254.169.254/latest" }), ("url", { $0.url = "https://a/b c" }),
            ("timeout_ms", { $0.timeoutMs = 5 }), ("otherwise", { $0.otherwise = "{}" }),
        ]
        for (member, change) in cases {
            let found = problems([step("a", "lookup", change)])
            #expect(found.contains { $0.hasPrefix("workflows[wfl_1].steps[0].\(member): ") }, "\(found)")
        }
    }

    @Test("one enabled workflow a channel; what has none has the default one")
    func channels() throws {
        var config = Weir_V1_ConfigPayload()
        for id in ["wfl_1", "wfl_2"] {
            var workflow = Weir_V1_Workflow()
            workflow.id = id
            workflow.name = id
            workflow.channel = "external"
            config.workflows.append(workflow)
        }
        #expect(ConfigValidation.validate(config).map(\.path) == ["workflows[wfl_2].channel"])
        config.workflows[0].disabled = true
        #expect(ConfigValidation.validate(config).isEmpty)
        #expect(WorkflowRules.workflow(of: "external", in: config).id == "wfl_2")
        config.workflows[1].channel = "nowhere"
        #expect(ConfigValidation.validate(config).map(\.path) == ["workflows[wfl_2].channel"])
        // What ships for each channel is what would be taken.
        for channel in Vocabulary.channels {
            var standard = WorkflowRules.standard(for: channel)
            standard.id = "wfl_3"
            #expect(WorkflowRules.problems(of: standard).isEmpty)
            #expect(standard.steps.contains { $0.kind == "sanitise" } == (channel == "external"))
        }
        // A data plane is sent none that is switched off.
        #expect(ConfigProjection.of(config, for: ["ten_1"]).workflows.map(\.id) == ["wfl_2"])
    }

    @Test("a picture shows the stages, and each step where it runs and what its failure does")
    func picture() throws {
        var config = Weir_V1_ConfigPayload()
        var workflow = Weir_V1_Workflow()
        workflow.id = "wfl_1"
        workflow.name = "outside"
        workflow.channel = "external"
        workflow.steps = [
            step("paid", after: ["plan"]) { $0.expression = "steps.plan.paid" },
            step("plan", "lookup") {
                $0.onFailure = "degrade"
                $0.otherwise = "{paid: true}"
            }, step("clean", "sanitise"),
        ]
        config.workflows = [workflow]
        let text = try WorkflowPicture(of: "external", in: config).text
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines[0] == "Channel external: workflow outside.")
        let titles = lines.dropFirst().map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
        #expect(
            titles.map { $0.hasPrefix("├") ? $0 : String($0.split(separator: " ")[0]) } == [
                "accept", "authenticate", "model", "├ plan", "├ paid", "template", "limits", "budget", "select", "translate", "forward",
                "meter",
                "├ clean", "settle",
            ])
        #expect(text.contains("→ degrade: {paid: true}") && text.contains("after plan  → reject 403"), "\(text)")
        #expect(try WorkflowPicture(of: "default", in: config).text.contains("the default workflow"))
    }

    @Test func eachEditIsChecked() {
        let cases: [(String, (inout Weir_V1_TemplateEdit) -> Void)] = [
            ("action", { $0.action = "add" }), ("name", { $0.name = "" }), ("name", { $0.name = "model" }),
            ("name", { $0.name = "Stream" }),
            ("value", { $0.value = "" }), ("value", { $0.value = "{{ 1 + }}" }), ("value", { $0.value = "{{ steps.none }}" }),
            ("when", { $0.when = "headers.authorization" }), ("apis", { $0.apis = ["soap"] }),
            (
                "name",
                {
                    $0.action = "header"; $0.name = "Host"
                }
            ),
            (
                "name",
                {
                    $0.action = "header"; $0.name = "X-Key"
                }
            ),
            (
                "name",
                {
                    $0.action = "header"; $0.name = "x-weir-anything"
                }
            ),
            (
                "name",
                {
                    $0.action = "header"; $0.name = "a b"
                }
            ),
            ("name", { $0.action = "system" }), ("value", { $0.action = "remove" }),
            (
                "name",
                {
                    $0.action = "remove"; $0.name = "max_tokens"; $0.value = ""
                }
            ),
        ]
        for (member, change) in cases {
            var edit = Weir_V1_TemplateEdit()
            edit.action = "set"
            edit.name = "temperature"
            edit.value = "{{ 0.2 }}"
            var route = Weir_V1_Route()
            route.id = "rt_1"
            route.template = [edit]
            #expect(TemplateRules.problems(of: route, lookups: [], authHeaders: ["x-key"]).isEmpty)
            change(&edit)
            route.template = [edit]
            let found = TemplateRules.problems(of: route, lookups: [], authHeaders: ["x-key"])
            #expect(found.map(\.path) == ["routes[rt_1].template[0].\(member)"], "\(found)")
        }
    }
}
