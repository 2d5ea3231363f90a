"""The console in a real browser (Debian's chromium): each page by role, each form, what goes wrong, by keyboard, without a script, and with axe.

Run by ops/test on SQLite (WEIR_SDK_DATABASE); by hand: pytest Tests/Clients/console_test.py after a build.
WEIR_CONSOLE_PICTURES=docs/images writes the pictures of docs/console.md anew.
"""

import http.client
import json
import os
import re
import subprocess
import urllib.parse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from console_world import LOOPBACK, ROLES, World, wait_for

# On a loaded machine a page takes as long as it takes.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "docs")
HOSTILE = {
    "markup": "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>'\"&amp;{{chrome.csrf}}{{{csrf}}}",
    "bidi": "paid \u202eD\u2066x\u2069 \u200f\u05d0\u05d1 \u061c",
    "64 kB": "A" * 65_536,
}


@pytest.fixture(scope="module")
def world():
    with World(os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as world:
        yield world


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Visitor:
    """Somebody signed on with a token, in a browser of his own."""

    def __init__(self, chromium, world, role="owner", **more):
        self.world = world
        self.context = chromium.new_context(base_url=world.base, viewport=more.pop("viewport", DESKTOP), **more)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("a dialog: " + dialog.message), dialog.dismiss()))
        if role:
            self.sign_on(world.tokens[role])

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.context.close()

    def sign_on(self, token):
        self.page.goto("/admin/sign-in") if "/admin/sign-in" not in self.page.url else None
        self.page.fill("#token", token)
        self.page.click("button.main-act")

    def go(self, path, status=200):
        answer = self.page.goto(path)
        assert answer.status == status, (path, answer.status, self.page.inner_text("body")[:500])
        return self.page

    def links(self):
        return [link.get_attribute("href") for link in self.page.locator("nav[aria-label=Pages] a").all()]

    def submit(self, **fields):
        """Fills in the form of the page, by the fields' names, and sends it."""
        for name, value in fields.items():
            field = self.page.locator(f"main form.form [name='{name.replace('__', '.')}']")
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        self.page.locator("main form.form button.main-act").click()
        return self.page


def fits(page):
    """No page scrolls sideways: what is wide scrolls within itself."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")


# MARK: Pages

def test_each_page_opens_for_each_role_that_it_is_shown_to(chromium, world):
    seen = {}
    for role in (*ROLES, "tenant"):
        with Visitor(chromium, world, role) as visitor:
            links = visitor.links()
            seen[role] = set(links)
            assert len(links) == len(set(links)) and "/admin" in links
            for link in links:
                # Without rendering: that is tried of each page as the owner.
                answer = visitor.context.request.get(link)
                assert answer.status == 200, (role, link, answer.status)
                text = answer.text()
                assert len(text.encode()) < 100_000, (role, link, len(text))
                assert "{{" not in text and "</html>" in text, (role, link)
                policy = answer.headers["content-security-policy"]
                assert "unsafe" not in policy and "default-src 'none'" in policy
                may_change = role in ("owner", "operator") or role == "tenant"
                if not may_change and link not in ("/admin/prices",):
                    assert not re.search(r'class="button main-act" href="[^"]*/new"', text), (role, link)
            assert visitor.complaints == [], role
    assert seen["owner"] > seen["viewer"] and "/admin/audit" in seen["auditor"] and "/admin/audit" not in seen["viewer"]
    assert "/admin/providers" not in seen["tenant"] and "/admin/keys" in seen["tenant"]
    assert "/admin/add-model" in seen["operator"] and "/admin/add-model" not in seen["billing"]


def places(world):
    """One page of each kind, beside the lists."""
    admin = world.lab.admin
    record = admin.get("/usage/records?status=failed&limit=1")["items"][0]["request_id"]
    budget, limit = (admin.get(f"/{path}")["items"][0]["id"] for path in ("budgets", "limits"))
    return {
        "rollout": f"/admin/rollouts/{world.rollout}", "request": f"/admin/requests/{record}", "budget": f"/admin/budgets/{budget}",
        "limit": f"/admin/limits/{limit}", "key": f"/admin/keys/{world.keys['search-prod']['id']}", "tenant": f"/admin/tenants/{world.acme}",
        "provider": f"/admin/providers/{world.lab.provider_id}", "credential": f"/admin/credentials/{world.lab.credential_id}",
        "endpoint": f"/admin/endpoints/{world.lab.endpoint_id}", "new key": "/admin/keys/new", "new route": "/admin/routes/new",
        "promote": f"/admin/rollouts/{world.rollout}/promote", "import": "/admin/prices/import", "publish": "/admin/config/publish",
        "by model": "/admin/usage?group_by=model&window=24h", "roll back": "/admin/rollouts/rollback", "none": "/admin/keys?project_id=prj_aaaaaaaaaaaaaaaa",
        "test call": f"/admin/endpoints/{world.lab.endpoint_id}/test-call",
    }


def nouns(world):
    """What the console has pages for because it is declared: by its path, the pages of one of them, as the API's description has its routes."""
    paths = world.lab.admin.get("/openapi.json")["paths"]
    forms = {}
    for path, methods in paths.items():
        name = path.removeprefix("/admin/api/")
        if "/" not in name and f"{path}/{{id}}" in paths and "get" in methods and "get" in paths[f"{path}/{{id}}"]:
            one = paths[f"{path}/{{id}}"]
            verbs = [verb for verb in ("rotate", "rotate-secret", "revoke", "promote", "abort", "resolve", "test", "toggle")
                     if "post" in paths.get(f"{path}/{{id}}/{verb}", {})]
            forms[name] = ("post" in methods, ["edit"] * ("patch" in one) + ["delete"] * ("delete" in one) + verbs)
    assert len(forms) > 20 and "keys" in forms
    return forms


