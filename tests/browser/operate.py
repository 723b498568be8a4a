"""Models are promoted and rolled back through the page, by keyboard too, and only by whom may."""

from browser import go, settle, tab_to
from plant import ask

CHAMPION = '[data-alias="champion"] .big'


def promote_and_roll_back(plant, browser, expect):
    """By mouse: the alias moves in the registry, and back."""
    with browser.page(plant.url) as page:
        go(page, "models")
        page.wait_for_selector(CHAMPION)
        expect(page.inner_text(CHAMPION) == "set 2", "champion is set 2, the newest training")
        page.get_by_role("button", name="Promote set 1").click()
        page.wait_for_selector("dialog[open]")
        page.get_by_role("button", name="Cancel").click()
        expect(champion(plant) == 2, "nothing moves when one cancels")
        page.get_by_role("button", name="Promote set 1").click()
        page.get_by_role("button", name="Move the alias").click()
        page.wait_for_function(f"() => document.querySelector('{CHAMPION}')?.textContent === 'set 1'")
        expect(champion(plant) == 1, "set 1 was promoted: champion is set 1 in the registry")
        page.get_by_role("button", name="Roll back to set 2").click()
        page.locator("dialog[open] button.main").click()
        page.wait_for_function(f"() => document.querySelector('{CHAMPION}')?.textContent === 'set 2'")
        expect(champion(plant) == 2, "it was rolled back: champion is set 2 in the registry")
        listed = plant.finish("models", "list", "-c", str(plant.config))
        expect("champion" in listed.split("set 2")[1].split("set 1")[0], "the command line says the same")


def by_keyboard(plant, browser, expect):
    """The same without a mouse; and a sensor is sorted, found and opened."""
    with browser.page(plant.url) as page:
        go(page, "models")
        page.wait_for_selector(CHAMPION)
        tab_to(page, "Promote set 1")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        tab_to(page, "Move the alias", most=10)
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => document.querySelector('{CHAMPION}')?.textContent === 'set 1'")
        expect(champion(plant) == 1, "set 1 was promoted by keyboard alone")
        tab_to(page, "Roll back to set 2")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        tab_to(page, "Roll back to set 2", most=10)
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => document.querySelector('{CHAMPION}')?.textContent === 'set 2'")
        expect(champion(plant) == 2, "and rolled back")

        go(page, "sensors")
        page.wait_for_selector(".grid-row .key")
        tab_to(page, "Sensor")
        page.keyboard.press("Enter")
        page.wait_for_selector('[aria-sort="ascending"]')
        page.wait_for_function("() => document.querySelector('#row-0 .key')?.textContent === '1/1'")
        expect(True, "sensors are sorted by keyboard alone")
        tab_to(page, "List of sensors")
        for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
        active = page.evaluate("() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).querySelector('.key').textContent")
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/sensor?**")
        settle(page)
        expect(active == "1/2" and page.inner_text("main h1") == "1/2", "a sensor is opened by keyboard alone")
        expect(page.evaluate("() => document.activeElement.tagName") == "H1" and page.title().startswith("1/2"),
               "the focus is on the new view's head, and the title names it")


def refusal(plant, browser, expect):
    """What the server refuses is said in its words."""
    with browser.page(plant.url, allowed=("status of 4",)) as page:
        go(page, "models")
        page.wait_for_selector(CHAMPION)
        page.route("**/api/v1/models/alias", lambda route: route.continue_(post_data='{"alias": "champion", "version": 99}'))
        page.get_by_role("button", name="Promote set 1").click()
        page.get_by_role("button", name="Move the alias").click()
        page.wait_for_function("() => /Refused: .*99/.test(document.querySelector('dialog [role=alert]').textContent)")
        expect(champion(plant) == 2, f"a refusal is told: {page.inner_text('dialog [role=alert]')}")


def champion(plant):
    return next(alias["version"] for alias in ask(f"{plant.url}/api/v1/models")["aliases"] if alias["name"] == "champion")
