import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

@Suite("Prices from a catalogue")
struct PriceImportTests {
    static let catalogue: JSONValue = [
        "sample_spec": ["input_cost_per_token": 0, "mode": "one of: chat, embedding"],
        "gpt-4o-mini": [
            "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": .number("1.5e-07"),
            "output_cost_per_token": .number("6e-07"), "cache_read_input_token_cost": .number("0.000000075"),
            "input_cost_per_token_batches": .number("7.5e-08"), "supports_vision": true, "an_unknown_member": ["x": .null],
            "search_context_cost_per_query": ["search_context_size_low": .number("0.025")],
        ],
        "near/smart-2": [
            "input_cost_per_token": .number("3e-06"), "output_cost_per_token": .number("1.5e-05"),
            "input_cost_per_token_above_200k_tokens": .number("6e-6"), "cache_creation_input_token_cost": .number("3.75e-06"),
            "cache_creation_input_token_cost_above_1hr": .number("6E-06"),
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens": .number("1.2e-05"),
            "output_cost_per_reasoning_token": .number("2e-05"), "input_cost_per_audio_token": .number("1e-06"),
            "input_cost_per_token_priority": .number("5.25e-06"), "output_cost_per_token_above_200k_tokens_flex": .number("1e-05"),
            "input_cost_per_token_ultrafast": .number("1e-05"),
        ],
        "far/smart-2": ["input_cost_per_token": .number("2e-06"), "output_cost_per_token": .number("1.5e-05")],
        "painter": ["mode": "image_generation", "output_cost_per_image": .number("0.04")],
    ]

    /// A model at one provider, one at two, one whose name says nothing, one that is paid by the image.
    private static let draft: JSONValue = [
        "format": "weir/1",
        "providers": [
            ["name": "Near", "base_url": "https://near.example/v1"], ["name": "far", "base_url": "https://far.example/v1"],
        ],
        "endpoints": [["provider": "Near", "name": "n"], ["provider": "far", "name": "f"]],
        "models": [
            ["name": "gpt-4o-mini", "capabilities": ["chat"]], ["name": "smart", "capabilities": ["chat"]],
            ["name": "own", "capabilities": ["chat"]], ["name": "painter", "capabilities": ["chat"]],
        ],
        "routes": [
            ["model": "gpt-4o-mini", "name": "a", "targets": [["endpoint": "n"], ["endpoint": "f", "weight": 0]]],
            [
                "model": "smart", "name": "b",
                "targets": [["endpoint": "n", "upstream_model": "smart-2"], ["endpoint": "f", "upstream_model": "smart-2"]],
            ],
        ],
    ]

    @Test("are shown first, then taken; what is as it was stays", arguments: TestDatabases.all)
    func lifecycle(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(Self.draft).status == 200)
            func order(_ more: JSONObject = [:]) -> JSONValue {
                var object: JSONObject = ["catalogue": Self.catalogue]
                for member in more.members { object[member.name] = member.value }
                return .object(object)
            }
            let path = "/admin/api/prices/import"
            let dry = try await h.post(path, order(["dry_run": true]))
            #expect(dry.status == 200, "\(dry.text)")
            #expect(try await h.get("/admin/api/prices").json["items"] == [])
            let actions = dry.json["changes"]?.arrayValue?.map { "\($0["model"]?.stringValue ?? "") \($0["action"]?.stringValue ?? "")" }
            #expect(actions == ["gpt-4o-mini added", "own unknown", "painter added", "smart added", "smart added"])
            let mini = dry.json["changes"]?[0]
            #expect(mini?["endpoint_id"] == .null && mini?["entry"] == "gpt-4o-mini" && mini?["remarks"] == [])
            #expect(mini?["left_out"] == [] && mini?["after"]?["per_search"] == "0.025")
            #expect(mini?["after"]?["service_tiers"]?[0]?["service_tier"] == "batch")
            #expect(mini?["after"]?["service_tiers"]?[0]?["input"] == "0.075")
            #expect(dry.json["changes"]?[2]?["after"]?["per_image"] == "0.04")
            #expect(dry.json["changes"]?[3]?["left_out"] == ["input_cost_per_token_ultrafast"])
            #expect(mini?["after"]?["input"] == "0.15" && mini?["after"]?["output"] == "0.60")
            #expect(mini?["after"]?["cached_input"] == "0.075" && mini?["after"]?["cache_write"] == "0.15")
            #expect(mini?["after"]?["effective_from"] == "1970-01-01T00:00:00Z")
            let near = dry.json["changes"]?[3]?["after"]
            #expect(near?["input"] == "3.00" && near?["cache_write_hour"] == "6.00" && near?["reasoning"] == "20.00")
            #expect(near?["tiers"]?[0]?["above_input_tokens"] == 200_000 && near?["tiers"]?[0]?["input"] == "6.00")
            #expect(near?["tiers"]?[0]?["cache_write_hour"] == "12.00" && near?["tiers"]?[1] == nil)
            let services = near?["service_tiers"]?.arrayValue ?? []
            #expect(services.map { $0["service_tier"] } == ["flex", "priority"])
            #expect(services.first?["above_input_tokens"] == 200_000 && services.first?["output"] == "10.00")
            #expect(services.last?["above_input_tokens"] == 0 && services.last?["input"] == "5.25")

