import Domain
import Foundation
import Nouns
import Primitives
import Storage
import Testing

@Suite("The weir command line: every command")
struct CommandsTests {
    @Test("the help of every command shows an example of that command")
    func examples() async throws {
        let commands = try await CommandDescription.all()
        #expect(commands.count > 60)
        for command in commands {
            let name = (["weir"] + command.path).joined(separator: " ")
            let examples = command.discussion.split(separator: "\n").filter { $0.hasPrefix("  weir") }
            #expect(!examples.isEmpty, "\(name) has no example")
            for example in examples {
                // `usage summary` is what `usage` alone does.
                let expected = command.path == ["usage", "summary"] ? "weir usage" : name
                #expect(example.trimmingCharacters(in: .whitespaces).hasPrefix(expected), "\(name): \(example)")
            }
        }
    }

    @Test("each command does its work against a live control plane, and none is forgotten here", arguments: TestDatabases.all)
    func everything(kind: TestDatabase) async throws {
        try await CommandLineHarness.run(on: kind) { h in
            let tenant = try await self.directory(h)
            let credential = try await self.catalogue(h, tenant)
            let dataPlane = try await self.releases(h)
            try await self.fleet(h, tenant, dataPlane)
            try await self.administration(h)
            try await self.people(h, tenant)
            try await self.identities(h, tenant)
            try await self.budgets(h, tenant)
            try await self.limits(h, tenant)
            try await self.workflows(h)
            try await self.webhooks(h, tenant)
            try await self.invoices(h, tenant)
            try await self.deletions(h, tenant, credential)

            let run = h.invocations.map { $0.filter { !$0.hasPrefix("-") } }
            for command in try await CommandDescription.all() where command.isLeaf && !command.isHidden {
                let path = command.path == ["usage", "summary"] ? ["usage"] : command.path
                #expect(run.contains { $0.starts(with: path) }, "no test runs weir \(path.joined(separator: " "))")
            }
        }
    }

    /// Tenants, projects, keys.
    private func directory(_ h: CommandLineHarness) async throws -> String {
        let tenant = try await h.field("id", "tenant create --name Acme")
        #expect(tenant.hasPrefix("ten_"))
        #expect(try await h.succeed("tenant list").output.contains("\(tenant)  Acme"))
        #expect(try await h.field("status", "tenant update \(tenant) --status disabled") == "disabled")
        try await h.succeed("tenant update \(tenant) --status active")
        let project = try await h.field("id", "project create --tenant-id \(tenant) --name search")
        #expect(try await h.succeed("project list --tenant-id \(tenant)").output.contains(project))
        #expect(try await h.field("name", "project update \(project) --name production") == "production")
        #expect(try await h.field("tenant_id", "project get \(project)") == tenant)
        // A name does where an id is wanted.
        #expect(try await h.field("id", "project get production") == project)
        #expect(try await h.succeed("project list --tenant-id Acme --sort -name -o name").output == project + "\n")
        #expect(try await h.weir("project list --tenant-id Nobody").error.contains("no tenant is called"))
        #expect(try await h.succeed("tenant get Acme -o yaml").output.hasPrefix("id: \(tenant)\nname: Acme\nstatus: active\n"))

        let unknown = try await h.weir("key create --project-id \(project) --name backend --model no-such-model")
        #expect(unknown.status == 1 && unknown.error.contains("models[0]"))
        let created = try await h.succeed(
            "key create --project-id \(project) --name backend --capability chat --tag team=search --expires-at 2030-01-31")
        #expect(created.output.contains("not shown again"))
        let key = try await h.field("items", "key list --project-id \(project)")
        let id = try #require(try JSONValue(parsing: key)[0]?["id"]?.stringValue)
        #expect(!key.contains("weir_"))
        let shown = try await h.succeed("key get \(id) --json").json
        #expect(shown["expires_at"] == "2030-01-31T00:00:00Z" && shown["capabilities"] == ["chat"] && shown["tags"]?["team"] == "search")
        let cleared = try await h.succeed("key update \(id) --capability all --clear tags --clear expires_at --json").json
        #expect(cleared["capabilities"] == "all" && cleared["tags"] == [:] && cleared["expires_at"] == .null)
        #expect(try await h.field("key", "key rotate \(id) --grace-seconds 60").hasPrefix("weir_"))
        try await signing(h, tenant, id)
        #expect(try await h.field("status", "key revoke \(id)") == "revoked")
        try await h.succeed("key delete \(id)")
        try await h.succeed("project delete \(project)")
        return tenant
    }

