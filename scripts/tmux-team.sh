#!/bin/sh
# Starts a team inside tmux, a session each, and shows the first of it:
#
#     scripts/tmux-team.sh claude codex gemini
#
# AGENTCHATTR_REPO_SLUG=shop makes that agentchattr-shop-claude and so on, for
# a team beside another. `tmux choose-tree -s`, or prefix and `s`, shows all.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 AGENT…" >&2; exit 2; }

first= failed=
for agent; do
    if said=$("${WRAPPER:-wrapper}" "$agent" --tmux --json); then
        session=$(printf '%s\n' "$said" | sed -n 's/.*"tmux":"\([^"]*\)".*/\1/p')
        echo "$session"
        first=${first:-$session}
    else
        failed=1
    fi
done

[ -n "$first" ] || exit 1
if [ -t 0 ] && [ -t 1 ]; then
    if [ -n "${TMUX:-}" ]; then
        exec tmux switch-client -t "=$first"
    fi
    exec tmux attach-session -t "=$first"
fi
[ -z "$failed" ]
