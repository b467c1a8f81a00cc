# Sourced by scripts/test, after venv.sh. grpcurl is the stranger in the acceptance tests: a client that is not ours.

GRPCURL=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

# ensure_grpcurl: puts grpcurl into `.venv` where there is Go to build it. Without it, its tests are skipped.
ensure_grpcurl() {
  if [ -x "$VENV/bin/grpcurl" ] || command -v grpcurl >/dev/null || ! command -v go >/dev/null; then
    return
  fi
  echo "building grpcurl"
  GOBIN="$VENV/bin" timeout 300 go install "$GRPCURL" >/dev/null 2>&1 || echo "no grpcurl: go could not build it"
}
