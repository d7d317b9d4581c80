# Shared by the shell scripts of tests/peers: messages with seconds, the mirror that apt is configured with, a private apt.

KTHW_STEP_START=${KTHW_STEP_START:-$SECONDS}

# say TEXT: one line with the seconds since the previous line.
say() {
    printf '%4ds  %s\n' $((SECONDS - KTHW_STEP_START)) "$*"
    KTHW_STEP_START=$SECONDS
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# skip REASON: ends a section of `install` that this machine cannot have; the others go on.
SKIP=77
skip() {
    echo "SKIPPED section ${section:-}: $1" >&2
    [ -z "${KTHW_SKIPPED:-}" ] || echo "SKIPPED section ${section:-}: $1" >>"$KTHW_SKIPPED"
    exit $SKIP
}

# The Debian mirror that apt is configured with (KTHW_DEBIAN_MIRROR overrides it).
debian_mirror() {
    local mirror=${KTHW_DEBIAN_MIRROR:-}
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 2>/dev/null \
        | awk '$1 == "Debian" && $2 !~ /security/ {print $NF; exit}')
    [ -n "$mirror" ] || die "apt names no Debian mirror: run apt-get update, or set KTHW_DEBIAN_MIRROR"
    printf '%s\n' "${mirror%/}"
}

# private_apt FOLDER SUITE TYPES: package lists in FOLDER, so that the machine's own sources stay as they are.
# Sets APT_PRIVATE, the options for apt-get.
private_apt() {
    local folder=$1 suite=$2 types=$3 type mirror
    mirror=$(debian_mirror)
    mkdir -p "$folder"/{lists/partial,cache/archives/partial}
    : >"$folder/sources.list"
    for type in $types; do
        echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >>"$folder/sources.list"
    done
    APT_PRIVATE="-o Dir::Etc::SourceList=$folder/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$folder/lists -o Dir::Cache=$folder/cache -o APT::Sandbox::User=root"
    apt-get $APT_PRIVATE update -qq
}
