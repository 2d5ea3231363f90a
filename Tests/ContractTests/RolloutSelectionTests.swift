import Contract
import Primitives
import Testing

@Suite("Rollout selection")
struct RolloutSelectionTests {
    /// Computed independently (Python's hashlib). They never change: a data plane of another release has to choose alike.
    @Test(
        "The bucket of a key is fixed by salt and key id",
        arguments: [
            ("", "key_aaaaaaaaaaaaaaaa", 9162), ("s", "key_aaaaaaaaaaaaaaaa", 4709), ("k5x2q7mzrwtyabcd", "key_aaaaaaaaaaaaaaaa", 1554),
            ("k5x2q7mzrwtyabcd", "key_bcdefghijklmnopq", 9146), ("k5x2q7mzrwtyabcd", "key_7777777777777777", 920),
            ("ü", "key_qqqqqqqqqqqqqqqq", 1370), ("ab", "c", 5165), ("a", "bc", 7297),
        ] as [(String, String, UInt32)])
    func bucket(salt: String, key: String, expected: UInt32) {
        #expect(RolloutSelection.bucket(salt: salt, keyID: key) == expected)
    }

    private func payload(_ change: (inout Weir_V1_RolloutPayload) -> Void = { _ in }) -> Weir_V1_RolloutPayload {
        var payload = Weir_V1_RolloutPayload()
        payload.baselineVersion = 3
        payload.candidateVersion = 5
        payload.percentageBasisPoints = 10_000
        payload.salt = "k5x2q7mzrwtyabcd"
        payload.effectiveAtMs = 1000
        change(&payload)
        return payload
    }

    private func version(_ payload: Weir_V1_RolloutPayload, key: String = "key_aaaaaaaaaaaaaaaa", now: Int64 = 1000) -> UInt64 {
        RolloutSelection.version(for: key, tenant: "ten_a", region: "eu", dataPlane: "dp_a", payload: payload, nowMs: now)
    }

    @Test("The candidate is in force from its time on, and not before")
    func effectiveAt() {
        #expect(version(payload(), now: 999) == 3)
        #expect(version(payload(), now: 1000) == 5)
    }

    @Test("Without a candidate the baseline serves, and without either nothing does")
    func nothingToChoose() {
        #expect(version(payload { $0.candidateVersion = 0 }) == 3)
        #expect(version(Weir_V1_RolloutPayload()) == 0)
        #expect(
            version(
                payload {
                    $0.baselineVersion = 0; $0.percentageBasisPoints = 0
                }) == 0)
    }

    @Test("Every selector has to match; an empty one matches everything")
    func selectors() {
        #expect(
            version(
                payload {
                    $0.tenantIds = ["ten_a"]; $0.regions = ["eu"]; $0.dataPlaneIds = ["dp_a", "dp_b"]
                }) == 5)
        #expect(version(payload { $0.tenantIds = ["ten_b"] }) == 3)
        #expect(version(payload { $0.regions = ["us"] }) == 3)
        #expect(version(payload { $0.dataPlaneIds = ["dp_b"] }) == 3)
        #expect(
            version(
                payload {
                    $0.tenantIds = ["ten_a"]; $0.regions = ["us"]
                }) == 3)
    }

    @Test("A bucket is below its percentage or not, to the basis point")
    func edge() {
        #expect(version(payload { $0.percentageBasisPoints = 1554 }) == 3)
        #expect(version(payload { $0.percentageBasisPoints = 1555 }) == 5)
        #expect(version(payload { $0.percentageBasisPoints = 0 }) == 3)
        // A document of a later release that means more than all.
        #expect(version(payload { $0.percentageBasisPoints = .max }) == 5)
    }

    @Test("Growing the percentage only adds keys, and selects about that share of them")
    func stableShares() {
        var random = SeededGenerator(seed: 7)
        let keys = (0..<20_000).map { _ in "key_" + Base32.encode((0..<10).map { _ in UInt8.random(in: 0...255, using: &random) }) }
        var before = Set<String>()
        for basisPoints in [1, 25, 100, 500, 2_000, 5_000, 9_999, 10_000] as [UInt32] {
            let selector = RolloutSelector(payload: payload { $0.percentageBasisPoints = basisPoints }, region: "eu", dataPlane: "dp_a")
            let chosen = Set(keys.filter { selector.isCandidate(keyID: $0, tenantID: "ten_a") })
            #expect(chosen.isSuperset(of: before))
            let share = Double(chosen.count) / Double(keys.count)
            let expected = Double(basisPoints) / 10_000
            // Five standard deviations of a binomial share.
            #expect(abs(share - expected) <= 5 * (expected * (1 - expected) / Double(keys.count)).squareRoot() + 1e-9)
            before = chosen
        }
        #expect(before.count == Set(keys).count)
    }

    @Test("Another salt chooses other keys")
    func saltsAreIndependent() {
        let keys = (0..<4000).map { "key_\($0)" }
        func chosen(_ salt: String) -> Set<String> {
            let selector = RolloutSelector(
                payload: payload {
                    $0.salt = salt; $0.percentageBasisPoints = 1000
                }, region: "eu", dataPlane: "dp_a")
            return Set(keys.filter { selector.isCandidate(keyID: $0, tenantID: "ten_a") })
        }
        let (first, second) = (chosen("first"), chosen("second"))
        #expect(first.intersection(second).count < first.count / 3)
    }
}
