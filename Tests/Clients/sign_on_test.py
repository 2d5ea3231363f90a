"""Administrators who sign on with a real OpenID provider (nanoidp), as docs/administrators.md has it, at the real control plane.

Run by ops/test on SQLite (WEIR_SDK_DATABASE=sqlite|postgres); by hand: pytest Tests/Clients/sign_on_test.py after a build.
"""

import os
import re
import subprocess
import sys

import pytest
import requests

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, Lab, free_port, wait_for  # noqa: E402

CLIENT, SECRET = "weir", "client-secret-of-the-test"
# Password and groups.
PEOPLE = {
    "ada": ("pw-ada", ["platform-team", "staff"]), "bob": ("pw-bob", ["acme-admins"]), "eve": ("pw-eve", ["others"]),
    "zoe": ("pw-zoe", []),
}


class Provider:
    def __init__(self, folder, port):
        self.folder, self.port, self.child = folder, port, None
        self.issuer = f"http://{LOOPBACK}:{port}"

    def start(self, redirect):
        os.makedirs(f"{self.folder}/keys", exist_ok=True)
        with open(f"{self.folder}/settings.yaml", "w") as file:
            file.write(
                f"config_version: 1\nserver:\n  host: {LOOPBACK}\n  port: {self.port}\noauth:\n  issuer: {self.issuer}\n"
                f"  audience: {CLIENT}\n  token_expiry_minutes: 5\n  clients:\n    - client_id: {CLIENT}\n"
                f"      client_secret: {SECRET}\n      redirect_uris: ['{redirect}']\n")
        with open(f"{self.folder}/users.yaml", "w") as file:
            file.write("config_version: 1\nusers:\n")
            for name, (password, groups) in PEOPLE.items():
                file.write(f"  {name}:\n    password: {password}\n    email: {name}@example.org\n    roles: [USER]\n    groups: {groups}\n")
        self.child = subprocess.Popen(
            [f"{os.path.dirname(sys.executable)}/nanoidp", "--config", self.folder, "--port", str(self.port), "--host", LOOPBACK],
            # Its keys go where it is started.
            cwd=self.folder, stdout=open(f"{self.folder}/log", "w"), stderr=subprocess.STDOUT)

        def answers():
            assert self.child.poll() is None, open(f"{self.folder}/log").read()
            return requests.get(self.issuer + "/.well-known/openid-configuration", timeout=2).ok
        wait_for("nanoidp", answers, 60, every=0.1)
        return self

    def stop(self):
        if self.child:
            self.child.terminate()
            self.child.wait(20)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    provider = Provider(str(tmp_path_factory.mktemp("nanoidp")), free_port())
    with Lab("sign-on", database=os.environ.get("WEIR_SDK_DATABASE", "sqlite")) as lab:
        lab.start_control(environment={
            "WEIR_OIDC_ISSUER": provider.issuer, "WEIR_OIDC_CLIENT_ID": CLIENT, "WEIR_OIDC_CLIENT_SECRET": SECRET,
            # For ports of its own the lab takes the default, http:// and the listening address.
        })
        lab.provider = provider.start(lab.control.base + "/admin/callback")
        lab.admin.post("/tenants", {"name": "Acme"})
        lab.admin.post("/tenants", {"name": "Globex"})
        environment = dict(os.environ, WEIR_URL=lab.control.base, WEIR_TOKEN=lab.admin.token, PATH=f"{lab.bin}:{os.environ['PATH']}")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("administrators", "sh", "roles")], env=environment,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        try:
            yield lab
        finally:
            provider.stop()
        log = open(f"{lab.folder}/control.log").read()
        assert SECRET not in log and "wses_" not in log and "pw-ada" not in log


