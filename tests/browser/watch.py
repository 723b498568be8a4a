"""The overview moves while a stream runs, and what is injected into the stream shows up in the page."""

from browser import PHONE, go, settle
from plant import ask, us, wait_for

SHOWS_UP_S = 180
# What the overview says now.
READ = """() => {
    const number = (id) => Number(document.querySelector(`[data-stat="${id}"]`).textContent.replace(/[^0-9.]/g, ''));
    return {commits: number('commits'), events: number('events'), line: document.querySelector('.spark .line').getAttribute('d')};
}"""


def overview_moves(plant, browser, expect):
    """Numbers of the overview rise and its lines are drawn, without a reload."""
    with browser.page(plant.url) as page:
        go(page, "overview")
        page.wait_for_function("() => document.querySelector('#live').dataset.state === 'live'")
        page.wait_for_function(f"() => ({READ})().events > 0")
        page.evaluate("() => { window.loaded = 1; }")
        before = page.evaluate(READ)
        page.wait_for_function(f"""(before) => {{
            const now = ({READ})();
            return now.commits > before.commits && now.line && now.line !== before.line;
        }}""", arg=before)
        after = page.evaluate(READ)
        expect(page.evaluate("() => window.loaded") == 1 and after["commits"] > before["commits"],
               f"the overview moves by itself: {before['commits']:.0f} commits, then {after['commits']:.0f}, {after['events']:.0f} events/s")


def fault_shows_up(plant, browser, expect):
    """Anomalies come into the feed by themselves; an injected fault is there and on its sensor's page."""
    with browser.page(plant.url) as page:
        go(page, "anomalies")
        page.wait_for_selector("main tbody tr", timeout=SHOWS_UP_S * 1000)
        shown = page.locator("main tbody tr").count()
        page.evaluate("() => { window.loaded = 1; }")
        page.wait_for_selector("main tbody tr.new", timeout=SHOWS_UP_S * 1000)
        expect(page.evaluate("() => window.loaded") == 1, f"the feed has {shown} anomalies and new ones come by themselves")
        page.wait_for_function("() => /new anomal/.test(document.querySelector('#announce').textContent)")
        expect(True, "new anomalies are said to screen readers")

        key, kind, start, end = wait_for(lambda: found(plant), SHOWS_UP_S, "an injected fault to be an anomaly of the lake")
        go(page, f"anomalies?key={key[0]}&key={key[1]}")
        ends = times(page, "main tbody tr td:first-child time")
        expect(any(start <= at <= end + 5_000_000 for at in ends), f"the {kind} injected into sensor {'/'.join(key)} is in the feed")
        page.locator("main tbody tr a.key").first.click()
        page.wait_for_url("**/#/sensor?**")
        settle(page)
        page.wait_for_selector(".chart canvas")
        page.get_by_role("link", name="All", exact=True).click()
        page.wait_for_url("**range=all**")
        settle(page)
        ends = times(page, ".part-anomalies tbody td:first-child time")
        expect(any(start <= at <= end + 5_000_000 for at in ends), f"the {kind} is on the sensor's page with its reason")
        reasons = page.locator(".part-anomalies tbody .reason").count()
        expect(reasons >= len(ends) > 0, f"{len(ends)} anomalies of the sensor, {reasons} reasons")
        expect(page.locator(".chart").count() >= 6, f"{page.locator('.chart').count()} charts: score, severity and each feature")
        expect(marked(page), "anomalies are marked in the charts")
        page.get_by_text("The points as a table").click()
        page.wait_for_function("() => document.querySelectorAll('.part-words tbody tr').length > 100")
        expect(True, "the charts can be read as a table")
        before = page.locator(".part-bar .range").inner_text()
        drag(page)
        page.wait_for_function("(before) => document.querySelector('.part-bar .range')?.innerText !== before", arg=before)
        expect("from=" in page.url and "to=" in page.url, "dragging over a chart zooms, and the address says to where")


def event_shows_up(plant, browser, expect):
    """A fault that lasts is an event: in the list, on its sensor's page and in the topic of events."""
    event, kind = wait_for(lambda: lasting(plant), SHOWS_UP_S, "an injected fault to be an event of the lake")
    key = [str(part) for part in event["key"]]
    query = "&".join(f"key={part}" for part in key)
    with browser.page(plant.url) as page:
        go(page, f"events?{query}")
        starts = times(page, "main tbody td:nth-child(4) time")
        expect(event["start_us"] in starts, f"the {kind} of sensor {'/'.join(key)} is an event in the list of {len(starts)}")
        go(page, f"sensor?{query}&from={event['start_us'] - 60_000_000}&to={event['end_us'] + 60_000_000}")
        expect(event["start_us"] in times(page, ".event-list time"), "it is on its sensor's page")
    told = [message for message in plant.told() if message["id"] == event["id"]]
    sensor = {"Device": event["key"][0], "Sensor": event["key"][1]}
    expect(told and all(message["sensor"] == sensor for message in told),
           f"it is in the Kafka topic of events: {', '.join(message['type'] for message in told)}")


def lasting(plant):
    """An event that lies in a fault which takes some time, and the fault's kind."""
    events = ask(f"{plant.url}/api/v1/events?limit=1000")["rows"]
    for key, kind, start, end in plant.faults():
        for event in events:
            if kind == "drift" and [str(part) for part in event["key"]] == list(key) and start <= event["start_us"] <= end:
                return event, kind
    return None


