# Judges the dependencies without the network and without other programs.
# Input, in this order: deny.toml (the licences it allows, the crates it denies), Cargo.lock (sources),
# then `cargo tree --prefix none -f '{p}|{l}'`. Prints what is wrong; the exit status is 1 if anything is.

BEGIN {
    split("axum redis sqlx jsonwebtoken octocrab rustls tokio hyper serde aws-lc-rs", names, " ")
    for (i in names) single[names[i]] = 1
    crates_io = "registry+https://github.com/rust-lang/crates.io-index"
}

function wrong(what) {
    print "dependencies: " what | "cat >&2"
    failures++
}

# A licence expression without brackets. AND binds closer than OR.
function permits_flat(text,    ors, ands, i, j, n, m, all) {
    n = split(text, ors, / OR /)
    for (i = 1; i <= n; i++) {
        m = split(ors[i], ands, / AND /)
        all = 1
        for (j = 1; j <= m; j++) {
            gsub(/^ +| +$/, "", ands[j])
            if (!(ands[j] in allowed)) all = 0
        }
        if (all) return 1
    }
    return 0
}

function permits(text,    inner) {
    gsub(/\//, " OR ", text)
    while (match(text, /\([^()]*\)/)) {
        inner = substr(text, RSTART + 1, RLENGTH - 2)
        text = substr(text, 1, RSTART - 1) (permits_flat(inner) ? "yes" : "no") substr(text, RSTART + RLENGTH)
    }
    return permits_flat(text)
}

BEGIN { allowed["yes"] = 1 }

FNR == 1 { file++ }

file == 1 && /^\[/ { section = $0 }
file == 1 && section == "[licenses]" && /^ *"/ { split($0, parts, "\""); allowed[parts[2]] = 1; licences++ }
file == 1 && section == "[bans]" && /name = "/ { split($0, parts, "\""); denied[parts[2]] = 1; bans++ }

file == 2 && /^name = / { split($0, parts, "\""); name = parts[2] }
file == 2 && /^source = / {
    split($0, parts, "\"")
    if (parts[2] != crates_io) wrong(name " comes from " parts[2])
}

file == 3 && /\|/ {
    sub(/ \(\*\)$/, "")
    if ($0 in seen) next
    seen[$0] = 1
    split($0, parts, "|")
    split(parts[1], words, " ")
    name = words[1]
    if (((name, words[2]) in versions) == 0) {
        versions[name, words[2]] = 1
        count[name]++
        total++
    }
    if (!permits(parts[2])) wrong(name ": the licence \"" parts[2] "\" is not allowed in deny.toml")
    if (name in denied) wrong(name " is denied in deny.toml")
}

END {
    for (name in single) if (count[name] != 1) wrong(name " is there in " (count[name] + 0) " versions, not 1")
    if (!licences || !bans || file != 3) wrong("deny.toml, Cargo.lock or the tree could not be read")
    if (failures) exit 1
    print "dependencies: " total " crates, licences and versions in order" | "cat >&2"
}
