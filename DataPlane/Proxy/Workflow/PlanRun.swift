import Contract
import Formats
import Logging
import NIOCore
import Primitives

/// A request on its way through its channel's steps and its route's template: there is one only where these need more than the request's own
/// numbers. It may be parked while a lookup is under way, without a thread; nothing is counted, reserved or written by then.
///
/// `@unchecked Sendable`: confined to its loop, like the exchange it belongs to.
final class PlanRun: @unchecked Sendable {
    let asked: Asked
    let caller: Caller
    let config: CompiledConfig
    let plan: CompiledPlan
    /// What the caller named, and its route.
    let requested: CompiledModel
    let route: CompiledRoute
    /// What serves it instead, where the prompt is too long for that.
    var instead: (model: CompiledModel, route: CompiledRoute)?
    var shape: RequestShape
    var scope: RequestScope
    var next = 0
    /// Steps that failed and let it go on with less.
    var degraded: [String] = []
    /// A step holds the answer's length to what the model writes.
    var boundsOutput = false
    var call: LookupCall?
    var work = ExpressionWork()

    init(
        _ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ plan: CompiledPlan, _ named: Admit.Named, _ body: ByteBuffer
    ) {
        self.asked = asked
        self.caller = caller
        self.config = config
        self.plan = plan
        requested = named.model
        route = named.route
        shape = RequestShape(body: body, members: named.members)
        scope = RequestScope(caller: caller, model: named.model, body: body, headers: asked.headers)
    }

    /// What a step's failure comes to.
    /// - Throws: where the request is refused for it.
    func failed(_ step: CompiledPlan.Step, _ rejection: @autoclosure () -> Rejection) throws(Rejection) {
        switch step.action {
        case .reject: throw rejection()
        case .skip: return
        case .degrade: degraded.append(step.name)
        }
    }
}

extension Exchange {
    /// Admit: the model, the channel's steps, the route's template; then limits and what follows.
    func admit(_ asked: Asked, _ caller: Caller, _ config: CompiledConfig, _ body: ByteBuffer) throws(Rejection) {
        let named = try Admit.named(asked, caller, config, body)
        let plan = config.plan(of: caller.channel)
        guard plan.needsRun || mayBeShaped(by: named.route, asked, config) else {
            let instead =
                asked.media != nil ? nil : try Admit.checkNumbers(named, plan, caller, config, asked.capability, body)
            let admission = try Admit.admission(asked, caller, config, named, body, requestID: requestID, at: admissionTime)
            if let instead {
                try begin(admission, with: instead, asked)
                if plan.contextWindow?.action == .degrade {
                    note(degraded: plan.steps.filter { if case .contextWindow = $0.check { true } else { false } }.map(\.name))
                }
            }
            return try goOn(admission, asked)
        }
        try go(PlanRun(asked, caller, config, plan, named, body))
    }

    /// The prompt is too long for the model that was asked for. Who names the endpoint, or a file that is kept there, gets no other model.
    private func begin(
        _ admission: Admission, with instead: (model: CompiledModel, route: CompiledRoute), _ asked: Asked
    ) throws(Rejection) {
        if asked.choice?.endpoint != nil || admission.previous != nil || asked.files != nil {
            throw .badRequest(
                "context_length_exceeded", "The prompt is too long for the model at the endpoint where the request has to be served.",
                param: admission.caller.dialect == .responses ? "input" : "messages")
        }
        if admission.serviceTier != .standard {
            try Admit.checkServiceTier(admission.serviceTier, instead.route, admission.admittedAt / 1000)
        }
        admission.begin(with: instead.model, instead.route)
    }

    /// The request goes on without what these steps stand for.
    private func note(degraded steps: [String]) {
        loop.metrics.degraded &+= 1
        degraded = steps
        sums.flags.formUnion(.degraded)
    }

    /// Some template may change it: its route's, or that of a route it falls back to. Calls of images, sound and files have none.
    private func mayBeShaped(by route: CompiledRoute, _ asked: Asked, _ config: CompiledConfig) -> Bool {
        config.hasTemplates && asked.media == nil && (route.template != nil || !route.fallbacks.isEmpty)
    }

    private var admissionTime: Int64 { receivedAt &+ (loop.nowMicroseconds &- startedAt) }

    private func goOn(_ admission: Admission, _ asked: Asked) throws(Rejection) {
        if try hold(admission, address: asked.address) { try proceed(admission, nil) }
    }

    // MARK: Steps

