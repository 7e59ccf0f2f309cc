#!/bin/sh
# A Deployment of Kubernetes that runs on one node as an activity, for `driver = "exec"`.
#
#   [[activity]]
#   name = "reports"
#   server = "s1"
#   driver = "exec"
#   program = ["/usr/local/lib/pep-agent/kubernetes.sh", "batch", "reports", "2", "s1"]
#   movable = true
#   stop_seconds = 120
#   start_seconds = 180
#
# Arguments: namespace, Deployment, replicas when it runs, and the node of this server. Where it runs stands in its node
# selector (kubernetes.io/hostname), which starting it sets: so a move is a rollout onto the other node, new pods first.
# A stop is a scale to nothing: pods get SIGTERM and their terminationGracePeriodSeconds, which should be less than
# stop_seconds. Needs kubectl with a role that may get and patch this Deployment, and nothing else. A
# HorizontalPodAutoscaler on it would undo a stop.
set -eu
namespace=$1 deployment=$2 replicas=$3 node=$4
read -r question

say() { printf '%s\n' "$1"; }
attempt() { # a command, whose complaint is the reason where it fails
  if complaint=$("$@" 2>&1 >/dev/null); then
    say '{"outcome":"done"}'
  else
    reason=$(say "$complaint" | head -n 1 | tr -d '"\\\n' | tr -c '[:print:]' ' ')
    say "{\"outcome\":\"failed\",\"reason\":\"$reason\"}"
  fi
}
get() { # where it is meant to run, how many are wanted, are there at all, are ready and new
  kubectl -n "$namespace" get deployment "$deployment" --request-timeout=4s -o \
    'jsonpath={.spec.template.spec.nodeSelector.kubernetes\.io/hostname}|{.spec.replicas}|{.status.replicas}|{.status.readyReplicas}|{.status.updatedReplicas}' 2>&1
}

case $question in
  *'"do":"read-activity"'*)
    if ! told=$(get); then
      case $told in
        *NotFound*) say '{"state":"absent"}' ;;
        *)
          say "$told" >&2
          exit 1
          ;;
      esac
      exit 0
    fi
    at=${told%%|*} rest=${told#*|}
    wanted=${rest%%|*} rest=${rest#*|}
    all=${rest%%|*} rest=${rest#*|}
    ready=${rest%%|*} new=${rest#*|}
    if [ "$at" != "$node" ]; then
      say '{"state":"stopped"}' # it could run here, and does not
    elif [ "${wanted:-0}" -eq 0 ]; then
      if [ "${all:-0}" -eq 0 ]; then say '{"state":"stopped"}'; else say '{"state":"stopping"}'; fi
    elif [ "${ready:-0}" -ge "$wanted" ] && [ "${new:-0}" -ge "$wanted" ] && [ "${all:-0}" -eq "$wanted" ]; then
      say '{"state":"running"}'
    else
      say '{"state":"starting"}'
    fi
    ;;
  *'"do":"start"'*)
    attempt kubectl -n "$namespace" patch deployment "$deployment" --type merge -p \
      "{\"spec\":{\"replicas\":$replicas,\"template\":{\"spec\":{\"nodeSelector\":{\"kubernetes.io/hostname\":\"$node\"}}}}}"
    ;;
  *'"do":"stop"'*'"moved":true'*)
    # Its pods are on the other node already.
    say '{"outcome":"done"}'
    ;;
  *'"do":"stop"'*)
    attempt kubectl -n "$namespace" scale deployment "$deployment" --replicas=0
    ;;
  *) say '{"outcome":"refused","reason":"a Deployment is read, started and stopped"}' ;;
esac