def every_page(world):
    """Addresses by pattern: those that are made by hand are in console_pages.txt, which the API's tests hold against the routes; the others
    follow from the description."""
    lab, found = world.lab, {}
    key, record = world.keys["search-prod"]["id"], lab.admin.get("/usage/records?limit=1")["items"][0]["request_id"]
    inside = {
        "/admin/endpoints/{id}/test-call": [lab.endpoint_id], "/admin/providers/{id}/test-call": [lab.provider_id],
        "/admin/requests/{id}": [record], "/portal/keys/{id}/revoke": [key], "/portal/keys/{id}/rotate": [key],
        "/docs/{name}": ["weir", *(name[:-3] for name in os.listdir(os.path.join(DOCS)) if name.endswith(".md"))],
        "/docs/images/{name}": os.listdir(os.path.join(DOCS, "images")),
    }
    with open(os.path.join(os.path.dirname(__file__), "console_pages.txt")) as file:
        patterns = file.read().split()
    for pattern in patterns:
        values = [world.acme] if "/of/{tenant}" in pattern else inside.get(pattern, [""])
        found[pattern] = [re.sub(r"\{[a-z]+\}", value, pattern) for value in values]
    assert set(inside) <= set(found)
    for name, (can_make, verbs) in nouns(world).items():
        some = lab.admin.get(f"/{name}?limit=1&sort=created_at")["items"]
        found[name] = [f"/admin/{name}", f"/admin/{name}?sort=-created_at", f"/admin/{name}/export.csv"] + [f"/admin/{name}/new"] * can_make
        found[name] += [f"/admin/{name}/{some[0]['id']}{verb}" for verb in ["", *("/" + verb for verb in verbs)]] if some else []
    return found


def pictured(world, found):
    """Of each page that there is, the name of its picture in docs/pages.md, and its address; None where there is no such thing yet."""
    pages = {}
    for pattern, paths in found.items():
        if not pattern.startswith("/"):
            first = next((path for path in paths if re.fullmatch(rf"/admin/{pattern}/\w+_\w+", path)), None)
            pages |= {pattern: f"/admin/{pattern}", f"{pattern}-one": first}
            if f"/admin/{pattern}/new" in paths:
                pages[f"{pattern}-new"] = f"/admin/{pattern}/new"
        elif not pattern.endswith(".csv") and not pattern.startswith(("/docs/", "/portal/of/")):
            name = re.sub(r"\{\w+\}", "one", pattern.removeprefix("/admin/").strip("/")).replace("/", "-")
            pages["overview" if name == "admin" else name] = paths[0]
    return pages | {"portal-of": f"/portal/of/{world.acme}", "docs-guide": "/docs/first-day"}