    private func go(_ run: PlanRun) throws(Rejection) {
        while run.next < run.plan.steps.count {
            let step = run.plan.steps[run.next]
            run.next += 1
            do throws(ExpressionOverrun) {
                if let when = step.when, !Expression.holds(try when.value(in: run.scope, &run.work)) { continue }
                if case .require(let expression) = step.check, Expression.holds(try expression.value(in: run.scope, &run.work)) { continue }
            } catch {
                try run.failed(step, .stepFailed(step.name))
                continue
            }
            switch step.check {
            case .require: try run.failed(step, .stepRefused(step.name, step.message))
            case .contextWindow(let bytes): if run.asked.media == nil { try checkWindow(run, step, bytes) }
            case .outputLimit:
                run.boundsOutput = true
                if run.asked.media == nil { try checkOutput(run, step) }
            case .lookup(let lookup): if try ask(lookup, step, run) { return }
            }
        }
        try finish(run)
    }

    private func checkWindow(_ run: PlanRun, _ step: CompiledPlan.Step, _ bytesPerToken: Int64) throws(Rejection) {
        guard let tokens = Admit.excess(run.shape.members, run.shape.body, run.requested, run.asked.capability, bytesPerToken) else {
            return
        }
        if step.action == .skip { return }
        run.instead = try Admit.roomier(
            than: run.requested, run.route, tokens, degrades: step.action == .degrade, run.caller, run.config, run.asked.capability,
            run.shape.members, step.message)
        if step.action == .degrade { run.degraded.append(step.name) }
    }

    private func checkOutput(_ run: PlanRun, _ step: CompiledPlan.Step) throws(Rejection) {
        do throws(Rejection) { try Admit.checkOutput(run.shape.members, run.requested) } catch {
            var rejection = error
            if let message = step.message { rejection.message = message }
            try run.failed(step, rejection)
            guard step.action == .degrade else { return }
            var edits = UpstreamEdits(run.shape.members)
            edits.limitOutput(to: run.requested.maxOutputTokens)
            var lowered: [UInt8] = []
            let isDone = run.shape.body.withUnsafeReadableBytes { Splice.append(edits.sorted(), to: $0, into: &lowered) }
            guard isDone else { throw rejection }
            run.shape.body = ByteBuffer(bytes: lowered)
            run.shape.members = try run.caller.dialect.scan(run.shape.body)
            let answers = run.scope.answers
            run.scope = RequestScope(caller: run.caller, model: run.requested, body: run.shape.body, headers: run.asked.headers)
            run.scope.answers = answers
        }
    }

    /// Behind all steps: the template, and what the request is then.
    private func finish(_ run: PlanRun) throws(Rejection) {
        let (model, route) = run.instead ?? (run.requested, run.route)
        var shaping: RequestShaping?
        var shape = run.shape
        if mayBeShaped(by: route, run.asked, run.config) {
            let made = RequestShaping(run.shape, run.scope, run.asked.capability)
            shape = try made.shape(for: model, route)
            shaping = made
        }
        // What the template says of the answer's length is no excuse for more than the model writes.
        if !shape.changes.isEmpty, run.boundsOutput, run.plan.outputLimit == .reject {
            do throws(Rejection) { try Admit.checkOutput(shape.members, model) } catch {
                throw shape.changes.contains { TemplateRules.boundMembers.contains($0.edit.member(in: run.caller.dialect)) }
                    ? .templateFailed(error.param ?? "body") : error
            }
        }
        let named = Admit.Named(members: shape.members, model: run.requested, route: run.route)
        let admission = try Admit.admission(run.asked, run.caller, run.config, named, shape.body, requestID: requestID, at: admissionTime)
        if let instead = run.instead { try begin(admission, with: instead, run.asked) }
        admission.take(shape, shaping)
        if !run.degraded.isEmpty { note(degraded: run.degraded) }
        try goOn(admission, run.asked)
    }

    // MARK: Lookups

