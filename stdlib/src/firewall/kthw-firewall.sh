#!/bin/sh
# Keeps the table `inet kthw` of nftables; written by kthw.
#
#   kthw-firewall load            puts the kept rules in force: at boot
#   kthw-firewall try FILE S      puts those of FILE in force, and takes them back in S seconds unless they are kept before
#   kthw-firewall keep            keeps the rules that are on trial, for later boots too
#   kthw-firewall back            takes the rules that are on trial back at once
#   kthw-firewall off             takes all rules away, until the next boot
#   kthw-firewall remove          takes everything away that belongs to it, this program too
#   kthw-firewall look            says which rules are in force; changes nothing
set -eu
kept=/etc/kthw/firewall.nft   # the rules that are kept
state=/run/kthw-firewall      # what is in force, and what was before a trial
timer=kthw-firewall-return    # the unit that takes a trial back

listing() { nft -s list table inet kthw 2>/dev/null; }
digest() { sha256sum | cut -d' ' -f1; }

# Which file is in force, and what nft makes of it: later it shows whether somebody changed a rule by hand.
in_force() {
    mkdir -p -m 755 "$state"
    echo "$(digest <"$1") $(listing | digest)" >"$state/loaded"
}

# Whoever moves `before` away first has decided: a trial is kept, or taken back, and never both.
decide() { mv "$state/before" "$state/decided" 2>/dev/null; }

case "${1:-}" in
load)
    nft -f "$kept"
    in_force "$kept"
    ;;
try)
    # An earlier trial that nobody ended is over first: what was before it is what there is to go back to.
    "$0" back
    nft -c -f "$2"
    mkdir -p -m 755 "$state"
    {
        echo 'table inet kthw'
        echo 'delete table inet kthw'
        listing || :
    } >"$state/before.new"
    if [ -e "$state/loaded" ]; then cp "$state/loaded" "$state/loaded.before"; else rm -f "$state/loaded.before"; fi
    cp "$2" "$state/trial"
    mv "$state/before.new" "$state/before"
    systemctl stop "$timer.timer" 2>/dev/null || :
    systemd-run --quiet --collect --unit="$timer" --on-active="$3" --timer-property=AccuracySec=1s "$0" back
    nft -f "$2" || { "$0" back; exit 1; }
    in_force "$2"
    ;;
keep)
    decide || { echo 'the rules were taken back before they could be kept' >&2; exit 3; }
    systemctl stop "$timer.timer" 2>/dev/null || :
    cp "$state/trial" "$kept.new"
    mv "$kept.new" "$kept"
    rm -f "$state/decided" "$state/trial" "$state/loaded.before"
    ;;
back)
    decide || exit 0
    nft -f "$state/decided"
    if [ -e "$state/loaded.before" ]; then mv "$state/loaded.before" "$state/loaded"; else rm -f "$state/loaded"; fi
    rm -f "$state/decided" "$state/trial"
    systemctl stop "$timer.timer" 2>/dev/null || :
    ;;
off)
    "$0" back
    nft delete table inet kthw 2>/dev/null || :
    rm -rf "$state"
    ;;
remove)
    systemctl disable --now kthw-firewall.service 2>/dev/null || :
    "$0" off
    rm -f /etc/systemd/system/kthw-firewall.service "$kept" "$kept.new" /etc/kthw/firewall.new
    rmdir /etc/kthw 2>/dev/null || :
    systemctl daemon-reload
    rm -f "$0"
    ;;
look)
    if now=$(listing); then echo "listed $(printf '%s\n' "$now" | digest)"; fi
    if [ -e "$state/loaded" ]; then echo "loaded $(cat "$state/loaded")"; fi
    if [ -e "$state/before" ]; then echo trial; fi
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
