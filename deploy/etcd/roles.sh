#!/usr/bin/env bash
# Users and roles of a mesh in etcd. Run with the rights of etcd's root user (or before authentication is on).
#
#   roles.sh init                              the keys and roles that all others need
#   roles.sh administrator USER [OPTION]       writes everything of the mesh: objects, mesh, admission, history
#   roles.sh publisher USER NAMESPACE... [OPTION]
#                                              writes the objects and the history of these namespaces only
#   roles.sh host HOST [--user USER] [OPTION]  what one sidecar needs: reads all, writes hosts/HOST only
#   roles.sh enable                            turns authentication on; the user root must exist with the role root
#   roles.sh remove USER                       takes a user away; a host's own role goes with it
#   roles.sh list                              users of the mesh, their roles and key ranges
#
#   OPTION   --password-file FILE              the user's password; without it the user has none, and proves itself
#                                              by a client certificate whose common name is the user (better)
#
# How to reach etcd is etcdctl's own business: ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY,
# ETCDCTL_USER. MESHD_PREFIX names the mesh (default /meshd/v1). Every command may be repeated.
#
# etcd below 3.5.33, 3.6.14 or 3.7.1 does not check what is nested in transactions, and its watches tell more
# than they should: there roles keep out mistakes, not attackers.
set -euo pipefail

prefix=${MESHD_PREFIX:-/meshd/v1}
history=$prefix-history
slug=$(printf %s "${prefix#/}" | tr / -)
export ETCDCTL_API=3

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "roles.sh: $*"
  exit 2
}
usage() {
  sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# The key after the last one of a folder: "0" follows "/" in ASCII, so /a/b/ does not take /a/bc in.
after() { printf '%s0' "${1%/}"; }

# Runs etcdctl quietly, and takes it for done when what should be there is there already.
ensure() {
  local output
  if ! output=$(etcdctl "$@" 2>&1) && [[ $output != *"already exists"* && $output != *"is already granted"* ]]; then
    fail "etcdctl $1 $2 ${3:-}: $output"
  fi
}

add_role() { ensure role add "$1"; }
grant_folder() { ensure role grant-permission "$1" "$2" "$3" "$(after "$3")"; }
grant_key() { ensure role grant-permission "$1" "$2" "$3"; }

# add_user USER PASSWORD_FILE: an empty file name means that only a certificate proves the user.
add_user() {
  local user=$1 file=$2
  if [[ -z $file ]]; then
    ensure user add "$user" --no-password
    return
  fi
  [[ -r $file ]] || fail "password file $file cannot be read"
  local password
  password=$(<"$file")
  [[ -n $password ]] || fail "password file $file is empty"
  [[ $password != *[[:space:]]* ]] || fail "the password in $file has white space; etcdctl would cut it there"
  if etcdctl user get "$user" >/dev/null 2>&1; then
    ensure user passwd "$user" --interactive=false <<<"$password"
  else
    ensure user add "$user" --interactive=false <<<"$password"
  fi
}

check_namespace() {
  [[ $1 =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ && ${#1} -le 63 ]] ||
    fail "\"$1\" is not a namespace: lower-case letters, digits and \"-\", at most 63"
}

check_host() {
  [[ $1 =~ ^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$ && ${#1} -le 253 ]] ||
    fail "\"$1\" is not a host's name: letters, digits, \"-\", \".\" and \"_\", at most 253"
}

init() {
  # Written only where it is absent, so that a newer format is never taken back.
  etcdctl txn <<EOF >/dev/null
mod("$prefix/format") = "0"

put $prefix/format {"format":1,"oldestReader":1}


EOF
  add_role "$slug-administrator"
  grant_folder "$slug-administrator" readwrite "$prefix/"
  grant_folder "$slug-administrator" readwrite "$history/"
  add_role "$slug-reader"
  grant_folder "$slug-reader" read "$prefix/"
  grant_folder "$slug-reader" read "$history/"
  add_role "$slug-settings-reader"
  grant_key "$slug-settings-reader" read "$prefix/mesh"
  grant_key "$slug-settings-reader" read "$prefix/format"
}

administrator() {
  add_user "$1" "$2"
  ensure user grant-role "$1" "$slug-administrator"
}

# publisher USER PASSWORD_FILE NAMESPACE...
publisher() {
  local user=$1 file=$2 namespace role
  shift 2
  [[ $# -gt 0 ]] || fail "publisher needs at least one namespace"
  for namespace in "$@"; do check_namespace "$namespace"; done
  add_user "$user" "$file"
  ensure user grant-role "$user" "$slug-settings-reader"
  for namespace in "$@"; do
    role=$slug-publisher-$namespace
    add_role "$role"
    grant_folder "$role" readwrite "$prefix/ns/$namespace/"
    grant_folder "$role" readwrite "$history/$namespace/"
    ensure user grant-role "$user" "$role"
  done
}

# host HOST USER PASSWORD_FILE
host() {
  local host=$1 user=$2 file=$3 role=$slug-host-$1
  check_host "$host"
  add_user "$user" "$file"
  add_role "$role"
  grant_key "$role" readwrite "$prefix/hosts/$host"
  ensure user grant-role "$user" "$slug-reader"
  ensure user grant-role "$user" "$role"
}

enable() {
  etcdctl user get root >/dev/null 2>&1 ||
    fail "there is no user root; make it first: etcdctl user add root (or --no-password), etcdctl user grant-role root root"
  etcdctl auth enable >/dev/null
}

remove() {
  local user=$1 role
  for role in $(etcdctl user get "$user" | sed -n 's/^Roles: *//p'); do
    if [[ $role == "$slug-host-"* ]]; then etcdctl role delete "$role" >/dev/null; fi
  done
  etcdctl user delete "$user" >/dev/null
}

list() {
  local user role
  for user in $(etcdctl user list); do
    etcdctl user get "$user"
  done
  for role in $(etcdctl role list); do
    if [[ $role == "$slug-"* ]]; then etcdctl role get "$role"; fi
  done
}

command -v etcdctl >/dev/null || fail "etcdctl is not on the path; it comes with etcd"
[[ $prefix =~ ^(/[A-Za-z0-9._-]+)+$ ]] || fail "MESHD_PREFIX \"$prefix\" is not made of /parts"
[[ $# -gt 0 ]] || usage
verb=$1
shift
words=()
password_file=
user=
while [[ $# -gt 0 ]]; do
  case $1 in
    --password-file | --user)
      [[ $# -gt 1 ]] || fail "$1 needs a value"
      if [[ $1 == --user ]]; then user=$2; else password_file=$2; fi
      shift 2
      ;;
    -*) fail "no option $1" ;;
    *)
      words+=("$1")
      shift
      ;;
  esac
done
case $verb/${#words[@]} in
  init/0 | enable/0 | list/0) "$verb" ;;
  remove/1) remove "${words[0]}" ;;
  administrator/1) administrator "${words[0]}" "$password_file" ;;
  host/1) host "${words[0]}" "${user:-${words[0]}}" "$password_file" ;;
  publisher/[1-9]*) publisher "${words[0]}" "$password_file" "${words[@]:1}" ;;
  *) usage ;;
esac
