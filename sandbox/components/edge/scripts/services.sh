#!/bin/bash
# shellcheck disable=SC2154,SC2229  # settings come from a file, and the fields of a row are named once, in $fields
# Gives Services of type LoadBalancer an address each and answers for those that this node has to answer for, and keeps
# the Services of the machine's ports in step with the user's. kube-proxy does the rest.
# Whatever changes, all is compared with how it should be; nothing is remembered here but the events that were written.
# An address that was given is in the Service's status and in an annotation: where the two differ, another has given it
# one, and it is left alone. Fields are separated by "|"; those that a user may write anything into come last.

. /etc/sandbox/services.conf # subnet, first, last, assigner, nodes

ours=sandbox.dev/load-balancer
no_pod='{"sandbox.dev/host-port":"no-pod"}'
format='{.metadata.namespace}|{.metadata.name}|{.metadata.uid}|{.spec.type}|{.spec.loadBalancerClass}|'
format+='{.spec.externalTrafficPolicy}|{.spec.ipFamilies}|{.status.loadBalancer.ingress[*].ip}'
format+='{.status.loadBalancer.ingress[*].hostname}|{.spec.selector}|'
format+='{range .spec.ports[*]}{.name},{.protocol},{.port},{.targetPort} {end}|{.metadata.labels.sandbox\.dev/host-port}|'
format+='{.metadata.annotations.sandbox\.dev/address}|{.metadata.annotations.sandbox\.dev/node}|'
format+='{.metadata.annotations.sandbox\.dev/to}|{.spec.loadBalancerIP}{"\n"}{end}'

fields='namespace name uid type class policy families has selector ports copy given node_now to wanted'