def found(plant):
    """A fault that the lake has an anomaly of, when there is one."""
    for key, kind, start, end in plant.faults():
        rows = ask(f"{plant.url}/api/v1/anomalies?key={key[0]}&key={key[1]}&limit=1000")["rows"]
        if any(start <= row["window_end_us"] <= end + 5_000_000 for row in rows):
            return key, kind, start, end
    return None


def times(page, selector):
    texts = page.eval_on_selector_all(selector, "(all) => all.map((time) => time.dateTime)")
    return [us(text) for text in texts]


def marked(page):
    """Whether the score's canvas has pixels in the colour of anomalies."""
    return page.evaluate("""() => {
        const canvas = document.querySelector('[data-panel="score"] canvas');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let red = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i] > 150 && data[i + 1] < 90 && data[i + 2] < 60) red += 1;
        return red > 20;
    }""")


def drag(page):
    page.evaluate("() => window.scrollTo(0, 0)")
    box = page.locator('[data-panel="score"] .u-over').bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    page.mouse.up()


def rejects_and_late(plant, browser, expect):
    """Messages of strangers are shown and do nothing; late readings are listed."""
    with browser.page(plant.url) as page:
        go(page, "rejects")
        page.wait_for_selector("main tbody tr")
        for summary in page.locator("details.bytes summary").all():
            summary.click()
        page.wait_for_function("() => document.querySelectorAll('pre.hex').length === document.querySelectorAll('details.bytes').length")
        text = page.inner_text("main")
        expect('<script>window.acted = 1</script>' in text and page.evaluate("() => window.acted") is None,
               "a rejected message with a script is shown as text and does nothing")
        expect("\\u{202e}" in text and "\u202e" not in text, "marks that hide or turn text are shown as escapes")
        expect("6e 6f 74 20 6a 73 6f 6e" in text, "the bytes are there in hexadecimal")
        go(page, "rejects?show=late")
        page.wait_for_selector("main tbody tr")
        expect(page.locator("main tbody tr").count() >= 3, f"{page.locator('main tbody tr').count()} late readings are listed")


def ledger(plant, browser, expect):
    """Lanes and commits are those of the lake."""
    with browser.page(plant.url) as page:
        go(page, "lanes")
        page.wait_for_selector("main tbody tr button.lane")
        lanes = [row["lane"] for row in ask(f"{plant.url}/api/v1/lanes")["lanes"]]
        shown = page.locator("button.lane").all_inner_texts()
        expect(sorted(shown) == sorted(lanes) and len(lanes) > 0, f"the lanes are {', '.join(shown)}")
        page.locator("button.lane").last.click()
        page.wait_for_function("() => document.querySelector('#commits-head').textContent.includes('Commits of')")
        settle(page)
        page.locator("main details summary", has_text="file").first.click()
        path = page.locator("ul.files code").first.inner_text()
        expect((plant.lake / path).is_file(), f"a commit names the file {path}")


def times_and_themes(plant, browser, expect):
    """The switches change what is shown, and are remembered."""
    with browser.page(plant.url) as page:
        go(page, "overview")
        page.wait_for_selector(".feed time, .facts time")
        local = page.locator(".facts time").first
        title, text = local.get_attribute("title"), local.inner_text()
        page.locator("#zone").click()
        settle(page)
        page.wait_for_selector(".facts time")
        utc = page.locator(".facts time").first.inner_text()
        expect(title.endswith("UTC") and text != utc, f"a time is {text} in Paris, its title {title}; the switch shows {utc}")
        ground = "() => getComputedStyle(document.body).backgroundColor"
        colours = []
        for _ in range(3):
            colours.append(page.evaluate(ground))
            page.locator("#theme").click()
        expect(len(set(colours)) == 2, f"themes: {', '.join(colours)}")
        page.locator("#theme").click()
        page.locator("#theme").click()
        page.reload()
        settle(page)
        expect(page.evaluate("() => document.documentElement.dataset.theme") == "dark" and page.locator("#zone").inner_text() == "UTC",
               "both are remembered")


def lost_and_found(plant, browser, expect):
    """Without the server the page says so, and is there again by itself."""
    with browser.page(plant.url, allowed=("net::ERR", "Failed to load")) as page:
        go(page, "sensors")
        page.wait_for_selector(".grid-row .key")
        page.context.set_offline(True)
        # A connection that is open stays open when Chromium is taken off the net: a request shows it.
        page.evaluate("() => dispatchEvent(new Event('offline'))")
        page.locator("#search").fill("1/")
        page.wait_for_selector("main .notice.bad")
        expect("Try again" in page.inner_text("main .notice.bad"), "a request that failed says so and can be tried again")
        page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        page.wait_for_function("() => !document.querySelector('main .notice.bad') && document.querySelector('.grid-row .key')")
        expect(True, "trying again works")


def phone(plant, browser, expect, views):
    """No view is wider than a phone."""
    with browser.page(plant.url, size=PHONE) as page:
        for view in views:
            go(page, view)
            wide = page.evaluate("() => document.documentElement.scrollWidth")
            expect(wide <= PHONE["width"], f"{view.split('?')[0]} on a phone is {wide} pixels wide")
