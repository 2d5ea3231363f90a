import Domain
import HTTPTypes
import Nouns
import Primitives
import Storage
import Testing

/// A whole configuration as a document: one thing at least of each noun.
enum SampleDocument {
    static let secret = Catalogue.secret
    private static let did = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"

    private static let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

    static let json: JSONValue = [
        "format": "weir/1",
        "tenants": [
            [
                "name": "Acme", "did_policy": "allow_list", "did_patterns": ["did:key:z6Mk*"], "did_hosts": ["api.acme.example"],
                "weight": 3, "did_daily_limit": 50, "did_credential": "management", "did_key_limit": "2.50", "did_key_limit_reset": "daily",
            ], ["name": "Brown", "status": "disabled"],
        ],
        // Two of one name: what refers to them says whose.
        "projects": [
            ["tenant": "Acme", "name": "Search"], ["tenant": "Brown", "name": "Search", "status": "disabled"],
            ["tenant": "Acme", "name": "Chat"],
        ],
        "keys": [
            [
                "project": ["tenant": "Acme", "name": "Search"], "name": "backend", "user": "ada", "capabilities": ["chat"],
                "models": ["gpt-x"],
                "tags": ["team": "a", "area": "b"],
                "expires_at": "2030-01-01T00:00:00Z",
            ],
            [
                "project": "Chat", "name": "backend", "capabilities": ["chat"], "channels": ["external"], "rights": ["project:read"],
                "networks": ["10.0.0.0/8"], "domains": ["app.example"], "credentials": ["main"],
            ],
        ],
        "users": [
            ["tenant": "Acme", "oid": "ada", "email": "ada@example.org", "payment_valid_until": "2030-01-31T00:00:00Z"],
            ["tenant": "Acme", "oid": "bob", "status": "disabled"],
        ],
        "apps": [
            [
                "tenant": "Acme", "app_id": "billing", "name": "Billing", "description": "Asks for invoices.", "owner": "ada",
                "status": "disabled",
            ]
        ],
        "dids": [
            [
                "tenant": "Acme", "did": .string(did), "user": "bob", "status": "disabled",
            ]
        ],
        "providers": [
            [
                "name": "openai", "base_url": "https://api.openai.com/v1", "auth": ["scheme": "header", "header": "api-key"],
                "timeouts": ["idle_ms": 5000],
            ],
            [
                "name": "spare", "kind": "azure", "base_url": "https://spare.example.com", "ca_pem": .string(certificate),
                "api_version": "2024-10-21", "apis": ["chat"],
            ],
        ],
        "credentials": [
            ["provider": "openai", "name": "main", "secret": .string(secret)],
            ["provider": "openai", "name": "management", "purpose": "management", "secret": .string(secret)],
        ],
        "endpoints": [
            [
                "provider": "openai", "name": "eu", "credentials": ["main"], "timeouts": ["total_ms": 60_000],
                "health_check": ["interval_ms": 5000], "max_concurrent": 8, "http1_only": true,
                "keeps_responses": true, "http2_prior_knowledge": true, "private_addresses": true,
            ],
            ["provider": "openai", "name": "us", "disabled": true, "base_url": "https://us.example.com/v1"],
        ],
        "models": [
            ["name": "gpt-x", "capabilities": ["chat", "embeddings"], "context_window": 128_000, "owned_by": "openai"],
            ["name": "gpt-private", "capabilities": ["chat"], "tenants": ["Acme"], "max_output_tokens": 4096],
        ],
        "routes": [
            [
                "model": "gpt-x", "name": "default",
                "targets": [
                    ["endpoint": "eu", "weight": 3], ["endpoint": "us", "upstream_model": "gpt-x-us", "weight": 0, "priority": 1],
                ],
                "max_attempts": 2, "repeat_unknown_outcomes": true, "hedge_after_ms": 400, "strategy": "least_latency",
                "template": [
                    ["action": "default", "name": "temperature", "value": "{{ 0.2 }}", "apis": ["chat"]],
                    [
                        "action": "header", "name": "X-Plan", "value": "{{ steps.plan.name }}", "when": "steps.plan",
                        "required": true,
                    ],
                ],
            ],
            [
                "model": "gpt-private", "name": "later", "targets": [["endpoint": "us"]], "disabled": true, "fallback_models": ["gpt-x"],
                "fallback_on": ["context_window"], "serves_unnamed": true,
            ],
        ],
        "workflows": [
            [
                "name": "outside", "channel": "external",
                "steps": [
                    [
                        "name": "plan", "kind": "lookup", "url": "https://plans.example/of", "timeout_ms": 200, "on_failure": "degrade",
                        "expression": "{user: caller.user_id}", "otherwise": "{name: \"free\"}",
                    ],
                    [
                        "name": "paid", "kind": "require", "after": ["plan"], "expression": "steps.plan.name != \"none\"",
                        "message": "No plan.", "when": "caller.kind == \"key\"",
                    ],
                    ["name": "window", "kind": "context_window", "bytes_per_token": 4],
                    ["name": "clean", "kind": "sanitise", "level": "strict"],
                ],
            ], ["name": "later", "channel": "external", "disabled": true],
        ],
        "prices": [
            ["model": "gpt-x", "input": "2.50", "output": 10],
            [
                "model": "gpt-x", "endpoint": "us", "input": "2", "output": 8, "per_request": "0.001",
                "effective_from": "2026-01-01T00:00:00Z", "cache_write_hour": "4", "audio_input": "5", "image_input": "6",
                "reasoning": "7", "audio_output": "8.5", "image_output": "9", "provider_cost": true,
                "tiers": [
                    ["above_input_tokens": 200_000, "input": "3", "cached_input": "0.5"], ["above_input_tokens": 500_000, "output": 12],
                ],
                "service_tiers": [
                    ["service_tier": "priority", "input": "4"], ["service_tier": "priority", "above_input_tokens": 200_000, "input": 6],
                ],
                "per_image": "0.04", "per_second": "0.0001", "per_character": "0.000015", "per_search": "0.01",
            ],
        ],
        "limits": [
            ["name": "all", "level": "global", "measure": "requests", "amount": 100_000, "window_seconds": 1],
            [
                "name": "each key, tokens", "level": "key", "measure": "tokens", "amount": 20_000, "channel": "external", "model": "gpt-x",
                "algorithm": "token_bucket", "burst": 60_000, "mode": "observe",
            ],
            ["name": "Chat, at once", "level": "project", "tenant": "Acme", "project": "Chat", "measure": "concurrent", "amount": 8],
            ["name": "one address", "level": "ip", "ip": "192.0.2.7", "measure": "requests", "amount": 5, "window_seconds": 3600],
            ["name": "Billing", "level": "app", "tenant": "Acme", "app": "billing", "measure": "requests", "amount": 60],
            ["name": "Ada", "level": "user", "tenant": "Acme", "user": "ada", "measure": "requests", "amount": 60],
            [
                "name": "backend", "level": "key", "tenant": "Acme", "measure": "requests", "amount": 60,
                "key": ["project": ["tenant": "Acme", "name": "Search"], "user": "ada", "name": "backend"],
            ],
            ["name": "signed", "level": "did", "tenant": "Acme", "did": .string(did), "measure": "requests", "amount": 60],
        ],
        "budgets": [
            [
                "tenant": "Acme", "name": "all", "limit": "250.50", "period": "never", "kind": "soft", "mode": "observe",
                "time_zone": "Europe/Berlin",
            ],
            ["tenant": "Acme", "project": "Chat", "name": "chat", "unit": "tokens", "limit": 1_000_000, "capability": "chat"],
            ["tenant": "Acme", "app": "billing", "name": "billing", "limit": 10, "period": "daily"],
            ["tenant": "Acme", "user": "ada", "name": "ada", "limit": "5"],
            ["tenant": "Acme", "did": .string(did), "name": "signed", "limit": "1", "unknown_outcomes": "likely"],
            ["tenant": "Brown", "name": "paid", "limit": "0", "period": "never", "prepaid": true],
            [
                "tenant": "Acme", "name": "backend",
                "key": ["project": ["tenant": "Acme", "name": "Search"], "user": "ada", "name": "backend"],
                "unit": "requests", "limit": "1000",
            ],
        ],
    ]

