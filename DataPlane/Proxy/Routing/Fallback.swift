import Contract
import Formats
import Primitives

/// Another model for a request that the model it names could not serve.
extension Exchange {
    /// Select, among the endpoints of the next model that the caller may use, whose limits have room, and that the budgets cover. From then on
    /// the request is served by that model: its prices, limits and bounds apply.
    /// - Parameter outcome: of the last attempt; nil where none could be made, and nothing is reserved yet.
    func fallBack(_ admission: Admission, after outcome: AttemptOutcome?) -> Candidate? {
        loop.health.refresh()
        while let name = admission.takeFallback() {
            guard let model = admission.config.model(named: name), let route = model.route, mayServe(model, admission, outcome),
                Admit.takesServiceTier(admission, route)
            else { continue }
            let before = (
                model: admission.model, route: admission.route, plan: admission.plan, worst: WorstCase(admission), shape: admission.shape
            )
            admission.serve(by: model, route, RoutePlan(route, random: RoutePlan.mixed(admission.requestID.low)))
            func passOver() {
                admission.serve(by: before.model, before.route, before.plan)
                if let shape = before.shape { admission.take(shape) }
            }
            // Its own template, in place of that of the route before.
            if let shaping = admission.shaping {
                guard let shape = try? shaping.shape(for: model, route) else {
                    passOver()
                    continue
                }
                admission.take(shape)
            }
            guard let candidate = nextAttempt(admission) else {
                passOver()
                continue
            }
            if outcome != nil, !before.route.state.takeRetry(now: loop.nowMicroseconds, loop.settings.retryBudget) {
                loop.metrics.retriesDenied &+= 1
                passOver()
                return nil
            }
            guard holdFallback(model, admission), outcome.map({ coverAnother(admission, after: $0, before: before.worst) }) ?? true else {
                passOver()
                continue
            }
            loop.metrics.fallbacks &+= 1
            if outcome != nil { route.state.countRequest(loop: loop.index) }
            return candidate
        }
        return nil
    }

    private func mayServe(_ model: CompiledModel, _ admission: Admission, _ outcome: AttemptOutcome?) -> Bool {
        guard (try? Admit.check(model, for: admission.caller, admission.capability, admission.members)) != nil,
            Admit.fits(model, admission)
        else { return false }
        // What was too long is no shorter there.
        guard case .refused(let error, _)? = outcome?.ending, error.isOfContextWindow else { return true }
        return model.contextWindow == 0 || model.contextWindow > admission.model.contextWindow
    }
}
