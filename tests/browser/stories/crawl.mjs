// Every page, as an admin, a viewer and a member: no violation of WCAG 2.2 AA in light and dark, no line wider than a
// phone, no console error, no request to another site. Screenshots of each page are written for people to look at.
import assert from "node:assert/strict";

import { assertAccessible, assertFits, facts, heading, screenshot, tell, url } from "../browser.mjs";

/** Largest first load, in bytes on the wire. */
const MOST_BYTES = 60 * 1024;

/** Tabs that visit pages at the same time. */
const TABS = 3;

const nameOf = (path) => path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "id").replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "") || "board";

async function visits(page, path, who) {
    const answer = await page.goto(`${url}${path}`);
    assert.equal(answer.status(), 200, `${path} for ${who}`);
    await heading(page);
    await assertAccessible(page);
    const name = `${who}-${nameOf(path)}`;
    // A viewer sees what an admin sees, without buttons.
    if (who === "viewer") return;
    await screenshot(page, `${name}-light`);
    await page.emulateMedia({ colorScheme: "dark" });
    await assertAccessible(page, ["color-contrast"]);
    await screenshot(page, `${name}-dark`);
    await page.setViewportSize({ width: 360, height: 740 });
    await assertFits(page);
    await assertAccessible(page, ["color-contrast", "target-size", "scrollable-region-focusable"]);
    await screenshot(page, `${name}-phone`);
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 800 });
}

/** Asserts that a first load, with nothing cached, is small. Returns its bytes on the wire. */
async function weighs(visitor, path) {
    const page = await visitor.tab();
    await page.goto(`${url}${path}`, { waitUntil: "load" });
    const bytes = await page.evaluate(() =>
        ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)).reduce((sum, one) => sum + one.transferSize, 0),
    );
    await page.close();
    assert.ok(bytes > 0 && bytes <= MOST_BYTES, `${path} weighs ${bytes} bytes`);
    return bytes;
}

await tell(async (visit) => {
    const faults = [];
    for (const [who, { session, paths }] of Object.entries(facts.people)) {
        const visitor = await visit({ session });
        console.log(`first load of ${paths[0]} by ${who}: ${await weighs(visitor, paths[0])} bytes, ${paths.length} pages`);
        const left = [...paths];
        const walk = async () => {
            const page = await visitor.tab();
            page.on("request", (request) => {
                if (new URL(request.url()).origin !== new URL(url).origin) visitor.faults.push(`request to ${request.url()}`);
            });
            for (let path = left.shift(); path !== undefined; path = left.shift()) {
                await visits(page, path, who).catch((error) => faults.push(`${who} ${path}: ${error.message}`));
            }
            await page.close();
        };
        await Promise.all(Array.from({ length: TABS }, walk));
    }
    assert.ok(faults.length === 0, `${faults.length} faults:\n${faults.join("\n\n")}`);
});
