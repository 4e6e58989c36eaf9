// An admin makes a team with a member who signs in, pauses a lane and sees it in another tab, asks again for failed
// runners, acknowledges a security event and downloads audit rows: with a script and without one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { facts, heading, open, press, tell, url } from "../browser.mjs";

/** Says which of the two visits this is, in names that must differ. */
const of = (script) => (script ? "scripted" : "plain");

const says = async (page, text) => assert.match(await page.locator("body").innerText(), text);

/** Adds a team and invites a person to it, who signs in and finds it. */
async function makesATeam(page, visit, script) {
    const [team, person] = [`${of(script)}-team`, facts.invited[of(script)]];
    await open(page, "/teams/new");
    await page.locator("main").getByLabel("Name").first().fill(team);
    assert.equal(await press(page, "Add the team"), team);
    await open(page, "/people/new");
    await page.getByLabel("E-mail address").fill(person.email);
    await press(page, "Add the person");
    await open(page, "/teams");
    await press(page, team, "link");
    await page.locator("main").getByLabel("Person").fill(person.email);
    assert.match(await press(page, "Add a member…"), /^Add .* to /);
    await press(page, /^Add /);
    await says(page, new RegExp(person.email));

    const member = await (await visit({ javaScriptEnabled: script })).tab();
    await member.goto(`${url}/runners/new`);
    await member.getByRole("link", { name: person.name }).click();
    await member.waitForURL(`${url}/runners/new`);
    await says(member, new RegExp(`${team} —`));
    // A session that has ended leads back to the page that was asked for.
    const ended = { name: "__Host-rts", value: "of-no-session", url: url.replace("http:", "https:") };
    await member.context().addCookies([{ ...ended, secure: true, httpOnly: true, sameSite: "Lax" }]);
    await member.goto(`${url}/jobs?q=colour%3Ared`);
    await member.getByRole("link", { name: new RegExp(`${person.name}|Sign in with`) }).click();
    if (!member.url().startsWith(url)) await member.getByRole("link", { name: person.name }).click();
    await member.waitForURL(`${url}/jobs?q=colour%3Ared`);
    await says(member, /There is no `colour:`/);
    await member.close();
}

/** Pauses a lane, and resumes it. A tab that shows live data says so without being touched. */
async function pausesALane(page, watcher, script) {
    await open(page, "/lanes");
    assert.equal(await press(page, "Pause provisioning…", "link"), "Pause provisioning?");
    await page.getByLabel("Reason").fill(`rolling out ${of(script)}`);
    assert.equal(await press(page, "Pause provisioning"), "Lanes");
    await says(page, new RegExp(`rolling out ${of(script)}`));
    await watcher.waitForFunction((reason) => document.title.startsWith("▲ Slow") && document.body.innerText.includes(reason), `rolling out ${of(script)}`);
    await open(page, "/lanes");
    assert.equal(await press(page, "Resume provisioning"), "Lanes");
    await watcher.waitForFunction(() => document.title.startsWith("■ Stopped"));
}

/** Asks again for the runners of one cause, as a batch. */
async function retriesACause(page, script) {
    await open(page, "/failures");
    const row = page.locator("tr", { hasText: facts.causes[of(script)] });
    await Promise.all([page.waitForEvent("load"), row.getByRole("link", { name: /^Retry/ }).click()]);
    assert.match(await heading(page), /^Ask again for 2 runners\?$/);
    await page.getByLabel("Reason").fill("GitHub has what was missing");
    await press(page, /^Ask again for/);
    await says(page, /2 of 2 worked on: 2 done/);
    await open(page, "/failures");
    assert.equal(await row.count(), 0, "the cause is dealt with");
}

async function acknowledgesAnEvent(page, script) {
    await open(page, "/security?acknowledged=false");
    await Promise.all([page.waitForEvent("load"), page.locator("main th a").first().click()]);
    const event = page.url();
    await press(page, "Acknowledge the event…", "link");
    await page.locator("main form input[required]").fill(`seen by ${of(script)}`);
    await press(page, /^Acknowledge/);
    await page.goto(event);
    await says(page, new RegExp(`by ${facts.admin}: seen by ${of(script)}`));
}

async function downloadsAudit(page) {
    await open(page, "/audit?success=false");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "JSON lines" }).click()]);
    const lines = (await readFile(await download.path(), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
    assert.ok(lines.length > 0 && lines.some(({ success }) => success === false), `${lines.length} rows`);
}

await tell(async (visit) => {
    const watcher = await (await visit({ session: facts.session })).tab();
    await open(watcher, "/");
    for (const script of [true, false]) {
        const page = await (await visit({ session: facts.session, javaScriptEnabled: script })).tab();
        await makesATeam(page, visit, script);
        await pausesALane(page, watcher, script);
        await retriesACause(page, script);
        await acknowledgesAnEvent(page, script);
        await downloadsAudit(page);
    }
});
