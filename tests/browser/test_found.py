"""From a flag to its transaction; and what of an address means nothing."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs

from msgspec.structs import replace as copied
from playwright.async_api import Page, expect

from tests.support.browser.chromium import Visit
from tests.support.browser.site import Site
from tests.support.rows import FLAG, made, user

RINGS = """async ([user, sought]) => {
  const { Series } = await import(new URL("series.js", document.scripts[0].src));
  const series = new Series();
  await series.load(user, { to_date: "2018-04-21" }, AbortSignal.timeout(10_000));
  const { marks } = series.figure({ log: false, held: 20, sought });
  return marks.filter(({ kind }) => kind === "rings").map(({ values }) => values.filter(Boolean));
}"""
SELECT = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const { left, right, top, bottom } = range.getBoundingClientRect();
  return { left, right, middle: (top + bottom) / 2 };
}"""


async def drag_over(page: Page, selector: str) -> str:
    """Selects a text by the mouse; what is selected then."""
    box = await page.locator(selector).first.evaluate(SELECT)
    await page.mouse.move(box["left"] + 1, box["middle"])
    await page.mouse.down()
    await page.mouse.move(box["right"] - 1, box["middle"], steps=5)
    await page.mouse.up()
    return str(await page.evaluate("getSelection().toString()"))


async def test_a_flag_of_2018_leads_to_its_transaction_which_is_marked(site: Site, visit: Visit) -> None:
    """Of one day with 400 later ones: it is not among the newest."""
    day = timedelta(days=20)
    flagged = made(user(), 1, hundredths=12_345, after=day + timedelta(hours=2), flag=FLAG)
    later = [made(user(), at, after=day + timedelta(hours=3, seconds=at)) for at in range(2, 402)]
    await site.store(flagged, *later)
    await site.mirror(user(), [1230])
    page = await visit.open(site.view())
    await expect(page.locator("#feed li")).to_have_count(1)

    assert len(await drag_over(page, "#feed .aside")) > 20
    assert page.url == site.view()
    await page.locator("#feed .ratio").click()

    marked = page.locator('#rows [aria-current="true"]')
    await expect(marked).to_have_attribute("data-id", flagged.txn.id)
    await expect(marked).to_be_in_viewport()
    await expect(page.get_by_label("To", exact=True)).to_have_value("2018-04-21")
    assert parse_qs(page.url.partition("?")[2]) == {
        "from_date": ["2018-03-22"],
        "to_date": ["2018-04-21"],
        "txn": [flagged.txn.id],
        "at": ["2018-04-21T02:00:00Z"],
    }
    sought = {"id": flagged.txn.id, "at": "2018-04-21T02:00:00Z"}
    assert await page.evaluate(RINGS, [user(), sought]) == [[123.45]]

    assert await drag_over(page, "#rows .row.marked .time") == "2018-04-21 02:00:00"
    await expect(page.locator("#details")).to_be_hidden()
    await page.get_by_role("button", name=f"Copy {user()}").click()
    await expect(page.get_by_role("button", name=f"Copy {user()}")).to_have_text("Copied")


async def test_a_transaction_is_found_by_its_id_alone(site: Site, visit: Visit) -> None:
    visit.expected = ("404", "422")
    first, second = made(user(1), 1), made(user(2), 2, after=timedelta(hours=1))
    twin = made(user(3), 3, after=timedelta(hours=2))
    twin = replace(twin, txn=copied(first.txn, user_id=user(3)))
    await site.store(first, second, twin)
    page = await visit.open(site.view(f"/transactions/{second.txn.id.upper()}"))
    marked = page.locator('#rows [aria-current="true"]')
    await expect(marked).to_have_attribute("data-id", second.txn.id)
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"User {user(2)}")
    await marked.get_by_role("button").click()
    link = page.get_by_role("dialog", name="Transaction").get_by_role("link", name=second.txn.id)
    assert await link.get_attribute("href") == f"#/transactions/{second.txn.id}"

    await page.goto(site.view("/users"))
    search = page.get_by_role("combobox", name="Find a user by id")
    await search.fill(first.txn.id)
    await expect(page.locator("#suggestions")).to_contain_text("Enter looks for a transaction")
    await search.press("Enter")
    await expect(marked).to_have_attribute("data-id", first.txn.id)
    await expect(page.locator("#notices")).to_contain_text("Several transactions have this id")

    await page.goto(site.view(f"/transactions/{user(9)}"))
    await expect(page.locator("#notices")).to_contain_text("There is no such transaction.")


async def test_what_of_an_address_means_nothing_is_said(pages: Site, visit: Visit) -> None:
    visit.expected = ("503", "404")
    page = await visit.open(pages.view("/health"))
    for address, said in {
        "/user/1": "There is no page “user/1” here.",
        "/users/12": "“12” is no user's id.",
        "/transactions/12": "“12” is no transaction's id.",
        f"/users/{user()}?form_date=2018-01-01": "The address says “form_date”, which means nothing here.",
        "/live?limit=3": "The address says “limit”, which means nothing here.",
    }.items():
        await page.goto(pages.view(address))
        await expect(page.locator("#notices")).to_contain_text(said)

    await page.goto(f"{pages.url}/dashboard/nothing")
    await expect(page.get_by_role("heading", name="404 Not Found")).to_be_visible()
    await page.get_by_role("link", name="To the dashboard").click()
    await expect(page.get_by_role("heading", name="Live", exact=True)).to_be_attached()
    await page.goto(f"{pages.url}/dashboard/#/users")
    await expect(page.get_by_role("heading", name="Users", exact=True)).to_be_visible()
    assert page.url == pages.view("/users")
