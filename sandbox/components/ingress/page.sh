#!/bin/sh
# Serves the page for unknown hosts and keeps its list in step with Traefik's routers, whose API it reads.
# Usage: page.sh PARTS SITE DYNAMIC ELSEWHERE SUFFIX [ACCOUNT]. Runs in any busybox, and calls it by name: not every one
# has links.
#
# With the folder of an ACCOUNT that may list Ingresses and their classes, the page also says which hosts are not served.
# The cluster is asked through Traefik, which verifies its certificate, and in YAML, which awk reads by its indentation.
#
# Hosts whose TLS is passed through, and those of ELSEWHERE/hosts that never come here (one a line), get a router in
# DYNAMIC besides, which Traefik watches. The default certificate is good for them as well, so that browsers send their
# requests over HTTP/2 connections they have to other hosts. Status 421 sends them back for a connection of its own
# (RFC 9110, section 15.5.20).
set -u
server=
trap '[ -z "$server" ] || kill "$server"; exit 0' TERM
parts=$1 site=$2 dynamic=$3 elsewhere=$4 suffix=$5 account=${6:-}
api=http://127.0.0.1:9000/api
newline='
'

# The objects of one kind in the cluster, as YAML.
objects() {
    busybox wget -q -O - --header 'Accept: application/yaml' \
        --header "Authorization: Bearer $(busybox cat "$account/token")" "http://127.0.0.1:9000/cluster/$1"
}

# The services of Traefik's in the JSON $1 that have no server: no pod is ready, or there is no such Service.
idle() {
    printf '%s' "$1" |
        busybox sed 's/"provider":"[^"]*"/&\n/g' |
        busybox grep '"loadBalancer":{' |
        busybox grep -v '"servers":\[' |
        busybox sed -n 's/.*"name":"\([^"@]*\)[^"]*","provider".*/\1/p'
}

# The hosts in the routers $1 that lead to one of the services in $2, one a line.
waiting() {
    for service in $2; do
        hosts "$(printf '%s\n' "$1" | busybox grep -oE "\"service\":\"$service\",\"rule\":\"([^\"\\\\]|\\\\.)*\"")"
    done | names
}

# HOST NAMESPACE/NAME CLASS of the Ingresses in the YAML $2 whose class is none of those in the YAML $1 that Traefik serves.
foreign() {
    printf '%s\n---\n%s\n' "$1" "$2" | busybox awk '
        function done() {
            if (!listed) { if (controller == "k8s.io/ingress-nginx") served[name] = 1 }
            else if (name != "" && class == "" && old != "" && old != "nginx") class = old
            if (listed && class != "" && !(class in served))
                for (i = 1; i <= count; i++) print host[i], namespace "/" name, class
            name = namespace = class = old = controller = ""; count = 0
        }
        /^---$/ { done(); listed = 1; next }
        /^- / { done() }
        /^    name: [a-z0-9.-]+$/ { name = $2 }
        /^    namespace: [a-z0-9-]+$/ { namespace = $2 }
        /^    controller: [A-Za-z0-9.\/-]+$/ { controller = $2 }
        /^    ingressClassName: [a-z0-9.-]+$/ { class = $2 }
        /^      kubernetes.io\/ingress.class: [a-z0-9.-]+$/ { old = $2 }
        /^    - host: [A-Za-z0-9.-]+$/ { host[++count] = $3 }
        END { done() }'
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

# Puts the page together for the host names in $1, of which those in $2 have no pod; $3 is what `foreign` says.
page() {
    busybox cat "$parts/head.html"
    if [ -n "$1" ]; then
        busybox cat "$parts/list.html"
        printf '%s\n' "$1" | while read -r host; do
            why=
            case "
$2
" in *"
$host
"*) why="<p>No pod is ready for it, or its Service does not exist: <code>sandbox doctor tls $host</code></p>" ;; esac
            echo "<li><a href=\"https://$host$suffix/\">$host</a>$why</li>"
        done
        echo '</ul>'
    else
        busybox cat "$parts/none.html"
    fi
    if [ -n "$3" ]; then
        echo '<h2>Hosts that are not served</h2>'
        echo '<ul>'
        printf '%s\n' "$3" | while read -r host ingress class; do
            echo "<li><p><code>$host</code>: the Ingress <code>$ingress</code> has the class <code>$class</code>, which no"
            echo "controller here serves. In sandbox.yaml: <code>ingress: {classes: [$class]}</code></p></li>"
        done
        echo '</ul>'
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

page '' '' '' | replace "$site/404.html"
routed=
known=
passed=
late=
unserved=
shown=
services=
listed=
round=0
# The folder it serves is empty: every path is answered by the page of httpd.conf's E404.
busybox httpd -f -p 8080 -h /empty -c "$parts/httpd.conf" &
server=$!
busybox cat "$parts/known.yaml" | replace "$dynamic/known.yaml"
[ -z "$account" ] || busybox sed "s/\${server}/$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/" "$parts/cluster.yaml" |
    replace "$dynamic/cluster.yaml"
while kill -0 "$server"; do
    # Two lines of JSON. While nothing changes, most of what this takes is the start of processes: one asks for both. No -T: it
    # crashes some busyboxes.
    if both=$(busybox wget -q -O - "$api/http/routers?per_page=100000" "$api/tcp/routers?per_page=100000"); then
        apart=
        [ ! -r "$elsewhere/hosts" ] || while read -r host; do apart="$apart$host$newline"; done < "$elsewhere/hosts"
        # To take the answers apart takes a dozen processes, and mostly they are those of two seconds ago.
        if [ "$both|$apart" != "$routed" ]; then
            routed="$both|$apart"
            # Not by ${both#*"$newline"}, which tries each length of what may be megabytes: 12 s for 500 hosts.
            http=$(printf '%s\n' "$both" | busybox head -n 1) tcp=$(printf '%s\n' "$both" | busybox tail -n 1)
            found=$(printf '%s\n' "$(hosts "$tcp")" "$apart" | names)
            [ "$found" = "$passed" ] || misdirected "$found" | replace "$dynamic/misdirected.yaml"
            passed=$found
            found=$(printf '%s\n' "$(hosts "$http$tcp")" "$apart" | names)
            # Why a host is not served is looked up when the hosts change, and every ten seconds.
            [ "$found" = "$known" ] || round=0
            known=$found
        fi
        if [ $((round % 5)) = 0 ]; then
            if found=$(busybox wget -q -O - "$api/http/services?per_page=100000") && [ "$found|$http" != "$services" ]; then
                services="$found|$http"
                late=$(waiting "$http" "$(idle "$found")")
            fi
            if [ -r "$account/token" ] && classes=$(objects ingressclasses) && ingresses=$(objects ingresses) &&
                [ "$classes|$ingresses" != "$listed" ]; then
                listed="$classes|$ingresses"
                unserved=$(foreign "$classes" "$ingresses")
            fi
        fi
        round=$((round + 1))
        [ "$known|$late|$unserved" = "$shown" ] || page "$known" "$late" "$unserved" | replace "$site/404.html"
        shown="$known|$late|$unserved"
    fi
    busybox sleep 2 &
    wait $!
done
exit 1