    /// - Returns: false where the step has ended at once.
    private func ask(_ lookup: CompiledLookup, _ step: CompiledPlan.Step, _ run: PlanRun) throws(Rejection) -> Bool {
        loop.metrics.lookups &+= 1
        let question: JSONValue
        do throws(ExpressionOverrun) {
            question = try lookup.question?.value(in: run.scope, &run.work) ?? run.scope.question
        } catch {
            try lookupFailed(.overrun, lookup, step, run)
            return false
        }
        guard loop.allows(lookup) else {
            try lookupFailed(.notAllowed, lookup, step, run)
            return false
        }
        let tenant = run.caller.tenant.bits
        guard loop.lookupRoom.take(tenant) else {
            try lookupFailed(.busy, lookup, step, run)
            return false
        }
        let serial = serial
        let call = LookupCall(deadline: loop.nowMicroseconds &+ lookup.timeout) { [loop] result in
            loop.lookupRoom.giveBack(tenant)
            // The answer may come while the question is being asked.
            loop.eventLoop.execute { if self.serial == serial { self.answered(result, lookup, step, run) } }
        }
        call.whenCancelled = { [loop] in loop.lookupRoom.giveBack(tenant) }
        run.call = call
        stage = .lookingUp(run)
        loop.asking[ObjectIdentifier(self)] = self
        call.start(lookup, question, requestID: requestID, on: loop)
        return true
    }

    private func answered(
        _ result: Result<JSONObject, LookupCall.Failure>, _ lookup: CompiledLookup, _ step: CompiledPlan.Step, _ run: PlanRun
    ) {
        guard case .lookingUp(let current) = stage, current === run else { return }
        run.call = nil
        loop.asking[ObjectIdentifier(self)] = nil
        stage = .receiving(run.asked)
        do throws(Rejection) {
            if loop.isStopping { throw Rejection(.stopped) }
            if loop.snapshot?.isRevoked == true { throw .revoked() }
            // Who lost its standing while it waited is not served.
            try checkStanding(run.caller, run.asked)
            switch result {
            case .success(let answer):
                if answer["allow"] == false { throw .stepRefused(step.name, step.message ?? answer["message"]?.stringValue) }
                run.scope.answers[lookup.name] = .object(answer)
            case .failure(let failure): try lookupFailed(failure, lookup, step, run)
            }
            try go(run)
        } catch {
            reject(error)
        }
    }

    private func lookupFailed(
        _ failure: LookupCall.Failure, _ lookup: CompiledLookup, _ step: CompiledPlan.Step, _ run: PlanRun
    ) throws(Rejection) {
        loop.metrics.lookupFailures &+= 1
        loop.failureLog.record(logger: loop.logger, now: loop.nowMicroseconds, code: "lookup_failed") {
            ["request": "\(requestID)", "code": "lookup_failed", "step": "\(step.name)", "detail": "\(failure.rawValue)"]
        }
        try run.failed(step, .lookupFailed(step.name, failure.rawValue))
        guard step.action == .degrade, let otherwise = lookup.otherwise else { return }
        do throws(ExpressionOverrun) { run.scope.answers[lookup.name] = try otherwise.value(in: run.scope, &run.work) } catch {
            throw .stepFailed(step.name)
        }
    }

    /// Called by the loop's sweep.
    func lookupDeadline(_ now: Int64) {
        if case .lookingUp(let run) = stage { run.call?.checkDeadline(now) }
    }
}

extension Rejection {
    /// A step says no: the operator's rule, about this request.
    static func stepRefused(_ step: String, _ message: String?) -> Rejection {
        let words = message.map {
            String($0.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(512).map(Character.init))
        }
        return .forbidden("refused_by_workflow", words ?? "The request does not meet the rule '\(step)' of this gateway.")
    }

    static func stepFailed(_ step: String) -> Rejection {
        Rejection(
            status: 500, fault: .weir, kind: .server, code: "workflow_failed",
            message: "The check '\(step)' of this gateway's workflow could not be made for this request.", isPermanent: true)
    }

    static func lookupFailed(_ step: String, _ detail: String) -> Rejection {
        Rejection(
            status: 503, fault: .weir, kind: .server, code: "check_unavailable",
            message: "The check '\(step)' could not be made at the moment, and nothing was sent to the provider. Try again later.",
            retryMilliseconds: 1000, detail: detail)
    }

    /// What the operator demands of a request cannot be written into it.
    static func templateFailed(_ name: String) -> Rejection {
        Rejection(
            status: 500, fault: .weir, kind: .server, code: "template_failed",
            message:
                "The template of the model's route cannot be applied to this request ('\(name)'). The gateway's operator has to correct it.",
            isPermanent: true)
    }

    /// The provider refuses what the operator demands of every request.
    static func templateRefused(_ name: String) -> Rejection {
        Rejection(
            status: 502, fault: .weir, kind: .upstream, code: "template_refused",
            message:
                "The provider does not take '\(name)', which this gateway's configuration adds. The gateway's operator has to correct it.",
            isPermanent: true)
    }
}
