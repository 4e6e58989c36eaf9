// The browser of all stories: one Chromium, visitors with cookies of their own, and a watch over what a page must never
// do. tests/integration/browser starts a service and a story, with TEST_BROWSER (the installed tools), STORY (what the
// story must know, as JSON) and SCREENSHOTS (a folder) in its environment.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const tools = process.env.TEST_BROWSER;
export const installed = createRequire(`${tools}/package.json`);
const { chromium } = installed("playwright-core");
const axe = readFileSync(installed.resolve("axe-core/axe.min.js"), "utf8");

/** What the test told the story. */
export const facts = JSON.parse(process.env.STORY);

const screenshots = process.env.SCREENSHOTS;
mkdirSync(screenshots, { recursive: true });

/** Address of the service. */
export const url = facts.url;

/** Longest wait for anything, in milliseconds: the machine may be busy with other tests. */
const PATIENCE = 60_000;

/** No name leads out of this machine. */
const LOCAL = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE 127.0.0.2"];

const folder = join(tools, "chromium");
const program = process.env.TEST_CHROMIUM
    ? { executablePath: process.env.TEST_CHROMIUM }
    : {
          executablePath: join(folder, "chromium"),
          env: { ...process.env, LD_LIBRARY_PATH: join(folder, "lib"), FONTCONFIG_FILE: join(folder, "fonts.conf") },
      };

/** A person at a browser: one cookie jar, and every fault of the pages they saw. */
export class Visitor {
    constructor(context) {
        this.context = context;
        this.faults = [];
    }

    /** Opens a tab. Its faults count as this visitor's. */
    async tab() {
        const page = await this.context.newPage();
        // Pages of other sites, such as an issuer's, have faults of their own.
        const fault = (what) => {
            const { origin, pathname } = new URL(page.url() || "about:blank");
            if (!url || origin === url) this.faults.push(`${pathname}: ${what}`);
        };
        page.on("pageerror", (error) => fault(`script failed: ${error.message}`));
        page.on("console", (message) => {
            // The answer of a page that refuses is part of its story; `response` below looks at the others.
            const refused = /Failed to load resource: the server responded with a status of 4\d\d/;
            if (message.type() === "error" && !refused.test(message.text())) fault(`console: ${message.text()}`);
        });
        page.on("response", (response) => {
            if (response.status() >= 500) fault(`${response.status()} from ${response.url()}`);
        });
        return page;
    }

    /** Asserts that no page broke its content security policy, failed in a script or met a server error. */
    assertNoFaults() {
        assert.deepEqual(this.faults, [], "faults of the pages");
    }
}

/** Runs a story in a fresh browser. `visit` opens a visitor; `session` in its options is the cookie of a signed-in one. */
export async function tell(story) {
    const browser = await chromium.launch({ chromiumSandbox: false, args: LOCAL, timeout: PATIENCE, ...program });
    const visitors = [];
    const visit = async (options = {}) => {
        const { session, ...rest } = options;
        const context = await browser.newContext({
            viewport: { width: 1280, height: 800 },
            timezoneId: "Europe/Berlin",
            locale: "en-GB",
            reducedMotion: "reduce",
            ...rest,
        });
        context.setDefaultTimeout(PATIENCE);
        context.setDefaultNavigationTimeout(PATIENCE);
        await context.addInitScript(() => {
            document.addEventListener("securitypolicyviolation", (event) => {
                console.error(`content security policy: ${event.violatedDirective} stopped ${event.blockedURI}`);
            });
        });
        // Chromium sends a secure cookie to loopback; only the protocol that sets it insists on https.
        const host = url?.replace("http:", "https:");
        const cookie = { name: "__Host-rts", value: session, url: host, secure: true, httpOnly: true, sameSite: "Lax" };
        if (session) await context.addCookies([cookie]);
        const visitor = new Visitor(context);
        visitors.push(visitor);
        return visitor;
    };
    try {
        await story(visit);
        for (const visitor of visitors) visitor.assertNoFaults();
    } catch (error) {
        for (const [number, visitor] of visitors.entries()) {
            for (const [tab, page] of visitor.context.pages().entries()) {
                await page.screenshot({ path: join(screenshots, `failed-${number}-${tab}.png`) }).catch(() => {});
                console.error(`tab ${number}-${tab}: ${page.url()}\n${await shown(page)}`);
            }
            console.error(visitor.faults.join("\n"));
        }
        throw error;
    } finally {
        await browser.close();
    }
}

/** Returns the text of a page, shortened. */
async function shown(page) {
    const text = await page.locator("body").innerText({ timeout: 1000 }).catch(() => "");
    return text.slice(0, 2000);
}

/** Opens a path and asserts its status and that it has one heading of the first level. Returns that heading. */
export async function open(page, path, status = 200) {
    const response = await page.goto(`${url}${path}`);
    assert.equal(response.status(), status, path);
    return heading(page);
}

/** Returns the only heading of the first level. */
export async function heading(page) {
    const headings = page.locator("h1");
    assert.equal(await headings.count(), 1, `${page.url()} has one heading`);
    return (await headings.textContent()).trim();
}

/** Presses a button or follows a link that leads to another page, and returns the heading of that page. */
export async function press(page, name, role = "button") {
    const target = page.locator("main").getByRole(role, { name, exact: typeof name === "string" });
    await Promise.all([page.waitForEvent("load"), target.click()]);
    return heading(page);
}

/** Asserts that the page is no wider than the window. */
export async function assertFits(page) {
    const [content, window] = await page.evaluate(() => [
        document.scrollingElement.scrollWidth,
        document.scrollingElement.clientWidth,
    ]);
    assert.ok(content <= window, `${page.url()} is ${content} pixels wide in a window of ${window}`);
}

/** Takes a screenshot of the whole page. */
export async function screenshot(page, name) {
    await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}

/** Rules of axe-core that WCAG 2.2 AA has. */
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** Asserts that axe-core finds no violation of WCAG 2.2 AA on the page, by all rules or by these alone. */
export async function assertAccessible(page, rules) {
    if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
    const options = rules
        ? { runOnly: { type: "rule", values: rules } }
        : { runOnly: { type: "tag", values: WCAG }, rules: { "target-size": { enabled: true } } };
    const { violations } = await page.evaluate(
        (options) => globalThis.axe.run(document, { ...options, resultTypes: ["violations"] }),
        options,
    );
    const lines = violations.flatMap(({ id, help, nodes }) =>
        nodes.slice(0, 5).map(({ target, failureSummary }) => `${id} (${help}) at ${target}: ${failureSummary}`),
    );
    assert.deepEqual(lines, [], `${page.url()} is accessible`);
}