def test_every_page_that_there_is_opens(chromium, world):
    found = every_page(world)
    with open(os.path.join(DOCS, "pages.md")) as file:
        shown = set(re.findall(r"\(images/page-([\w-]+)\.webp\)", file.read()))
    # WEIR_CONSOLE_PICTURES=docs/images makes them.
    assert set(pictured(world, found)) - shown == set(), "pages without a picture in docs/pages.md"
    with Visitor(chromium, world) as owner, Visitor(chromium, world, "tenant") as tenant:
        for pattern, paths in found.items():
            visitor = tenant if pattern.startswith("/portal") and "/of/" not in pattern else owner
            for path in paths:
                answer = visitor.context.request.get(path, max_redirects=0)
                # What is over can be neither rotated nor promoted again: then the form says so.
                assert answer.status == 200, (path, answer.status, answer.text()[:500])
                if answer.headers["content-type"].startswith("text/html"):
                    text = answer.text()
                    assert "</html>" in text and (path.startswith("/docs") or not re.search(r"\{\{[{#^/>&]?\w", text)), path
                    assert "default-src 'none'" in answer.headers["content-security-policy"], path
                    assert path.startswith("/docs") or len(text.encode()) < 100_000, (path, len(text))


def test_guides_are_read_and_their_commands_work(chromium, world):
    with Visitor(chromium, world, role=None) as visitor:
        page = visitor.go("/docs")
        page.get_by_role("link", name="The first day").first.click()
        expect(page.locator("main h1")).to_have_text("The first day")
        assert page.locator("nav [aria-current=page]").inner_text() == "The first day"
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.locator(".code button").first.click()
        expect(page.locator(".code button").first).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.strip() == page.locator(".code code").first.text_content().strip()
        visitor.go("/docs/console")
        pictures = page.locator("main img")
        pictures.last.scroll_into_view_if_needed()
        page.wait_for_function("[...document.images].at(-1).naturalWidth > 100")
        for link in page.locator("main a[href^='/docs/']:not(:has(img))").all():
            target = link.get_attribute("href")
            assert visitor.context.request.get(target).status == 200, target
        assert visitor.complaints == []
        visitor.go("/docs/nothing", 404)
        # The commands of the API's page, as they are copied: they ask this control plane, and each that only reads is answered.
        visitor.go("/docs")
        assert world.base in page.locator("main").inner_text()
        commands = [text for text in page.locator("details pre").all_text_contents() if " -X " not in text and "/admin/api/" in text]
        assert len(commands) > 60
        token = world.tokens["owner"]
        failed = []
        for command in commands:
            # There may be none of a kind of thing.
            command = re.sub(r"^(\w+)=\$\(.*$", r'\g<0>\n[ "$\1" != null ] || exit 0', command, flags=re.M)
            done = subprocess.run(["bash", "-c", command], env={**os.environ, "WEIR_TOKEN": token}, capture_output=True, text=True)
            if done.returncode != 0:
                failed.append((command, done.stderr[-300:]))
        assert failed == []


