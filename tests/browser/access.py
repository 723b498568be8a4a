"""With keys: nothing without one, and a key of the role view changes nothing."""

import re

from browser import go, settle
from plant import Process, free_port, wait_for

# What a browser says of the refusals that are tried on purpose.
REFUSALS = ("status of 401", "status of 403")


def keys(plant, browser, expect):
    file = plant.work / "keys"
    looker, operator = (made(plant, file, role) for role in ("view", "operate"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["serve", "-c", str(plant.config), "--listen", f"127.0.0.1:{port}", "--keys", str(file)]
    server = Process(plant.binary, words, plant.work / "keys.log", plant.work)
    try:
        server.wait_ready(port)
        strangers(url, browser, expect)
        may_look(plant, url, looker, browser, expect)
        may_operate(plant, file, url, operator, browser, expect)
    finally:
        server.end()
    log = (plant.work / "keys.log").read_text()
    expect(looker not in log and operator not in log, "no key is in the log")


def made(plant, file, role):
    """A new key of a role, as it is shown once."""
    told = plant.finish("keys", "add", str(file), "--role", role, "--name", f"{role}-1")
    return re.search(r"tgk_[0-9a-f]{64}", told)[0]


def strangers(url, browser, expect):
    with browser.page(url, allowed=REFUSALS) as page:
        page.goto(url)
        expect(page.locator("#key").count() == 1 and page.locator("#nav").count() == 0, "a stranger is asked for a key and sees nothing else")
        status = page.evaluate("() => fetch('/api/v1/overview').then((answer) => answer.status)")
        expect(status == 401, f"the API answers a stranger with {status}")
        log_in(page, "tgk_" + "0" * 64)
        page.wait_for_selector("[role=alert]")
        expect("not known" in page.inner_text("[role=alert]"), "a wrong key is refused")
        grave, _ = browser.axe_violations(page)
        expect(not grave, "axe-core has nothing serious against the login" + "".join(f"; {one}" for one in grave))


def may_look(plant, url, key, browser, expect):
    with browser.page(url, allowed=REFUSALS) as page:
        page.goto(url)
        log_in(page, key)
        settle(page)
        expect(page.inner_text("#role") == "view", "a key of the role view lets one in")
        go(page, "models")
        page.wait_for_selector('[data-alias="champion"]')
        expect(page.get_by_role("button", name="Promote").count() == 0 and page.get_by_role("button", name="Roll back").count() == 0,
               "it is offered nothing that moves a model")
        status = page.evaluate("""() => fetch('/api/v1/models/rollback', {
            method: 'POST', headers: {'content-type': 'application/json'}, body: '{"alias": "champion"}',
        }).then((answer) => answer.status)""")
        expect(status == 403, f"and a request that is made by hand is answered with {status}")
        page.wait_for_selector("#logout:not([hidden])")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_selector("#key")
        page.goto(url)
        expect(page.locator("#key").count() == 1, "after logging out a key is needed again")


def may_operate(plant, file, url, key, browser, expect):
    with browser.page(url, allowed=REFUSALS) as page:
        page.goto(url)
        log_in(page, key)
        settle(page)
        go(page, "models")
        page.wait_for_selector('[data-alias="champion"]')
        expect(page.get_by_role("button", name="Promote set 1").count() == 1, "a key of the role operate may promote")
        plant.finish("keys", "remove", str(file), "--name", "operate-1")
        # Whatever the page asks next leads to the login.
        wait_for(lambda: asked_again(page), 30, "the page to lead to the login")
        expect(True, "a key that was removed stops working, and the page leads to the login")


def asked_again(page):
    if page.locator("#key").count() == 1:
        return True
    page.evaluate("() => { location.hash = location.hash === '#/models' ? '#/lanes' : '#/models'; }")
    return False


def log_in(page, key):
    page.locator("#key").fill(key)
    page.keyboard.press("Enter")