            // What was seen is what is taken.
            #expect(try await h.create("/admin/api/models", ["name": "late", "capabilities": ["chat"]]).status == 201)
            #expect(try await h.send(.post, path, order(), ifMatch: dry.etag).status == 412)
            let again = try await h.post(path, order(["dry_run": true]))
            let taken = try await h.send(.post, path, order(), ifMatch: again.etag)
            #expect(taken.status == 200, "\(taken.text)")
            #expect(try await h.get("/admin/api/prices").json["items"]?.arrayValue?.count == 4)
            let same = try await h.post(path, order())
            #expect(same.json["changes"]?.arrayValue?.filter { $0["action"] == "added" || $0["action"] == "changed" } == [])
            #expect(try await h.get("/admin/api/prices").json["items"]?.arrayValue?.count == 4)

            // Another price from a moment on: the old one stays for what was before. Of the same moment it is changed.
            var dearer = Self.catalogue.objectValue ?? JSONObject()
            dearer["gpt-4o-mini"] = ["input_cost_per_token": .number("2e-07"), "output_cost_per_token": .number("6e-07")]
            for (price, action) in [("2e-07", "added"), ("4e-07", "changed")] {
                dearer["gpt-4o-mini"] = ["input_cost_per_token": .number(price), "output_cost_per_token": .number("6e-07")]
                let answer = try await h.post(
                    path,
                    [
                        "catalogue": .object(dearer), "models": ["gpt-4o-mini"], "effective_from": "2027-01-01T00:00:00Z",
                    ])
                #expect(answer.json["changes"]?.arrayValue?.map { $0["action"] } == [.string(action)], "\(answer.text)")
            }
            #expect(try await h.get("/admin/api/prices").json["items"]?.arrayValue?.count == 5)
            let named = try await h.post(path, order(["models": ["own"], "entries": ["own": "gpt-4o-mini"]]))
            #expect(named.json["changes"]?[0]?["action"] == "added" && named.json["changes"]?[0]?["entry"] == "gpt-4o-mini")
        }
    }

    @Test("what is wrong with the order is said, and nothing is taken", arguments: TestDatabases.all.prefix(1))
    func refusals(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            #expect(try await h.apply(Self.draft).status == 200)
            let cases: [(JSONValue, String)] = [
                ([:], "catalogue"), (["catalogue": []], "catalogue"), (["catalogue": Self.catalogue, "models": []], "models"),
                (["catalogue": Self.catalogue, "models": ["nobody"]], "models"),
                (["catalogue": Self.catalogue, "entries": ["own": "nothing"]], "entries"),
                (["catalogue": Self.catalogue, "entries": ["nobody": "gpt-4o-mini"]], "entries"),
                (["catalogue": Self.catalogue, "effective_from": "tomorrow"], "effective_from"),
                (["catalogue": Self.catalogue, "something": 1], "something"),
            ]
            for (body, field) in cases {
                let answer = try await h.post("/admin/api/prices/import", body)
                #expect(answer.status == 400 && answer.fields == [field], "\(field): \(answer.text)")
            }
            #expect(try await h.send(.post, "/admin/api/prices/import", ["catalogue": Self.catalogue], as: .viewer).status == 403)
            // An entry that is no object, or whose numbers are none, is no price and no fault.
            let strange: JSONValue = [
                "gpt-4o-mini": [
                    "input_cost_per_token": .number("-1e-7"), "output_cost_per_token": "much", "input_cost_per_request": .null,
                ],
                "own": 7,
                "smart-2": ["input_cost_per_token": .number("1e400"), "output_cost_per_token": .number("1.23456789012345678e-15")],
            ]
            let answer = try await h.post("/admin/api/prices/import", ["catalogue": strange])
            #expect(answer.status == 200, "\(answer.text)")
            let changes = answer.json["changes"]?.arrayValue ?? []
            #expect(changes.first?["action"] == "unknown" && changes.last?["action"] == "added")
            #expect(changes.last?["after"]?["output"] == "0.000000001" && changes.last?["remarks"]?.arrayValue?.count == 2)
        }
    }
}
