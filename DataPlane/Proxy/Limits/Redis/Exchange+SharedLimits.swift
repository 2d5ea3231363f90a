import Primitives

/// A request and the limits that data planes share in Redis.
extension Exchange {
    /// - Returns: false where nobody can be asked: this data plane decides by itself.
    func askShared(_ admission: Admission, _ candidate: Candidate?, _ plan: RatePlan, tokens: Int64) -> Bool {
        guard let shared = loop.sharedCounters else { return false }
        guard shared.isUsable else {
            loop.metrics.redisMissed &+= 1
            return false
        }
        let charge = shared.charge(plan, tokens: tokens, who: requestID, parts: loop.rates.regionParts(plan))
        guard shared.ask(SharedTake(plan, tokens: tokens, charge, of: self, shared)) else {
            loop.metrics.redisMissed &+= 1
            return false
        }
        loop.metrics.redisAsked &+= 1
        stage = .limiting(admission, candidate)
        loop.running.add(self)
        return true
    }

    func limitsAnswered(_ answer: SharedTake.Answer, _ take: SharedTake) {
        resume { (admission) throws(Rejection) in
            let taken = self.loop.rates.note(
                take.plan, tokens: take.tokens, answer, take.charge.entries, now: self.loop.nowMicroseconds)
            try self.apply(taken, take.plan, tokens: take.tokens, admission)
            take.charge.runs()
            admission.rates?.shared = take.charge
        }
    }

    /// Redis was not heard in time, or said what is no answer.
    func limitsUnanswered(_ take: SharedTake) {
        loop.metrics.redisMissed &+= 1
        resume { (admission) throws(Rejection) in
            do throws(Rejection) {
                let taken = self.loop.rates.take(take.plan, tokens: take.tokens, now: self.loop.nowMicroseconds)
                try self.apply(taken, take.plan, tokens: take.tokens, admission)
            } catch {
                // It may be counted there all the same.
                take.charge.settle(tokens: nil)
                throw error
            }
            take.charge.runs()
            admission.rates?.shared = take.charge
        }
    }

    private func resume(_ hold: (Admission) throws(Rejection) -> Void) {
        guard case .limiting(let admission, let candidate) = stage else { return }
        do throws(Rejection) {
            try hold(admission)
            try proceed(admission, candidate)
        } catch {
            reject(error)
        }
    }
}