    /// Signing secrets, DIDs and the end of their grants.
    private func signing(_ h: CommandLineHarness, _ tenant: String, _ key: String) async throws {
        let made = try await h.succeed("signing-secret create --key-id \(key) --json").json
        let secret = made["id"]?.stringValue ?? ""
        #expect(made["secret"]?.stringValue?.hasPrefix("wsig_") == true)
        #expect(try await h.succeed("signing-secret list").output.contains(secret))
        #expect(try await h.field("key_id", "signing-secret get \(secret)") == key)
        #expect(try await h.field("secret", "signing-secret rotate \(secret) --grace-seconds 60").hasPrefix("wsig_"))
        try await h.succeed("signing-secret delete \(secret)")
        let text = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
        let did = try await h.field("id", "did create --tenant-id \(tenant) --did \(text)")
        #expect(try await h.succeed("did list").output.contains(did))
        #expect(try await h.field("did", "did get \(did)") == text)
        #expect(try await h.field("status", "did update \(did) --status disabled") == "disabled")
        let revoked = try await h.field("id", "revoked-grant create --did-id \(did) --grant-id 5f3c1d7e")
        #expect(try await h.succeed("revoked-grant list").output.contains(revoked))
        #expect(try await h.field("grant_id", "revoked-grant get \(revoked)") == "5f3c1d7e")
        try await h.succeed("revoked-grant delete \(revoked)")
        #expect(try await h.weir("did resolve \(did)").error.contains("has no document"))
        try await h.succeed("did delete \(did)")
    }

    private func people(_ h: CommandLineHarness, _ tenant: String) async throws {
        let person = try await h.field("id", "person create --email Ada@example.org --role operator --tenant-id \(tenant)")
        #expect(try await h.field("name", "person get ada@example.org") == "ada@example.org")
        #expect(try await h.succeed("person list --status active").output.contains("ada@example.org"))
        #expect(try await h.field("status", "person update \(person) --status disabled") == "disabled")
        try await h.succeed("person delete \(person)")
        let groupRole = try await h.field("id", "group-role create --group platform --role operator")
        #expect(try await h.succeed("group-role list").output.contains("platform"))
        #expect(try await h.field("group", "group-role get \(groupRole)") == "platform")
        #expect(try await h.field("role", "group-role update \(groupRole) --role viewer") == "viewer")
        try await h.succeed("group-role delete \(groupRole)")
    }

    private func workflows(_ h: CommandLineHarness) async throws {
        let circle = try await h.weir(
            "workflow create --name out --channel external --step a,kind=require,expression=true,after=b --step b,kind=require,expression=true,after=a"
        )
        #expect(circle.status == 1 && circle.error.contains("steps[0].after") && circle.error.contains("a → b → a"), "\(circle.error)")
        let workflow = try await h.field("id", "workflow create --name out --channel external --step window,kind=context_window")
        #expect(try await h.succeed("workflow list --channel external").output.contains(workflow))
        #expect(try await h.field("name", "workflow get out") == "out")
        let plan = try await h.succeed("config plan --channel external")
        #expect(plan.output.contains("workflow out") && plan.output.contains("├ window"))
        #expect(try await h.field("disabled", "workflow update \(workflow) --disabled true") == "true")
        #expect(try await h.succeed("config plan --channel external").output.contains("the default workflow"))
        try await h.succeed("workflow delete \(workflow)")
    }

