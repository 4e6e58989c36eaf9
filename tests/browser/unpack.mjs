// Unpacks the Chromium of the npm package and names its fonts, so that every machine draws the same pixels. Runs once,
// in the folder into which ./dev installs.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const folder = resolve("chromium");

const unpacked = (name) => brotliDecompressSync(readFileSync(`node_modules/@sparticuz/chromium/bin/${name}.br`));

mkdirSync(folder);
writeFileSync(`${folder}/chromium`, unpacked("chromium"), { mode: 0o755 });
for (const archive of ["al2023.tar", "fonts.tar"]) {
    const file = `${folder}/${archive}`;
    writeFileSync(file, unpacked(archive));
    execFileSync("tar", ["-x", "-f", file, "-C", folder]);
    rmSync(file);
}

const alias = (family, font) => `<alias binding="same"><family>${family}</family><prefer><family>${font}</family></prefer></alias>`;
writeFileSync(
    `${folder}/fonts.conf`,
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${folder}/fonts</dir>
  <dir>${resolve("node_modules/dejavu-fonts-ttf/ttf")}</dir>
  <cachedir>${folder}/font-cache</cachedir>
  ${["system-ui", "sans-serif"].map((family) => alias(family, "Open Sans")).join("\n  ")}
  ${["ui-monospace", "monospace"].map((family) => alias(family, "DejaVu Sans Mono")).join("\n  ")}
</fontconfig>
`,
);
