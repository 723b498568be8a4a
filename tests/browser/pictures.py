"""The pictures of the documentation."""

from browser import PHONE, go

SMALL = {"width": 1200, "height": 780}
# File, view, theme, size.
PICTURES = [
    ("overview", "overview", "light", SMALL), ("sensors", "sensors", "light", SMALL), ("sensor", "sensor", "light", SMALL),
    ("sensor-dark", "sensor", "dark", SMALL), ("anomalies", "anomalies", "light", SMALL), ("events", "events", "light", SMALL),
    ("lanes", "lanes", "light", SMALL), ("models", "models", "light", SMALL), ("rejects", "rejects", "light", SMALL),
    ("overview-phone", "overview", "dark", PHONE), ("sensor-phone", "sensor", "light", PHONE),
]
BYTES_MAX = 200_000


def take(plant, browser, views, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, view, scheme, size in PICTURES:
        with browser.page(plant.url, size=size, scheme=scheme) as page:
            go(page, next(one for one in views if one.split("?")[0] == view))
            if view == "overview":
                page.wait_for_function("() => document.querySelectorAll('.feed li').length > 5 && document.querySelector('.spark .line').getAttribute('d')")
            if view == "rejects":
                page.locator("details.bytes summary").first.click()
            if view == "sensors":
                page.wait_for_selector("#row-0 .key")
            path = folder / f"page-{name}.png"
            page.screenshot(path=path)
            if path.stat().st_size > BYTES_MAX:
                raise RuntimeError(f"{path} has {path.stat().st_size} bytes, at most {BYTES_MAX} are wanted")
