# What tools/upload-gcp, upload-aws and upload-azure have in common. Sourced by them, from sh.
#
# `run` does a command that changes something, `ask` one that only looks. With --dry-run both are printed and nothing
# is done: the cloud's tool need not even be installed.
# shellcheck shell=sh
# shellcheck disable=SC2034

me=${0##*/}
here=$(cd "$(dirname "$0")" && pwd)
dry='' name='' arch='' file=''
poll=${VMOS_POLL_SECONDS:-5}      # between two looks at something that takes its time
patience=${VMOS_POLL_TIMES:-720}  # looks

fail()
{
    echo "$me: $*" >&2
    exit 1
}

# The words of a command as a shell would take them.
quoted()
{
    line=
    for word; do
        case $word in
        '' | *[!A-Za-z0-9_./:=,@%+-]*) word="'$(printf %s "$word" | sed "s/'/'\\\\''/g")'" ;;
        esac
        line="$line${line:+ }$word"
    done
    printf '%s\n' "$line"
}

run()
{
    quoted "$@" >&3
    [ -n "$dry" ] || "$@"
}

# ask PLACEHOLDER COMMAND...: prints what the command prints; in a dry run the command is shown instead and the
# placeholder stands for the answer.
ask()
{
    placeholder=$1
    shift
    if [ -n "$dry" ]; then
        quoted "$@" >&3
        printf '%s\n' "$placeholder"
    else
        "$@"
    fi
}
exec 3>&1

# need TOOL HOW: the cloud's tool is installed.
need()
{
    [ -n "$dry" ] || command -v "$1" >/dev/null || fail "there is no $1 here; $2"
}

# wait_for WHAT GOOD BAD COMMAND...: looks until the command prints GOOD; BAD are words that end the wait.
wait_for()
{
    what=$1 good=$2 bad=$3 times=0 before=none
    shift 3
    while :; do
        state=$(ask "$good" "$@") || fail "cannot look at $what; the tool's own message stands above"
        [ "$state" != "$good" ] || return 0
        case " $bad " in *" $state "*) fail "$what is $state; the cloud's console tells why" ;; esac
        [ "$state" = "$before" ] || echo "$me: $what is ${state:-not there yet}; waiting"
        before=$state times=$((times + 1))
        [ "$times" -lt "$patience" ] || fail "$what is still $state after $((patience * poll)) s; look again later"
        sleep "$poll"
    done
}

# The value of an option: value OPTION "$@", called with the option's own name first.
value()
{
    [ $# -ge 3 ] || fail "$1 wants a value"
    printf '%s\n' "$3"
}

# check_file CLOUD: the image is there, its architecture is known, and lint-image finds nothing to fix.
check_file()
{
    [ -n "$file" ] || { usage >&2; exit 2; }
    [ -f "$file" ] || fail "there is no $file; \`make image-$1\` makes one"
    if [ -z "$arch" ]; then
        case ${file##*/} in
        vmos-x64-*) arch=x64 ;;
        vmos-arm64-*) arch=arm64 ;;
        *) fail "the architecture does not follow from the name ${file##*/}; say --arch x64 or --arch arm64" ;;
        esac
    fi
    case $arch in x64 | arm64) ;; *) fail "no cloud has machines of architecture $arch; x64 and arm64 there are" ;; esac
    "$here/lint-image" --quiet --cloud "$1" --arch "$arch" "$file" ||
        fail "the image would not be imported or not boot; fix what stands above first"
    [ -n "$name" ] || name=vmos-$arch-$(git -C "$here" rev-parse --short=8 HEAD 2>/dev/null || date +%Y%m%d)
    case $name in
    *[!a-z0-9-]* | [!a-z]* | *-) fail "a name has small letters, digits and -, and begins with a letter: not $name" ;;
    esac
}