def sign_on(lab, name, path="/admin/login"):
    """As a browser does it: to the provider, its form, and back. Gives the browser and the last answer."""
    browser = requests.Session()
    form = browser.get(lab.control.base + path, timeout=20)
    assert form.url.startswith(lab.provider.issuer), (form.status_code, form.url, form.text)
    assert "code_challenge_method=S256" in form.url and "nonce=" in form.url
    transaction = re.search(r'name="transaction_id" value="([^"]+)"', form.text).group(1)
    fields = {"transaction_id": transaction, "username": name, "password": PEOPLE[name][0]}
    return browser, browser.post(form.url, data=fields, timeout=20)


def who(lab, browser):
    return browser.get(lab.control.base + "/admin/api/whoami", timeout=20)


def test_a_group_of_the_provider_makes_an_operator_who_signs_off_again(place):
    browser, page = sign_on(place, "ada")
    assert page.status_code == 200 and page.url == place.control.base + "/admin", page.text
    assert "ada" in page.text and "operator" in page.text
    me = who(place, browser).json()
    assert (me["role"], me["tenant_id"]) == ("operator", None)
    made = {"name": "Initech"}
    refused = browser.post(place.control.base + "/admin/api/tenants", json=made, timeout=20)
    assert refused.status_code == 403 and "X-CSRF-Token" in refused.text
    headers = {"X-CSRF-Token": me["csrf_token"], "Origin": place.control.base}
    assert browser.post(place.control.base + "/admin/api/tenants", json=made, headers=headers, timeout=20).status_code == 201
    # The provider's code is good once, and the browser's attempt, too.
    assert browser.get(page.history[-1].url, timeout=20).status_code == 400
    person = [p for p in place.admin.all("/people") if p["id"] == me["id"]][0]
    assert (person["email"], person["role_source"], person["issuer"]) == ("ada@example.org", "groups", place.provider.issuer)
    held = dict(browser.cookies)
    browser.post(place.control.base + "/admin/logout", data={"csrf_token": me["csrf_token"]}, timeout=20)
    assert requests.get(place.control.base + "/admin/api/whoami", cookies=held, timeout=20).status_code == 401


def test_a_group_of_a_tenant_makes_an_administrator_of_that_tenant(place):
    browser, page = sign_on(place, "bob")
    assert page.status_code == 200, page.text
    tenants = browser.get(place.control.base + "/admin/api/tenants", timeout=20).json()["items"]
    assert [t["name"] for t in tenants] == ["Acme"]
    assert browser.get(place.control.base + "/admin/api/config/draft", timeout=20).status_code == 403
    # With the group's role goes the session.
    role = [r for r in place.admin.all("/group-roles") if r["group"] == "acme-admins"][0]
    place.admin.delete(f"/group-roles/{role['id']}")
    assert who(place, browser).status_code == 401


def test_who_has_no_role_is_not_let_in_until_somebody_gives_one(place):
    _, page = sign_on(place, "eve")
    assert page.status_code == 403 and "no role" in page.text
    place.admin.post("/people", {"email": "eve@example.org", "role": "viewer"})
    browser, page = sign_on(place, "eve")
    assert page.status_code == 200 and who(place, browser).json()["role"] == "viewer"


def test_the_provider_s_keys_may_change_at_any_time(place):
    done = requests.post(place.provider.issuer + "/api/keys/rotate", timeout=20)
    assert done.ok, done.text
    browser, page = sign_on(place, "ada")
    assert page.status_code == 200, page.text
    assert who(place, browser).json()["role"] == "operator"


def test_without_the_provider_there_is_a_way_in_at_the_server(place):
    place.provider.stop()
    place.control.stop()
    file = f"{place.folder}/emergency"
    command = [place.control.arguments[0], "break-glass", "--reason", "the provider is down", "--token-file", file, *place.control.options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    place.control.start()
    place.control.wait_ready()
    assert requests.get(place.control.base + "/admin/login", timeout=30).status_code == 502
    token = open(file).read().strip()
    answer = requests.get(place.control.base + "/admin/api/status", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert answer.ok and "break_glass" in [f["code"] for f in answer.json()["findings"]]
    entries = place.admin.all("/audit?resource_kind=token")
    assert "token.break_glass_use" in [e["action"] for e in entries]
