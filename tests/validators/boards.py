"""Prints the queries of the Grafana boards as recording rules, so that promtool can check their syntax."""

import json
import pathlib
import sys

import yaml

VARIABLES = {"$__rate_interval": "5m", "$installation": "default", "$app": "default"}


def queries(board):
    """Returns the queries of panels and annotations."""
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    return [one["expr"] for one in targets + board["annotations"]["list"]]


def main():
    rules = []
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        board = json.loads(path.read_text())
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids)), path
        for query in queries(board):
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            assert "$" not in query, f"{path}: {query}"
            rules.append({"record": f"board:query:number{len(rules)}", "expr": query})
    assert len(rules) > 50, len(rules)
    yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}, sys.stdout)


main()