    private func limits(_ h: CommandLineHarness, _ tenant: String) async throws {
        let limit = try await h.field(
            "id", "limit create --name each --level key --tenant-id \(tenant) --measure requests --amount 600 --window-seconds 60")
        #expect(try await h.succeed("limit list --level key").output.contains("600"))
        #expect(try await h.field("amount", "limit update \(limit) --amount 1200") == "1200")
        #expect(try await h.field("algorithm", "limit get each") == "sliding_window")
        #expect(try await h.weir("limit update \(limit) --burst 5").error.contains("token_bucket"))
        try await h.succeed("limit delete \(limit)")
    }

    private func webhooks(_ h: CommandLineHarness, _ tenant: String) async throws {
        let webhook = try await h.field("id", "webhook create --name ops --tenant-id \(tenant) --to https://hooks.example.org/weir")
        #expect(try await h.succeed("webhook list").output.contains("https://hooks.example.org/weir"))
        #expect(try await h.field("name", "webhook get ops") == "ops")
        #expect(try await h.succeed("webhook rotate \(webhook)").output.contains("whsec_"))
        // Nobody is there: the message is kept, and its end is told.
        #expect(try await h.weir("webhook test \(webhook)").status == 1)
        let deliveries = try await h.succeed("webhook deliveries \(webhook) --json").json
        let delivery = (deliveries["items"] ?? deliveries)[0]?["id"]?.stringValue ?? "none"
        #expect(try await h.weir("webhook redeliver \(webhook) \(delivery)").status == 1)
        #expect(try await h.field("status", "webhook update \(webhook) --status disabled") == "disabled")
        try await h.succeed("webhook delete \(webhook)")
    }

    private func invoices(_ h: CommandLineHarness, _ tenant: String) async throws {
        let file = h.configuration.appendingPathComponent("2026-11.jsonl").path
        try await h.succeed("invoice fetch 2026-11 --tenant-id \(tenant) --file \(file)")
        try await h.succeed("invoice keys --tenant-id \(tenant)")
        // Nobody asked for anything: nothing is false in it.
        let verified = try await h.weir("invoice verify \(file)")
        #expect([0, 2].contains(verified.status), "\(verified.output) \(verified.error)")
    }

    private func budgets(_ h: CommandLineHarness, _ tenant: String) async throws {
        let budget = try await h.field("id", "budget create --tenant-id \(tenant) --name all --limit 12.50 --time-zone Europe/Berlin")
        #expect(try await h.succeed("budget list").output.contains("12.50"))
        #expect(try await h.field("limit", "budget update \(budget) --limit 20") == "20")
        #expect(try await h.field("level", "budget get all") == "tenant")
        #expect(try await h.weir("budget update \(budget) --limit 1.2.3").error.contains("limit"))
        let slices = try await h.control.heldSlices(of: budget, tenant, [(2, 0, 10), (0, 5, 20)])
        let state = try await h.succeed("budget state all").output
        #expect(state.contains("Limit:     20.00 dollars; begins anew ") && state.contains("orphaned") && state.contains(slices[0]))
        #expect(try await h.weir("budget write-off \(budget) \(slices[1])").error.contains("in use"))
        #expect(try await h.field("leased", "budget write-off \(budget) \(slices[0])") == "0.000000015")
        #expect(try await h.field("settled", "budget resolve \(budget) \(slices[1]) --charge 0.000000003") == "0.000000003")
        #expect(try await h.succeed("budget events --since 2020-01-01").output == "Nothing there.\n")
        try await h.succeed("budget delete \(budget)")
    }

