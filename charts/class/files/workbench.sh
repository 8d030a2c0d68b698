# Clone both repositories into the workbench's folder, each whole or not at all; one that is there stays as it is.
# The password comes from the environment, here and later in the workbench's terminals: it is in no address or file.
set -eu
cat "$TRUSTED_CA"/*.crt > "$HOME/ca.crt" 2> /dev/null || true
[ ! -s "$HOME/ca.crt" ] || export GIT_SSL_CAINFO="$HOME/ca.crt"
cd "$WORK"
for repository in jukebox mlops-gitops; do
  [ ! -e "$repository" ] || continue
  rm -rf ".$repository.partial"
  git clone --quiet --config "credential.$GITEA.helper=" \
    --config "credential.$GITEA.helper=!f() { printf 'username=%s\npassword=%s\n' \"\$username\" \"\$password\"; }; f" \
    --config "user.name=$username" --config "user.email=$username@example.com" \
    "$GITEA/$username/$repository.git" ".$repository.partial"
  git -C ".$repository.partial" rev-parse --verify --quiet HEAD > /dev/null || {
    echo "$repository is still empty. Next: look at the Job class-setup, which fills it; this tries again." >&2
    exit 1
  }
  mv ".$repository.partial" "$repository"
done
