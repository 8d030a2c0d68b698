# Clone exactly one revision. The password comes from the environment: it is in no address and in no argument.
set -eu
# The authorities of the cluster, where the project has them, beside those of the image.
cat "$TRUSTED_CA"/*.crt > "$HOME/ca.crt" 2> /dev/null || true
[ ! -s "$HOME/ca.crt" ] || export GIT_SSL_CAINFO="$HOME/ca.crt"
git config --global --add safe.directory '*'
# The password is for the server in URL only: not for a redirect's or a submodule's.
PATH_OF_URL="${URL#*://*/}"
git config --global "credential.${URL%/"$PATH_OF_URL"}.helper" \
  '!f() { printf "username=%s\npassword=%s\n" "$username" "$password"; }; f'
git config --global http.followRedirects false
git clone --quiet "$URL" "$SOURCE/jukebox"
cd "$SOURCE/jukebox"
git checkout --quiet --detach "$REVISION"
[ "$(git rev-parse HEAD | cut -c1-10)" = "$VERSION" ] || { echo "$REVISION is not version $VERSION." >&2; exit 1; }
git log -1 --format='%H %an: %s'