number() { # of the address $1, into $number
  local part
  number=
  [[ $1 =~ ^(([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])\.){3}([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$ ]] || return 1
  for part in ${1//./ }; do number=$(((${number:-0} << 8) + part)); done
}

in_range() { number "$1" && ((number >= first && number <= last)); }

free() { # the lowest free address, into $address
  for ((number = first; number <= last; number++)); do
    address=$((number >> 24 & 255)).$((number >> 16 & 255)).$((number >> 8 & 255)).$((number & 255))
    [ "${used[$address]-}" ] || return 0
  done
  return 1
}

tell() { # namespace, name, uid, type, reason and message of an event, once
  [ "${told[$3 $6]-}" ] && return
  told[$3 $6]=yes
  local id now
  id=$(printf %s "$6" | cksum)
  now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  kubectl create --filename=- <<END &
{"apiVersion": "v1", "kind": "Event", "type": "$4", "reason": "$5", "message": "$6", "count": 1,
 "metadata": {"namespace": "$1", "name": "$2.${id%% *}"}, "source": {"component": "sandbox"},
 "firstTimestamp": "$now", "lastTimestamp": "$now",
 "involvedObject": {"apiVersion": "v1", "kind": "Service", "namespace": "$1", "name": "$2", "uid": "$3"}}
END
}

give() { # the Service of row $index the address $1, for which $node answers
  kubectl patch service "$name" --namespace="$namespace" --subresource=status --type=merge --patch="{
    \"metadata\": {\"annotations\": {\"sandbox.dev/address\": \"$1\", \"sandbox.dev/node\": \"$node\"}},
    \"status\": {\"loadBalancer\": {\"ingress\": [{\"ip\": \"$1\", \"ipMode\": \"VIP\"}]}}}" &
  rows[index]="$namespace|$name|$uid|$type|$class|$policy|$families|$1|$selector|$ports|$copy|$1|$node|$to|$wanted"
}

take_back() { # the address of the Service $1/$2, or what we noted of one that another has given
  local status='"status": {"loadBalancer": null}'
  [ "$3" ] && status='"status": {}'
  kubectl patch service "$2" --namespace="$1" --subresource=status --type=merge \
    --patch="{\"metadata\": {\"annotations\": {\"sandbox.dev/address\": null, \"sandbox.dev/node\": null}}, $status}"
}

holder() { # the node that is to answer for $1/$2, which $4 did, by its policy $3: into $node
  node=$assigner
  [ "$3" = Local ] && ((nodes > 1)) || return 0
  local ready one found=
  ready=$(kubectl get endpointslices --namespace="$1" --selector=kubernetes.io/service-name="$2" \
    --output='jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.nodeName}{"\n"}{end}') || ready=$4
  for one in $ready; do
    [ "$one" = "$4" ] && node=$4 && return
    found=${found:-$one}
  done
  node=${found:-${4:-$assigner}}
}

refused() { # why this Service cannot have an address, as reason and message of an event
  local class=$1 families=$2 wanted=$3
  if [ "$class" ] && [ "$class" != $ours ]; then
    echo "Normal|OtherClass|its loadBalancerClass $class is for another controller; leave it out, or write $ours"
  elif ((last == 0)); then
    echo "Warning|NoAddresses|this sandbox is from an earlier release: sandbox down, then sandbox up"
  elif [[ $families != *IPv4* ]]; then
    echo "Warning|NoAddresses|addresses are of IPv4 only, which is not among its ipFamilies"
  elif [ "$wanted" ] && ! in_range "$wanted"; then
    number=$first && used=() && free && local from=$address
    echo "Warning|AddressRefused|its loadBalancerIP is not among this sandbox's addresses, which begin with $from"
  elif [ "$wanted" ] && [ "${used[$wanted]-}" ]; then
    echo "Warning|AddressRefused|its loadBalancerIP $wanted belongs to the Service ${used[$wanted]}"
  elif [ -z "$wanted" ] && ! free; then
    echo "Warning|NoAddresses|all addresses of this sandbox are in use"
  fi
}

assign() { # addresses to Services, and take them back from those that are not to have one
  local $fields
  local -A used=()
  local index open=() reason
  for index in "${!rows[@]}"; do
    IFS='|' read -r $fields <<<"${rows[index]}"
    [ "$given" ] || [ "$type" = LoadBalancer ] || continue
    if [ "$type" = LoadBalancer ] && [ "${class:-$ours}" = $ours ] && [ "$given" ] && [ "$has" = "$given" ] &&
      in_range "$given" && [ -z "${used[$given]-}" ] && [ "${wanted:-$given}" = "$given" ]; then
      used[$given]=$namespace/$name
      holder "$namespace" "$name" "$policy" "$node_now"
      [ "$node" = "$node_now" ] || give "$given"
    elif [ "$has" ] && [ "$has" != "$given" ]; then # of another's giving
      [ -z "$given" ] || take_back "$namespace" "$name" "$has" &
    elif [ "$wanted" ]; then # before the others take it
      open=("$index" "${open[@]}")
    else
      open+=("$index")
    fi
  done
  for index in "${open[@]}"; do
    IFS='|' read -r $fields <<<"${rows[index]}"
    reason=
    [ "$type" != LoadBalancer ] || reason=$(refused "$class" "$families" "$wanted")
    if [ "$type" != LoadBalancer ] || [ "$reason" ]; then
      [ -z "$given" ] || take_back "$namespace" "$name" "" &
      if [ "$reason" ]; then
        IFS='|' read -r type class reason <<<"$reason"
        tell "$namespace" "$name" "$uid" "$type" "$class" "$reason"
      fi
      continue
    fi
    if [ "$wanted" ]; then
      address=$wanted
    elif in_range "$given" && [ -z "${used[$given]-}" ]; then
      address=$given
    else
      free
    fi
    used[$address]=$namespace/$name
    holder "$namespace" "$name" "$policy" ""
    give "$address"
  done
}

answer() { # for the addresses of this node, and for no others of the range
  local $fields
  local -A mine=()
  local row device line
  read -r _ _ device _ < <(ip -4 route show exact "$subnet" scope link)
  [ "$device" ] || return
  for row in "${rows[@]}"; do
    IFS='|' read -r $fields <<<"$row"
    [ "$type" = LoadBalancer ] && [ "$has" = "$given" ] && [ "$node_now" = "$HOSTNAME" ] && in_range "$given" || continue
    mine[$given]=yes
  done
  while read -r _ _ _ line _; do
    [[ $line == */32 ]] && in_range "${line%/32}" || continue
    if [ "${mine[${line%/32}]-}" ]; then
      mine[${line%/32}]=
    else
      ip address delete "$line" dev "$device"
    fi
  done < <(ip -4 -oneline address show dev "$device")
  for address in "${!mine[@]}"; do
    [ "${mine[$address]}" ] || continue
    ip address add "$address/32" dev "$device"
    (busybox arping -q -U -c 2 -w 2 -I "$device" "$address" &) # for those who knew another node under it
  done
}

follow() { # have the Services of the machine's ports select what the user's do
  local $fields
  local -A selectors=() offered=()
  local row copies=() one called protocol port target now found part
  for row in "${rows[@]}"; do
    IFS='|' read -r $fields <<<"$row"
    selectors[$namespace/$name]=$selector
    offered[$namespace/$name]=$ports
    [ "$copy" != true ] || [[ $to != ?*/?*:?* ]] || copies+=("$row")
  done
  for row in "${copies[@]}"; do
    IFS='|' read -r $fields <<<"$row"
    IFS=, read -r called protocol port target <<<"${ports% }"
    now=${selectors[${to%:*}]:-$no_pod}
    wanted=${to##*:}
    wanted=${wanted%/udp}
    found=
    for one in ${offered[${to%:*}]-}; do
      IFS=, read -r -a part <<<"$one"
      [ "${part[1]}" = "$protocol" ] && [[ "$wanted" == "${part[0]}" || "$wanted" == "${part[2]}" ]] || continue
      found=yes port=${part[2]} target=${part[3]}
      break
    done
    [ "$found" ] || now=$no_pod
    [ "$now" = "$selector" ] && [ "$called,$protocol,$port,$target" = "${ports% }" ] && continue
    [[ $target =~ ^[0-9]+$ ]] || target="\"$target\""
    kubectl patch service "$name" --namespace="$namespace" --type=json --patch="[
      {\"op\": \"replace\", \"path\": \"/spec/selector\", \"value\": $now},
      {\"op\": \"replace\", \"path\": \"/spec/ports/0/port\", \"value\": $port},
      {\"op\": \"replace\", \"path\": \"/spec/ports/0/targetPort\", \"value\": $target}]" &
  done
}

reconcile() {
  local found mark=$SRANDOM$SRANDOM$SRANDOM
  found=$(kubectl get services --all-namespaces --output=jsonpath="{range .items[*]}$mark|$format") || return
  mapfile -t rows < <(sed -n "s/^$mark|//p" <<<"$found")
  [ "$HOSTNAME" != "$assigner" ] || assign
  answer
  [ "$HOSTNAME" != "$assigner" ] || follow
  wait
}

# All that makes a Service one of those, in the JSON of an event, where no text of a user's has quotes.
concern='"type":"LoadBalancer"|"sandbox\.dev/(host-port|address)":|"loadBalancer":\{"ingress"'

changes() { # a line for each change of what the path $1 lists, with "yes" for such; the API server ends a watch after a while
  local event
  while :; do
    bash /etc/sandbox/watch.sh "$1?watch=true" | while read -r event; do
      if [[ $event =~ $concern ]]; then echo yes; else echo; fi
    done
    sleep 1
  done
}

held() { # whether this node answers for any address
  local line
  while read -r _ _ _ line _; do
    [[ $line != */32 ]] || ! in_range "${line%/32}" || return 0
  done < <(ip -4 -oneline address show)
  return 1
}

{
  changes /api/v1/services &
  [ "$HOSTNAME" != "$assigner" ] || ((nodes == 1)) || changes /apis/discovery.k8s.io/v1/endpointslices &
  wait
} | {
  declare -A told=()
  concerned=
  held && concerned=yes
  # What did not succeed is tried again at the next change, or after five minutes.
  while read -r -t 300 some || (($? > 128)); do
    for ((more = 0; more < 1000; more++)); do
      concerned=$concerned$some
      read -r -t 0.1 some || break
    done
    # Most sandboxes have no such Service, and to look at all of them takes a tenth of a second of processor time.
    [ -z "$concerned" ] || reconcile
  done
}
