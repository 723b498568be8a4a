"""Everyone can use each view: by keyboard, with a screen reader, in both themes, on a phone."""

from browser import DESKTOP, PHONE, go, walk


def keyboard(plant, browser, expect, views):
    """Tab reaches each element that does something, and one sees where the focus is."""
    with browser.page(plant.url) as page:
        for view in views:
            # From the top of a document of its own: Tab goes on from where the last view was left.
            page.goto("about:blank")
            go(page, view)
            reached, wrong = walk(page)
            expect(not wrong and reached > 10, f"{view.split('?')[0]}: Tab reaches {reached} elements" + "".join(f"; {one}" for one in wrong[:5]))


def axe(plant, browser, expect, views):
    for scheme in ("light", "dark"):
        for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
            with browser.page(plant.url, size=size, scheme=scheme) as page:
                grave, others = [], []
                for view in views:
                    go(page, view)
                    found, every = browser.axe_violations(page)
                    grave += [f"{view.split('?')[0]}: {one}" for one in found]
                    others += [f"{view.split('?')[0]}: {one}" for one in every if one not in found]
                for one in others:
                    print(f"   minor, {scheme}, {name}: {one}")
                expect(not grave, f"axe-core has nothing serious against {len(views)} views, {scheme}, {name}" + "".join(f"; {one}" for one in grave))
