"""A lake of 100,000 sensors is listed within a second, and scrolled through smoothly."""

import statistics

from browser import PHONE, go
from plant import ask

LISTED_MS, LOADS = 1_000, 7
# People see a pause from about a tenth of a second on.
GAP_P95_MS, GAP_MAX_MS = 50, 250
SENSORS = 100_000


def listed(many, browser, expect):
    total = ask(f"{many.url}/api/v1/sensors?limit=1")["total"]
    expect(total == SENSORS, f"the lake has {total} sensors")
    took = []
    for _ in range(LOADS):
        # A context of its own: nothing is in the browser's cache.
        with browser.page(many.url) as page:
            page.add_init_script("""(() => {
                const look = () => {
                    const row = document.querySelector('#row-0 .key');
                    if (row && row.textContent) window.listedAt = performance.now();
                    else requestAnimationFrame(look);
                };
                look();
            })();""")
            page.goto(f"{many.url}/#/sensors")
            page.wait_for_function("() => window.listedAt")
            took.append(page.evaluate("() => window.listedAt"))
            rows = page.locator(".grid-row").count()
    median = statistics.median(took)
    expect(median <= LISTED_MS, f"from navigation to rows: median {median:.0f} ms of {LOADS} loads ({min(took):.0f} to {max(took):.0f}), at most {LISTED_MS}")
    expect(rows < 100, f"{rows} rows exist as elements")


def searched(many, browser, expect):
    with browser.page(many.url) as page:
        go(page, "sensors")
        page.wait_for_selector("#row-0 .key")
        page.locator("#search").fill("19999/5")
        page.wait_for_function("() => document.querySelector('#row-0 .key')?.textContent === '19999/5'")
        expect("search=19999%2F5" in page.url, f"the search finds a sensor: {page.inner_text('.summary')}")
        page.locator("#search").fill("no such")
        page.wait_for_function("() => document.querySelector('.summary').textContent.startsWith('0')")
        go(page, "sensors?sort=key&order=asc")
        page.wait_for_function("() => document.querySelector('#row-0 .key')?.textContent === '1/1'")
        page.evaluate("() => document.querySelector('.grid').focus()")
        page.keyboard.press("End")
        page.wait_for_function("() => document.querySelector('#row-99999 .key')?.textContent === '20000/5'")
        last = page.locator("#row-99999")
        expect(last.get_attribute("aria-rowindex") == "100001" and page.locator(".grid").get_attribute("aria-rowcount") == "100001",
               "End goes to the last of 100,000, and a screen reader is told which it is")


def scrolled(many, browser, expect):
    """The gaps between frames while one scrolls down, slowly and then by whole screens."""
    for name, size in (("desktop", {"width": 1440, "height": 900}), ("phone", PHONE)):
        with browser.page(many.url, size=size) as page:
            go(page, "sensors")
            page.wait_for_selector("#row-0 .key")
            box = page.locator(".grid-body").bounding_box()
            page.mouse.move(box["x"] + 100, box["y"] + 100)
            page.evaluate("""() => {
                window.gaps = [];
                let before = performance.now();
                const frame = (now) => {
                    window.gaps.push(now - before);
                    before = now;
                    requestAnimationFrame(frame);
                };
                requestAnimationFrame(frame);
            }""")
            for delta in [120] * 60 + [900] * 60:
                page.mouse.wheel(0, delta)
            page.wait_for_function("() => document.querySelector('.grid-body').scrollTop > 20000")
            page.wait_for_function("() => !document.querySelector('.grid-row.waiting:not([hidden])')")
            gaps = sorted(page.evaluate("() => window.gaps.slice(1)"))
            p95 = gaps[int(len(gaps) * 0.95)]
            top = page.evaluate("() => document.querySelector('.grid-body').scrollTop")
            expect(len(gaps) > 30 and p95 <= GAP_P95_MS and gaps[-1] <= GAP_MAX_MS,
                   f"{name}: scrolled {top:.0f} pixels in {len(gaps)} frames, gaps between them: median {statistics.median(gaps):.0f} ms, "
                   f"p95 {p95:.0f} ms (at most {GAP_P95_MS}), longest {gaps[-1]:.0f} ms (at most {GAP_MAX_MS})")
            expect(page.locator(".grid-row").count() < 100, f"{page.locator('.grid-row').count()} elements are used again and again")


def reconnects(many, browser, expect):
    """Without the server the page says so; when it is there again, so is the page."""
    with browser.page(many.url, allowed=("net::ERR", "Failed to load")) as page:
        go(page, "overview")
        state = "(state) => document.querySelector('#live').dataset.state === state"
        page.wait_for_function(state, arg="rest")
        many.stop()
        page.wait_for_function(state, arg="lost", timeout=60_000)
        expect(page.inner_text("#live-text") == "reconnecting", "a server that is gone is said to be gone")
        many.serve()
        page.wait_for_function(state, arg="rest", timeout=90_000)
        expect(True, "the page is connected again by itself")


def at_rest(many, browser, expect):
    with browser.page(many.url) as page:
        go(page, "overview")
        page.wait_for_function("() => document.querySelector('#live-text').textContent === 'at rest'")
        expect("at rest" in page.inner_text(".heading"), "a lake without a pipeline is said to be at rest")
