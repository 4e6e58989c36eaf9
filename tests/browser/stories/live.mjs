// Live data of a tab: it ends while the tab is hidden, is asked for every few seconds where streams fail, and a list says
// how many rows are newer without moving. Keys open pages, the search and the list of keys. Answers of the issuer that
// somebody has changed begin no session.
import assert from "node:assert/strict";

import { facts, heading, open, tell, url } from "../browser.mjs";

const isStream = (request) => request.url().includes("/live?") && !request.url().includes("once=true");

async function hides(page, hidden) {
    await page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
        document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
}

async function endsWhileHidden(visit) {
    const page = await (await visit({ session: facts.session })).tab();
    const [stream] = await Promise.all([page.waitForRequest(isStream), open(page, "/")]);
    await page.waitForFunction(() => document.querySelector("#asof[data-age]"));
    const over = Promise.race([page.waitForEvent("requestfailed", (one) => one === stream), page.waitForEvent("requestfinished", (one) => one === stream)]);
    await hides(page, true);
    await over;
    await Promise.all([page.waitForRequest(isStream), hides(page, false)]);
    await page.close();
}

async function polls(visit) {
    const visitor = await visit({ session: facts.session });
    const page = await visitor.tab();
    await page.route(/\/live\?/, (route) => (isStream(route.request()) ? route.abort() : route.continue()));
    const asked = page.waitForRequest((request) => request.url().includes("once=true"));
    await open(page, "/");
    const before = await page.locator("#asof time").getAttribute("datetime");
    await (await asked).response();
    await page.waitForFunction((before) => document.querySelector("#asof time").dateTime !== before, before);
    await page.close();
    // A stream that fails says so on the console.
    visitor.faults.length = 0;
}

async function countsNewerRows(visit) {
    const page = await (await visit({ session: facts.session })).tab();
    await page.clock.install();
    await open(page, "/jobs");
    const first = await page.locator("main tbody th").first().textContent();
    // A runner is asked for elsewhere.
    const other = await (await visit({ session: facts.session })).tab();
    await open(other, "/runners/new");
    await other.getByLabel("Name", { exact: true }).fill("newer");
    await other.getByRole("radio").first().check();
    await Promise.all([other.waitForEvent("load"), other.getByRole("button", { name: "Get the config" }).click()]);
    await page.clock.fastForward(10_000);
    await page.getByRole("link", { name: "1 newer – show" }).waitFor();
    assert.equal(await page.locator("main tbody th").first().textContent(), first, "nothing has moved");
    await Promise.all([page.waitForEvent("load"), page.getByRole("link", { name: "1 newer – show" }).click()]);
    assert.notEqual(await page.locator("main tbody th").first().textContent(), first);
    await page.close();
}

async function obeysKeys(visit) {
    const page = await (await visit({ session: facts.session })).tab();
    await open(page, "/");
    // The first stop of the tab key leads past the navigation.
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "find");
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    assert.ok(await page.getByRole("dialog", { name: "Keyboard shortcuts" }).isVisible());
    await page.keyboard.press("Escape");
    assert.equal(await page.getByRole("dialog").count(), 0);
    for (const [key, title] of [["r", "Runners"], ["w", "Workers"], ["a", "Audit"]]) {
        await page.keyboard.press("g");
        await Promise.all([page.waitForEvent("load"), page.keyboard.press(key)]);
        assert.equal(await heading(page), title);
    }
    await page.goto(`${url}/runners`);
    await page.keyboard.press("x");
    assert.ok((await page.locator("main input[type=checkbox]:checked").count()) > 1, "all rows are selected");
    await Promise.all([page.waitForEvent("load"), page.keyboard.press("p")]);
    assert.equal(await page.getByRole("button", { name: "Show live data" }).count(), 1);
    // Times are the reader's, with UTC for the pointer; nothing moves where motion is not wanted.
    const time = page.locator("main td time").first();
    const [shown, title] = [await time.textContent(), await time.getAttribute("title")];
    assert.match(title, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
    assert.ok(!shown.includes("UTC"), shown);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("nav.main a")).transitionDuration), "0s");
    await page.close();
}

async function refusesChangedAnswers(visit) {
    for (const name of ["nonce", "state"]) {
        const page = await (await visit()).tab();
        await page.goto(`${url}/runners`);
        assert.equal(new URL(page.url()).origin, new URL(facts.issuer).origin);
        const ada = page.getByRole("link", { name: "Ada" });
        await ada.evaluate((link, name) => {
            const changed = new URL(link.href);
            changed.searchParams.set(name, "of-somebody-else");
            link.href = changed.href;
        }, name);
        await ada.click();
        await page.waitForURL(`${url}/session/callback?**`);
        assert.equal(await heading(page), "Sign in");
        assert.match(await page.locator("main").innerText(), name === "nonce" ? /nonce/ : /another browser/);
        assert.ok(!(await page.context().cookies()).some((cookie) => cookie.name === "__Host-rts"), "no session begins");
    }
}

await tell(async (visit) => {
    await Promise.all([endsWhileHidden(visit), polls(visit), countsNewerRows(visit), refusesChangedAnswers(visit)]);
    await obeysKeys(visit);
});