    /// The draft.
    private func catalogue(_ h: CommandLineHarness, _ tenant: String) async throws -> String {
        #expect(try await h.succeed("tenant get \(tenant)").output.contains("Acme"))
        let provider = try await h.field(
            "id", "provider create --name sim --base-url http://127.0.0.1:9090/v1 --auth bearer --idle-ms 5000")
        #expect(try await h.field("timeouts.idle_ms", "provider get \(provider)") == "5000")
        #expect(
            try await h.field("auth", "provider update \(provider) --auth header --auth-header api-key")
                == #"{"scheme":"header","header":"api-key"}"#)
        #expect(try await h.succeed("provider list").output.contains(provider))
        let credential = try await h.field(
            "id", "credential create --provider-id \(provider) --name main", input: "sk-live-0123456789abcdefghij\n")
        #expect(try await h.field("secret_hint", "credential get \(credential)") == "ghij")
        #expect(
            try await h.field("secret_hint", "credential rotate \(credential) --secret -", input: "sk-live-0123456789abcdefgwxyz") == "wxyz"
        )
        #expect(try await h.field("name", "credential update \(credential) --name spare") == "spare")
        #expect(try await h.succeed("credential list --provider-id \(provider)").output.contains(credential))
        let endpoint = try await h.field(
            "id", "endpoint create --provider-id \(provider) --name e1 --credential-id \(credential) --private-addresses true")
        #expect(try await h.field("disabled", "endpoint update \(endpoint) --disabled true") == "true")
        try await h.succeed("endpoint update \(endpoint) --disabled false --base-url http://127.0.0.1:9091/v1")
        #expect(try await h.field("base_url", "endpoint update \(endpoint) --clear base_url") == "null")
        #expect(try await h.succeed("endpoint get \(endpoint)").output.contains(credential))
        #expect(try await h.succeed("endpoint list --provider-id \(provider)").output.contains(endpoint))
        let model = try await h.field("id", "model create --name gpt-x --capability chat --capability embeddings --context-window 128000")
        #expect(try await h.field("tenant_ids", "model update \(model) --tenant-id \(tenant)") == #"["\#(tenant)"]"#)
        #expect(try await h.field("tenant_ids", "model update \(model) --tenant-id all") == "all")
        #expect(try await h.succeed("model list").output.contains("chat, embeddings"))
        #expect(try await h.field("context_window", "model get \(model)") == "128000")
        let route = try await h.field("id", "route create --model-id \(model) --name r --target \(endpoint),model=llama3:8b,weight=3")
        let targets = try await h.succeed("route get \(route) --json").json["targets"]
        #expect(targets == [["endpoint_id": .string(endpoint), "upstream_model": "llama3:8b", "weight": 3, "priority": 0]])
        #expect(try await h.field("max_attempts", "route update \(route) --max-attempts 2") == "2")
        #expect(try await h.succeed("route list --model-id \(model)").output.contains(route))
        let price = try await h.field("id", "price create --model-id \(model) --input 0.15 --output 0.60 --effective-from 2026-01-01")
        #expect(try await h.field("cached_input", "price update \(price) --cached-input 0.075") == "0.075")
        #expect(try await h.field("effective_from", "price get \(price)") == "2026-01-01T00:00:00Z")
        #expect(try await h.succeed("price list --model-id \(model)").output.contains("0.60"))
        let imported = try await h.weir("price import - --dry-run", input: #"{"another": {"input_cost_per_token": 1e-6}}"#)
        #expect(imported.status == 0 && imported.output.contains("not in the catalogue"), "\(imported)")
        return credential
    }