    /// How many things are in it.
    static let count = Int64((json.objectValue?.members ?? []).reduce(0) { $0 + ($1.value.arrayValue?.count ?? 0) })

    /// The sample with one of its lists, or what it was not, in place of what is there.
    static func with(_ list: String, _ items: JSONValue) -> JSONValue {
        var object = json.objectValue ?? JSONObject()
        object[list] = items
        return .object(object)
    }
}

extension ControlHarness {
    func apply(
        _ document: JSONValue, dryRun: Bool = false, prune: Bool = false, ifMatch: String? = nil, idempotencyKey: String? = nil
    ) async throws -> Answer {
        try await send(
            .post, "/admin/api/apply", ["document": document, "dry_run": .bool(dryRun), "prune": .bool(prune)], ifMatch: ifMatch,
            idempotencyKey: idempotencyKey)
    }

    func export(_ query: String = "") async throws -> Answer { try await get("/admin/api/export\(query)") }

    /// Everything that an application may change, as it is in the database, and how often something was.
    func everything() async throws -> [String] {
        try await database.read(as: .all) { c in
            var rows: [String] = []
            for noun in AdministeredNouns.all {
                for row in try c.query("SELECT * FROM \(noun.tableName) ORDER BY id", []) { rows.append("\(noun.tableName) \(row.values)") }
            }
            return rows + [
                try c.query("SELECT COUNT(*) AS entries FROM audit_log WHERE action <> 'request.refuse'", []).map { "\($0.values)" }
                    .joined()
            ]
        }
    }
}

extension ControlHarness.Answer {
    /// How many things were created, updated, deleted and left.
    var counts: [Int64] { ["created", "updated", "deleted", "unchanged"].map { json[$0]?.intValue ?? -1 } }

    /// `created model gpt-x`
    var changes: [String] {
        (json["changes"]?.arrayValue ?? []).filter { $0["change"] != "unchanged" }.map { change in
            ["change", "noun", "name"].map { change[$0]?.stringValue ?? "?" }.joined(separator: " ")
        }
    }
}
