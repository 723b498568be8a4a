"""The pictures of the documentation."""

from browser import PHONE, go

SMALL = {"width": 1200, "height": 780}
# File, view, theme, size.
PICTURES = [
    ("sensors", "sensors", "light", SMALL), ("sensor", "sensor", "light", SMALL), ("sensor-dark", "sensor", "dark", SMALL),
    ("anomalies", "anomalies", "light", SMALL), ("events", "events", "light", SMALL), ("lanes", "lanes", "light", SMALL),
    ("models", "models", "light", SMALL), ("rejects", "rejects", "light", SMALL), ("sensor-phone", "sensor", "light", PHONE),
]
# Those of a stream that runs, both of one browser, so that the lines have been drawn for a while.
MOVING = [("overview", "light", SMALL), ("overview-phone", "dark", PHONE)]
LINE_POINTS = 40
BYTES_MAX = 200_000


def take_moving(plant, browser, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with browser.page(plant.url) as page:
        go(page, "overview")
        page.wait_for_function("(n) => document.querySelector('.spark .line').getAttribute('d').split('L').length > n", arg=LINE_POINTS, timeout=90_000)
        page.wait_for_function("() => document.querySelectorAll('.feed li').length > 5")
        for name, scheme, size in MOVING:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            shot(page, folder, name)


def take(plant, browser, views, folder):
    for name, view, scheme, size in PICTURES:
        with browser.page(plant.url, size=size, scheme=scheme) as page:
            go(page, next(one for one in views if one.split("?")[0] == view))
            if view == "rejects":
                page.locator("details.bytes summary").nth(2).click()
                page.evaluate("() => document.querySelector('main .scrolls').scrollTo(0, 0)")
            if view == "sensors":
                page.wait_for_selector("#row-0 .key")
            shot(page, folder, name)


def shot(page, folder, name):
    path = folder / f"page-{name}.png"
    page.screenshot(path=path)
    if path.stat().st_size > BYTES_MAX:
        raise RuntimeError(f"{path} has {path.stat().st_size} bytes, at most {BYTES_MAX} are wanted")
