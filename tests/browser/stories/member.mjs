// A member asks for a runner: refused with the rule that refuses, then accepted; the config is shown once.
import assert from "node:assert/strict";

import { facts, heading, open, press, screenshot, tell, url } from "../browser.mjs";

async function asksForARunner(page, withScript) {
    assert.equal(await open(page, "/runners"), "Runners");
    assert.equal(await press(page, "New runner", "link"), "New runner");
    await page.getByLabel(new RegExp(`^\\s*${facts.team} —`)).check();
    await page.getByLabel("Name", { exact: true }).fill(withScript ? "scripted" : "plain");
    const labels = page.getByLabel("Labels", { exact: false });
    await labels.fill(`linux, ${facts.forbidden}`);
    if (withScript) {
        // The check runs while the member types.
        await page.locator("#check").getByText(facts.forbidden).first().waitFor();
    } else {
        await press(page, "Check the request");
    }
    const check = await page.locator("main").innerText();
    assert.match(check, new RegExp(facts.forbidden));
    assert.ok(check.includes(facts.pattern), `the rule ${facts.pattern} is named`);
    await screenshot(page, `refused-${withScript ? "script" : "plain"}`);

    await open(page, "/runners/new");
    await page.getByLabel(new RegExp(`^\\s*${facts.team} —`)).check();
    await page.getByLabel("Name", { exact: true }).fill(withScript ? "scripted" : "plain");
    await page.getByLabel("Labels", { exact: false }).fill("linux");
    let title = await press(page, "Get the config");
    for (let tries = 0; !(await page.getByRole("button", { name: "Show the config" }).count()) && tries < 600; tries += 1) {
        await page.waitForTimeout(100);
        if (!withScript) title = await open(page, new URL(page.url()).pathname);
    }
    const config = new URL(page.url()).pathname;
    assert.match(await press(page, "Show the config"), /is ready\.$/);
    const command = await page.locator("#command").inputValue();
    assert.match(command, /ACTIONS_RUNNER_INPUT_JITCONFIG/);
    const secret = await page.locator("#value").inputValue();
    assert.ok(secret.length > 100 && command.includes(secret), "the command holds the config");
    assert.equal(await page.locator("#value").getAttribute("type"), "password", "the config is hidden until asked for");
    if (withScript) {
        await page.getByRole("button", { name: "Show or hide it" }).click();
        assert.equal(await page.locator("#value").getAttribute("type"), "text");
        await page.getByRole("button", { name: "Show or hide it" }).click();
        assert.match(await page.locator("[data-until]").textContent(), /^\d+:\d\d$/);
    }
    await page.locator("main").getByRole("link", { name: "The runner's page" }).click();
    await page.waitForURL(/\/runners\/[0-9a-f-]{36}$/);
    assert.ok((await heading(page)).startsWith(withScript ? "scripted" : "plain"));
    // No page shows the config without another press of the button, which fails two minutes later.
    await page.goto(`${url}${config}`);
    assert.ok(!(await page.content()).includes(secret));
    await page.goBack();
    assert.ok(!(await page.content()).includes(secret));
}

await tell(async (visit) => {
    const scripted = await visit({ session: facts.session });
    await asksForARunner(await scripted.tab(), true);
    const plain = await visit({ session: facts.session, javaScriptEnabled: false });
    await asksForARunner(await plain.tab(), false);
});
