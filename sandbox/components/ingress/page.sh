#!/bin/sh
# Serves the page for unknown hosts and keeps its list in step with Traefik's routers, whose API it reads.
# Usage: page.sh PARTS SITE DYNAMIC ELSEWHERE SUFFIX. Runs in any busybox, and calls it by name: not every one has links.
#
# Hosts whose TLS is passed through, and those of ELSEWHERE/hosts that never come here (one a line), get a router in
# DYNAMIC besides, which Traefik watches. The default certificate is good for them as well, so that browsers send their
# requests over HTTP/2 connections they have to other hosts. Status 421 sends them back for a connection of its own
# (RFC 9110, section 15.5.20).
set -u
server=
trap '[ -z "$server" ] || kill "$server"; exit 0' TERM
parts=$1 site=$2 dynamic=$3 elsewhere=$4 suffix=$5
api=http://127.0.0.1:9000/api

# The routers of one kind, as JSON; fails when Traefik does not answer. No -T: it crashes some busyboxes.
routers() {
    busybox wget -q -O - "$api/$1/routers?per_page=100000"
}

# The exact host names in the rules of the routers in $1, one a line.
hosts() {
    printf '%s\n' "$1" |
        busybox grep -oE 'Host(SNI)?\((`|\\")[A-Za-z0-9][A-Za-z0-9.-]*(`|\\")\)' |
        busybox sed 's/^[^`"]*[`"]//; s/[`\\].*//' |
        busybox sort -u
}

# The lines of the input, each once, without empty ones.
names() {
    busybox grep . | busybox sort -u
}

# Puts the page together for the host names in $1.
page() {
    busybox cat "$parts/head.html"
    if [ -n "$1" ]; then
        busybox cat "$parts/list.html"
        printf '%s\n' "$1" | busybox sed "s|.*|<li><a href=\"https://&$suffix/\">&</a></li>|"
        echo '</ul>'
    else
        busybox cat "$parts/none.html"
    fi
    busybox cat "$parts/foot.html"
}

# Traefik's configuration for the host names in $1 that have connections of their own; nothing when there are none.
misdirected() {
    [ -n "$1" ] || return 0
    # A dot is written [.]: no level of quoting takes anything from it.
    expression=$(printf '%s\n' "$1" | busybox sed 's/[.]/[.]/g; $!s/$/|/' | busybox tr -d '\n')
    busybox sed "s/\${hosts}/$expression/" "$parts/misdirected.yaml"
}

# Replaces the file $1 by what is read. A reader gets it whole meanwhile.
replace() {
    busybox cat > "$1.new" && busybox mv "$1.new" "$1"
}

page '' | replace "$site/404.html"
known=
passed=
# The folder it serves is empty: every path is answered by the page of httpd.conf's E404.
busybox httpd -f -p 8080 -h /empty -c "$parts/httpd.conf" &
server=$!
busybox cat "$parts/known.yaml" | replace "$dynamic/known.yaml"
while kill -0 "$server"; do
    if http=$(routers http) && tcp=$(routers tcp); then
        apart=$(busybox cat "$elsewhere/hosts")
        found=$(printf '%s\n' "$(hosts "$http$tcp")" "$apart" | names)
        [ "$found" = "$known" ] || page "$found" | replace "$site/404.html"
        known=$found
        found=$(printf '%s\n' "$(hosts "$tcp")" "$apart" | names)
        [ "$found" = "$passed" ] || misdirected "$found" | replace "$dynamic/misdirected.yaml"
        passed=$found
    fi
    busybox sleep 2 &
    wait $!
done
exit 1
