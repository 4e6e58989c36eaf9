// Sign-in at the development issuer with one click, and at a certified OpenID provider; sign-out; a person whom this
// service does not know; answers that no sign-in asked for. Nothing ends in a loop of redirects.
import assert from "node:assert/strict";

import { facts, heading, screenshot, tell, url } from "../browser.mjs";

const here = (page) => new URL(page.url());

/** Opens a page without a session and follows the button of an issuer. */
async function choose(page, issuer, path) {
    await page.goto(`${url}${path}`);
    assert.equal(here(page).pathname, "/sign-in");
    assert.equal(await heading(page), "Sign in");
    await page.locator(`a.button[title="${issuer}"]`).click();
}

async function signOut(page) {
    await page.locator("header.top summary").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL(/\/sign-in/);
    assert.match(await page.locator("main").innerText(), /You are signed out here/);
    await page.goto(`${url}/runners`);
    assert.equal(here(page).pathname, "/sign-in", "the session has ended");
}

/** Signs in at the provider's own pages. Any password will do. */
async function signInAtProvider(page, name) {
    await page.locator('input[name="login"]').fill(name);
    await page.locator('input[name="password"]').fill("any");
    await page.locator('button[type="submit"]').click();
    await page.getByRole("button", { name: "Continue" }).click();
    await page.waitForURL(`${url}/**`);
}

for (const script of [true, false]) {
    await tell(async (visit) => {
        const options = { javaScriptEnabled: script };
        const demo = await (await visit(options)).tab();
        await choose(demo, facts.development, "/runners?status=deleted");
        assert.equal(await heading(demo), "Who are you?");
        await demo.getByRole("link", { name: "Demo User" }).click();
        await demo.waitForURL(`${url}/**`);
        assert.equal(here(demo).pathname + here(demo).search, "/runners?status=deleted", "back to the page that was asked for");
        assert.match(await demo.locator("header.top").innerText(), /Demo User/);
        await signOut(demo);
        if (script) await screenshot(demo, "sign-in");

        const ada = await (await visit(options)).tab();
        await choose(ada, facts.provider, "/");
        await signInAtProvider(ada, "ada");
        assert.equal(here(ada).pathname, "/");
        assert.match(await ada.locator("header.top").innerText(), /ada[\s\S]*admin/);

        const stranger = await (await visit(options)).tab();
        await choose(stranger, facts.provider, "/runners");
        await signInAtProvider(stranger, "stranger");
        assert.match(await stranger.locator("main").innerText(), /stranger@example\.com|stranger/);
        assert.equal(await heading(stranger), "Sign in");
        if (script) await screenshot(stranger, "unknown-person");
        await stranger.goto(`${url}/runners`);
        assert.equal(here(stranger).pathname, "/sign-in");

        const forged = await (await visit(options)).tab();
        for (const query of ["code=a&state=b", `code=a&state=b&iss=${encodeURIComponent(facts.provider)}`, "error=access_denied", ""]) {
            const answer = await forged.goto(`${url}/session/callback?${query}`);
            assert.ok(answer.status() >= 400 && answer.status() < 500, query);
            assert.deepEqual(await forged.context().cookies(), [], "no session begins");
        }
    });
}
