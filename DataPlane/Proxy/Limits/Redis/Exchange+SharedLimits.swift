import Primitives

/// A request and the limits that data planes share in Redis.
extension Exchange {
    /// - Returns: false where nobody can be asked: this data plane decides by itself.
    func askShared(_ admission: Admission, _ candidate: Candidate?, _ claims: [RateLedger.Claim]) -> Bool {
        guard let shared = loop.sharedCounters else { return false }
        guard shared.isUsable else {
            loop.metrics.redisMissed &+= 1
            return false
        }
        let charge = shared.charge(claims, who: requestID, parts: loop.rates.regionParts(claims))
        guard shared.ask(SharedTake(claims, charge, of: self, shared)) else {
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
            try self.apply(self.loop.rates.note(take.claims, answer, take.charge.entries, now: self.loop.nowMicroseconds), admission)
            take.charge.runs()
            admission.rates?.shared = take.charge
        }
    }

    /// Redis was not heard in time, or said what is no answer.
    func limitsUnanswered(_ take: SharedTake) {
        loop.metrics.redisMissed &+= 1
        resume { (admission) throws(Rejection) in
            do throws(Rejection) {
                try self.apply(self.loop.rates.take(take.claims, now: self.loop.nowMicroseconds), admission)
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