def test_nothing_that_axe_finds_in_light_and_dark_on_desktop_and_phone(chromium, world):
    axe, found = Axe(), []

    def look(page, where, options=None):
        for violation in axe.run(page, options=options).response["violations"]:
            nodes = [node["html"][:160] for node in violation["nodes"][:3]]
            found.append((where, violation["id"], violation["help"], nodes))

    with Visitor(chromium, world) as visitor:
        page = visitor.page
        # Lists of nouns are made of one template: some of them stand for all.
        lists = [f"/admin{path}" for path in ("", "/usage", "/requests", "/failures", "/keys", "/billing", "/audit", "/config", "/routing",
                                              "/data-planes", "/prices", "/endpoint-health", "/add-model", "/rollouts", "/models")]
        assert set(lists) <= set(visitor.links())
        for path in [*lists, *places(world).values()]:
            page.set_viewport_size(DESKTOP)
            page.emulate_media(color_scheme="light")
            visitor.go(path)
            look(page, f"{path}, desktop, light")
            assert fits(page), f"{path} scrolls sideways on a desktop"
            page.set_viewport_size(PHONE)
            page.emulate_media(color_scheme="dark")
            look(page, f"{path}, phone, dark", {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block", "target-size"]}})
            assert fits(page), f"{path} scrolls sideways on a phone"
        assert visitor.complaints == []
    with Visitor(chromium, world, "tenant") as visitor:
        for path in ("", "/usage", "/limits", "/keys", "/keys/new", "/health", "/audit"):
            visitor.page.set_viewport_size(DESKTOP)
            visitor.page.emulate_media(color_scheme="light")
            look(visitor.go(f"/portal{path}"), f"/portal{path}, desktop, light")
            assert fits(visitor.page), f"/portal{path} scrolls sideways on a desktop"
            assert "Globex" not in visitor.page.inner_text("body")
            visitor.page.set_viewport_size(PHONE)
            visitor.page.emulate_media(color_scheme="dark")
            look(visitor.page, f"/portal{path}, phone, dark", {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}})
            assert fits(visitor.page), f"/portal{path} scrolls sideways on a phone"
        assert visitor.complaints == []
    with Visitor(chromium, world, role=None, viewport=PHONE) as visitor:
        for path in ("/admin/sign-in", "/docs", "/docs/production", "/docs/console"):
            look(visitor.go(path), path)
            assert fits(visitor.page), path
    assert found == []


def test_pages_work_without_a_script(chromium, world):
    with Visitor(chromium, world, java_script_enabled=False) as visitor:
        page = visitor.go("/admin")
        expect(page.locator("main h1")).to_have_text("Overview")
        assert page.locator("svg.chart").count() >= 3 and page.locator(".tile").count() >= 5
        visitor.go("/admin/tenants/new")
        visitor.submit(name="Without a script")
        expect(page.locator("main h1")).to_have_text("Without a script")
        with Visitor(chromium, world, viewport=PHONE, java_script_enabled=False) as phone:
            # The menu opens by itself.
            phone.go("/admin").locator("summary", has_text="Menu").click()
            expect(phone.page.locator("nav a", has_text="Tenants").first).to_be_visible()


def test_by_keyboard_alone(chromium, world):
    with Visitor(chromium, world, role=None) as visitor:
        page = visitor.go("/admin/sign-in")
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement.id") != "token":
            page.keyboard.press("Tab")
        page.keyboard.type(world.tokens["owner"])
        page.keyboard.press("Enter")
        expect(page.locator("main h1")).to_have_text("Overview")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
        # Where the keyboard is can be seen.
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        visitor.go("/admin/tenants/new").locator("[name=name]").focus()
        page.keyboard.type("By keyboard")
        page.keyboard.press("Enter")
        expect(page.locator("main h1")).to_have_text("By keyboard")


# MARK: Forms

def test_each_form_makes_what_it_says_and_takes_it_back(chromium, world):
    lab = world.lab
    forms = {
        "tenants": {"name": "Initech"}, "projects": {"name": "Mail", "tenant_id": world.acme},
        "keys": {"name": "mail", "project_id": lab.project_id, "tags": "team=mail\nenv=test"},
        "users": {"oid": "dan", "email": "dan@acme.example", "tenant_id": world.acme},
        "apps": {"app_id": "mailer", "name": "Mailer", "owner_id": world.users["ada"]},
        "bans": {"subject_id": world.users["cy"], "reason": "a try"}, "kill-switches": {"subject_id": lab.models["flaky"], "reason": "a try"},
        "budgets": {"tenant_id": world.globex, "name": "Globex", "limit": "10.00", "period": "monthly"},
        "limits": {"name": "a try", "level": "tenant", "measure": "requests", "amount": "100000"},
        "providers": {"name": "Another", "base_url": "https://api.example.org/v1"},
        "credentials": {"provider_id": lab.provider_id, "name": "spare", "secret": "sk-spare"},
        "endpoints": {"provider_id": lab.provider_id, "name": "spare", "private_addresses": "true"}, "models": {"name": "embed-small", "capabilities": "embeddings"},
        "prices": {"model_id": lab.models["flaky"], "input": "1", "output": "2", "effective_from": "2035-01-01T00:00:00Z"},
        "tokens": {"name": "a try", "role": "viewer"}, "enrollment-tokens": {"name": "eu-2", "region": "eu"},
        "group-roles": {"group": "staff", "role": "viewer"},
    }
    with Visitor(chromium, world) as visitor:
        page = visitor.page
        for path, fields in forms.items():
            visitor.go(f"/admin/{path}/new")
            visitor.submit(**{name: value for name, value in fields.items() if page.locator(f"[name='{name}']").count()})
            problem = page.locator("[role=alert]")
            assert problem.count() == 0, (path, problem.inner_text(), page.locator(".problem").all_inner_texts())
            if page.locator("#secret").count():
                # Shown once: with a button that copies it, and never again.
                assert len(page.locator("#secret").input_value()) > 20
                expect(page.locator("[data-copy]")).to_be_visible()
                page.locator("[data-copy]").click()
                expect(page.locator("[data-copy]")).to_have_text("Copied")
                page.get_by_role("link", name="I have it").click()
            expect(page.locator("dl").first).to_be_visible()
            assert re.search(rf"/admin/{path}/\w+$", page.url), (path, page.url)
            place = page.url
            if page.get_by_role("link", name="Edit", exact=True).count():
                page.get_by_role("link", name="Edit", exact=True).click()
                visitor.submit()
                assert page.url == place, (path, page.locator("[role=alert]").all_inner_texts())
            if page.get_by_role("link", name="Delete", exact=True).count():
                page.get_by_role("link", name="Delete", exact=True).click()
                expect(page.locator("main h1")).to_contain_text("?")
                visitor.submit()
                assert page.url.endswith(f"/admin/{path}"), (path, page.locator("[role=alert]").all_inner_texts())
        assert visitor.complaints == []


def test_two_who_edit_one_thing_learn_of_each_other(chromium, world):
    with Visitor(chromium, world) as ada, Visitor(chromium, world, "operator") as bob:
        place = f"/admin/tenants/{world.globex}/edit"
        ada.go(place)
        bob.go(place)
        bob.submit(name="Globex Corporation")
        expect(bob.page.locator("main h1")).to_have_text("Globex Corporation")
        ada.submit(name="Globex Ltd")
        # What she wrote is there, beside what he did; nothing was overwritten.
        expect(ada.page.locator("[role=alert]")).to_be_visible()
        assert ada.page.locator("[name=name]").input_value() == "Globex Ltd"
        assert "Globex Corporation" in ada.page.locator("main dl").inner_text()
        assert world.lab.admin.get(f"/tenants/{world.globex}")["name"] == "Globex Corporation"
        ada.submit()
        expect(ada.page.locator("main h1")).to_have_text("Globex Ltd")


def test_a_session_that_ended_loses_nothing_silently(chromium, world):
    token = world.lab.admin.post("/tokens", {"name": "short", "role": "owner"})
    with Visitor(chromium, world, role=None) as visitor:
        visitor.sign_on(token["token"])
        page = visitor.go("/admin/tenants/new")
        world.lab.admin.delete(f"/tokens/{token['id']}")
        visitor.submit(name="Never made")
        expect(page.locator("[role=alert]")).to_contain_text("nothing was changed")
        assert not any(tenant["name"] == "Never made" for tenant in world.lab.admin.all("/tenants"))
        # Signing on leads back to the form.
        visitor.sign_on(world.tokens["owner"])
        expect(page.locator("main h1")).to_have_text("New tenant")
        # And from a list to that list, as it was asked for.
        visitor.context.clear_cookies()
        visitor.go("/admin/keys?sort=name")
        visitor.sign_on(world.tokens["owner"])
        assert page.url.endswith("/admin/keys?sort=name")


def test_hostile_texts_in_every_field_stay_texts(chromium, world):
    paths = [name for name, (can_make, _) in nouns(world).items() if can_make]
    with Visitor(chromium, world) as visitor:
        page, request = visitor.page, visitor.context.request
        pages = [f"/admin/{path}/new" for path in paths] + ["/admin/add-model", "/admin/config/publish"]
        for path in pages:
            visitor.go(path)
            fields = page.evaluate("""[...document.querySelectorAll('main form [name]')].map(field =>
                [field.name, field.tagName === 'SELECT' || field.type === 'hidden' ? field.value : null])""")
            for name, text in HOSTILE.items():
                form = {field: text if value is None else value for field, value in fields}
                # Percent-encoded, and in every field at once, 64 kB are more than a form of ours may be: refused, and nothing else.
                answer = request.post(path, form=form, max_redirects=0)
                assert answer.status in (303, 400, 409, 412, 413), (path, name, answer.status, answer.text()[:300])
                assert "onerror=\"window" not in answer.text() and "<script>window" not in answer.text(), (path, name)
            # As a browser shows it: with the text in the fields it came from.
            page.evaluate("""text => { for (const field of document.querySelectorAll('main form.form input:not([type=hidden]):not([type=number]), main form.form textarea'))
                { field.type = field.tagName === 'INPUT' ? 'text' : field.type; field.value = text; } document.querySelector('main form.form').noValidate = true; }""",
                          HOSTILE["markup"])
            page.locator("main form.form button.main-act").click()
            page.wait_for_load_state()
            assert page.evaluate("window.pwned") is None, path
        # One field at a time, 64 kB.
        for path, field in (("/admin/tenants/new", "name"), ("/admin/keys/new", "tags"), ("/admin/providers/new", "ca_pem"), ("/admin/bans/new", "reason")):
            csrf = visitor.go(path).locator("[name=csrf_token]").first.input_value()
            answer = request.post(path, form={"csrf_token": csrf, field: HOSTILE["64 kB"]}, max_redirects=0)
            assert answer.status == 400, (path, answer.status)
        # What may be a name is one wherever it is shown.
        admin = world.lab.admin
        names = ["<b onclick=alert(1)>&lt;Acme&gt;</b>", "{{chrome.csrf}} {{{csrf}}}", "‮evil‬ אב", "W" * 128]
        made = []
        for name in names:
            try:
                made.append((name, admin.post("/tenants", {"name": name})["id"]))
            except Exception as refusal:  # A name that is refused is shown nowhere.
                assert " 400 " in str(refusal), refusal
        assert len(made) >= 2
        page.set_viewport_size(PHONE)
        for name, tenant in made:
            for path in (f"/admin/tenants/{tenant}", "/admin/tenants", "/admin/billing", "/admin/keys/new", f"/admin/audit?resource_id={tenant}"):
                visitor.go(path)
                assert page.locator("main b[onclick]").count() == 0 and fits(page), (path, name)
            assert page.evaluate("name => document.body.textContent.includes(name)", name), name
            visitor.go(f"/admin/tenants/{tenant}")
            assert page.locator("main h1").text_content() == name
        for query in ("name=%3Cscript%3E", "sort=%00", "cursor=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "nothing=1"):
            answer = request.get(f"/admin/tenants?{query}")
            assert answer.status in (200, 400) and "<script>alert" not in answer.text(), query
        for _, tenant in made:
            admin.delete(f"/tenants/{tenant}")
    assert [text for text in visitor.complaints if "status of 4" not in text] == []


# MARK: What is done in several steps

def test_a_model_is_added_in_one_step_and_a_failure_says_what_stands(chromium, world):
    lab = world.lab
    with Visitor(chromium, world) as visitor:
        page = visitor.go("/admin/add-model")
        # A name that is taken: provider, credential and endpoint are made by then.
        visitor.submit(provider__name="Second", provider__base_url=f"http://{LOOPBACK}:{lab.simulator.port}/v1",
                       provider__private_addresses="true", provider__secret="sk-second",
                       model="gpt-small", upstream_model="sim-ok", price__input="1", price__output="2", max_output_tokens="4096")
        states = page.locator(".steps .tag").all_inner_texts()
        assert states == ["done", "done", "done", "failed", "waits", "waits", "waits", "waits"], (states, page.inner_text("main"))
        assert "stands in the draft" in page.locator("[role=status]").inner_text()
        assert "sk-second" not in page.content()
        page.get_by_role("button", name="Change what was entered").click()
        assert page.locator("[name=price\\.input]").input_value() == "1"
        visitor.submit(model="gpt-second")
        # What stood is not made again. What others left in the draft, and a candidate that there is, are decided about first.
        for _ in range(2):
            states = page.locator(".steps .tag").all_inner_texts()
            if "failed" not in states:
                break
            assert states[:3] == ["done before"] * 3 and states[:6].count("failed") == 0, (states, page.inner_text("main"))
            if states[6] == "failed":
                page.get_by_role("button", name="Publish the other changes, too").click()
            else:
                lab.admin.post(f"/rollouts/{world.rollout}/abort")
                page.get_by_role("button", name="Go on from here").click()
            page.wait_for_load_state()
        states = page.locator(".steps .tag").all_inner_texts()
        assert set(states) <= {"done", "done before"}, (states, page.inner_text("main"))
        lab.wait_serving("gpt-second")
        assert world.ask(lab.key, "gpt-second") == 200
        assert sum(1 for provider in lab.admin.all("/providers") if provider["name"] == "Second") == 1
        world.candidate()


def test_prices_of_a_catalogue_are_compared_before_they_are_taken(chromium, world):
    catalogue = {
        "gpt-small": {"input_cost_per_token": 3e-06, "output_cost_per_token": 9e-06, "litellm_provider": "openai", "mode": "chat"},
        "gpt-nowhere": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "litellm_provider": "openai", "mode": "chat"},
    }
    file = {"name": "prices.json", "mimeType": "application/json", "buffer": json.dumps(catalogue).encode()}
    with Visitor(chromium, world, "billing") as visitor:
        page = visitor.go("/admin/prices/import")
        page.set_input_files("[name=catalogue]", {**file, "buffer": b"no catalogue"})
        visitor.submit()
        expect(page.locator("[role=alert]")).to_contain_text("no catalogue")
        page.set_input_files("[name=catalogue]", file)
        visitor.submit()
        row = page.locator("tbody tr", has_text="gpt-small")
        expect(row).to_contain_text("Input")
        expect(row).to_contain_text("$3.00")
        assert page.locator("input[type=checkbox]").count() == 1
        # Somebody changes the draft meanwhile: nothing is taken, and it is compared again.
        price = world.lab.admin.get(f"/prices?model_id={world.lab.models['gpt-large']}")["items"][0]["id"]
        world.lab.admin.patch(f"/prices/{price}", {"output": "8.75"})
        page.get_by_role("button", name="Take them into the draft").click()
        expect(page.locator("[role=alert]")).to_be_visible()
        page.get_by_role("button", name="Take them into the draft").click()
        expect(page.locator("main h1")).to_have_text("Configuration")
        costs = {price["input"] for price in world.lab.admin.get(f"/prices?model_id={world.lab.models['gpt-small']}")["items"]}
        assert "3" in costs or "3.00" in costs or any(cost.startswith("3") for cost in costs), costs


def test_a_rollout_is_seen_beside_its_baseline_and_promoted_when_it_is_meant(chromium, world):
    with Visitor(chromium, world) as visitor:
        page = visitor.go(f"/admin/rollouts/{world.rollout}")
        expect(page.locator("[data-live] tbody")).to_contain_text("Failed")
        assert "keys, of" in page.locator("main").inner_text()
        page.get_by_role("link", name="Promote").click()
        expect(page.locator("main h1")).to_contain_text("?")
        expect(page.locator("main tbody")).to_contain_text("Requests")
        visitor.submit()
        expect(page.locator("main h1")).to_contain_text("Rollout of v")
        assert world.lab.admin.get(f"/rollouts/{world.rollout}")["status"] == "promoted"
        page.get_by_role("link", name="Roll back to").click()
        visitor.submit()
        assert page.url.endswith("/admin/rollouts"), page.inner_text("main")
        world.candidate()


def test_a_test_call_says_what_came_of_it(chromium, world):
    with Visitor(chromium, world) as visitor:
        page = visitor.go(f"/admin/providers/{world.lab.provider_id}")
        page.get_by_role("link", name="Test call").click()
        visitor.submit()
        expect(page.locator("[role=status]")).to_have_text("Every call was answered well.")
        expect(page.locator("tbody")).to_contain_text("200")


# MARK: Live

class Events:
    """A stream of events, without a browser."""

    def __init__(self, world, cookies, path="/admin/live"):
        port = urllib.parse.urlsplit(world.base).port
        self.connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        self.connection.request("GET", path, headers={"Cookie": "; ".join(f"{c['name']}={c['value']}" for c in cookies)})
        self.answer = self.connection.getresponse()

    def line(self):
        return self.answer.readline()

    def close(self):
        self.answer.close()
        self.connection.close()


def test_the_overview_renews_itself_and_a_stream_ends_with_its_session(chromium, world):
    token = world.lab.admin.post("/tokens", {"name": "live", "role": "owner"})
    with Visitor(chromium, world, role=None) as visitor:
        visitor.sign_on(token["token"])
        page = visitor.go("/admin")
        expect(page.locator("[data-live][data-state=live]")).to_be_attached()
        page.locator("details", has_text="The same as a table").first.locator("summary").click()
        before = page.locator(".tile b").first.inner_text()
        world.traffic(1)
        expect(page.locator(".tile b").first).not_to_have_text(before)
        # What somebody opened stays open.
        assert page.locator("main details").first.get_attribute("open") is not None
        assert visitor.complaints == []
        visitor.go("/admin/tenants")
        cookies = visitor.context.cookies()
        streams = []

        def full():
            # The page's own stream is given up when the server next writes to it.
            while len(streams) < 4:
                stream = Events(world, cookies)
                if stream.answer.status != 200:
                    stream.close()
                    return False
                streams.append(stream)
            return True
        wait_for("four streams of one session", full, 60, every=0.5)
        assert streams[0].answer.getheader("content-type").startswith("text/event-stream")
        assert streams[0].line().startswith(b"retry:")
        beyond = Events(world, cookies)
        assert beyond.answer.status == 429 and beyond.answer.getheader("retry-after")
        beyond.close()
        world.lab.admin.delete(f"/tokens/{token['id']}")
        for stream in streams:
            while stream.line():
                pass
            stream.close()
        ended = Events(world, cookies)
        assert ended.answer.status == 204
        ended.close()


# MARK: Lists

def test_lists_filter_sort_page_and_export_by_their_address(chromium, world):
    with Visitor(chromium, world) as visitor:
        page, request = visitor.page, visitor.context.request
        visitor.go("/admin/keys?limit=1&sort=name")
        assert page.locator("tbody tr").count() == 1
        expect(page.get_by_role("link", name="Export as CSV")).to_be_visible()
        first = page.locator("tbody tr").inner_text()
        page.get_by_role("link", name="Next page").click()
        assert page.locator("tbody tr").inner_text() != first and "cursor=" in page.url
        page.get_by_role("link", name="First page").click()
        assert page.locator("tbody tr").first.inner_text() == first
        visitor.go("/admin/requests?status=failed")
        assert page.locator("tbody tr").count() == len(world.lab.admin.all("/usage/records?status=failed"))
        for path in ("/admin/keys", "/admin/requests", "/admin/ledger", "/admin/audit", "/admin/endpoint-health", "/admin/usage", "/admin/failures"):
            visitor.go(path)
            link = page.locator("a", has_text="CSV").first
            answer = request.get(link.get_attribute("href"))
            assert answer.status == 200 and answer.headers["content-type"].startswith("text/csv"), path
            assert answer.text().count("\r\n") >= 1, path


# MARK: Pictures

def some_of_everything(world):
    """One of what the other tests have none of, so that its page has something to show."""
    admin, lab = world.lab.admin, world.lab
    did = admin.get("/dids")["items"][0]["id"]
    for path, body in (
        ("people", {"email": "dana@example.org", "name": "Dana", "role": "operator"}),
        ("group-roles", {"group": "llm-operators", "role": "operator"}), ("bans", {"subject_id": world.users["cy"], "reason": "a stolen laptop"}),
        ("kill-switches", {"subject_id": lab.models["flaky"], "reason": "costs without end"}),
        ("signing-secrets", {"key_id": world.keys["website"]["id"]}), ("enrollment-tokens", {"name": "us-1", "region": "us"}),
        ("revoked-grants", {"did_id": did, "grant_id": "grant-2026-11"}), ("workflows", {"name": "apps", "channel": "internal"}),
    ):
        if not admin.get(f"/{path}")["items"]:
            admin.post(f"/{path}", body)


def test_pictures_for_the_docs(chromium, world):
    folder = os.environ.get("WEIR_CONSOLE_PICTURES")
    if not folder:
        pytest.skip("WEIR_CONSOLE_PICTURES names no folder")
    Image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    os.makedirs(folder, exist_ok=True)
    shown = {
        "overview": "/admin", "usage": "/admin/usage?group_by=hour&window=24h", "requests": "/admin/requests", "failures": "/admin/failures",
        "billing": "/admin/billing", "prices": "/admin/prices", "add-model": "/admin/add-model", "routing": "/admin/routing",
        "fleet": "/admin/data-planes", "keys": "/admin/keys", "audit": "/admin/audit", "configuration": "/admin/config",
        **{name: path for name, path in places(world).items() if name in ("rollout", "request", "budget", "limit", "promote")},
    }

    def shoot(visitor, path, name, width=None, quality=70):
        visitor.go(path)
        png = f"{folder}/{name}.png"
        visitor.page.screenshot(path=png)
        with Image.open(png) as image:
            if width:
                image = image.convert("RGB").resize((width, image.height * width // image.width), Image.Resampling.LANCZOS)
            image.save(f"{folder}/{name}.webp", quality=quality, method=6)
        os.remove(png)

    for scheme, viewport, suffix in (("light", DESKTOP, ""), ("dark", PHONE, "-phone")):
        with Visitor(chromium, world, viewport=viewport, color_scheme=scheme, device_scale_factor=1) as visitor:
            for name, path in shown.items():
                if not suffix or name in ("overview", "rollout", "requests"):
                    shoot(visitor, path, f"console-{name}{suffix}")
    some_of_everything(world)
    # Every page that there is, as its own people see it.
    with Visitor(chromium, world) as owner, Visitor(chromium, world, "tenant") as tenant, Visitor(chromium, world, role=None) as stranger:
        for name, path in pictured(world, every_page(world)).items():
            assert path, f"there is nothing to show on the page {name}"
            visitor = stranger if name in ("sign-in", "docs", "docs-guide") else tenant if re.match(r"/portal(?!/of/)", path) else owner
            shoot(visitor, path, f"page-{name}", width=900, quality=45)
