"""Chromium, watched: what it asks of other hosts, what it complains about, whom it leaves out."""

import contextlib
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

# Nothing is asked for updates, and no name but this machine's address is ever resolved.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 780}
WAIT_MS = 20_000

# Elements that a keyboard has to reach; rows of the grid are reached by its arrow keys.
INTERACTIVE = """
() => [...document.querySelectorAll('a[href], button:not([disabled]), input, select, summary, [tabindex="0"]')]
  .filter((e) => e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length > 0)
"""
# The focused element: which one, whether it is seen, and whether one sees that it has the focus.
FOCUSED = """
() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const box = e.getBoundingClientRect();
  const style = getComputedStyle(e);
  const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  const name = e.getAttribute('aria-label') || e.textContent.trim().slice(0, 40) || e.id || e.tagName;
  const index = (window.walked ??= []).indexOf(e);
  if (index < 0) window.walked.push(e);
  return {again: index >= 0, seen, marked, name, tag: e.tagName};
}
"""


class Watched:
    """One browser over one server."""

    def __init__(self, chromium, axe):
        self.chromium, self.axe = chromium, axe
        self.problems = []

    @contextlib.contextmanager
    def open(self):
        with sync_playwright() as tool:
            self.browser = tool.chromium.launch(executable_path=self.chromium, headless=True, args=FLAGS)
            try:
                yield self
            finally:
                self.browser.close()

    @contextlib.contextmanager
    def page(self, url, *, size=DESKTOP, scheme="light", allowed=(), **more):
        """A page whose complaints count, except those that hold one of the `allowed` texts."""
        context = self.browser.new_context(viewport=size, color_scheme=scheme, timezone_id="Europe/Paris", **more)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        host = urlsplit(url).netloc

        def complain(text):
            if not any(part in text for part in allowed):
                self.problems.append(text)

        def look(request):
            if urlsplit(request.url).scheme not in ("data", "blob") and urlsplit(request.url).netloc != host:
                self.problems.append(f"a request to another host: {request.url}")

        context.on("request", look)
        page.on("console", lambda message: message.type in ("error", "warning") and complain(f"console: {message.text}"))
        page.on("pageerror", lambda error: complain(f"an error of the page: {error}"))
        page.base = url
        try:
            yield page
        finally:
            context.close()

    def axe_violations(self, page):
        """Serious and critical ones as texts, by axe's own words."""
        page.evaluate(self.axe)
        found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
        for one in found:
            nodes = "; ".join(" ".join(map(str, node["target"])) for node in one["nodes"][:3])
            one["text"] = f"{one['impact']} {one['id']}: {one['help']} ({nodes})"
        return [one["text"] for one in found if one["impact"] in ("serious", "critical")], [one["text"] for one in found]


def go(page, view):
    """Opens a view by its address and waits until its head is there and nothing is being loaded."""
    page.goto(f"{page.base}/#/{view}")
    settle(page)


def settle(page):
    page.wait_for_selector("main h1")
    page.wait_for_function("() => !document.querySelector('main [aria-busy], main .loading')")


def tab_to(page, name, *, most=120):
    """Presses Tab until the element with this name has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("""(name) => {
            const e = document.activeElement;
            return e && (e.getAttribute('aria-label') ?? e.textContent.trim()) === name;
        }""", name):
            return
    raise RuntimeError(f"Tab does not reach {name!r}")


def walk(page):
    """Presses Tab through the whole view. What is wrong: elements that are not reached, not seen, not marked."""
    page.evaluate("() => { window.walked = []; document.activeElement?.blur(); window.scrollTo(0, 0); }")
    wrong, reached = [], 0
    total = page.evaluate(f"() => ({INTERACTIVE})().length")
    for _ in range(total + 30):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None or focused["again"]:
            break
        reached += 1
        if not focused["seen"]:
            wrong.append(f"{focused['tag']} {focused['name']!r} has the focus and is not seen")
        if not focused["marked"]:
            wrong.append(f"{focused['tag']} {focused['name']!r} has the focus and does not show it")
    missed = page.evaluate(f"""() => ({INTERACTIVE})().filter((e) => !window.walked.includes(e))
        .map((e) => `${{e.tagName}} ${{e.getAttribute('aria-label') || e.textContent.trim().slice(0, 40)}} is not reached by Tab`)""")
    return reached, wrong + missed