    /// Versions and rollouts.
    /// - Returns: a data plane's id.
    private func releases(_ h: CommandLineHarness) async throws -> String {
        #expect(try await h.succeed("config draft").output.contains("Nothing was published yet"))
        #expect(try await h.succeed("config validate").output.contains("can be published"))
        let published = try await h.succeed("config publish --note first --field version")
        #expect(published.value == "1" && published.error.contains("Everything is new:"))
        #expect(try await h.weir("config publish").status == 1)
        let provider = try #require(try await h.succeed("provider list --json").json["items"]?[0]?["id"]?.stringValue)
        try await h.succeed("provider update \(provider) --idle-ms 9000")
        #expect(try await h.succeed("config diff --from 1").output.contains("timeouts.idle_ms: 5000 → 9000"))
        let second = try await h.succeed("config publish --note second --field version")
        #expect(second.value == "2" && second.error.contains("~ providers") && second.error.contains("(owner)"))
        #expect(try await h.succeed("config versions").output.contains("second"))
        #expect(try await h.succeed("config get 1").output.contains("providers (1)"))
        try await h.succeed("config reset --version 1")
        #expect(try await h.succeed("config diff --from 1 --to draft").output == "No difference.\n")

        let nobody = try await h.weir("rollout create --version 1 --region mars")
        #expect(nobody.status == 1 && nobody.error.contains("regions"))
        let first = try await h.field("id", "rollout create --version 1 --percentage 100")
        #expect(try await h.succeed("rollout targets \(first)").output == "Nothing there.\n")
        #expect(try await h.field("status", "rollout promote \(first)") == "promoted")
        let dataPlane = DataPlaneID.random().rawValue
        try await h.control.database.transaction { c in
            try DataPlanesTable.insert(
                c,
                DataPlaneRow(
                    id: dataPlane, name: "eu-1", region: "eu", tenantIDs: [], identityPublicKey: [1], sealingPublicKey: [2],
                    version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 1_800_000_000_000))
        }
        #expect(try await h.field("data_planes", "rollout create --version 2 --region eu --dry-run") == "1")
        let created = try await h.succeed("rollout create --version 2 --region eu --percentage 12.5 --field id")
        #expect(created.error.contains("It reaches "))
        #expect(try await h.field("candidate.percentage", "rollout status") == "12.5")
        // There is one under way: it needs no id.
        let wider = try await h.succeed("rollout update --percentage 20 --region all --json").json
        #expect(wider["percentage"] == 20 && wider["regions"] == "all")
        #expect(try await h.succeed("rollout list").output.contains("promoted"))
        #expect(try await h.field("status", "rollout abort") == "aborted")
        #expect(try await h.weir("rollout promote").status == 2)
        let third = try await h.field("id", "rollout create --version 2")
        try await h.succeed("rollout promote")
        // Without a terminal it has to be said what is undone.
        let unnamed = try await h.weir("rollout rollback")
        #expect(unnamed.status == 2 && unnamed.error.contains("--undo 2"))
        for _ in 0..<2 { #expect(try await h.field("baseline_version", "rollout rollback --undo 2") == "3") }
        #expect(try await h.succeed("rollout rollback --to 1").output.contains("That was done before. Version 3 serves all."))
        #expect(try await h.field("status", "rollout get \(third)") == "rolled_back")
        return dataPlane
    }

    private func fleet(_ h: CommandLineHarness, _ tenant: String, _ dataPlane: String) async throws {
        try await h.control.database.transaction { c in
            try EndpointReportsTable.put(
                c,
                EndpointReportRow(
                    dataPlaneID: dataPlane, endpoints: #"[{"endpoint_id":"ep_down","failing":true,"failures":3,"last":"no connection"}]"#,
                    credentials: "[]", reportedAt: 1_800_000_000_000))
        }
        #expect(try await h.succeed("fleet endpoints --region eu --in-trouble").output.contains("ep_down"))
        #expect(try await h.succeed("fleet list --region eu").output.contains(dataPlane))
        #expect(try await h.field("region", "fleet get \(dataPlane)") == "eu")
        #expect(try await h.field("tenant_ids", "fleet update \(dataPlane) --name eu-2 --tenant-id \(tenant)") == #"["\#(tenant)"]"#)
        #expect(try await h.field("tenant_ids", "fleet update \(dataPlane) --tenant-id all") == "all")
        #expect(try await h.field("status", "fleet revoke \(dataPlane)") == "revoked")
        let created = try await h.succeed("fleet token create --name eu-3 --region eu --ttl-seconds 600 --json").json
        #expect(created["token"]?.stringValue?.hasPrefix("wenr_") == true)
        let token = try #require(created["id"]?.stringValue)
        #expect(try await h.succeed("fleet token list").output.contains(token))
        #expect(try await h.field("region", "fleet token get \(token)") == "eu")
        try await h.succeed("fleet token delete \(token)")
        #expect(try await h.succeed("fleet signing-keys").output.contains("active"))
        #expect(try await h.field("id", "fleet rotate-signing-key --grace-seconds 3600").hasPrefix("sk_"))
        #expect(try await h.field("epoch", "fleet raise-epoch") == "2")
    }

    private func administration(_ h: CommandLineHarness) async throws {
        let usage = try await h.succeed("usage --group-by tenant,model --from 2026-11-01 --time-zone Europe/Berlin").output
        #expect(usage.hasPrefix("No usage.\n\nFrom 2026-11-01T01:00:00+01:00 until "))
        try await h.succeed("usage --group-by key --sort -cost --limit 3")
        #expect(try await h.succeed("usage records --limit 5 --status completed --sort -cost").output == "Nothing there.\n")
        #expect(try await h.succeed("usage records --csv --from 2026-11-01").output.hasPrefix("REQUEST,AT,KEY,MODEL,"))
        #expect(try await h.weir("usage record req_aaaaaaaaaaaaaaaaaaaaaaaaaa").error.contains("404"))
        #expect(try await h.succeed("usage quarantine list").output == "Nothing there.\n")
        for verb in ["release", "discard"] {
            #expect(try await h.succeed("usage quarantine \(verb) --data-plane-id \(DataPlaneID.random()) --json").output.contains("0"))
        }
        #expect(try await h.succeed("billing month 2026-11 --group-by model").output.hasSuffix("2026-11: $0.00 for 0 requests.\n"))
        #expect(try await h.succeed("billing entries").output == "Nothing there.\n")
        let payer = try await h.field("id", "tenant create --name Payer")
        #expect(try await h.field("amount", "billing top-up --tenant-id Payer --amount 12.50 --reference pay-1") == "12.50")
        #expect(try await h.field("amount", "billing adjust --tenant-id \(payer) --amount -2.5 --description Fee") == "-2.50")
        #expect(try await h.field("balance", "billing balance --tenant-id Payer") == "10.00")
        #expect(try await h.succeed("billing entries --sort posted_at").output.contains("pay-1"))
        let statement = try await h.succeed("billing statement 2999-01 --tenant-id Payer").output
        #expect(statement == "Balance before: $10.00\n\nNo lines.\n\nBalance after: $10.00\n")
        #expect(try await h.succeed("billing statement 2999-01 --tenant-id Payer --csv").output.hasPrefix("day,posted_at,entry_id,kind,"))
        let export = "Model,Day,Input Tokens,Cost\n\"gpt,\"\"x\"\"\",2026-11-02,5,0.10\n"
        #expect(try await h.succeed("billing reconcile 2026-11 -", input: export).output.contains("gpt,\"x\""))
        #expect(try await h.succeed("audit --resource-kind rollout --all").output.contains("rollout.rollback"))
        #expect(try await h.succeed("audit list --sort at --resource-kind rollout").output.contains("rollout.create"))
        #expect(try await h.succeed("audit list --source all --text ro_ --status done").output.contains("rollout.rollback"))
        for format in ["jsonl", "csv"] {
            let file = h.configuration.appendingPathComponent("audit.\(format)")
            let made = try await h.succeed("audit export \(format == "csv" ? "--csv " : "")--file \(file.path)")
            #expect(made.error.contains("is as it was sent: ") && !made.error.contains(": 0 entries"))
            #expect(try await h.succeed("audit export --verify \(file.path)").output.contains("is as it was sent"))
            let text = try String(contentsOf: file, encoding: .utf8)
            for wrong in [String(text.dropLast()), text.replacing("rollout.rollback", with: "rollout.promote"), text + text, ""] {
                #expect(try await h.weir(["audit", "export", "--verify", "-"], input: wrong).status == 1)
            }
        }
        let document = try await h.succeed("export").output
        #expect(try await h.succeed("apply -f -", input: document).output == "Nothing to change.\n")
        let token = try await h.field("id", "token create --name ci --role operator --expires-at 2030-01-31")
        #expect(try await h.field("role", "token update \(token) --role viewer") == "viewer")
        #expect(try await h.field("name", "token get \(token)") == "ci")
        #expect(try await h.succeed("token list").output.contains(token))
        try await h.succeed("token delete \(token)")
        try await h.succeed("login", input: h.control.token(.viewer) + "\n")
        try await h.succeed("logout")
        #expect(try await h.field("role", "whoami") == "owner")
        try await h.succeed("context add spare --url \(h.url)", input: h.control.token(.viewer) + "\n")
        #expect(try await h.succeed("context list").output.contains("spare"))
        try await h.succeed("context use spare")
        try await h.succeed("context delete spare")
        #expect(try await h.succeed("status").output.contains("Control plane:"))
        #expect(try await h.weir("doctor").status == 1)
        #expect(try await h.succeed("completion bash").output.contains("rollout"))
    }

    /// Users, apps and bans.
    private func identities(_ h: CommandLineHarness, _ tenant: String) async throws {
        let user = try await h.field(
            "id", "user create --tenant-id \(tenant) --oid ada --email ada@example.org --payment-valid-until 2035-01-31")
        #expect(try await h.succeed("user list --tenant-id \(tenant)").output.contains("ada"))
        #expect(try await h.field("email", "user get ada") == "ada@example.org")
        #expect(try await h.field("payment_valid_until", "user update ada --clear payment_valid_until") == "null")
        #expect(try await h.field("payment_status", "user sync-expiry ada") == "active")
        #expect(try await h.field("expired", "user sync-expiries") == "0")
        let app = try await h.field("id", "app create --app-id billing --name Billing --owner-id ada")
        #expect(try await h.field("owner_id", "app get billing") == user)
        #expect(try await h.succeed("app list --owner-id \(user)").output.contains("billing"))
        #expect(try await h.field("name", "app update billing --name Bot") == "Bot")
        #expect(try await h.field("status", "app toggle billing") == "disabled")
        #expect(try await h.field("secret", "app rotate-secret billing --grace-seconds 60").hasPrefix("wapp_"))
        let ban = try await h.field("id", "ban create --subject-id \(app) --reason fraud")
        #expect(try await h.succeed("ban list --subject-id \(app)").output.contains(ban))
        #expect(try await h.field("kind", "ban get \(ban)") == "app")
        #expect(try await h.field("reason", "ban update \(ban) --reason mistake") == "mistake")
        try await h.succeed("ban delete \(ban)")
        let kill = try await h.field("id", "kill app:billing --reason runaway --expires-at 2035-01-31")
        #expect(try await h.succeed("kill-switch list --subject-id \(app)").output.contains(kill))
        #expect(try await h.field("kind", "kill-switch get \(kill)") == "app")
        #expect(try await h.field("reason", "kill-switch update \(kill) --reason mistake") == "mistake")
        try await h.succeed("unkill app:billing")
        #expect(try await h.weir("unkill app:billing").error.contains("kill-switch list"))
        let again = try await h.field("id", "kill-switch create --subject-id \(app) --reason again")
        try await h.succeed("kill-switch delete \(again)")
        let world = try await h.field("id", "kill world")
        #expect(try await h.field("kind", "kill-switch get \(world)") == "world")
        try await h.succeed("kill-switch delete \(world)")
        try await h.succeed("app delete billing")
        try await h.succeed("user delete ada")
    }

    private func deletions(_ h: CommandLineHarness, _ tenant: String, _ credential: String) async throws {
        let refused = try await h.weir("credential delete \(credential)")
        #expect(refused.status == 1 && refused.error.contains("→"))
        for noun in ["price", "route", "model", "endpoint", "credential", "provider"] {
            // What the configuration in force uses stays until another one is: the empty draft takes its place.
            if noun == "credential" {
                // Twice: a rollback would return to the one before.
                for publish in ["config publish --note empty", "config publish --restore 4"] {
                    let version = try await h.field("version", publish)
                    try await h.succeed("rollout create --version \(version)")
                    try await h.succeed("rollout promote")
                }
            }
            let items = try await h.succeed("\(noun) list --all --json").json["items"]?.arrayValue ?? []
            for item in items { try await h.succeed("\(noun) delete \(item["id"]?.stringValue ?? "")") }
        }
        try await h.succeed("tenant delete \(tenant)")
    }
}
